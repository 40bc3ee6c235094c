"""Least trimmed squares, fast.

For squared loss, Algorithm 1 with full updates is the concentration step of FAST-LTS: keep the h samples of
smallest residual, fit least squares to them, repeat. `least_trimmed_squares` takes exactly those steps, and
is fast because near the end almost nothing changes:

* it begins on a subsample, so that the first step on all samples is close already;
* the normal equations follow the kept set: only samples that enter or leave are added or removed;
* only samples near the threshold are looked at. ``|r_i(theta) - r_i(ref)| <= ||x_i|| ||theta - ref||`` says
  which samples cannot have crossed it, so that skipping them is safe;
* the result is one fit from scratch on the final set, and a full pass shows that it is a fixed point.

Source: Shen & Sanghavi, ICML 2019, Section 5; Rousseeuw & Van Driessen 2006 for concentration and nested
subsamples; Hubert, Rousseeuw & Verdonck 2012 for the deterministic starts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from .trimming import _smallest, n_kept

__all__ = ["TrimmedFit", "least_trimmed_squares"]


@dataclass(frozen=True)
class TrimmedFit:
    """A least trimmed squares fit.

    Attributes
    ----------
    coef : array, shape (d,)
        theta, fitted from scratch to the kept samples.
    kept : array of bool, shape (n,)
        The h samples of smallest residual (S).
    objective : float
        Sum of the kept samples' squared residuals.
    threshold : float
        The largest absolute residual kept.
    path : tuple of float
        The objective step by step, on all samples, of the start that won; it never rises.
    n_iter : int
        Number of steps on all samples.
    converged : bool
        Whether ``kept`` holds the h smallest residuals of ``coef``: a fixed point of Algorithm 1.
    start : str
        Which start won.
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

    Concentration steps, which never raise the objective, lead from several starts to fixed points; the best
    one is returned. That it is the global optimum is not guaranteed: finding that is hard.

    Parameters
    ----------
    X : array or memory map, shape (n, d)
        Features; read in blocks.
    y : array, shape (n,)
        Outputs.
    alpha : float in (0, 1]
        Fraction kept: ``h = floor(alpha n)``.
    weights : array, shape (n,), optional
        Weights of the samples, 0 or more. Trimming is then by weighted mass: of the sum W of the weights,
        floor(alpha W) is kept if W is whole, else alpha W, so that whole weights equal repetition. The sample at
        the threshold may be kept in part.
    fit_intercept : bool
        Fit an intercept, the last of the coefficients.
    start : array, shape (d,), optional
        theta_0, for Algorithm 1 itself from there: no other start.
    n_starts : int, at least 1, optional
        How many starts: least squares, five robust ones that are not random, then elemental subsets, which are. None:
        as many subsets as make a clean one likely, at most 500, and none where even 500 would not.
    max_iter : int, at least 1
        Concentration steps at most, from each start.
    random_state : int
        Of subsamples and elemental subsets.

    Returns
    -------
    TrimmedFit

    Raises
    ------
    ValueError
        If a shape, range or value is wrong, or nothing would be kept.

    Notes
    -----
    With fewer kept samples than coefficients, or dependent columns, the solution of minimum norm is taken (the
    intercept does not count). The starts compete on a subsample where there are many samples; the best two go
    on, through a larger one, to all.
    """
    rows = _checked(X, y, alpha, weights, fit_intercept)
    for name, value in (("n_starts", 1 if n_starts is None else n_starts), ("max_iter", max_iter)):
        if value != int(value) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value}")
    if start is not None:
        start = np.asarray(start, dtype=np.float64)
        if start.shape != (rows.d,):
            raise ValueError(f"start must have shape ({rows.d},), one value a coefficient, got {start.shape}")
        return replace(_concentrate(rows, start, max_iter), start="given")
    random = np.random.default_rng(random_state)
    nested = [rows]
    while nested[-1].n >= 4 * (least := max(1000, 20 * rows.d)):
        nested.append(nested[-1].sample(max(least, nested[-1].n // 20), random))
    few = nested.pop()
    fits = [replace(_concentrate(few, theta, max_iter), start=name) for name, theta in _compete(few, n_starts, random)]
    while nested:
        fits = _distinct(sorted(fits, key=lambda fit: fit.objective))[:2]
        larger = nested.pop()
        fits = [replace(_concentrate(larger, f.coef, max_iter, f.threshold), start=f.start) for f in fits]
    return min(fits, key=lambda fit: fit.objective)


def _checked(X, y, alpha, weights, ones) -> "_Rows":
    """Check what is given, and say what is wrong with it."""
    X = X if isinstance(X, np.memmap) else np.asarray(X)
    y = np.ascontiguousarray(y, dtype=np.float64)
    if X.ndim != 2 or not X.size:
        raise ValueError(f"X must have shape (n, d), both at least 1, got {X.shape}")
    if y.shape != (len(X),):
        raise ValueError(f"y must have shape ({len(X)},), one output a sample, got {y.shape}")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"X must be real numbers, got dtype {X.dtype}")
    if weights is not None:
        weights = np.ascontiguousarray(weights, dtype=np.float64)
        if weights.shape != y.shape:
            raise ValueError(f"weights must have shape {y.shape}, one a sample, got {weights.shape}")
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            raise ValueError("weights must be finite, 0 or more and not all 0")
    mass = len(y) if weights is None else float(weights.sum())
    h = n_kept(int(mass), alpha) if mass == int(mass) else alpha * mass
    rows = _Rows(X, y, weights, h, ones)
    broken = "NaN or infinity in {}: drop or mend these samples first"
    if not np.isfinite(y).all():
        raise ValueError(broken.format("y"))
    if X.dtype.kind == "f" and not all(np.isfinite(X[part]).all() for part in rows.blocks()):
        raise ValueError(broken.format("X"))
    return rows


class _Rows:
    """The samples, read in blocks: an array or a memory map, with a column of ones appended or not.

    ``h`` is how many of them are kept or, where they have weights, the weight kept.
    """

    def __init__(self, X, y, weights, h, ones: bool):
        self.X, self.y, self.weights, self.h, self.ones = X, y, weights, h, ones
        self.n, self.d = X.shape[0], X.shape[1] + ones
        self.block = max(256, 2**17 // self.d)  # 1 MB: what a core's cache holds

    def blocks(self) -> Iterator[slice]:
        for begin in range(0, self.n, self.block):
            yield slice(begin, min(begin + self.block, self.n))

    def at(self, which) -> np.ndarray:
        """Some rows, (m, d): a view where nothing has to be done."""
        rows = np.asarray(self.X[which], dtype=np.float64)
        return np.column_stack([rows, np.ones(len(rows))]) if self.ones else rows

    def among(self, part: slice, chosen) -> tuple[np.ndarray, np.ndarray]:
        """Those of a block that a mask has: (m, d) and (m,)."""
        return np.compress(chosen, self.at(part), axis=0), self.y[part][chosen]

    def sample(self, size: int, random) -> "_Rows":
        """A random part of the samples, in memory."""
        which = np.sort(random.choice(self.n, size, replace=False))
        if self.weights is None:
            return _Rows(
                np.asarray(self.X[which]), self.y[which], None, max(1, round(self.h * size / self.n)), self.ones
            )
        weights = self.weights[which]
        h = self.h * weights.sum() / self.weights.sum()
        return _Rows(np.asarray(self.X[which]), self.y[which], weights, h, self.ones)


class _Normal:
    """Normal equations of a set of samples that changes: A = X'X, b = X'y, c = y'y over the set."""

    def __init__(self, rows: _Rows):
        self.rows = rows
        self.set_to(None)

    def set_to(self, kept) -> None:
        """Begin from scratch with the samples of a mask; with none, if it is None."""
        d = self.rows.d
        self.A, self.b, self.c = np.zeros((d, d)), np.zeros(d), 0.0
        self.largest = np.zeros(d + 1)
        if kept is not None:
            for part in self.rows.blocks():
                self.add(*self.rows.among(part, kept[part]))

    def add(self, X, y, sign=1) -> None:
        """Add samples, or remove them with sign -1."""
        self.A += sign * (X.T @ X)
        self.b += sign * (X.T @ y)
        self.c += sign * float(y @ y)
        self.largest = np.maximum(self.largest, self._sizes())

    def _sizes(self):
        return np.append(self.A.diagonal(), self.c)

    def change(self, entering, leaving) -> bool:
        """Add and remove samples by index; False if what is left is small against what was, so that digits are lost."""
        for which, sign in ((entering, 1), (leaving, -1)):
            for begin in range(0, len(which), self.rows.block):
                part = which[begin : begin + self.rows.block]
                self.add(self.rows.at(part), self.rows.y[part], sign)
        return bool((self._sizes() > 1e-6 * self.largest).all())

    def solve(self, kept) -> np.ndarray:
        """Least squares on the set."""
        theta = _cholesky(self.A, self.b)
        if theta is None:
            theta = _minimum_norm(self.rows.at(kept), self.rows.y[kept], self.rows.ones)
        return theta

    def objective(self, theta) -> float:
        """Sum of squared residuals of the set."""
        return max(0.0, float(self.c - 2 * self.b @ theta + theta @ self.A @ theta))


