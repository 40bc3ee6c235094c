"""Least trimmed squares, fast.

For squared loss, Algorithm 1 with full updates is the concentration step of FAST-LTS: keep the h samples of
smallest residual, fit least squares to them, repeat. `least_trimmed_squares` takes exactly those steps, and
is fast because near the end almost nothing changes:

* it begins on a subsample, so that the first step on all samples is close already;
* the normal equations follow the kept set: only samples that enter or leave are added or removed;
* only samples near the threshold are looked at. ``|r_i(theta) - r_i(ref)| <= ||x_i|| ||theta - ref||`` says
  which samples cannot have crossed it, so that skipping them is safe;
* one full pass at the end takes the residual of the normal equations anew, from the samples kept, so that
  nothing is left of what was added and removed, and shows that the result is a fixed point.

Source: Shen & Sanghavi, ICML 2019, Section 5; Rousseeuw & Van Driessen 2006 for concentration and nested
subsamples; Hubert, Rousseeuw & Verdonck 2012 for the deterministic starts.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice, pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from .config import whole
from .trimming import _check_alpha, _smallest, n_kept

__all__ = ["TrimmedFit", "least_trimmed_squares"]

MANY = 500  # elemental subsets at most, as FAST-LTS has it
SMALL = 3000  # numbers in X up to which more starts and more steps cost little
WIDE = 1e150  # numbers much larger, or columns much smaller than its inverse, have squares that are no floats


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
        The objective step by step, on all samples, of the start that won, ``objective`` last. It never rises, but for
        rounding relative to the sum of the kept y^2 (with an intercept, of their distances from the median).
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
        Features; read in blocks, where there are no weights.
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
        How many starts: least squares, five robust ones that are not random, then elemental subsets, drawn at
        random; all of them where there are no more. None: where there are at most 500 subsets, all, and those with
        one sample more as well; else 500 for small data; otherwise as many as make a clean one all but certain, at
        most 500, and none where even 500 would hardly hold one.
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
        If a shape, range or value is wrong, nothing would be kept, or numbers are so large or so small that their
        squares are beyond a float.

    Notes
    -----
    With fewer kept samples than coefficients, or dependent columns, the solution of minimum norm is taken (the
    intercept does not count). The starts compete on a subsample where there are many samples; the best goes on,
    through a larger one, to all.
    """
    rows, counted = _checked(X, y, alpha, weights, fit_intercept)
    whole(1, optional=True).check("n_starts", n_starts)
    whole(1).check("max_iter", max_iter)
    if start is not None:
        start = np.asarray(start, dtype=np.float64)
        if start.shape != (rows.d,):
            raise ValueError(f"start must have shape ({rows.d},), one value a coefficient, got {start.shape}")
        if not (np.abs(start) < WIDE).all():
            raise ValueError(f"start must be finite, and below {WIDE:g}, got {start}")
        found = replace(_concentrate(rows, rows.around(start), max_iter), start="given")
    else:
        found = _search(rows, n_starts, max_iter, random_state)
    kept = found.kept
    if counted is not None:
        kept = np.zeros(len(counted), bool)
        kept[counted] = found.kept
    return replace(found, coef=rows.as_given(found.coef), kept=kept)


