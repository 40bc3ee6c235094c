"""Trimming by weighted mass: a sample of weight w counts like w samples.

With whole weights, every result equals that of repeating each sample as often as its weight. The sample at the
threshold may be kept in part.
"""

import numpy as np

from .trimming import as_losses, n_kept, quotas, smallest

__all__ = ["kept_mass", "total_weight", "trim_mass"]


def total_weight(weights) -> int | float:
    """Sum the weights: an int if all are whole within rounding, and so count repeated samples, else a float."""
    nearest = np.round(weights)
    counts = (np.abs(weights - nearest) <= 1e-9 * weights).all()
    return int(nearest.sum()) if counts else float(weights.sum())


def trim_mass(losses, weights, alpha: float, *, groups=None) -> np.ndarray:
    """Trim as `itlm.trim` does, by weighted mass: return how much of each sample is kept, in [0, weight], shape (n,).

    Parameters
    ----------
    losses, weights : array of float, shape (n,)
        The loss of each sample, and its weight, above 0.
    alpha : float in (0, 1]
        Fraction of the total weight W that is kept: floor(alpha W) if all weights are whole, else alpha W.
    groups : array of int, shape (n,), optional
        Group numbers, from 0. Trimming is then within each group, which keeps its share of the mass.

    Raises
    ------
    ValueError
        As for `itlm.trim`.
    """
    losses, total = as_losses(losses), total_weight(weights)
    h = n_kept(total, alpha) if isinstance(total, int) else alpha * total
    if groups is None:
        return kept_mass(losses, weights, h)
    sizes = np.bincount(groups, weights)
    shares = quotas([round(size) for size in sizes], h) if isinstance(total, int) else h * sizes / total
    mass = np.empty(len(losses))
    for group, share in enumerate(shares):
        members = groups == group
        mass[members] = kept_mass(losses[members], weights[members], share)
    return mass


def kept_mass(losses, weights, h: float) -> np.ndarray:
    """Keep a mass h of the smallest losses: return how much of each sample is kept, shape (n,), with sum h.

    Parameters
    ----------
    losses, weights
        As for `trim_mass`.
    h : float
        The mass to keep, at most the sum of the weights.

    Raises
    ------
    ValueError
        If a sample of infinite loss would have to be kept.
    """
    if h == 0:
        return np.zeros_like(weights)
    if weights.min() == 1 == weights.max() and h == int(h):
        return smallest(losses, int(h)).astype(float)
    order = np.argsort(losses, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    mass = np.empty_like(weights)
    mass[order] = np.clip(h - before, 0, weights[order])
    if (infinite := losses == np.inf).any() and mass[infinite].any():
        raise ValueError(
            f"losses has {np.count_nonzero(infinite)} infinite values of {len(losses)}, so that keeping a weight of "
            f"{h:g} of {weights.sum():g} would keep some of them; lower alpha, or make the loss finite"
        )
    return mass