def _cholesky(A, b):
    """Solve normal equations; None where they are too near to singular for that."""
    from scipy.linalg import lapack

    scale = np.sqrt(A.diagonal())
    if not (scale > 0).all():
        return None
    factor, failed = lapack.dpotrf(A / np.outer(scale, scale), lower=False, clean=False)
    if failed or lapack.dpocon(factor, 1.0)[0] < 1e-9:
        return None
    return lapack.dpotrs(factor, b / scale)[0] / scale


def _minimum_norm(X, y, ones: bool) -> np.ndarray:
    """Least squares of minimum norm by singular values; an intercept, in the last column, does not count."""
    if not ones:
        return np.linalg.lstsq(X, y, rcond=None)[0]
    weight = X[:, -1]  # the roots of the weights, or ones
    share = weight / (weight @ weight)
    mean, middle = share @ X[:, :-1], share @ y
    theta = np.linalg.lstsq(X[:, :-1] - np.outer(weight, mean), y - weight * middle, rcond=None)[0]
    return np.append(theta, middle - mean @ theta)


def _least_squares(X, y, weights, ones: bool) -> np.ndarray:
    """Weighted least squares of few samples: weights (n,)."""
    some = weights > 0
    root = np.sqrt(weights[some])
    X, y = X[some] * root[:, None], y[some] * root
    theta = _cholesky(X.T @ X, X.T @ y) if len(y) >= X.shape[1] else None
    return _minimum_norm(X, y, ones) if theta is None else theta