def _search(rows: "_Rows", n_starts: int | None, max_iter: int, random_state: int) -> TrimmedFit:
    """Let starts compete on a subsample, and lead the best through larger ones to all."""
    random = np.random.default_rng(random_state)
    nested = [rows]
    while nested[-1].n >= 4 * (least := max(1000, 10 * rows.d)):
        nested.append(nested[-1].sample(max(least, nested[-1].n // 16), random))
    few = nested.pop()
    fits = [replace(_concentrate(few, theta, max_iter), start=name) for name, theta in _compete(few, n_starts, random)]
    while nested:  # the best by what it keeps of the larger sample goes on
        larger = nested.pop()
        best = min(fits, key=lambda fit: _objective(larger, fit.coef)) if len(fits) > 1 else fits[0]
        fits = [replace(_concentrate(larger, best.coef, max_iter, best.threshold), start=best.start)]
    return min(fits, key=lambda fit: fit.objective)


def _is_mapped(X) -> bool:
    """Whether an array is a memory map, or a view of one."""
    while X is not None and not isinstance(X, np.memmap):
        X = getattr(X, "base", None)
    return X is not None


def _checked(X, y, alpha, weights, ones) -> tuple["_Rows", np.ndarray | None]:
    """Check what is given, and say what is wrong with it; the samples that count, and their mask if some do not."""
    _check_alpha(alpha)
    X = np.asarray(X)
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
    _check_numbers(X, y)
    counted = None if weights is None or weights.all() else weights > 0
    if counted is not None:
        X, y, weights = X[counted], y[counted], weights[counted]
    mass = len(y) if weights is None else _total(weights)
    h = n_kept(int(mass), alpha) if mass == int(mass) else alpha * mass
    return _Rows(X, y, weights, h, ones), counted


def _total(weights) -> float:
    """Sum of weights: whole where it is so within rounding, since whole sums are kept by whole numbers."""
    total = float(weights.sum())
    return float(round(total)) if abs(total - round(total)) <= 1e-9 * total else total


def _check_numbers(X, y) -> None:
    """Refuse numbers that are not finite, or whose squares are not, or vanish."""
    with np.errstate(over="ignore", invalid="ignore"):
        for name, values in (("X", X), ("y", y)):
            for part in _parts(values):
                part = np.asarray(part, dtype=np.float64).ravel(order="K")
                if not np.dot(part, part) < np.inf:  # no slower than np.isfinite, and says more
                    if not np.isfinite(part).all():
                        raise ValueError(f"{name} has NaN or infinity: drop or mend these samples first")
                    raise ValueError(
                        f"{name} has numbers as large as {np.abs(part).max():.3g}: drop or mend these samples, or give "
                        f"{name} in a larger unit, so that all are below {WIDE:g}"
                    )
            largest = np.abs(values[:: len(values) // 1000 + 1]).max(0)
            if ((0 < largest) & (largest < 1 / WIDE)).any():
                raise ValueError(f"{name} has a column of numbers below {1 / WIDE:g} alone: give it in a smaller unit")


def _parts(values) -> Iterator[np.ndarray]:
    """An array in blocks of rows, of 1 MB."""
    step = max(1, 2**17 // values[0].size)
    for begin in range(0, len(values), step):
        yield values[begin : begin + step]


class _Rows:
    """The samples, read in blocks: an array or a memory map, with a column of ones appended or not.

    ``h`` is how many of them are kept or, where they have weights, the weight kept. With a column of ones all numbers
    are read as distances from ``centre`` (X, then y), near their medians: squares of large offsets have no digits left
    for what varies. `around` and `as_given` take coefficients there and back.
    """

    def __init__(self, X, y, weights, h, ones: bool):
        self.weights, self.h, self.ones, self.stacked = weights, h, ones, False
        self.centre = np.zeros(X.shape[1] + 1)
        if ones:
            some = slice(None, None, len(y) // 1000 + 1)
            self.centre = np.append(np.median(np.asarray(X[some], dtype=np.float64), axis=0), np.median(y[some]))
            y = y - self.centre[-1]
            if X.nbytes < 2**28 and not _is_mapped(X):  # once, rather than block by block
                X, self.stacked = self._beside_ones(X), True
        self.X, self.y = X, y
        self.n, self.d = X.shape[0], X.shape[1] + (ones and not self.stacked)
        self.block = max(256, 2**17 // self.d)  # 1 MB: what a core's cache holds

    def _beside_ones(self, X) -> np.ndarray:
        """Rows about the centre, with a one each."""
        rows = np.empty((X.shape[0], X.shape[1] + 1))
        np.subtract(X, self.centre[:-1], out=rows[:, :-1])
        rows[:, -1] = 1
        return rows

    def around(self, theta) -> np.ndarray:
        """Coefficients of the data as given, as they are about the centre."""
        return (
            np.append(theta[:-1], theta[-1] + self.centre[:-1] @ theta[:-1] - self.centre[-1]) if self.ones else theta
        )

    def as_given(self, theta) -> np.ndarray:
        """Coefficients about the centre, as they are of the data as given."""
        return (
            np.append(theta[:-1], theta[-1] - self.centre[:-1] @ theta[:-1] + self.centre[-1]) if self.ones else theta
        )

    def blocks(self) -> Iterator[slice]:
        for begin in range(0, self.n, self.block):
            yield slice(begin, min(begin + self.block, self.n))

    def at(self, which) -> np.ndarray:
        """Some rows, (m, d): a view where nothing has to be done."""
        rows = np.asarray(self.X[which])
        return self._beside_ones(rows) if self.ones and not self.stacked else np.asarray(rows, dtype=np.float64)

    def among(self, part: slice, chosen) -> tuple[np.ndarray, np.ndarray]:
        """Those of a block that a mask has: (m, d) and (m,)."""
        return np.compress(chosen, self.at(part), axis=0), self.y[part][chosen]

    def sample(self, size: int, random) -> "_Rows":
        """A random part of the samples, in memory."""
        edges = np.arange(size + 1) * self.n // size  # one of each stretch: sorted, none twice
        which = random.integers(edges[:-1], edges[1:])
        if self.weights is None:
            weights, h = None, max(1, round(self.h * size / self.n))
        else:
            weights = self.weights[which]
            h = self.h * weights.sum() / self.weights.sum()
        part = copy.copy(self)
        part.X, part.y, part.weights, part.h, part.n = np.asarray(self.X[which]), self.y[which], weights, h, size
        return part


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

    def turn(self, kept, turned) -> None:
        """Turn samples, given by index, in a mask: from kept to dropped and back."""
        kept[turned] ^= True
        for which, sign in ((turned[kept[turned]], 1), (turned[~kept[turned]], -1)):
            for begin in range(0, len(which), self.rows.block):
                part = which[begin : begin + self.rows.block]
                self.add(self.rows.at(part), self.rows.y[part], sign)
        if (self._sizes() < 1e-6 * self.largest).any():  # what is left is small against what was: digits are lost
            self.set_to(kept)

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
    some = np.flatnonzero(weights)
    X, y = X.take(some, axis=0), y[some]
    if (weights[some] != 1).any():
        root = np.sqrt(weights[some])
        X, y = X * root[:, None], y * root
    theta = _cholesky(X.T @ X, X.T @ y) if len(y) >= X.shape[1] else None
    return _minimum_norm(X, y, ones) if theta is None else theta


def _kept_mass(r, weights, h) -> np.ndarray:
    """How much of each sample is kept: (n,), summing to h, that of the smallest residuals."""
    if h == 0:
        return np.zeros_like(weights)
    if weights.min() == 1 == weights.max() and h == int(h):
        return _smallest(r, int(h)).astype(float)
    order = np.argsort(r, kind="stable")
    before = np.cumsum(weights[order]) - weights[order]
    mass = np.empty_like(weights)
    mass[order] = np.clip(h - before, 0, weights[order])
    if (infinite := r == np.inf).any() and mass[infinite].any():
        raise ValueError(
            f"losses has {np.count_nonzero(infinite)} infinite values of {len(r)}, so that keeping a weight of {h:g} "
            f"of {weights.sum():g} would keep some of them; lower alpha, or make the loss finite"
        )
    return mass


# Starts


def _compete(rows: _Rows, n_starts, random) -> list:
    """Take two concentration steps from each start; return the best ten, or three where they are dear."""
    X, y, h = rows.at(slice(None)), rows.y, rows.h
    weights = np.ones(len(y)) if rows.weights is None else rows.weights
    if len(y) <= 1000:  # equal samples as one with more weight: repetition changes no start
        both, place = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)
        X, y, weights = both[:, :-1], both[:, -1], np.bincount(place.ravel(), weights)
    X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
    if n_starts == 1:
        return [("least squares", _least_squares(X, y, weights, rows.ones))]
    found = []
    for name, theta in islice(_deterministic(X, y, weights, rows.ones), n_starts):
        for _ in range(2):
            theta = _least_squares(X, y, _kept_mass(np.abs(y - X @ theta), weights, h), rows.ones)
        r = np.abs(y - X @ theta)
        found.append((float(_kept_mass(r, weights, h) @ r**2), name, theta))
    for subsets in _subsets(X, h / weights.sum(), None if n_starts is None else n_starts - len(found), random):
        for begin in range(0, len(subsets), many := max(1, 2**21 // len(y))):
            steps = 7 if X.size <= SMALL else 2
            thetas, objectives = _elemental(X, y, weights, h, subsets[begin : begin + many], steps)
            found += [(float(o), "elemental", theta) for o, theta in zip(objectives, thetas, strict=True)]
    found.sort(key=lambda start: start[0])
    distinct = [b for a, b in pairwise([(-1.0,), *found]) if b[0] > a[0] * (1 + 1e-9)]
    return [(name, theta) for _, name, theta in distinct[: 10 if X.size < 50_000 else 3]]


def _subsets(X, share, number, random) -> list:
    """Elemental subsets to start from, as arrays of indices (m, d): all, or as many as help, or ``number``."""
    n, d = X.shape
    if n <= d or number == 0:
        return []
    if math.comb(n, d) <= MANY:
        sizes = [d] if number or math.comb(n, d + 1) > 4 * MANY else [d, d + 1]
        every = [np.array(list(combinations(range(n), size))) for size in sizes]
        return every if number is None else [random.permutation(every[0])[:number]]
    if number is None and X.size <= SMALL:
        number = MANY  # they cost little
    elif number is None:
        clean = share**d  # chance that a subset has none of the samples to be dropped
        enough = math.ceil(math.log(0.001) / math.log1p(-clean)) if clean < 1 else 1
        number = min(MANY, enough) if clean * MANY >= 5 else 0
    return [np.array([random.choice(n, d, replace=False) for _ in range(number)])] if number else []


def _elemental(X, y, weights, h, subsets, steps):
    """Fit every subset, and take concentration steps from each, all at once: thetas (m, d), objectives (m,).

    Normal equations with a trace of ridge: good enough for where to start.
    """
    n, d = X.shape
    equal = weights.min() == 1 == weights.max() and h == int(h)
    products = (X[:, :, None] * X[:, None, :]).reshape(n, d * d) if n * d * d <= 2**22 else None  # 32 MB
    mass = np.zeros((len(subsets), n))
    np.put_along_axis(mass, subsets, 1.0, axis=1)
    for _ in range(steps + 1):
        if products is None:
            A = np.stack([(X * kept[:, None]).T @ X for kept in mass])
        else:
            A = (mass @ products).reshape(-1, d, d)
        A[:, range(d), range(d)] = A[:, range(d), range(d)] * (1 + 1e-10) + 1e-300
        thetas = np.linalg.solve(A, (mass @ (X * y[:, None]))[:, :, None])[:, :, 0]  # (m, d)
        r = np.abs(y - thetas @ X.T)  # (m, n)
        if equal:
            mass = (r <= np.partition(r, int(h) - 1, axis=1)[:, int(h) - 1 : int(h)]).astype(float)
        else:
            order = np.argsort(r, axis=1, kind="stable")
            before = np.cumsum(weights[order], axis=1) - weights[order]
            np.put_along_axis(mass, order, np.clip(h - before, 0, weights[order]), axis=1)
    return thetas, (mass * r**2).sum(1)


def _deterministic(X, y, weights, ones) -> Iterator:
    """Yield least squares, then robust starts as in DetLTS: in transformed coordinates, and on the central half."""
    yield "least squares", _least_squares(X, y, weights, ones)
    Z = np.column_stack([X[:, :-1] if ones else X, y])  # (n, d): the features and the outputs
    Z = Z - (_medians(Z, weights) if ones else 0)
    spread = _medians(np.abs(Z), weights)
    spread = np.where(spread > 1 / WIDE, spread, np.sqrt(weights @ Z**2 / weights.sum()))
    Z = Z / np.where(spread > 0, spread, 1)
    ranks = np.sign(Z) * _ranks(np.abs(Z), weights)
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
            slope = np.append(slope, _medians((y - X[:, :-1] @ slope)[:, None], weights))
        yield name, slope
    lengths = np.linalg.norm(Z[:, :-1], axis=1)
    yield "central half", _least_squares(X, y, _kept_mass(lengths, weights, 0.5 * weights.sum()), ones)


def _medians(Z, weights) -> np.ndarray:
    """Weighted medians of columns: those of the values, each repeated as often as its weight says."""
    if weights.min() == weights.max():
        return np.median(Z, axis=0)
    order = np.argsort(Z, axis=0, kind="stable")
    reached, half = np.cumsum(weights[order], axis=0), 0.5 * weights.sum()
    first = (reached < half * (1 - 1e-12)).sum(0)
    last = np.minimum((reached <= half * (1 + 1e-12)).sum(0), len(Z) - 1)
    middle = np.take_along_axis(Z, np.take_along_axis(order, np.stack([first, last]), axis=0), axis=0)
    return middle.mean(0)


def _ranks(Z, weights) -> np.ndarray:
    """Weighted mean ranks of columns over the total weight, in (0, 1]."""
    order = np.argsort(Z, axis=0)
    Z, mass = np.take_along_axis(Z, order, axis=0), weights[order]
    after = np.cumsum(mass, axis=0)
    before = after - mass
    if (tied := Z[1:] == Z[:-1]).any():
        before[1:][tied] = 0
        np.maximum.accumulate(before, axis=0, out=before)  # where its group of equals begins
        after[:-1][tied] = np.inf
        after[::-1] = np.minimum.accumulate(after[::-1], axis=0)  # and where it ends
    ranks = np.empty_like(Z)
    np.put_along_axis(ranks, order, (before + after + 1) / (2 * weights.sum()), axis=0)
    return ranks


def _objective(rows: _Rows, theta) -> float:
    """What the samples of smallest residual sum up to."""
    r = _residuals(rows, theta)
    kept = _smallest(r, rows.h) if rows.weights is None else _kept_mass(r, rows.weights, rows.h)
    return float(kept @ r**2)


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
    h, normal, levels, path, step, converged = rows.h, _Normal(rows), [], [], None, False
    room = 16 * rows.n if _is_mapped(rows.X) else rows.X.nbytes / 2  # bytes, for copies of rows
    scale = np.sqrt((rows.at(slice(0, 1000)) ** 2).mean(0))
    scale = np.where(scale > 0, scale, 1.0)
    r, norms, kept, threshold = _first_pass(rows, normal, theta, scale, h, guess)
    turned = None  # the samples that entered or left; at first, all
    while True:
        path.append(normal.objective(theta))
        exact = threshold <= 1e-13 * math.sqrt(normal.c / h)  # h samples on one plane: which of them is noise
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
        moved = float(np.linalg.norm(scale * (new - theta)))
        rate = 0.45 if step is None else min(0.9, max(0.2, moved / step))
        step, reach = moved, 1.25 * moved / (1 - rate)  # how far theta may yet go
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
            r = _residuals(rows, theta)
            chosen, threshold = _select(r, h, threshold)
            turned = np.flatnonzero(chosen != kept)
        normal.turn(kept, turned)
    if not converged:
        theta, objective, _, threshold, _ = _settle(rows, normal, theta, kept, h, threshold)
    path[-1] = objective
    return TrimmedFit(theta, kept, objective, threshold, tuple(path), len(path), converged, "")


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
    path[-1] = float(mass @ r**2)
    return TrimmedFit(theta, kept, path[-1], float(r[kept].max()), tuple(path), len(path), converged, "")


def _first_pass(rows, normal, theta, scale, h, guess):
    """Read the samples once: residuals, norms, and the normal equations of those below the guessed threshold."""
    r, norms = np.empty(rows.n), np.empty(rows.n, np.float32)  # (n,), (n,): in scaled coordinates
    weights = 1 / scale**2
    for part in rows.blocks():
        X, y = rows.at(part), rows.y[part]
        np.abs(np.subtract(y, X @ theta, out=r[part]), out=r[part])
        norms[part] = np.minimum(np.sqrt(np.square(X) @ weights), 1e38)  # what single precision can hold
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
    """Mask of the k smallest values and the largest of them; by partition of those near a guess that is good."""
    if guess is not None:
        low, high = r < 0.9 * guess, r <= 1.1 * guess
        certain = int(np.count_nonzero(low))
        if certain < k <= int(np.count_nonzero(high)):
            near = np.flatnonzero(high & ~low)
            chosen, threshold = _select(r[near], k - certain)
            low[near] = chosen
            return low, threshold
    if not k:
        return np.zeros(len(r), bool), 0.0
    chosen = _smallest(r, k)
    return chosen, float(r[chosen].max())


def _settle(rows, normal, theta, kept, h, threshold):
    """Fit the kept set once more from the samples themselves, and see in a full pass what it should still change.

    The normal equations may carry what adding and removing has left of larger numbers. Their residual, taken
    anew, corrects that; where the correction is not tiny, they are built from scratch and it is taken again.
    """
    for attempt in range(4):
        r, gradient = np.empty(rows.n), np.zeros(rows.d)
        for part in rows.blocks():
            X = rows.at(part)
            np.subtract(rows.y[part], X @ theta, out=r[part])
            gradient += X.T @ (r[part] * kept[part])
        correction = _cholesky(normal.A, gradient)
        if correction is None:
            if attempt:
                break
            theta = _minimum_norm(rows.at(kept), rows.y[kept], rows.ones)
            continue
        theta = theta + correction
        if np.abs(correction).max() <= (1e-9 if attempt else 1e-12) * np.abs(theta).max():
            break
        if not attempt:
            normal.set_to(kept)
    r = np.abs(r, out=r)
    chosen, threshold = _select(r, h, threshold)
    turned = np.flatnonzero(chosen != kept)
    objective = float(np.square(r, where=kept, out=np.zeros_like(r)).sum())
    gain = float(r[turned] ** 2 @ np.where(kept[turned], 1.0, -1.0))
    if gain <= 1e-12 * objective:  # ties, or what rounding makes of them
        turned = turned[:0]
    return theta, objective, r, threshold, turned


def _near(r, k, threshold, slack):
    """Which samples may be among the k smallest for some theta within reach.

    ``slack`` bounds how much each residual can change. Returns how many are certainly among them, and the
    indices of those that are certainly neither in nor out.
    """
    slack = slack * (1 + 1e-6) + 1e-13 * threshold  # the norms are in single precision
    most = float(slack.max(initial=0.0))
    bound = r - slack  # one buffer for both bounds: memory counts where samples are many
    least = _smallest_of(bound, k, threshold - most, threshold)
    inside = np.add(r, slack, out=bound) < least
    most = _smallest_of(bound, k, threshold, threshold + most)
    outside = np.subtract(r, slack, out=bound) > most
    return int(np.count_nonzero(inside)), np.flatnonzero(~(inside | outside))


def _smallest_of(values, k: int, low: float, high: float) -> float:
    """The k-th smallest value, known to lie in [low, high]."""
    below = values < low
    at = k - 1 - int(np.count_nonzero(below))
    return np.partition(values[~below & (values <= high)], at)[at]


def _residuals(rows: _Rows, theta) -> np.ndarray:
    """Absolute residuals of all samples: (n,)."""
    r = np.empty(rows.n)
    for part in rows.blocks():
        np.abs(np.subtract(rows.y[part], rows.at(part) @ theta, out=r[part]), out=r[part])
    return r
