"""What a report warns of: classes dropped out of proportion, samples that are too easy, duplicates, a blind method."""

from typing import NamedTuple

import numpy as np

from .fraction import ErrorShare
from .planting import labels_of

__all__ = ["Alarm", "are_classes", "look", "row_hashes"]

CHANCE = 1e-3  # probability of a false alarm, for all classes or features together
RATIO = 2.0  # a class must be dropped this many times as often as all samples
EASY = 0.01  # share of samples that count as the easiest, at least 20
SAME = 0.1  # the easiest samples share a feature if it varies by less than this, in standard deviations of its class
FAR = 1.5  # and its mean differs by more than this, in the same unit
TOO_SMALL = 5e-4  # mean log-loss of the kept samples below which classes are separable
SHOWN = 20  # samples that an alarm names


class Alarm(NamedTuple):
    """A warning: its ``kind``, its ``text`` for a reader, and the ``rows`` of samples to look at."""

    kind: str
    text: str
    rows: tuple[int, ...] = ()


def look(losses, kept, *, given=None, X=None, share: ErrorShare | None = None, log_loss=None) -> tuple:
    """Return the alarms of a selection.

    Parameters
    ----------
    losses, kept : array, shape (n,)
        Losses and the selection, of bool.
    given : array, shape (n,), optional
        Labels as given. Values of regression (floats) have no classes.
    X : array, data frame or tensor with n rows, optional
        Features.
    share : ErrorShare, optional
        The estimated share of wrong samples.
    log_loss : array, shape (n,), optional
        Log-losses.
    """
    found = []
    if share is not None and share.verdict == "cannot tell":
        found.append(Alarm("share", f"The share of wrong samples cannot be told: {'; '.join(share.reasons)}."))
    found += _blind(losses, kept, log_loss)
    if classes := are_classes(given):
        found += [*_out_of_proportion(kept, given), *_one_class(losses, given)]
    if X is not None:
        found += _shared_detail(losses, given if classes else None, X)
        if given is not None:
            found += _duplicates(given, X)
    return tuple(found)


def are_classes(given) -> bool:
    """Tell whether labels as given are classes, not the values of a regression, which are floats."""
    return given is not None and given.ndim == 1 and given.dtype.kind not in "fc"


def _blind(losses, kept, log_loss):
    if not losses.any():
        yield Alarm("blind", "The model fits every sample without loss, wrong ones too. Trimming cannot tell samples "
                    "apart: regularise the model, or score samples that it was not fitted to.")  # fmt: skip
    elif log_loss is not None and (mean := log_loss[kept].mean()) < TOO_SMALL:
        yield Alarm("blind", f"The kept samples have a mean log-loss of {mean:.1g}: the model separates them, and the "
                    "order of their losses says little. Regularise the model.")  # fmt: skip


def _out_of_proportion(kept, given):
    """Warn of classes that are dropped far more often than others: they may be rare or hard, not wrong."""
    from scipy.stats import binom

    labels, code = np.unique(given, return_inverse=True)
    rate = (~kept).mean()
    for c, label in enumerate(labels):
        mine = code == c
        gone, size = int((~kept)[mine].sum()), int(mine.sum())
        if gone > RATIO * rate * size and binom.sf(gone - 1, size, min(rate, 1)) < CHANCE / len(labels):
            yield Alarm(
                "class", f"Class {label} loses {100 * gone / size:.1f} % of its samples, all classes together "
                f"{100 * rate:.1f} %. A rare or hard class looks like errors: look at these samples before you drop "
                "them, or trim within each class.", tuple(np.flatnonzero(mine & ~kept)[:SHOWN].tolist()),
            )  # fmt: skip


def _easiest(losses) -> np.ndarray:
    return np.argsort(losses, kind="stable")[: max(20, round(EASY * len(losses)))]


