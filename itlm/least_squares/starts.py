"""Starts of least trimmed squares: least squares, deterministic robust fits, elemental subsets.

Source: Hubert, Rousseeuw & Verdonck 2012 for the deterministic starts; Rousseeuw & Van Driessen 2006 for the others.
"""

import math
from collections.abc import Iterator
from itertools import combinations, islice, pairwise

import numpy as np
from scipy.special import ndtri

from ..weighted import kept_mass
from .rows import WIDE, Rows, least_squares

MANY = 500  # maximum number of elemental subsets, as in FAST-LTS
SMALL = 3000  # up to this many numbers in X, more starts and steps cost little


def compete(rows: Rows, n_starts, random) -> list:
    """Take two concentration steps from each start; return the best ten, or three if X is large."""
    X, y, h = rows.at(slice(None)), rows.y, rows.h
    weights = np.ones(len(y)) if rows.weights is None else rows.weights
    if len(y) <= 1000:  # merge equal samples, so that repetition changes no start
        both, place = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)
        X, y, weights = both[:, :-1], both[:, -1], np.bincount(place.ravel(), weights)
    X, y, weights = X[weights > 0], y[weights > 0], weights[weights > 0]
    if n_starts == 1:
        return [("least squares", least_squares(X, y, weights, rows.ones))]
    found = []
    for name, theta in islice(_deterministic(X, y, weights, rows.ones), n_starts):
        for _ in range(2):
            theta = least_squares(X, y, kept_mass(np.abs(y - X @ theta), weights, h), rows.ones)
        r = np.abs(y - X @ theta)
        found.append((float(kept_mass(r, weights, h) @ r**2), name, theta))
    for subsets in _subsets(X, h / weights.sum(), None if n_starts is None else n_starts - len(found), random):
        for begin in range(0, len(subsets), many := max(1, 2**21 // max(len(y), X.shape[1] ** 2))):  # 16 MB
            steps = 7 if X.size <= SMALL else 2
            thetas, objectives = _elemental(X, y, weights, h, subsets[begin : begin + many], steps)
            found += [(float(o), "elemental", theta) for o, theta in zip(objectives, thetas, strict=True)]
    found.sort(key=lambda start: start[0])
    distinct = [b for a, b in pairwise([(-1.0,), *found]) if b[0] > a[0] * (1 + 1e-9)]
    return [(name, theta) for _, name, theta in distinct[: 10 if X.size < 50_000 else 3]]


def _subsets(X, share, number, random) -> list:
    """Return elemental subsets as arrays of indices (m, d): all, or as many as help, or ``number``."""
    n, d = X.shape
    if n <= d or number == 0:
        return []
    if math.comb(n, d) <= MANY:
        sizes = [d] if number or math.comb(n, d + 1) > 4 * MANY else [d, d + 1]
        every = [np.array(list(combinations(range(n), size))) for size in sizes]
        return every if number is None else [random.permutation(every[0])[:number]]
    if number is None and X.size <= SMALL:
        number = MANY
    elif number is None:
        clean = share**d  # chance that a subset has no dropped sample
        if clean * MANY < 5:  # hardly one clean subset among MANY; clean may be 0
            return []
        number = min(MANY, math.ceil(math.log(0.001) / math.log1p(-clean))) if clean < 1 else 1
    return [np.array([random.choice(n, d, replace=False) for _ in range(number)])]


def _elemental(X, y, weights, h, subsets, steps):
    """Fit all subsets with a tiny ridge, and take steps from each, all at once: thetas (m, d), objectives (m,)."""
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
    """Yield least squares, then DetLTS's robust starts, from transformed data and from the central half."""
    yield "least squares", least_squares(X, y, weights, ones)
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
        slope = least_squares(T[:, :-1], T[:, -1], weights, False) * spread[-1] / np.where(spread > 0, spread, 1)[:-1]
        if ones:
            slope = np.append(slope, _medians((y - X[:, :-1] @ slope)[:, None], weights))
        yield name, slope
    lengths = np.linalg.norm(Z[:, :-1], axis=1)
    yield "central half", least_squares(X, y, kept_mass(lengths, weights, 0.5 * weights.sum()), ones)


def _medians(Z, weights) -> np.ndarray:
    """Compute weighted medians of columns: each value counts as often as its weight."""
    if weights.min() == weights.max():
        return np.median(Z, axis=0)
    order = np.argsort(Z, axis=0, kind="stable")
    reached, half = np.cumsum(weights[order], axis=0), 0.5 * weights.sum()
    first = (reached < half * (1 - 1e-12)).sum(0)
    last = np.minimum((reached <= half * (1 + 1e-12)).sum(0), len(Z) - 1)
    middle = np.take_along_axis(Z, np.take_along_axis(order, np.stack([first, last]), axis=0), axis=0)
    return middle.mean(0)


def _ranks(Z, weights) -> np.ndarray:
    """Compute weighted mean ranks of columns over the total weight, in (0, 1]."""
    order = np.argsort(Z, axis=0)
    Z, mass = np.take_along_axis(Z, order, axis=0), weights[order]
    after = np.cumsum(mass, axis=0)
    before = after - mass
    if (tied := Z[1:] == Z[:-1]).any():
        before[1:][tied] = 0
        np.maximum.accumulate(before, axis=0, out=before)  # where the group of equals begins
        after[:-1][tied] = np.inf
        after[::-1] = np.minimum.accumulate(after[::-1], axis=0)  # and where it ends
    ranks = np.empty_like(Z)
    np.put_along_axis(ranks, order, (before + after + 1) / (2 * weights.sum()), axis=0)
    return ranks