def _kept_mass(r, weights, h) -> np.ndarray:
    """How much of each sample is kept: (n,), summing to h, that of the smallest residuals."""
    order = np.argsort(r, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    mass = np.empty_like(weights)
    mass[order] = np.clip(h - before, 0, weights[order])
    return mass


# Starts


def _compete(rows: _Rows, n_starts, random, survivors: int = 10) -> list:
    """Take two concentration steps from each start; return the best, as (name, theta)."""
    X, y = rows.at(slice(None)), rows.y
    weights = np.ones(len(y)) if rows.weights is None else rows.weights
    if len(y) <= 1000:  # equal samples as one with more weight: repetition changes no start
        both, place = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)
        X, y, weights = both[:, :-1], both[:, -1], np.bincount(place.ravel(), weights)
    X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
    if n_starts == 1:
        return [("least squares", _least_squares(X, y, weights, rows.ones))]
    found = []
    for name, theta in islice(_starts(X, y, weights, rows.h, rows.ones, n_starts is None, random), n_starts):
        for _ in range(2):
            theta = _least_squares(X, y, _kept_mass(np.abs(y - X @ theta), weights, rows.h), rows.ones)
        r = np.abs(y - X @ theta)
        found.append((float(_kept_mass(r, weights, rows.h) @ r**2), name, theta))
    found.sort(key=lambda start: start[0])
    return [(name, theta) for _, name, theta in found[:survivors]]


