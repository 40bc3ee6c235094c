"""Trimmed fits as scikit-learn estimators.

    TrimmedRegressor(0.75).fit(X, y)                          least trimmed squares, reweighted
    TrimmedEstimator(LogisticRegression(), 0.7).fit(X, y)     Algorithm 1 around any estimator

Both call alpha ``support_fraction``, scikit-learn's own word. `TrimmedRegressor` searches from many starts and so
resists bad features too. `TrimmedEstimator` starts from the fit to all samples, for any model that has a loss.
"""

from .regressor import TrimmedRegressor
from .wrapper import TrimmedEstimator

__all__ = ["TrimmedRegressor", "TrimmedEstimator"]  # the order of the API page
