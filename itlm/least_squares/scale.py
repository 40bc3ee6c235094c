"""Factors by which the residuals of a trimmed fit are smaller than the noise; its scale is divided by them.

The notes of `itlm.estimators.TrimmedRegressor` derive them; ``tools/calibrate_scale.py`` fits their constants.
"""

import numpy as np
from scipy.special import ndtr, ndtri

CUT = 2.5  # residuals above this many robust scales are rejected: root of chi-squared's .9875 quantile
SMALL_P, CURVE, FINAL_FIT, FINAL_TRIM = 0.25, 1.75, 0.45, 2.5


def kept_square(a) -> float:
    """Compute E[z^2 1{|z| <= q}] = a - 2 q phi(q), z Gaussian and a the probability of |z| <= q."""
    q = ndtri(0.5 + 0.5 * a)
    return float(a - 2 * q * np.exp(-0.5 * q * q) / np.sqrt(2 * np.pi)) if q < np.inf else 1.0


def raw_shrinkage(h, n, p):
    """Return the expected root mean square of the h kept residuals over sigma, on clean Gaussian data."""
    a = (h + 1) / (n + 1)  # level of the cut: the expected one of the (h + 1)-th smallest
    share = _lost(p - SMALL_P, n, a)
    return np.sqrt(kept_square(a) / a * max(1 - share / (1 + CURVE * (1 - a) * share), 0.01))


def _lost(p, n, a):
    """Return the share of the kept squares that the fit removes, to first order."""
    return p / (n * kept_square(a))


def final_shrinkage(h, n, p):
    """Return the expected root mean square, over sigma, of the residuals left after rejection, likewise."""
    a = 1 - 2 * ndtr(-CUT)
    selected = FINAL_FIT * p / n + FINAL_TRIM * (1 - h / n) * min(p, 5) / n
    return np.sqrt(kept_square(a) / a * max((1 - p / n) * (1 - selected), 0.01))