def _starts(X, y, weights, h, ones, sparing, random) -> Iterator:
    """Yield starts, as (name, theta): least squares, five from robust correlations, elemental subsets."""
    yield "least squares", _least_squares(X, y, weights, ones)
    yield from _deterministic(X, y, weights, ones)
    n, d = X.shape
    if n <= d:
        return
    clean = (h / weights.sum()) ** d  # chance that an elemental subset has none of the samples to be dropped
    needed = math.log(0.001) / math.log1p(-clean) if clean < 1 else 1
    if sparing and clean * 500 < 1:
        return
    for _ in range(min(500, math.ceil(needed)) if sparing else 10**9):
        some = random.choice(n, d, replace=False)
        yield "elemental", _minimum_norm(X[some], y[some], ones)


def _deterministic(X, y, weights, ones) -> Iterator:
    """Yield robust starts as in DetLTS: regressions in transformed coordinates, and on the central half."""
    Z = np.column_stack([X[:, :-1] if ones else X, y])  # (n, d): the features and the outputs
    centre = np.array([_median(column, weights) for column in Z.T]) if ones else np.zeros(Z.shape[1])
    Z = Z - centre
    spread = np.array([_median(np.abs(column), weights) for column in Z.T])
    spread = np.where(spread > 0, spread, np.sqrt(weights @ Z**2 / weights.sum()))
    Z = Z / np.where(spread > 0, spread, 1)
    ranks = np.column_stack([np.sign(z) * _ranks(np.abs(z), weights) for z in Z.T])
    length = np.linalg.norm(Z, axis=1, keepdims=True)
    transformed = {
        "tanh": np.tanh(Z),
        "signed ranks": ranks,
        "normal scores": ndtri(0.5 + 0.5 * ranks / (1 + 1 / weights.sum())),
        "spatial signs": Z / np.where(length > 0, length, 1),
    }
    for name, T in transformed.items():
        if ones:
            T = T - weights @ T / weights.sum()
        slope = _least_squares(T[:, :-1], T[:, -1], weights, False) * spread[-1] / np.where(spread > 0, spread, 1)[:-1]
        if ones:
            slope = np.append(slope, _median(y - X[:, :-1] @ slope, weights))
        yield name, slope
    lengths = np.linalg.norm(Z[:, :-1], axis=1)
    yield "central half", _least_squares(X, y, _kept_mass(lengths, weights, 0.5 * weights.sum()), ones)


def _median(values, weights) -> float:
    """The weighted median: that of the values, each repeated as often as its weight says."""
    order = np.argsort(values, kind="stable")
    reached, half = np.cumsum(weights[order]), 0.5 * weights.sum()
    first = np.searchsorted(reached, half * (1 - 1e-12))
    last = min(np.searchsorted(reached, half * (1 + 1e-12), side="right"), len(values) - 1)
    return 0.5 * float(values[order[first]] + values[order[last]])


def _ranks(values, weights) -> np.ndarray:
    """Weighted mean ranks over the total weight, in (0, 1]."""
    _, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place.ravel(), weights)
    return ((np.cumsum(mass) - 0.5 * (mass - 1)) / weights.sum())[place.ravel()]


def _distinct(fits: list) -> list:
    """Those fits, the best first, that do not merely repeat a better one."""
    chosen = []
    for fit in fits:
        if all(abs(fit.objective - other.objective) > 1e-6 * other.objective for other in chosen):
            chosen.append(fit)
    return chosen


