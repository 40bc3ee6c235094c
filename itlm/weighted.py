"""Trimming by weighted mass: a sample of weight w counts like w samples.

With whole weights, every result equals that of repeating each sample as often as its weight. The sample at the
threshold may be kept in part.
"""

import numpy as np

from .trimming import as_losses, grouped, n_kept, quotas, smallest, unmasked

__all__ = ["as_floats", "as_weights", "kept_mass", "total_weight", "trim_mass"]

HEAVY = 1e150  # of a total weight: sums of weighted squares overflow above it, and lose digits below its inverse


def as_weights(weights, n: int) -> np.ndarray:
    """Return the weights of n samples as float64, after checking them.

    Parameters
    ----------
    weights : array, shape (n,), real
        Finite, 0 or more, not all 0.
    n : int
        Number of samples.

    Raises
    ------
    ValueError
        For weights of another shape, dtype or range, or masked ones.
    """
    weights = as_floats("weights", weights)
    if weights.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), one a sample, got {weights.shape}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError("weights must be finite, 0 or more and not all 0")
    return weights


def as_floats(name: str, values) -> np.ndarray:
    """Return real numbers as a contiguous array of float64; refuse masked values, text and complex numbers."""
    values = unmasked(name, values)
    if values.dtype.kind not in "fiubO":
        raise ValueError(f"{name} must be real numbers, got dtype {values.dtype}")
    try:
        return np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:  # objects
        raise ValueError(f"{name} must be real numbers: {error}") from None


def total_weight(weights) -> int | float:
    """Sum the weights: an int if all are whole within rounding, and so count repeated samples, else a float.

    A sum below 1e-150 or above 1e150 raises ValueError.
    """
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if not 1 / HEAVY <= total <= HEAVY:
        raise ValueError(
            f"weights sum to {total:.3g}, outside {1 / HEAVY:g} to {HEAVY:g}: divide them by their largest"
        )
    nearest = np.round(weights)
    counts = (np.abs(weights - nearest) <= 1e-9 * weights).all()
    return int(nearest.sum()) if counts else total


def trim_mass(losses, weights, alpha: float, *, groups=None) -> np.ndarray:
    """Trim as `itlm.trim` does, by weighted mass: return how much of each sample is kept, in [0, weight], shape (n,).

    Parameters
    ----------
    losses, weights : array of float, shape (n,)
        The loss of each sample, and its weight, 0 or more.
    alpha : float in (0, 1]
        Fraction of the total weight W that is kept: floor(alpha W) if all weights are whole, else alpha W.
    groups : array of int, text or categories, shape (n,), optional
        Trim within each group, which keeps its share of the mass.

    Raises
    ------
    ValueError
        As for `itlm.trim`, and for weights that are not finite, below 0 or all 0, or sum to less than 1e-150 or more
        than 1e150.
    """
    losses = as_losses(losses)
    weights = as_weights(weights, len(losses))
    total = total_weight(weights)
    h = n_kept(total, alpha) if isinstance(total, int) else alpha * total
    if groups is None:
        return kept_mass(losses, weights, h)
    order, counts, labels = grouped(groups, losses)
    numbers = np.empty(len(losses), dtype=int)
    numbers[order] = np.repeat(np.arange(len(labels)), counts)
    sizes = np.bincount(numbers, weights)
    shares = quotas([round(size) for size in sizes], h) if isinstance(total, int) else h * sizes / total
    mass = np.empty(len(losses))
    for group, share in enumerate(shares):
        members = numbers == group
        mass[members] = kept_mass(losses[members], weights[members], share, f" in group {labels[group]!r}")
    return mass


def kept_mass(losses, weights, h: float, where: str = "") -> np.ndarray:
    """Keep a mass h of the smallest losses: return how much of each sample is kept, shape (n,), with sum h.

    Parameters
    ----------
    losses, weights
        As for `trim_mass`.
    h : float
        The mass to keep, at most the sum of the weights.
    where : str
        Which losses these are, for errors.

    Raises
    ------
    ValueError
        If a sample of infinite loss would have to be kept.
    """
    if h == 0:
        return np.zeros_like(weights)
    if weights.min() == 1 == weights.max() and h == int(h):
        return smallest(losses, int(h), where).astype(float)
    order = np.argsort(losses, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    mass = np.empty_like(weights)
    mass[order] = np.clip(h - before, 0, weights[order])
    if (infinite := losses == np.inf).any() and mass[infinite].any():
        raise ValueError(
            f"losses has {np.count_nonzero(infinite)} infinite values of {len(losses)}{where}, so that keeping a "
            f"weight of {h:g} of {weights.sum():g} would keep some of them; lower alpha, or make the loss finite"
        )
    return mass
