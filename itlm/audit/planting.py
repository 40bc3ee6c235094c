"""Plant errors of a known kind in data, to see whether a method finds them and how many real ones there are.

    planted = plant(X, y, "uniform", 50, among=kept, random_state=0)     a random other label
    planted = plant(X, y, class_to_class({4: 9}), 50)                    labels of class 4 become 9
    planted.X, planted.y, planted.ids                                    data with planted errors, and their rows

A kind of error is a function ``(X, y, rows, random) -> (X_rows, y_rows)``. Write your own, or use one of this module's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, NamedTuple

import numpy as np

from ..trimming import quotas, unmasked

__all__ = [
    "Planted", "class_to_class", "confusable", "foreign", "permuted", "plant", "shifted", "systematic", "take",
    "uniform", "wrong_unit",
]  # fmt: skip

TRIES = 100  # draws of another sample's output before equal outputs are given up


class Planted(NamedTuple):
    """Copies of X and y with planted errors, and ``ids``, the rows of the errors, ascending."""

    X: Any
    y: Any
    ids: np.ndarray


def plant(X, y, kind, n: int | None = None, *, among=None, random_state=None) -> Planted:
    """Plant errors in n samples, at most one in each.

    Parameters
    ----------
    X : array, sparse matrix, data frame or tensor with n_samples rows
        Features, not changed.
    y : array or tensor, shape (n_samples,) or (n_samples, n_outputs)
        Labels or outputs as given, not changed.
    kind : {"uniform", "permuted", "wrong_unit"} or callable
        Kind of error: a name; the result of a function of this module, such as `class_to_class`; or your own function
        ``(X, y, rows, random) -> (X_rows, y_rows)``, which returns the changed features and outputs of these rows, each
        None if unchanged. ``random`` is a `numpy.random.Generator`.
    n : int, at least 1, optional
        Number of errors; by default as many as possible.
    among : array of bool, shape (n_samples,), optional
        Samples that may get an error, such as those that a trimmed fit keeps; default all.
    random_state : int or numpy.random.Generator, optional
        Seeds the choice of samples and the errors.

    Raises
    ------
    ValueError
        For an unknown kind, for X and y of different lengths, if fewer than n samples can get an error, if the kind
        leaves a sample unchanged, or if it returns another number of rows.
    """
    random, size = np.random.default_rng(random_state), len(y)
    if X.shape[0] != size:
        raise ValueError(f"X and y must have the same length, got {X.shape[0]} and {size}")
    kind = named(kind)
    rows = _rows(labels_of(y), kind, n, _allowed(among, size), random)
    new_X, new_y = kind(X, y, rows, random)
    planted = Planted(_replaced("X", X, rows, new_X), _replaced("y", y, rows, new_y), rows)
    changed = np.zeros(len(rows), bool)
    for before, after, new in ((X, planted.X, new_X), (y, planted.y, new_y)):
        if new is not None:
            changed |= _differs(take(before, rows), take(after, rows))
    if not changed.all():
        raise ValueError(
            f"kind left {int((~changed).sum())} of {len(rows)} samples unchanged, the first is sample "
            f"{rows[~changed][0]}: let it return other features or another output for each row"
        )
    return planted


@dataclass(frozen=True)
class _OfLabels:
    """A kind of error in labels.

    ``change(labels, rows, random)`` returns the new labels of some rows, and ``rates(labels)`` each sample's relative
    error rate by its label.
    """

    change: Callable
    rates: Callable = staticmethod(lambda y: np.ones(len(y)))

    def __call__(self, X, y, rows, random):
        return None, self.change(labels_of(y), rows, random)


def uniform(classes=None) -> Callable:
    """Return the kind "uniform": the label becomes one of the other classes, each equally likely.

    ``classes`` are the classes, ascending; by default, the labels in y.
    """

    def change(labels, rows, random):
        known = np.unique(labels) if classes is None else np.asarray(classes)
        if len(known) < 2:
            raise ValueError(f"uniform errors need at least two classes, got {len(known)}: give classes")
        at = np.searchsorted(known, labels[rows])
        return known[(at + random.integers(1, len(known), len(rows))) % len(known)]

    return _OfLabels(change)


def class_to_class(rates, classes=None) -> Callable:
    """Return a kind of error that changes labels of one class to another.

    Parameters
    ----------
    rates : mapping, or array of float, shape (n_classes, n_classes)
        ``{a: b}``: labels a become b. ``{a: {b: 0.2, c: 0.1}}`` or an array: the relative rate of each change; the
        diagonal of an array does not count. Classes with higher rates get more errors.
    classes : array, shape (n_classes,), optional
        Classes of the array's rows and columns; default 0, 1, ...
    """
    if isinstance(rates, Mapping):
        table = {a: b if isinstance(b, Mapping) else {b: 1.0} for a, b in rates.items()}
    else:
        rates = np.asarray(rates, float)
        if rates.ndim != 2 or rates.shape[0] != rates.shape[1]:
            raise ValueError(f"rates must have shape (n_classes, n_classes), got {rates.shape}")
        names = range(len(rates)) if classes is None else list(classes)
        table = {a: dict(zip(names, row, strict=True)) for a, row in zip(names, rates.tolist(), strict=True)}
    table = {a: {b: rate for b, rate in row.items() if b != a and rate} for a, row in table.items()}
    if any(not rate > 0 for row in table.values() for rate in row.values()) or not any(table.values()):
        raise ValueError(f"rates must be at least 0, and above 0 for one change, got {rates}")

    def change(labels, rows, random):
        new = labels[rows]
        for a, row in table.items():
            if row and (mine := labels[rows] == a).any():
                share = np.array(list(row.values())) / sum(row.values())
                new[mine] = np.array(list(row))[random.choice(len(row), mine.sum(), p=share)]
        return new

    def relative(labels):
        found = np.zeros(len(labels))
        for a, row in table.items():
            found[labels == a] = sum(row.values())
        return found

    return _OfLabels(change, relative)


def systematic(n_classes: int) -> Callable:
    """Return the paper's systematic label noise as a kind of error: class a becomes a + 1, the last becomes 0."""
    return class_to_class({a: (a + 1) % n_classes for a in range(n_classes)})