# Concentration


class _Level(NamedTuple):
    """The samples that may cross the threshold while theta stays within ``radius`` of ``centre``."""

    centre: np.ndarray
    radius: float
    which: np.ndarray  # (m,) indices
    inside: int  # kept samples that cannot leave, not among these
    X: np.ndarray  # (m, d)
    y: np.ndarray
    norms: np.ndarray


def _concentrate(rows: _Rows, theta, max_iter: int, guess: float | None = None) -> TrimmedFit:
    """Take concentration steps from theta to the exact fixed point; ``guess`` is about its threshold."""
    if rows.weights is not None:
        return _concentrate_weighted(rows, theta, max_iter)
    h = rows.h
    room = rows.X.nbytes / 2 if not isinstance(rows.X, np.memmap) else 16 * rows.n  # bytes, for the copies of rows
    scale = np.sqrt((rows.at(slice(0, 1000)) ** 2).mean(0))
    scale = np.where(scale > 0, scale, 1.0)
    normal, levels, path, steps, step, converged = _Normal(rows), [], [], 0, None, False
    kept, norms, r = _first_pass(rows, normal, theta, scale, h, guess)
    while True:
        level = levels[-1] if levels else None
        if steps:  # the first time it is done already
            if level is None:
                r = _residuals(rows, theta)
                chosen = _smallest_near(r, h, guess)
                turned = np.flatnonzero(chosen != kept)
            else:
                r = np.abs(level.y - level.X @ theta)
                chosen = _smallest(r, h - level.inside)
                turned = level.which[chosen != kept[level.which]]
            kept[turned] ^= True
            now = kept[turned]
            if not normal.change(turned[now], turned[~now]):
                normal.set_to(kept)
        else:
            chosen, turned = kept, None
        path.append(normal.objective(theta))
        steps += 1
        guess = float(r[chosen].max(initial=0.0)) if level is None or level.inside < h else guess
        exact = guess <= 1e-13 * math.sqrt(normal.c / h)  # h samples on one plane: which of them is noise
        if exact or (turned is not None and not len(turned)):
            theta, kept, converged, objective = _settle(rows, normal, kept, h, exact, guess)
            levels.clear()
            if converged:
                break
            step = None
        if steps == max_iter:
            break
        new = normal.solve(kept)
        moved = float(np.linalg.norm(scale * (new - theta)))
        rate = 0.6 if step is None else min(0.9, max(0.2, moved / step))
        step, radius = moved, 1.25 * moved / (1 - rate)
        near = _near(r, h - (level.inside if level else 0), guess, radius * (level.norms if level else norms))
        if near is not None and near[1].size * rows.d * 8 <= room:
            inside, which = near
            if level is None:
                found = (inside, rows.at(which), rows.y[which], norms[which])
            else:
                found = (level.inside + inside, level.X[which], level.y[which], level.norms[which])
                which = level.which[which]
            levels.append(_Level(theta, radius, which, *found))
        theta = new
        while levels and np.linalg.norm(scale * (theta - levels[-1].centre)) > levels[-1].radius:
            levels.pop()
    if not converged:
        theta, *_, objective = _settle(rows, normal, kept, h, True, guess)
    return TrimmedFit(theta, kept, objective, guess, tuple(path), steps, converged, "")


def _concentrate_weighted(rows: _Rows, theta, max_iter: int) -> TrimmedFit:
    """The same by weighted mass, in the plainest way."""
    X, y, mass, path, converged = rows.at(slice(None)), rows.y, None, [], False
    while not converged and len(path) < max_iter:
        r = np.abs(y - X @ theta)
        before, mass = mass, _kept_mass(r, rows.weights, rows.h)
        path.append(float(mass @ r**2))
        converged = before is not None and (
            np.array_equal(mass, before) or path[-1] >= path[-2] * (1 - 1e-14) or path[-1] <= 1e-26 * float(mass @ y**2)
        )
        if not converged:
            theta = _least_squares(X, y, mass, rows.ones)
    r = np.abs(y - X @ theta)
    kept = mass > 0
    return TrimmedFit(theta, kept, float(mass @ r**2), float(r[kept].max()), tuple(path), len(path), converged, "")


