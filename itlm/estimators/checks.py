"""Checks that both estimators share: outputs, weights and seeds, and what trimming leaves undetermined."""

import warnings
from numbers import Real

import numpy as np
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from ..trimming import n_kept

__all__ = ["check_labels", "check_outputs", "check_weights", "mass_kept", "seed_from", "warn_undetermined"]

_LARGE = 10**7  # the most numbers in a data frame that is searched for undetermined columns: it is copied


def mass_kept(total: int | float, fraction: float, other: str = "") -> int | float:
    """Return the number of samples kept, or the weight kept; ``other`` is what else the fraction may be."""
    if not isinstance(fraction, Real) or isinstance(fraction, bool) or not 0 < fraction <= 1:
        raise ValueError(f"support_fraction must be in (0, 1]{other}, got {fraction!r}: it is the fraction to keep")
    if not isinstance(total, int):
        return fraction * total
    if total * fraction < 1 - 1e-9:
        raise ValueError(
            f"support_fraction={fraction} keeps none of {total} samples; use at least {1 / total:.3g} (if "
            "sample_weight was given: it counts samples)"
        )
    return n_kept(total, fraction)


def seed_from(random_state) -> int:
    """Draw a seed from ``random_state``, an int, RandomState or None."""
    try:
        return check_random_state(random_state).randint(2**31 - 1)
    except ValueError:
        raise ValueError(
            f"random_state must be an int in [0, 2**32 - 1], a RandomState or None, got {random_state!r}"
        ) from None


def check_weights(sample_weight, X):
    """Return the mask, (n,), of positive weights (None if all are), and these weights (None if all are 1)."""
    if sample_weight is None:
        return None, None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be 0 or more, got {weights.min()}: it is how often a sample counts")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample; give at least one a positive weight")
    counted = weights > 0
    weights = weights[counted]
    return None if counted.all() else counted, None if (weights == 1).all() else weights


def check_labels(y) -> None:
    """Refuse labels that are missing, or no classes."""
    if y.dtype.kind in "OmM":
        missing = np.flatnonzero([v is None or type(v).__name__ in ("NAType", "NaTType") or v != v for v in y])
        if len(missing):
            first = ", ".join(map(str, missing[:3]))
            raise ValueError(f"y has {len(missing)} missing labels of {len(y)}, at {first}: drop these samples first")
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)


def check_outputs(y) -> np.ndarray:
    """Return outputs of a regression in double precision; refuse what are no real, finite numbers."""
    y = np.asarray(y)
    try:
        if y.dtype.kind in "cmM":
            raise TypeError
        y = y.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        more = ". Complex data not supported" if y.dtype.kind == "c" else ""  # the words that scikit-learn looks for
        raise ValueError(f"y must be real numbers, got dtype {y.dtype}; convert y to float first{more}") from None
    assert_all_finite(y, input_name="y")
    return y


def warn_undetermined(X, kept, names=None, ones: bool = True, chance: float = 1.0) -> None:
    """Warn of columns that vary in all samples but are constant among the kept ones.

    Parameters
    ----------
    X : any
        The samples. Only arrays, and data frames of at most 1e7 numbers, are searched.
    kept : array of bool, shape (n,)
        The samples that the model was fitted to.
    names : array of str, shape (n_features,), optional
        Names of the columns, in place of their numbers.
    ones : bool
        Whether the model has an intercept. Without one, a constant column other than 0 is still determined.
    chance : float in (0, 1]
        Leave out columns with so few other values that random dropping loses them with a larger probability.
    """
    if not isinstance(X, np.ndarray):
        X = np.asarray(X if hasattr(X, "columns") and np.size(X) <= _LARGE else None)
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        return
    rows = np.flatnonzero(kept)
    first = X[rows[0]]
    columns = np.flatnonzero((X[rows[:1000]] == first).all(0) & (ones | (first == 0)))  # few columns pass
    same = X[:, columns] == first[columns]
    others = (~same).sum(0)
    columns = columns[same[rows].all(0) & (others > 0) & ((1 - len(rows) / len(X)) ** others <= chance)]
    if len(columns):
        shown = ", ".join(str(i if names is None else names[i]) for i in columns[:5])
        warnings.warn(
            f"trimming dropped every sample in which columns {shown}{', ...' if len(columns) > 5 else ''} differ from "
            "their value among the kept samples: predictions for other values of these columns are not determined; "
            "merge rare levels, drop these columns, or use a larger support_fraction",
            stacklevel=3,
        )