def confusable(probabilities, classes=None) -> Callable:
    """Return a kind of error that a model's own confusions draw: similar classes are taken for each other.

    Parameters
    ----------
    probabilities : array of float, shape (n_samples, n_classes)
        A model's class probabilities, of all samples of the data. A sample's other classes are drawn with these.
    classes : array, shape (n_classes,), optional
        Classes of the columns, ascending; default 0, 1, ...
    """
    table = np.asarray(probabilities, float)
    known = np.arange(table.shape[1]) if classes is None else np.asarray(classes)

    def change(labels, rows, random):
        chances = table[rows] + 1e-12
        chances[np.arange(len(rows)), np.searchsorted(known, labels[rows])] = 0
        steps = np.cumsum(chances, axis=1)
        return known[(steps < random.random((len(rows), 1)) * steps[:, -1:]).sum(axis=1)]

    return _OfLabels(change)


def permuted(X, y, rows, random):
    """Give each row the output of another sample."""
    donors = random.integers(len(y), size=len(rows))
    for _ in range(TRIES):
        if (differ := _differs(take(y, rows), take(y, donors))).all():
            break
        donors[~differ] = random.integers(len(y), size=int((~differ).sum()))
    return None, take(y, donors)


def shifted(k: float = 5.0, scale: float | None = None) -> Callable:
    """Return a kind of error that moves an output up or down by ``k`` scales; default scale: `spread` of y."""

    def change(X, y, rows, random):
        values = labels_of(y).astype(float)
        size = spread(values) if scale is None else scale
        if not np.all(np.asarray(size) > 0):
            raise ValueError(f"scale must be above 0, got {size}: give the scale of the outputs' noise")
        sign = random.choice([-1.0, 1.0], size=(len(rows),) + (1,) * (values.ndim - 1))
        return None, values[rows] + sign * k * size

    return change


def wrong_unit(factor: float = 10.0) -> Callable:
    """Return a kind of error that multiplies an output by ``factor``, as a wrong unit or a lost decimal point does."""
    return lambda X, y, rows, random: (None, labels_of(y)[rows].astype(float) * factor)


def foreign(samples) -> Callable:
    """Return a kind of error that replaces features by those of foreign samples, such as images of another set.

    ``samples`` are features like X, drawn without replacement; at least as many as errors.
    """

    def change(X, y, rows, random):
        if samples.shape[0] < len(rows):
            raise ValueError(f"foreign has {samples.shape[0]} samples, fewer than the {len(rows)} errors: bring more")
        return take(samples, random.permutation(samples.shape[0])[: len(rows)]), None

    return change