def _first_pass(rows, normal, theta, scale, h, guess):
    """Read the samples once: residuals, norms, and the normal equations of those below the guessed threshold."""
    r, norms = np.empty(rows.n), np.empty(rows.n, np.float32)  # (n,), (n,): in scaled coordinates
    weights = 1 / scale**2
    for part in rows.blocks():
        X, y = rows.at(part), rows.y[part]
        np.abs(np.subtract(y, X @ theta, out=r[part]), out=r[part])
        norms[part] = np.sqrt((X * X) @ weights)
        if guess is not None:
            below = r[part] < guess
            normal.add(np.compress(below, X, axis=0), y[below])
    kept = _smallest_near(r, h, guess)
    if guess is None:
        normal.set_to(kept)
    else:
        below = r < guess
        if not normal.change(np.flatnonzero(kept & ~below), np.flatnonzero(below & ~kept)):
            normal.set_to(kept)
    return kept, norms, r


def _smallest_near(r, k: int, guess: float | None):
    """Mask of the k smallest values, by partition of those near a guess where it is good."""
    if guess is not None:
        low, high = r < 0.9 * guess, r <= 1.1 * guess
        certain = int(low.sum())
        if certain < k <= int(high.sum()):
            near = np.flatnonzero(high & ~low)
            low[near] = _smallest(r[near], k - certain)
            return low
    return _smallest(r, k)


def _settle(rows, normal, kept, h, exact, guess):
    """Fit the kept set from scratch, and see in a full pass whether it is a fixed point."""
    normal.set_to(kept)
    theta = normal.solve(kept)
    r = _residuals(rows, theta)
    objective = float((r[kept] ** 2).sum())
    chosen = _smallest_near(r, h, guess)
    entering, leaving = np.flatnonzero(chosen & ~kept), np.flatnonzero(kept & ~chosen)
    gain = float((r[leaving] ** 2).sum() - (r[entering] ** 2).sum())
    if exact or gain <= 1e-12 * objective:  # ties, or what rounding makes of them
        return theta, kept, True, objective
    normal.change(entering, leaving)
    return theta, chosen, False, objective


def _near(r, k, threshold, slack):
    """Which samples may be among the k smallest for some theta within reach; None where too many may.

    ``slack`` bounds how much each residual can change. Returns how many are certainly among them, and the
    indices of those that are certainly neither in nor out.
    """
    slack = slack * (1 + 1e-6) + 1e-13 * threshold  # the norms are in single precision
    most = 2 * float(slack.max(initial=0.0))
    where = np.flatnonzero(np.abs(r - threshold) <= most)  # the others are certain
    if len(where) == len(r) > 1000 and np.count_nonzero(np.abs(r - threshold) <= slack) > len(r) // 2:
        return None
    below = int(np.count_nonzero(r < threshold - most))
    r, slack = r[where], slack[where]
    low = np.partition(r - slack, k - below - 1)[k - below - 1]
    high = np.partition(r + slack, k - below - 1)[k - below - 1]
    inside = r + slack < low
    which = where[~inside & (r - slack <= high)]
    return (below + int(inside.sum()), which) if 2 * len(which) <= len(slack) or len(which) < k // 2 else None


def _residuals(rows: _Rows, theta) -> np.ndarray:
    """Absolute residuals of all samples: (n,)."""
    r = np.empty(rows.n)
    for part in rows.blocks():
        np.subtract(rows.y[part], rows.at(part) @ theta, out=r[part])
    return np.abs(r, out=r)
