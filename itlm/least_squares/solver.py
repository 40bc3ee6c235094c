"""Least trimmed squares, fast.

For squared loss, Algorithm 1 with full updates is the concentration step of FAST-LTS: keep the h samples of smallest
residual, fit least squares to them, repeat. `least_trimmed_squares` takes exactly those steps. It is fast because near
the end almost nothing changes:

* The search begins on a subsample, so the first step on all samples is close already.
* The normal equations follow the kept set: only samples that enter or leave are added or removed.
* Only samples near the threshold are read. ``|r_i(theta) - r_i(ref)| <= ||x_i|| ||theta - ref||`` shows which samples
  cannot have crossed the threshold, so skipping them is safe.
* At the end all samples are read once more. Their residuals correct the rounding errors of all updates, and show that
  the result is a fixed point.

Source: Shen & Sanghavi, ICML 2019, Section 5; Rousseeuw & Van Driessen 2006 for concentration and nested subsamples.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..parameters import whole
from ..trimming import smallest
from ..weighted import kept_mass
from .rows import (
    WIDE,
    NormalEquations,
    Rows,
    checked,
    cholesky,
    in_place,
    is_mapped,
    least_squares,
    minimum_norm,
    residuals,
)
from .starts import compete
from .threads import few_threads

__all__ = ["TrimmedFit", "least_trimmed_squares"]


@dataclass(frozen=True)
class TrimmedFit:
    """A least trimmed squares fit.

    Attributes
    ----------
    coef : array, shape (d,), or (d + 1,) with an intercept, which is the last
        theta, fitted from scratch to the kept samples.
    kept : array of bool, shape (n,)
        The h samples of smallest residual (S).
    objective : float
        Sum of the kept samples' squared residuals.
    threshold : float
        The largest absolute residual kept.
    path : tuple of float
        The objective at each step on all samples, from the start that won; the last is ``objective``. It never rises,
        except by rounding relative to the sum of the kept y^2 (with an intercept, of squared distances to y's median).
    n_iter : int
        Number of steps on all samples.
    converged : bool
        Whether ``kept`` holds the h smallest residuals of ``coef``: a fixed point of Algorithm 1.
    start : str
        Name of the start that won.
    """

    coef: np.ndarray
    kept: np.ndarray
    objective: float
    threshold: float
    path: tuple
    n_iter: int
    converged: bool
    start: str


def least_trimmed_squares(
    X,
    y,
    alpha: float,
    *,
    weights=None,
    fit_intercept: bool = False,
    start=None,
    n_starts: int | None = None,
    max_iter: int = 500,
    random_state: int = 0,
) -> TrimmedFit:
    """Minimise the sum of the h smallest squared residuals: the trimmed-loss estimator for squared loss.

    Concentration steps, which never raise the objective, lead from several starts to fixed points. The best one is
    returned, as a `TrimmedFit`. It need not be the global optimum, which is hard to find.

    Parameters
    ----------
    X, y : arrays, shapes (n, d) and (n,)
        Features, an array or a memory map that is read in blocks if there are no weights, and outputs.
    alpha : float in (0, 1]
        Fraction kept: ``h = floor(alpha n)``.
    weights : array, shape (n,), optional
        Weights of the samples, 0 or more; trimming is then by weighted mass. With W the sum of the weights,
        floor(alpha W) is kept if all are whole, else alpha W. Whole weights thus equal repetition. The sample at the
        threshold may be kept in part.
    fit_intercept : bool
        Fit an intercept, the last of the coefficients.
    start : array of the shape of ``coef``, optional
        theta_0. Algorithm 1 runs from this start alone.
    n_starts : int, at least 1, optional
        Number of starts: least squares, then five deterministic robust fits, then random elemental subsets. No more run
        than exist. With None, all subsets are starts if there are at most 500; so are all with one sample more if these
        are at most 2,000. Otherwise small data (at most 3,000 numbers in X) get 500 subsets. Larger data get as many as
        make a clean one almost certain, at most 500; none if even 500 would hardly contain a clean one.
    max_iter : int, at least 1
        Maximum number of concentration steps from each start.
    random_state : int
        Seeds the subsamples and the elemental subsets.

    Raises
    ------
    ValueError
        If X is sparse, a shape, range or value is wrong, nothing would be kept, or squared numbers overflow or vanish.

    Notes
    -----
    With fewer kept samples than coefficients, or dependent columns, the fit is the one of minimum norm (the intercept
    does not count). If there are many samples, the starts compete on a subsample. The best continues on a larger one,
    then on all.
    """
    rows, counted = checked(X, y, alpha, weights, fit_intercept)
    whole(1, optional=True).check("n_starts", n_starts)
    whole(1).check("max_iter", max_iter)
    if start is not None:
        start = np.asarray(start, dtype=np.float64)
        if start.shape != (rows.d,):
            raise ValueError(f"start must have shape ({rows.d},), one value a coefficient, got {start.shape}")
        if not (np.abs(start) < WIDE).all():
            raise ValueError(f"start must be finite, and below {WIDE:g}, got {start}")
        found = replace(concentrate(rows, rows.around(start), max_iter), start="given")
    else:
        found = search(rows, n_starts, max_iter, random_state)
    return replace(found, coef=rows.as_given(found.coef), kept=in_place(found.kept, counted))


def search(rows: Rows, n_starts: int | None, max_iter: int, random_state: int) -> TrimmedFit:
    """Let starts compete on a subsample, and continue the best on larger ones, then on all samples."""
    random = np.random.default_rng(random_state)
    nested = [rows]
    while nested[-1].n >= 4 * (least := max(1000, 10 * rows.d)):
        nested.append(nested[-1].sample(max(least, nested[-1].n // 16), random))
    few = nested.pop()
    with few_threads(few.n * few.d):
        starts = compete(few, n_starts, random)
        fits = [replace(concentrate(few, theta, max_iter), start=name) for name, theta in starts]
    while nested:  # continue the fit of least trimmed sum on the larger sample
        larger = nested.pop()
        with few_threads(larger.n * larger.d):
            best = min(fits, key=lambda fit: _objective(larger, fit.coef)) if len(fits) > 1 else fits[0]
            fits = [replace(concentrate(larger, best.coef, max_iter, best.threshold), start=best.start)]
    return min(fits, key=lambda fit: fit.objective)


def _objective(rows: Rows, theta) -> float:
    """Compute the trimmed sum of squares at theta."""
    r = residuals(rows, theta)
    kept = smallest(r, rows.h) if rows.weights is None else kept_mass(r, rows.weights, rows.h)
    return float(kept @ r**2)


class _Level(NamedTuple):
    """The samples that may cross the threshold while theta stays within ``radius`` of ``centre``."""

    centre: np.ndarray
    radius: float
    which: np.ndarray  # (m,) indices
    inside: int  # number of kept samples that cannot leave, outside ``which``
    X: np.ndarray  # (m, d)
    y: np.ndarray
    norms: np.ndarray


def concentrate(rows: Rows, theta, max_iter: int, guess: float | None = None) -> TrimmedFit:
    """Take concentration steps from theta to the exact fixed point; ``guess`` estimates its threshold."""
    if rows.weights is not None:
        return _concentrate_weighted(rows, theta, max_iter)
    h, normal, levels, path, step, converged = rows.h, NormalEquations(rows), [], [], None, False
    room = 16 * rows.n if is_mapped(rows.X) else rows.X.nbytes / 2  # bytes for copies of rows
    scale = np.sqrt((rows.at(slice(0, 1000)) ** 2).mean(0))
    scale = np.where(scale > 0, scale, 1.0)
    r, norms, kept, threshold = _first_pass(rows, normal, theta, scale, h, guess)
    turned = None  # the samples that entered or left; None at first
    while True:
        path.append(normal.objective(theta, kept))
        exact = threshold <= 1e-13 * math.sqrt(normal.c / h)  # h samples on one plane: their order is rounding
        if exact or (turned is not None and not len(turned)):
            theta, objective, r, threshold, turned = _settle(rows, normal, theta, kept, h, threshold)
            converged = exact or not len(turned)
            levels.clear()
            if converged:
                break
            normal.turn(kept, turned)
            step = None
        if len(path) == max_iter:
            break
        new = normal.solve(kept)
        if not normal.objective(new, kept) < path[-1]:  # theta fits them already: what still changes is rounding
            turned = np.empty(0, int)
            continue
        moved = float(np.linalg.norm(scale * (new - theta)))
        rate = 0.45 if not step else min(0.9, max(0.2, moved / step))
        step, reach = moved, 1.25 * moved / (1 - rate)  # how far theta may still move
        level = levels[-1] if levels else _Level(None, 0.0, None, 0, None, None, norms)
        inside, which = _near(r, h - level.inside, threshold, np.multiply(reach, level.norms, dtype=float))
        if 2 * len(which) <= len(r) and which.size * rows.d * 8 <= room:
            if levels:
                found = (level.which[which], level.inside + inside, level.X[which], level.y[which])
            else:
                found = (which, inside, rows.at(which), rows.y[which])
            levels.append(_Level(theta, reach, *found, level.norms[which]))
        theta = new
        while levels and np.linalg.norm(scale * (theta - levels[-1].centre)) > levels[-1].radius:
            levels.pop()
        if levels:
            level = levels[-1]
            r = np.abs(level.y - level.X @ theta)
            chosen, threshold = _select(r, h - level.inside)
            turned = level.which[chosen != kept[level.which]]
        else:
            r = residuals(rows, theta)
            chosen, threshold = _select(r, h, threshold)
            turned = np.flatnonzero(chosen != kept)
        normal.turn(kept, turned)
    if not converged:
        theta, objective, _, threshold, _ = _settle(rows, normal, theta, kept, h, threshold)
    path[-1] = objective
    return TrimmedFit(theta, kept, objective, threshold, tuple(path), len(path), converged, "")


def _concentrate_weighted(rows: Rows, theta, max_iter: int) -> TrimmedFit:
    """Take concentration steps by weighted mass, always on all samples."""
    X, y, path, converged = rows.at(slice(None)), rows.y, [], False

    def at(theta):
        r = np.abs(y - X @ theta)
        mass = kept_mass(r, rows.weights, rows.h)
        return theta, r, mass, float(mass @ r**2)

    theta, r, mass, objective = at(theta)
    while True:
        path.append(objective)
        if converged or len(path) == max_iter or objective <= 1e-26 * float(mass @ y**2):
            converged = converged or objective <= 1e-26 * float(mass @ y**2)
            break
        after = at(least_squares(X, y, mass, rows.ones))
        converged = np.array_equal(after[2], mass) or after[3] >= objective * (1 - 1e-14)
        if after[3] <= objective:
            theta, r, mass, objective = after
    kept = mass > 0
    return TrimmedFit(theta, kept, path[-1], float(r[kept].max()), tuple(path), len(path), converged, "")


def _first_pass(rows, normal, theta, scale, h, guess):
    """Read the samples once: residuals, norms, normal equations of those below the guessed threshold."""
    r, norms = np.empty(rows.n), np.empty(rows.n, np.float32)  # (n,), (n,): in scaled coordinates
    weights = 1 / scale**2
    for part in rows.blocks():
        X, y = rows.at(part), rows.y[part]
        np.abs(np.subtract(y, X @ theta, out=r[part]), out=r[part])
        norms[part] = np.minimum(np.sqrt(np.square(X) @ weights), 1e38)  # single precision holds no more
        if guess is not None:
            below = r[part] < guess
            normal.add(np.compress(below, X, axis=0), y[below])
    chosen, threshold = _select(r, h, guess)
    if guess is None:
        kept = chosen
        normal.set_to(kept)
    else:
        kept = r < guess
        normal.turn(kept, np.flatnonzero(chosen != kept))
    return r, norms, kept, threshold


def _select(r, k: int, guess: float | None = None):
    """Return the mask of the k smallest values and the largest of these; a good ``guess`` of it saves time."""
    if guess is not None:
        low, high = r < 0.9 * guess, r <= 1.1 * guess
        certain = int(np.count_nonzero(low))
        if certain < k <= int(np.count_nonzero(high)):
            near = np.flatnonzero(high & ~low)
            chosen, threshold = _select(r[near], k - certain)
            low[near] = chosen
            return low, threshold
    chosen = smallest(r, k)
    return chosen, float(r[chosen].max())


def _settle(rows, normal, theta, kept, h, threshold):
    """Refit the kept set from the samples themselves, and find in a full read which samples must still turn."""
    best = (math.inf, theta, None)  # objective, theta, residuals
    for attempt in range(4):  # rounding errors of adding and removing are corrected by the recomputed gradient
        r, gradient = np.empty(rows.n), np.zeros(rows.d)
        for part in rows.blocks():
            X = rows.at(part)
            np.subtract(rows.y[part], X @ theta, out=r[part])
            gradient += X.T @ (r[part] * kept[part])
        objective = float(np.square(r, where=kept, out=np.zeros_like(r)).sum())
        if not objective <= best[0] * (1 + 1e-12):  # the correction was rounding
            break
        best = (objective, theta, r)
        correction = cholesky(normal.A, gradient)
        if correction is None:
            theta = minimum_norm(rows.at(kept), rows.y[kept], rows.ones)
            continue
        length, before = np.sqrt(normal.A.diagonal()), theta
        theta = theta + correction
        if (length * np.abs(correction)).max() <= (1e-9 if attempt else 1e-12) * (length * np.abs(before)).max():
            best = (objective, theta, r)  # too small a correction to read the samples again
            break
        if not attempt:  # the correction was not tiny
            normal.set_to(kept)
    objective, theta, r = best
    r = np.abs(r, out=r)
    chosen, threshold = _select(r, h, threshold)
    turned = np.flatnonzero(chosen != kept)
    gain = float(r[turned] ** 2 @ np.where(kept[turned], 1.0, -1.0))
    if gain <= 1e-12 * objective:  # ties, or differences within rounding
        turned = turned[:0]
    return theta, objective, r, threshold, turned


def _near(r, k, threshold, slack):
    """Return how many samples are certainly among the k smallest if each r moves by at most slack, and which may be."""
    slack = slack * (1 + 1e-6) + 1e-13 * threshold  # the norms are in single precision
    most = float(slack.max(initial=0.0))
    bound = r - slack  # one buffer for both bounds, to save memory
    least = _smallest_of(bound, k, threshold - most, threshold)
    inside = np.add(r, slack, out=bound) < least
    most = _smallest_of(bound, k, threshold, threshold + most)
    outside = np.subtract(r, slack, out=bound) > most
    return int(np.count_nonzero(inside)), np.flatnonzero(~(inside | outside))


def _smallest_of(values, k: int, low: float, high: float) -> float:
    """Return the k-th smallest value, known to lie in [low, high]."""
    below = values < low
    at = k - 1 - int(np.count_nonzero(below))
    return np.partition(values[~below & (values <= high)], at)[at]
