"""Exact fits: if all kept samples lie on one plane, that plane is the fit."""

import numpy as np

from .rows import DIGIT, ROUNDING, NormalEquations, least_squares, minimum_norm


def fit_to(rows, chosen) -> np.ndarray:
    """Fit least squares to the chosen samples."""
    if rows.weights is not None:
        return least_squares(rows.at(chosen), rows.y[chosen], rows.weights[chosen], rows.ones)
    normal = NormalEquations(rows)
    normal.set_to(chosen)
    return normal.solve(chosen)


def plane_of(rows, found):
    """Return the plane that the kept samples lie on within rounding, and the samples on it; None if there is none."""
    kept, everything = found.kept, np.ones(rows.n, bool)
    if found.threshold > 1e-9 * np.sqrt((rows.y[kept] ** 2).mean()) + _digits(rows, found.coef):
        return None
    theta = fit_to(rows, everything)
    if lies_on(rows, theta, everything).all():
        return theta, everything
    theta = minimum_norm(rows.at(kept), rows.y[kept], rows.ones)
    on = lies_on(rows, theta, kept)
    if not on[kept].all():
        return None
    theta = minimum_norm(rows.at(on), rows.y[on], rows.ones)
    return theta, lies_on(rows, theta, on)


def lies_on(rows, theta, fitted) -> np.ndarray:
    """Return which samples lie on a plane within rounding, theirs and that of theta's own fit: a mask, (n,)."""
    X = rows.at(slice(None))
    size = np.abs(rows.y) + np.abs(X) @ np.abs(theta)
    rounding = ROUNDING * size + 32 * DIGIT * size[fitted].max() + _digits(rows, theta)
    return np.abs(rows.y - X @ theta) <= rounding


def _digits(rows, theta) -> float:
    """Bound the rounding error that the data had before they were centred."""
    return DIGIT * float(np.abs(rows.centre) @ np.abs(np.append(theta[:-1], 1.0))) if rows.ones else 0.0