def _one_class(losses, given):
    """Warn if nearly all of the easiest samples have one label, far more than its share: so do backdoors."""
    from scipy.stats import binom

    easy = _easiest(losses)
    if len(given) < 10 * len(easy):
        return
    labels, code = np.unique(given, return_inverse=True)
    counts = np.bincount(code[easy], minlength=len(labels))
    c, size = int(counts.argmax()), len(easy)
    chance = (code == c).mean()
    if counts[c] > 0.8 * size and chance < 0.4 and binom.sf(counts[c] - 1, size, chance) < CHANCE / len(labels):
        yield Alarm(
            "easy", f"Of the {size} easiest samples, {counts[c]} are labelled {labels[c]}. Look at them: a mark that "
            "gives the label away (a backdoor) makes samples easy, and trimming keeps these.",
            tuple(easy[code[easy] == c][:SHOWN].tolist()),
        )  # fmt: skip


def _shared_detail(losses, classes, X):
    """Warn if the easiest samples of a class share a feature that varies among the others of the class."""
    table, names = _numbers(X)
    if table is None or len(table) < 200:
        return
    for label in [None] if classes is None else np.unique(classes):
        mine = np.arange(len(table)) if label is None else np.flatnonzero(classes == label)
        if len(mine) < 100:
            continue
        order = mine[np.argsort(losses[mine], kind="stable")]
        size = max(10, round(EASY * len(mine)))
        easy, rest = table[order[:size]], table[order[2 * size :]]
        spread = rest.std(axis=0)
        varied = spread > 1e-3 * np.abs(table).max(axis=0).clip(1e-12)
        apart = np.abs(easy.mean(axis=0) - rest.mean(axis=0)) > FAR * spread
        odd = np.flatnonzero(varied & apart & (easy.std(axis=0) < SAME * spread))
        if len(odd):
            where = "" if label is None else f" of class {label}"
            which = f"number {odd[0]}" if names is None else repr(names[odd[0]])
            yield Alarm(
                "detail", f"The {size} easiest samples{where} share {len(odd)} feature{'s' * (len(odd) > 1)} that vary "
                f"among the others, the first is {which}. Look at them: a mark that gives the label away (a "
                "backdoor) makes samples easy, and trimming keeps these.", tuple(order[:size][:SHOWN].tolist()),
            )  # fmt: skip


def _duplicates(given, X):
    """Warn of samples that are equal but for their labels."""
    hashes, labels = row_hashes(X), row_hashes(np.asarray(given).astype(str))
    order = np.argsort(hashes, kind="stable")
    same = hashes[order][1:] == hashes[order][:-1]
    differ = same & (labels[order][1:] != labels[order][:-1])
    if differ.any():
        rows = np.unique(np.r_[order[1:][differ], order[:-1][differ]])
        yield Alarm(
            "duplicates", f"{len(rows):,} samples have an exact duplicate with another label or value. At least one of "
            "each such pair is wrong, or the features do not decide.", tuple(rows[:SHOWN].tolist()),
        )  # fmt: skip


def row_hashes(X) -> np.ndarray:
    """Return a hash of each row of an array, sparse matrix, data frame or tensor: uint64, shape (n,)."""
    from hashlib import blake2b

    if hasattr(X, "iloc"):
        from pandas.util import hash_pandas_object

        return hash_pandas_object(X, index=False).to_numpy().astype(np.uint64)
    if hasattr(X, "tocsr"):
        X = X.tocsr()
        rows = [X.indices[a:b].tobytes() + X.data[a:b].tobytes() for a, b in zip(X.indptr, X.indptr[1:], strict=False)]
    else:
        X = labels_of(X)
        X = X.astype(str) if X.dtype == object else X
        rows = [row.tobytes() for row in np.ascontiguousarray(X)]
    return np.array([int.from_bytes(blake2b(row, digest_size=8).digest(), "little") for row in rows], np.uint64)


def _numbers(X):
    """Return the numeric features as a table, (n, d), and their names, if X is a data frame; None if there are none."""
    names = None
    if hasattr(X, "iloc"):
        X = X.select_dtypes("number")
        if any(not isinstance(t, np.dtype) for t in X.dtypes):
            X = X.astype(float)
        names, X = list(X.columns), X.to_numpy()
    elif hasattr(X, "tocsr"):
        return None, None
    else:
        X = labels_of(X)
    if X.dtype.kind not in "biuf" or not X.size or X.size > 5e8:
        return None, None
    return np.nan_to_num(X.reshape(len(X), -1).astype(np.float32), posinf=0, neginf=0), names