KINDS = {"uniform": uniform(), "permuted": permuted, "wrong_unit": wrong_unit()}


def spread(values) -> np.ndarray:
    """Return 1.4826 times the median absolute deviation of each column, which estimates a normal standard deviation."""
    return 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)


def several(kind, own: Mapping | None = None) -> dict[str, Callable]:
    """Return kinds of errors by name.

    Parameters
    ----------
    kind : str or callable, or sequence or mapping of these
        One kind or several; a mapping names them.
    own : mapping of str to callable, optional
        Further kinds that have a name.
    """
    if not isinstance(kind, Mapping):
        each = kind if isinstance(kind, list | tuple) else [kind]
        kind = {one if isinstance(one, str) else f"kind {k}": one for k, one in enumerate(each, 1)}
    if not kind:
        raise ValueError("kind names no kind of error: give at least one")
    own = own or {}
    return {name: own[one] if isinstance(one, str) and one in own else named(one) for name, one in kind.items()}


def named(kind) -> Callable:
    """Return the kind of error with that name, or the function itself."""
    if callable(kind):
        return kind
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, KINDS))} or a function, got {kind!r}")
    return KINDS[kind]


def take(values, rows):
    """Return some rows of an array, sparse matrix, data frame, series or tensor."""
    return values.iloc[rows] if hasattr(values, "iloc") else values[rows]


def labels_of(y) -> np.ndarray:
    """Return labels or outputs as an array."""
    return unmasked("y", y.detach().cpu().numpy() if hasattr(y, "detach") else y)


def _allowed(among, size) -> np.ndarray:
    """Return the mask of the samples that may get an error."""
    if among is None:
        return np.ones(size, bool)
    among = labels_of(among)
    if among.dtype != bool or among.shape != (size,):
        raise ValueError(f"among must be a bool mask of shape ({size},), got {among.dtype} of shape {among.shape}")
    return among


def _rows(labels, kind, n, allowed, random) -> np.ndarray:
    """Draw the rows that get an error; for labels, by class, in proportion to the classes' rates."""
    rates = kind.rates(labels) if isinstance(kind, _OfLabels) else np.ones(len(labels))
    pools = [np.flatnonzero(allowed & (rates > 0))]
    if isinstance(kind, _OfLabels) and len(pools[0]):
        pools = [pool for c in np.unique(labels[pools[0]]) if len(pool := pools[0][labels[pools[0]] == c])]
    weights, sizes = np.array([rates[pool].sum() for pool in pools]), np.array([len(pool) for pool in pools])
    most = floor((sizes / weights).min() * weights.sum() + 1e-9) if weights.all() else 0
    if most < (n or 1) or (n is not None and n < 1):
        raise ValueError(f"n must be between 1 and the {most} samples that can get an error, got {n}")
    counts = np.array(quotas(np.round(1e6 * weights / weights.sum()).astype(int).tolist(), n or most))
    while (counts > sizes).any():  # by rounding
        counts[np.argmax(counts - sizes)] -= 1
        counts[np.argmax(sizes - counts)] += 1
    return np.sort(np.concatenate([random.permutation(p)[:c] for p, c in zip(pools, counts, strict=True)]))


def _replaced(name, values, rows, new):
    """Return a copy of values with new values in some rows."""
    if new is None:
        return values
    if new.shape != (wanted := (len(rows), *values.shape[1:])):
        raise ValueError(f"kind must return {name} of shape {wanted} for {len(rows)} samples, got {new.shape}")
    if hasattr(values, "new_tensor"):  # of torch
        values, new = values.clone(), values.new_tensor(new) if isinstance(new, np.ndarray) else new
    elif hasattr(values, "tolil"):  # sparse
        changed = values.tolil()
        changed[rows] = new
        return changed.asformat(values.format)
    elif hasattr(values, "iloc"):
        values = values.copy()
        values.iloc[rows] = np.asarray(new)
        return values
    else:
        values = values.astype(np.result_type(values, new))  # a copy
    values[rows] = new
    return values


def _differs(before, after) -> np.ndarray:
    """Return which rows differ, an array of bool."""
    if hasattr(before, "tocsr"):
        return np.asarray((before != after).sum(axis=1)).ravel() > 0
    before, after = (labels_of(v) for v in (before, after))
    return (before != after).reshape(len(before), -1).any(axis=1)
