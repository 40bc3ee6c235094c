"""Algorithm 1: alternate between keeping the samples of smallest loss and retraining on them.

    for t = 0, ..., T - 1:
        S_t       = the floor(alpha n) samples of smallest loss under theta_t      trim
        theta_t+1 = ModelUpdate(theta_t, S_t, t)                                   update, yours

The module is independent of any model: ``iterate`` gets the losses and the update as two functions. NumPy arrays and
torch tensors both work; torch is imported only if a tensor comes in.

Source: Shen & Sanghavi, *Learning with Bad Training Data via Iterative Trimmed Loss Minimization*, ICML 2019, Sec. 4.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import floor
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = ["n_kept", "trim", "Round", "iterate"]  # the order of the API page

_SHORT = 10**10  # an alpha of at most ten decimals is meant exactly; others come from arithmetic
_ROUNDING = Fraction(1, 10**12)  # far above the rounding error of a short sum
_SORTED = {"float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64"}  # by torch


def n_kept(n: int, alpha: float) -> int:
    """Return the number of samples kept, an int in [1, n]: floor(alpha n), computed with alpha as a decimal.

    Parameters
    ----------
    n : int, at least 1
        Number of samples.
    alpha : float in (0, 1]
        Fraction kept (alpha in Algorithm 1). An alpha of up to ten decimals is exactly that decimal, whatever n:
        ``n_kept(100, 0.29)`` is 29. A longer one is the result of arithmetic. It counts as k/n if it is within 1e-12 of
        k/n, and alpha n within 0.01 of k: ``n_kept(3000, 0.6 - 0.05)`` is 1650. Float arithmetic gives 28 and 1649.

    Raises
    ------
    ValueError
        If alpha is outside (0, 1], n is below 1, or alpha is so small that nothing would be kept.
    """
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
        raise ValueError(f"n must be a positive integer, got {n!r}: there is nothing to keep a fraction of")
    check_alpha(alpha)
    n, decimal = int(n), Fraction(str(alpha))  # the shortest decimal that is this float
    product = n * decimal
    k, nearest = floor(product), round(product)
    if _SHORT % decimal.denominator and abs(product - nearest) <= min(n * _ROUNDING, Fraction(1, 100)):
        k = nearest
    if k == 0:
        raise ValueError(f"alpha={alpha} keeps floor({alpha} * {n}) = 0 samples; use alpha of at least 1/{n}")
    return k


def trim(losses, alpha: float, *, groups=None):
    """Select the floor(alpha n) samples of smallest loss: S_t of Algorithm 1.

    The selection is a partition, in O(n). Ties go to the lower index, so NumPy and torch select the same samples.

    Parameters
    ----------
    losses : array or tensor, shape (n,), real
        The loss of each sample under the current model. ``inf`` is a large loss like any other, if it can be dropped.
    alpha : float in (0, 1]
        Fraction kept (alpha in Algorithm 1).
    groups : array or tensor of int, or array of text or categories, shape (n,), optional
        Trim within each group, so that no class can vanish; the total is still ``n_kept(n, alpha)``. Each group's share
        is proportional to its size, by largest remainder. Every group keeps at least one sample if the total allows it.

    Returns
    -------
    array or tensor of bool, shape (n,)
        True for exactly ``n_kept(n, alpha)`` samples; of the kind and on the device of ``losses``.

    Raises
    ------
    ValueError
        For NaN losses (the message counts and locates them) or an infinite loss that would have to be kept (the message
        names its group). For alpha outside (0, 1], an empty selection, masked values, or arguments of the wrong shape
        or dtype. Torch can sort no float8 and no uint16, uint32 or uint64.
    """
    losses = as_losses(losses)
    n = losses.shape[0]
    k = n_kept(n, alpha)
    if groups is None:
        kept = smallest(losses, k)
    else:
        order, sizes, labels = grouped(groups, losses)
        kept, start = _falses_like(losses), 0
        for label, size, share in zip(labels, sizes, quotas(sizes, k), strict=True):
            members = order[start : start + size]  # ascending, so ties still go to the lower index
            if share:
                kept[members[smallest(losses[members], share, f" in group {label!r}")]] = True
            start += size
    return kept


@dataclass(frozen=True, eq=False, repr=False)
class Round:
    """One round of Algorithm 1: the model at its start and the samples kept.

    The arrays are copies: changing them changes nothing else, and no later round changes them.

    Attributes
    ----------
    t : int
        Round number, from 0.
    theta : object
        The model theta_t, *before* this round's update.
    losses : array or tensor, shape (n,)
        The samples' losses under ``theta``.
    kept : array or tensor of bool, shape (n,)
        The selection S_t; with ``select``, the value that ``select`` returned.
    alpha : float
        The fraction kept in this round.
    objective : float
        The trimmed loss: the sum of the kept samples' losses.
    n_entered, n_left : int or None
        Number of samples that entered and left the selection since the previous round. Before Round 0 every sample
        counts as kept. None in the first round of a resumed run, since the previous round is unknown.
    """

    t: int
    theta: Any
    losses: Any
    kept: Any
    alpha: float
    objective: float
    n_entered: int | None
    n_left: int | None

    @property
    def changed(self) -> bool | None:
        """Whether trimming changed the selection in this round; None if that is unknown."""
        return None if self.n_left is None else self.n_entered + self.n_left > 0

    def __repr__(self) -> str:
        moved = "" if self.n_left is None else f", {self.n_entered} entered, {self.n_left} left"
        k, n = int(_sum(self.kept > 0)), self.kept.shape[0]
        return f"Round {self.t}: {k} of {n} kept{moved}, objective {self.objective:.6g}"


def iterate(
    losses: Callable[[Any], Any],
    update: Callable[[Any, Any, int], Any],
    theta: Any,
    alpha: float | Sequence[float],
    rounds: int,
    *,
    start: int = 0,
    groups=None,
    select: Callable[[Any, float], Any] | None = None,
    stop_at_fixed_point: bool = False,
) -> Iterator[Round]:
    """Run Algorithm 1, and yield each round as a `Round`.

    T updates give T + 1 rounds. If ``theta`` was fitted to all samples, Round 0 shows that baseline and Round 1 the
    model after one step.

    Parameters
    ----------
    losses : callable, theta -> array or tensor, shape (n,)
        The loss f_theta(s_i) of every sample.
    update : callable, (theta, kept, t) -> theta
        ModelUpdate(theta_t, S_t, t): returns the model fitted to the kept samples. If that is ``theta`` itself, changed
        in place, the ``theta`` of rounds already yielded changes too: copy what you store. ``kept`` is a copy. A run
        can be resumed from any round if randomness depends on (seed, t) alone.
    theta : object
        The first model, theta_0 (theta_start when resuming).
    alpha : float in (0, 1], or sequence of rounds + 1 floats
        Fraction kept: one value for all rounds, or one for each of Round 0 to Round T.
    rounds : int, at least 0
        T, the number of updates counted from Round 0.
    start : int in [0, rounds], default 0
        The first round to run, to resume from ``theta``. Rounds keep their numbers.
    groups : array or tensor, shape (n,), optional
        As for `trim`.
    select : callable, (losses, alpha) -> array or tensor, shape (n,), optional
        Replaces `trim`, and ignores ``groups``. Returns a mask, or how much of each sample is kept: 0 if the sample is
        dropped, its weight if it is kept whole.
    stop_at_fixed_point : bool, default False
        Stop after the first round that repeats the previous selection, if ``alpha`` is constant from there on. Use it
        only if the update depends on the kept samples alone; then later rounds cannot change anything.

    Raises
    ------
    ValueError
        At the call, for an invalid ``alpha``, ``rounds`` or ``start``. While running, for the errors of `trim`, if the
        number of losses changes between rounds, or if ``update`` returns None in place of a theta.
    """
    for name, value, low in (("rounds", rounds, 0), ("start", start, 0)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
            raise ValueError(f"{name} must be an integer of at least {low}, got {value!r}")
    if start > rounds:
        raise ValueError(f"start must be at most rounds={rounds}, got {start}: rounds counts from Round 0")
    if np.ndim(alpha) == 0:
        schedule = [alpha] * (rounds + 1)
    else:
        schedule = list(alpha)
        if len(schedule) != rounds + 1:
            raise ValueError(
                f"alpha has {len(schedule)} values; give {rounds + 1}, one for each of Round 0 to Round {rounds}"
            )
    for value in schedule:
        check_alpha(value)
    return _rounds(losses, update, theta, schedule, start, select or partial(trim, groups=groups), stop_at_fixed_point)


def _rounds(losses, update, theta, schedule, start, select, stop_at_fixed_point):
    before = None
    for t in range(start, len(schedule)):
        given = as_losses(losses(theta))
        if before is not None and given.shape != before.shape:
            raise ValueError(
                f"losses gave {given.shape[0]} values in round {t} and {before.shape[0]} in the round before; "
                "give the loss of every sample, kept or not, in the same order"
            )
        current = _copy(given)  # the caller's functions may reuse or change their arrays
        kept = _copy(select(given, schedule[t]))
        if before is not None:
            entered, left = int(_sum(kept > before)), int(_sum(kept < before))
        else:
            entered, left = (0, int(_sum(kept == 0))) if t == 0 else (None, None)
        yield Round(t, theta, current, _copy(kept), schedule[t], _total(current, kept), entered, left)
        if stop_at_fixed_point and t > start and not (entered or left) and len(set(schedule[t:])) == 1:
            return
        before = kept
        if t + 1 < len(schedule):
            updated = update(theta, _copy(kept), t)
            if updated is None and theta is not None:
                raise ValueError(
                    f"update returned None in round {t}: let it return the new theta, also if that is the old one, "
                    "changed in place"
                )
            theta = updated


def check_alpha(alpha) -> None:
    if not isinstance(alpha, Real) or isinstance(alpha, bool) or not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], got {alpha!r}: it is the fraction of samples to keep")


def quotas(sizes: Sequence[int], k: int) -> list[int]:
    """Divide k places among groups in proportion to their sizes, by largest remainder."""
    n = sum(sizes)
    shares = [k * size // n for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda g: -(k * sizes[g] % n))  # stable: ties to the lower label
    for g in by_remainder[: k - sum(shares)]:
        shares[g] += 1
    if k >= len(sizes) - sizes.count(0):
        for tiny in [g for g, size in enumerate(sizes) if size and not shares[g]]:
            richest = max((g for g in by_remainder if shares[g] > 1), key=lambda g: n * shares[g] - k * sizes[g])
            shares[richest] -= 1  # the group furthest above its quota
            shares[tiny] += 1
    return shares


def _is_tensor(x) -> bool:
    torch = sys.modules.get("torch")  # no tensor exists before torch is imported
    return torch is not None and isinstance(x, torch.Tensor)


def _is_float(x) -> bool:
    return x.is_floating_point() if _is_tensor(x) else x.dtype.kind == "f"


def _sorted_by_torch(x) -> bool:
    return str(x.dtype).removeprefix("torch.") in _SORTED


def _copy(x):
    return x.detach().clone() if _is_tensor(x) else np.array(x)


def unmasked(name: str, values) -> np.ndarray:
    """Return values as an array; refuse masked values, whose mask would be lost."""
    if isinstance(values, np.ma.MaskedArray) and (masked := int(np.ma.getmaskarray(values).sum())):
        raise ValueError(
            f"{name} has {masked} masked values of {values.size}: drop these samples from all arrays, or fill the "
            f"values with {name}.filled(...)"
        )
    return np.asarray(values)


def as_losses(losses):
    """Return losses after checking that they are real, one-dimensional, dense and free of NaN and of masked values."""
    if _is_tensor(losses):
        losses = losses.detach()
        if str(losses.layout) != "torch.strided":
            raise ValueError(f"losses must be dense, got a tensor of layout {losses.layout}; give losses.to_dense()")
        real = _sorted_by_torch(losses)
    else:
        losses = unmasked("losses", losses)
        real = losses.dtype.kind in "fiu"
    if not real:
        raise ValueError(f"losses must be real numbers, got dtype {losses.dtype}; convert it, for example to float32")
    if losses.ndim != 1:
        raise ValueError(f"losses must have shape (n,), got {tuple(losses.shape)}: one loss for each sample")
    if losses.shape[0] == 0:
        raise ValueError("losses must have shape (n,) with n of at least 1, got (0,): there is nothing to trim")
    if _is_float(losses):
        bad = losses != losses  # noqa: PLR0124 - NaN is the one value that differs from itself
        if bad.any():
            where = _true_indices(bad)
            shown = ", ".join(str(int(i)) for i in where[:5])
            raise ValueError(
                f"losses has {len(where)} NaN of {losses.shape[0]} (at {shown}{', ...' if len(where) > 5 else ''}); "
                "the model has diverged or a sample is broken: fix it before trimming"
            )
    return losses


def smallest(losses, k: int, where: str = ""):
    """Return the mask of the k smallest values; ties go to the lower index. Errors say ``where`` the losses are."""
    threshold = losses.kthvalue(k).values if _is_tensor(losses) else np.partition(losses, k - 1)[k - 1]
    if threshold == np.inf:
        infinite = int(_sum(losses == np.inf))
        raise ValueError(
            f"losses has {infinite} infinite values of {losses.shape[0]}{where}, so that keeping {k} would keep "
            f"{k - losses.shape[0] + infinite} of them; lower alpha, or make the loss finite"
        )
    kept = losses < threshold
    ties = _true_indices(losses == threshold)
    kept[ties[: k - int(_sum(kept))]] = True
    return kept


def grouped(groups, losses):
    """Return the samples' indices in the order of their groups, the groups' sizes and their labels, ascending."""
    both = _is_tensor(groups) and _is_tensor(losses)
    if both and _sorted_by_torch(groups) and not _is_float(groups):
        groups = groups.to(losses.device)
    else:
        groups = _labels(groups.cpu() if _is_tensor(groups) else groups)
    if groups.shape != losses.shape:
        raise ValueError(
            f"groups must have shape {tuple(losses.shape)}, one label for each sample, got {tuple(groups.shape)}"
        )
    order = groups.argsort(stable=True) if _is_tensor(groups) else np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = [0, *(_true_indices(ordered[1:] != ordered[:-1]) + 1).tolist()]
    if _is_tensor(losses) and not _is_tensor(order):
        order = sys.modules["torch"].from_numpy(order).to(losses.device)
    return order, np.diff([*starts, len(losses)]).tolist(), ordered[starts].tolist()


def _labels(groups) -> np.ndarray:
    """Return group labels as an array, after checking that they are integers or text, and none is missing."""
    if _is_tensor(groups):
        found, named = groups.dtype, not (groups.is_floating_point() or groups.is_complex())
        groups = groups.numpy() if named else groups
    else:
        groups = unmasked("groups", groups)
        found, named = groups.dtype, groups.dtype.kind in "iubUST"
        if groups.dtype.kind == "O":
            named = any(all(isinstance(label, kind) for label in groups.flat) for kind in (str, Integral))
    if not named:
        raise ValueError(
            f"groups must be integer labels, got dtype {found}; number the groups 0, 1, 2, ..., or name them by text, "
            "with no label missing"
        )
    return groups


def _falses_like(losses):
    return losses.new_zeros(losses.shape, dtype=bool) if _is_tensor(losses) else np.zeros(losses.shape, bool)


def _true_indices(mask):
    return mask.nonzero().squeeze(1) if _is_tensor(mask) else np.flatnonzero(mask)


def _sum(mask) -> int:
    return mask.sum() if _is_tensor(mask) else np.count_nonzero(mask)


def _total(losses, kept) -> float:
    """Sum the kept losses, in double precision if the device has it."""
    some = kept > 0
    losses = losses[some] if kept.dtype == some.dtype else losses[some] * kept[some]
    if not _is_tensor(losses):
        return float(losses.sum(dtype=np.float64))
    return losses.sum().item() if losses.device.type == "mps" else losses.double().sum().item()
