"""Estimate the share of outliers of a robust fit, for the fraction that a second fit keeps.

Source: Gervini & Yohai 2002, whose cut-off this is, iterated with the scale.
"""

import numpy as np
from scipy.stats import chi2

from .rows import Rows, residuals
from .scale import raw_shrinkage

__all__ = ["EXCESS", "excess_share", "outlier_share"]

TAIL = chi2.ppf(0.95, 1)  # smaller squared residuals, in squared scales, count as clean
EXCESS = 1.25  # samples dropped for each that exceeds: some outliers hide among the clean samples (simulations)
ROUNDS = 50  # at most; a few are enough


def excess_share(squares, weights=None) -> float:
    """Return the share of samples that exceed what Gaussian noise gives: the largest F(v) - F_n(v) in the tail.

    Parameters
    ----------
    squares : array, shape (n,)
        Squared residuals, in squared scales.
    weights : array, shape (n,), optional
        How many samples each represents.
    """
    order = np.argsort(squares)
    squares = squares[order]
    counts = np.ones(len(squares)) if weights is None else weights[order]
    below = np.cumsum(counts) - counts  # of smaller ones
    tail = squares >= TAIL
    return float(max(0.0, (chi2.cdf(squares, 1) - below / counts.sum())[tail].max(initial=0.0)))


def outlier_share(rows: Rows, theta, objective: float, h, n, p: int) -> tuple[float, float]:
    """Estimate the share of outliers of a least trimmed squares fit, and the scale of the other samples' noise.

    The share depends on the scale, and the scale on the share: the h samples kept are a fraction h / (n (1 - share)) of
    the clean ones, not h / n. Both are iterated until the share settles.

    Parameters
    ----------
    rows, theta, objective, h
        The samples, the fit, its sum of squares, and the number (or weight) of samples it kept.
    n, p : float, int
        Number (or weight) of all samples, and of coefficients.
    """
    squares, share = residuals(rows, theta) ** 2, 0.0
    for _ in range(ROUNDS):
        clean = max(n * (1 - share), h)
        scale = np.sqrt(objective / h) / raw_shrinkage(min(h, clean), clean, p)
        before, share = share, excess_share(squares / scale**2, rows.weights)
        if abs(share - before) < 0.5 / n:
            break
    return share, float(scale)
