"""Trimming by weighted mass: a sample of weight w counts like w samples.

With whole weights, everything here equals repeating each sample as often as its weight says. The sample at the
threshold may be kept in part.
"""

import numpy as np

from .trimming import as_losses, n_kept, quotas, smallest

__all__ = ["kept_mass", "total_weight", "trim_mass"]


def total_weight(weights) -> int | float:
    """Sum the weights: an int if all of them are whole, within rounding, and so count repeated samples."""
    nearest = np.round(weights)
    counts = (np.abs(weights - nearest) <= 1e-9 * weights).all()
    return int(nearest.sum()) if counts else float(weights.sum())


def trim_mass(losses, weights, alpha: float, *, groups=None) -> np.ndarray:
    """Apply `itlm.trim` by weighted mass.

    Parameters
    ----------
    losses : array, shape (n,)
        The loss of each sample.
    weights : array of float, shape (n,), above 0
        The weight of each sample.
    alpha : float in (0, 1]
        Fraction of the total weight W that is kept: floor(alpha W) if all weights are whole, else alpha W.
    groups : array of int, shape (n,), optional
        Trim within each group, numbered from 0; each keeps its share of the mass.

    Returns
    -------
    array of float, shape (n,)
        How much of each sample is kept, from 0 to its weight.

    Raises
    ------
    ValueError
        As `itlm.trim` does.
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
    """Keep a mass h of the smallest losses.

    Parameters
    ----------
    losses, weights : array of float, shape (n,)
        Losses, and the samples' weights.
    h : float
        The mass to keep, at most the sum of the weights.

    Returns
    -------
    array of float, shape (n,)
        How much of each sample is kept; sums to h.

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
