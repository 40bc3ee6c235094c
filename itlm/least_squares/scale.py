"""How much smaller than the noise the residuals of a trimmed fit are: what its scale has to be divided by.

Source: derived in the notes of `itlm.estimators.TrimmedRegressor`; the constants are fitted to simulations by
``tools/calibrate_scale.py``.
"""

import numpy as np
from scipy.special import ndtr, ndtri

CUT = 2.5  # robust scales from which a residual is rejected: the root of chi-squared's .9875 quantile
SMALL_P, CURVE, FINAL_FIT, FINAL_TRIM = 0.25, 1.75, 0.45, 2.5


def kept_square(a) -> float:
    """Mean of z^2 over Gaussian z, those of the central fraction a alone counting: a - 2 q phi(q)."""
    q = ndtri(0.5 + 0.5 * a)
    return float(a - 2 * q * np.exp(-0.5 * q * q) / np.sqrt(2 * np.pi)) if q < np.inf else 1.0


def raw_shrinkage(h, n, p):
    """Root mean square of the h kept residuals over sigma, to be expected on clean Gaussian data."""
    a = (h + 1) / (n + 1)  # where the cut lies: the expected level of the (h + 1)-th smallest
    share = _lost(p - SMALL_P, n, a)
    return np.sqrt(kept_square(a) / a * max(1 - share / (1 + CURVE * (1 - a) * share), 0.01))


def _lost(p, n, a):
    """Share of the kept squares that the fit takes away, to first order."""
    return p / (n * kept_square(a))


def final_shrinkage(h, n, p):
    """Root mean square of the residuals that remain after rejection over sigma, on clean Gaussian data."""
    a = 1 - 2 * ndtr(-CUT)
    selected = FINAL_FIT * p / n + FINAL_TRIM * (1 - h / n) * min(p, 5) / n
    return np.sqrt(kept_square(a) / a * max((1 - p / n) * (1 - selected), 0.01))
