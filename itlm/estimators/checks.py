"""Checks that both estimators share: sample weights, and how much is kept."""

from numbers import Real

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from ..trimming import n_kept

__all__ = ["check_weights", "mass_kept"]


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
