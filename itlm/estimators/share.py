"""The share of wrong samples, for a trimmed estimator whose fraction to keep is not given."""

import numpy as np
from sklearn.base import is_classifier

from ..audit import ErrorShare, confusable, error_share

__all__ = ["planted_share"]


def planted_share(estimator, errors, X, y, refit, losses, first, kept, seed: int) -> ErrorShare:
    """Estimate the share of wrong samples from planted errors.

    Parameters
    ----------
    estimator : classifier or regressor
        What is trimmed.
    errors : "auto", or as ``kind`` of `itlm.audit.plant`
        As for `TrimmedEstimator`.
    X, y : features, and array, shape (n,) or (n, n_outputs)
        The data.
    refit : callable, mask of shape (n,) -> model
        Fits the estimator to some samples.
    losses : callable, (model, rows, y) -> array
        The losses of some rows under labels or outputs y.
    first, kept : model, and array of bool, shape (n,)
        The fit to all samples, and the samples that are kept at first.
    seed : int
        Seeds the folds and the planted errors.
    """
    n, classifies = len(y), is_classifier(estimator)
    if isinstance(errors, str) and errors == "auto":
        errors = "uniform" if classifies else "permuted"
        if classifies and hasattr(first, "predict_proba"):
            errors = confusable(first.predict_proba(X), first.classes_)
    return error_share(
        np.arange(n), y, lambda rows, _: refit(np.isin(np.arange(n), rows)), losses, errors, kept=kept,
        groups=y if classifies else None, random_state=seed,
    )  # fmt: skip
