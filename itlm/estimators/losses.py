"""Losses by which the samples of a regression are ranked, by name."""

import numpy as np
from scipy.special import xlogy

from ..least_squares.rows import DIGIT, ROUNDING


def _deviations(y, prediction):
    """Compute absolute residuals, (n, outputs); residuals within rounding are 0, so they rank no samples."""
    y, prediction = y.reshape(len(y), -1), prediction.reshape(len(y), -1)
    size, centre = np.abs(y - prediction), np.median(y, axis=0)
    rounding = ROUNDING * (np.abs(y - centre) + np.abs(prediction - centre)) + DIGIT * np.abs(prediction)
    return np.where((size <= rounding) & np.isfinite(size), 0.0, size)


def _squared(y, prediction):
    return (_deviations(y, prediction) ** 2).sum(1)


def _absolute(y, prediction):
    return _deviations(y, prediction).sum(1)


def _poisson(y, prediction):
    for name, values, bad, remedy in (
        ("y", y, y < 0, "counts are 0 or more"),
        ("the prediction", prediction, prediction <= 0, "use an estimator with positive means, like PoissonRegressor"),
    ):
        if bad.any():
            raise ValueError(f"loss='poisson': {name} has {values[bad][0]} ({bad.sum()} such values); {remedy}")
    y, prediction = y.reshape(len(y), -1), prediction.reshape(len(y), -1)
    return 2 * (xlogy(y, y / prediction) - y + prediction).sum(1)


LOSSES = {"squared": _squared, "absolute": _absolute, "poisson": _poisson}
# Losses below this share of a constant model's losses count as zero: solvers stop short of an exact fit.
LEFT = {"squared": 1e-12, "absolute": 1e-6}


def is_nothing(losses, y, name) -> bool:
    """Return whether losses count as zero: they are 0, or below ``LEFT`` of a constant model's losses."""
    most = 0.0
    if isinstance(name, str) and name in LEFT:
        most = LEFT[name] * LOSSES[name](y, np.broadcast_to(np.median(y, axis=0), y.shape)).sum()
    return losses.sum() <= most
