"""Trimmed fits as scikit-learn estimators.

    TrimmedRegressor(0.75).fit(X, y)                          least trimmed squares, reweighted
    TrimmedEstimator(LogisticRegression(), 0.7).fit(X, y)     Algorithm 1 around any estimator

Both call alpha ``support_fraction``, as scikit-learn does.
"""

from .regressor import TrimmedRegressor
from .wrapper import TrimmedEstimator

__all__ = ["TrimmedRegressor", "TrimmedEstimator"]  # the order of the API page
