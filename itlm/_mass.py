"""Algorithm 1 where samples have weights: trimming by weighted mass, and checks of the weights."""

from collections.abc import Iterator
from numbers import Real

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from ._rows import weight_sum
from .trimming import _as_losses, _kept_mass, _shares, iterate, n_kept


def rounds(losses, update, model, fraction, most, weights, groups) -> Iterator[tuple]:
    """Algorithm 1: yield model, losses and how much of each sample is kept, to the fixed point or the last round."""
    if weights is None:
        for r in iterate(losses, update, model, fraction, most, groups=groups, stop_at_fixed_point=True):
            yield r.theta, r.losses, r.kept
        return
    before = None
    for t in range(most + 1):
        current = losses(model)
        mass = trim_mass(current, weights, fraction, groups)
        yield model, current, mass
        if before is not None and np.array_equal(mass, before):
            return
        if t < most:
            model, before = update(model, mass, t), mass


def trim_mass(losses, weights, fraction, groups) -> np.ndarray:
    """`trim` by weighted mass: how much of each sample is kept, (n,)."""
    losses, total = _as_losses(losses), weight_sum(weights)
    h = mass_kept(total, fraction)
    if groups is None:
        return _kept_mass(losses, weights, h)
    sizes = np.bincount(groups, weights)
    shares = _shares([round(size) for size in sizes], h) if isinstance(total, int) else h * sizes / total
    mass = np.empty(len(losses))
    for group, share in enumerate(shares):
        members = groups == group
        mass[members] = _kept_mass(losses[members], weights[members], share)
    return mass


def mass_kept(n, fraction, other=""):
    """Of n samples, or a mass n, how much is kept."""
    if not isinstance(fraction, Real) or isinstance(fraction, bool) or not 0 < fraction <= 1:
        raise ValueError(f"support_fraction must be in (0, 1]{other}, got {fraction!r}: it is the fraction to keep")
    if not isinstance(n, int):
        return fraction * n
    if n * fraction < 1 - 1e-9:
        raise ValueError(
            f"support_fraction={fraction} keeps none of {n} samples; use at least {1 / n:.3g} (if sample_weight was "
            "given: it counts samples)"
        )
    return n_kept(n, fraction)


def check_weights(sample_weight, X):
    """Mask of the samples that count, None where all do; and their weights, None where all are 1."""
    if sample_weight is None:
        return None, None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be 0 or more, got {weights.min()}: it says how often a sample counts")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample; give at least one a positive weight")
    counted = weights > 0
    weights = weights[counted]
    return None if counted.all() else counted, None if (weights == 1).all() else weights
