"""Record each sample's loss and margin in your own training loop, and report the suspects.

In the loop::

    recorder = Recorder(n, "losses/", labels=y)            n samples; the folder keeps what is recorded
    for epoch in range(recorder.epoch, 30):                from 0, or after the last complete epoch of a killed run
        for ids, x, labels in loader:                      ids: positions in the data set, 0, 1, ..., n - 1
            logits = network(x)
            recorder.log(ids, logits, labels)              or recorder.log(ids, losses=losses)
            ...
        recorder.end_epoch()
    report = recorder.report(alpha=0.8)                    see `itlm.audit.report.Report`

Files: ``epoch-0007-rank-0-of-1.npy`` has shape (2, n): losses and margins of epoch 7, float32, NaN if unknown. So a
sample takes 8 bytes an epoch. ``classes-rank-0.npy`` has shape (3, n), and each epoch replaces it: the label as given,
the class predicted last, and the epoch of that prediction, int32, -1 if unknown. `numpy.load` reads both.

A margin is the logit of the given label minus the largest other one. Its mean over the epochs is the area under the
margin (AUM; Pleiss et al., *Identifying Mislabeled Data using the Area Under the Margin Ranking*, NeurIPS 2020).
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import Refused
from ..parameters import one_of, whole
from ..trimming import check_alpha, trim, unmasked
from .alarms import SHOWN, Alarm
from .epochs import Epochs, load, named, save
from .fraction import compare
from .planting import take
from .report import Report

__all__ = ["Count", "Recorder"]

LABELS = 2**31  # labels are below this: int32
# The margin is the default, since it ranked wrong labels best. Average precision on scikit-learn's digits, 20 % wrong,
# mean of seeds 100 to 109, 20 epochs of an MLP with 128 units: 0.996 for uniform errors (mean loss 0.993, last loss
# 0.991), 0.906 for class a labelled a + 1 (0.866, 0.849). The margin was also best after 5, 10, 40 and 80 epochs.
SCORES = ("margin", "loss", "last_loss")

NOT_ROWS = {"command", "seed", "data"}  # options of a report that are not of samples


class Count(NamedTuple):
    """The number of samples in an epoch (``seen``), of those not in it (``missing``), and of repetitions."""

    epoch: int
    seen: int
    missing: int
    repeated: int


class Recorder:
    """Keep the losses and margins of n samples in each epoch, on disk.

    A sample counts once an epoch, with its first value, since padded distributed samplers repeat some. A sample that
    does not come is NaN, and means leave that epoch out. Each epoch is written when it ends. So a killed run loses at
    most one epoch, and continues if it opens the folder again. A sample takes 20 bytes of memory.

    Parameters
    ----------
    n : int, at least 1
        Number of samples.
    folder : path
        Made if missing. It belongs to one run.
    labels : array or tensor of int, shape (n,), optional
        Classes as given, 0, 1, ...; `log` then needs none. Regression has no labels.
    rank, ranks : int
        Number of this process, from 0, and number of processes. Each writes the samples it sees, and reading merges
        them. If several saw a sample, the value of the lowest rank counts.
    epoch : int, optional
        The epoch at which training continues, from 0. Recorded epochs from this one on are replaced: a checkpoint may
        be older than the record. By default nothing is replaced.

    Attributes
    ----------
    epoch : int
        The epoch that is being recorded.

    Raises
    ------
    itlm.errors.Refused
        If the folder belongs to another run: another n or other labels.
    itlm.errors.Damaged
        If a file is damaged.
    """

    def __init__(self, n: int, folder, labels=None, *, rank: int = 0, ranks: int = 1, epoch: int | None = None):
        self.n, self.folder, self.ranks = whole(1).check("n", n), Path(folder), whole(1).check("ranks", ranks)
        self.rank = whole(0, self.ranks - 1).check("rank", rank)
        self._files = Epochs(self.folder, self.n)
        self._classes = np.full((3, self.n), -1, np.int32)  # label as given, class predicted last, epoch of that
        if labels is not None:
            self._classes[0] = _integers("labels", labels, self.n, LABELS, "number the classes 0, 1, ...")
        self.folder.mkdir(parents=True, exist_ok=True)  # now, to fail before the first epoch
        self._take_classes()
        files = self._files.by_epoch()
        self.epoch = max(files, default=-1) + 1
        if files:
            self._files.read(files[self.epoch - 1])  # a damaged file or another run's is an error now
        if epoch is not None:
            self.epoch = min(whole().check("epoch", epoch), self.epoch)
        self._before = self._files.paths()
        self._begin()

    def log(self, ids, logits=None, labels=None, *, losses=None) -> None:
        """Record a batch. All arguments are copied to the CPU, without their graph.

        Parameters
        ----------
        ids : tensor, array or list of int, shape (batch,)
            Positions of the samples in the data set, in 0 to n - 1.
        logits : tensor or array, shape (batch, n_classes), or (batch, 1) for the single logit of class 1, optional
            A classifier's outputs before softmax. They give margins, predictions and, without ``losses``, log-losses.
        labels : tensor, array or list of int, shape (batch,), optional
            Classes as given; by default those that `Recorder` got.
        losses : tensor or array, shape (batch,), optional
            The loss of each sample, not the mean.

        Raises
        ------
        ValueError
            If ids, labels or shapes do not fit; nothing of the batch is recorded then. For NaN losses; these samples
            count as missing then, and the rest of the batch is recorded. The epoch is not lost.
        """
        if self._now is None:
            raise ValueError("log after close: open the folder with a new Recorder to continue")
        if logits is None and losses is None:
            raise ValueError("logits and losses are both None: give one of them")
        ids = _integers("ids", ids, None, self.n, "ids are positions in the data set, and n is its length")
        size = len(ids)
        if logits is None:
            labels, margins, predicted = self._labels(ids, labels), np.full(size, np.nan, np.float32), None
        else:
            logits = _floats(logits)
            if logits.ndim != 2 or len(logits) != size or not logits.shape[1]:
                raise ValueError(
                    f"logits must have shape ({size}, n_classes) for {size} ids, got {logits.shape}: give a single "
                    "logit as logits[:, None], and the loss of each sample as losses="
                )
            if logits.shape[1] == 1:
                logits = np.hstack([np.zeros_like(logits), logits])  # the same classifier with two logits
            labels = self._labels(ids, labels, logits.shape[1])
            found, margins, predicted = _scores(logits, labels)
        losses = found if losses is None else _floats(losses)
        if losses.shape != (size,):
            raise ValueError(
                f"losses must have shape ({size},), one for each id, got {losses.shape}: PyTorch's losses need "
                "reduction='none'"
            )
        nan, (rows, first) = np.isnan(losses), np.unique(ids, return_index=True)
        fresh = first[np.isnan(self._now[0, rows]) & ~nan[first]]
        rows = ids[fresh]
        self._now[0, rows], self._now[1, rows], self._classes[0, rows] = losses[fresh], margins[fresh], labels[fresh]
        if predicted is not None:
            self._classes[1, rows], self._classes[2, rows] = predicted[fresh], self.epoch
        self._repeated += size - int(nan.sum()) - len(fresh)
        self._logged = True
        if nan.any():
            raise ValueError(
                f"{'losses' if logits is None else 'logits'} gives a NaN loss to {nan.sum()} of {size} samples in "
                f"epoch {self.epoch}, the first is sample {ids[nan][0]}: lower the learning rate, or check the sample. "
                "The other samples are recorded; catch this error to continue"
            )

    def end_epoch(self) -> None:
        """Write the epoch to disk and begin the next one.

        Raises
        ------
        ValueError
            If nothing was logged in this epoch.
        itlm.errors.Refused
            If another process has written this epoch of this rank.
        """
        if not self._logged:
            raise ValueError(f"end_epoch without any log in epoch {self.epoch}: call log once a batch")
        path = self.folder / f"epoch-{self.epoch:04d}-rank-{self.rank}-of-{self.ranks}.npy"
        if path.exists() and path not in self._before:
            raise Refused(f"{path} is from another process: give each process its rank, and each run its folder")
        for old in self._before - {path}:  # epochs to be replaced, of this rank or another number of ranks
            epoch, rank, ranks = named(old)
            if (epoch > self.epoch and rank == self.rank) or (epoch >= self.epoch and ranks != self.ranks):
                old.unlink(missing_ok=True)
        save(self.folder / f"classes-rank-{self.rank}.npy", self._classes)  # before the file that completes the epoch
        values, facts = self._now, np.array([self.n, self._repeated])
        if self.ranks == 1:
            save(path, values, facts)
        else:
            seen = ~np.isnan(values[0])  # a rank sees a share of the samples, and writes only these
            save(path, values[:, seen], facts, np.packbits(seen))
        self._before.discard(path)
        self.epoch += 1
        self._begin()

    def close(self) -> None:
        """Drop the unfinished epoch and its memory; the epochs on disk can still be read."""
        self._now, self._logged = None, False

    @property
    def epochs(self) -> list[int]:
        """The epochs on disk that all ranks have ended, ascending."""
        return list(self._files.by_epoch())

    @property
    def labels(self) -> np.ndarray | None:
        """The labels as given, int32, shape (n,), -1 if unknown; None if all are unknown."""
        return self._known(0)

    @property
    def losses(self) -> np.ndarray:
        """The losses in each epoch, float32, shape (n_epochs, n), NaN if a sample was missing; read from disk."""
        return np.array([values[0] for _, values, _ in self._files.each()])

    @property
    def margins(self) -> np.ndarray:
        """The margins in each epoch, as `losses`; NaN also if a sample had no logits."""
        return np.array([values[1] for _, values, _ in self._files.each()])

    def loss_at(self, epoch: int) -> np.ndarray:
        """Return the losses in one epoch, float32, shape (n,), NaN if a sample was missing."""
        return self._files.read(self._files.upto(epoch)[epoch])[0][0]

    def mean_loss(self, epoch: int | None = None) -> np.ndarray:
        """Return each sample's mean loss until the end of an epoch, by default the last; shape (n,), NaN if unknown."""
        return self._summary(epoch)[0]["mean_loss"]

    def mean_margin(self, epoch: int | None = None) -> np.ndarray:
        """Return each sample's mean margin (AUM) until the end of an epoch, as `mean_loss`."""
        return self._summary(epoch)[0]["mean_margin"]

    def counts(self) -> list[Count]:
        """Return how many samples were seen, missing and repeated in each complete epoch."""
        return self._summary()[1]

    def report(
        self, alpha: float | None = None, *, score: str | None = None, epoch: int | None = None, ids=None,
        planted=None, **options,
    ) -> Report:  # fmt: skip
        """Report the suspects: the samples that trimming by a score drops, within each class if labels are known.

        The report's rounds are the epochs, each trimmed by its own losses; a last round is trimmed by the score. A
        sample that was missing in an epoch is kept there. A sample that was never seen is kept, with the median score,
        and an alarm names it.

        Parameters
        ----------
        alpha : float in (0, 1], optional
            Fraction to keep, of the samples that are not planted. With ``planted``, by default one minus the upper
            bound of the share of wrong samples.
        score : {"margin", "loss", "last_loss"}, optional
            Rank by the mean margin m (AUM), as the loss log(1 + exp(-m)), by the mean loss, or by the last loss. By
            default the margin if logits were recorded, else the mean loss.
        epoch : int, optional
            Use the epochs until the end of this one; by default all. The suggested class is always the last prediction.
        ids : sequence of length n, optional
            Names of the samples; by default 0, 1, ...
        planted : array of int, shape (m,), optional
            Positions of samples made wrong on purpose before training, with `itlm.audit.plant`. They give the share of
            wrong samples among the others, with a bound. The bound holds only if real errors are like the planted ones.
            The report leaves the planted samples out.
        **options
            As for `Report.of`, such as ``X``, ``images`` or ``details``, with n rows; a regression's values as
            ``given``.

        Raises
        ------
        ValueError
            Before the first complete epoch; without alpha and ``planted``; with fewer planted samples than
            `itlm.audit.compare` needs; for margins without logits; if trimming would keep an infinite loss.
        """
        if alpha is None and planted is None:
            raise ValueError(
                "alpha is None, and nothing is planted: give the fraction to keep as alpha; or, before training, "
                "change some labels with itlm.audit.plant, and give its ids as planted to estimate alpha"
            )
        self._take_classes()
        columns, counts = self._summary(epoch)
        if not (classifies := not np.isnan(columns["mean_margin"]).all()):
            del columns["mean_margin"]
        score = one_of(*SCORES).check("score", score or SCORES[not classifies])
        if score == "margin" and not classifies:
            raise ValueError("score='margin' needs margins, and none are recorded: give logits to log, or score='loss'")
        if score == "margin":
            ranking = np.logaddexp(0, -columns["mean_margin"])
        else:
            ranking = columns["mean_loss" if score == "loss" else "last_loss"]
        known, others, share, labels = ~np.isnan(ranking), np.ones(self.n, bool), None, self.labels
        if planted is not None:
            others[_integers("planted", planted, None, self.n, "planted are positions in the data set")] = False
            share = compare(ranking[others & known], ranking[~others & known])
            share = replace(share, by_kind={"planted": share})
            alpha = share.fraction() if alpha is None else alpha
        check_alpha(alpha)
        kept = []
        for losses in chain((values[0] for _, values, _ in self._files.each(epoch)), [ranking]):
            some = others & ~np.isnan(losses)
            kept.append(np.ones(self.n, bool))
            if some.any():
                kept[-1][some] = trim(losses[some], alpha, groups=None if labels is None else labels[some])
        ranking = np.where(known, ranking, np.median(ranking[known])) if known.any() else ranking
        made = {
            "kept": np.array(kept).T, "ids": np.arange(self.n) if ids is None else np.asarray(ids), "given": labels,
            "suggested": self._known(1), "log_loss": ranking if classifies and score != "margin" else None,
        } | columns  # fmt: skip
        rows, made = np.flatnonzero(others), made | options
        for name in made.keys() - NOT_ROWS:
            made[name] = None if made[name] is None else take(made[name], rows)
        made["kept"], made["scores"] = made["kept"].T, {name: made.pop(name) for name in columns}
        made = {"share": share, "command": f"Recorder.report, {score=}, {alpha=}"} | made
        report = Report.of(ranking[rows], **made)
        return replace(report, alarms=report.alarms + tuple(_alarms(known[rows], counts)))

    def _begin(self) -> None:
        self._now = np.full((2, self.n), np.nan, np.float32)  # losses and margins of this epoch
        self._repeated, self._logged = 0, False

    def _labels(self, ids, labels, n_classes=None) -> np.ndarray:
        """Return the labels of a batch; logits need known labels that are their columns."""
        before = self._classes[0, ids]
        if labels is not None:
            labels = _integers("labels", labels, len(ids), LABELS, "give the class of each id, 0, 1, ...")
            if (differs := (before >= 0) & (before != labels)).any():
                raise ValueError(
                    f"labels has class {labels[differs][0]} for sample {ids[differs][0]}, which had class "
                    f"{before[differs][0]}: give the labels of the data set, and positions in it as ids"
                )
        elif n_classes and (before < 0).any():
            raise ValueError(f"labels lacks sample {ids[before < 0][0]}: give labels to log or to Recorder")
        labels = before if labels is None else labels
        if n_classes and (beyond := labels >= n_classes).any():
            raise ValueError(
                f"labels must be columns of logits, 0 to {n_classes - 1}, got {labels[beyond][0]} for sample "
                f"{ids[beyond][0]}: number the classes 0, 1, ..., or give all logits"
            )
        return labels

    def _known(self, row) -> np.ndarray | None:
        return self._classes[row].copy() if (self._classes[row] >= 0).any() else None

    def _take_classes(self) -> None:
        """Take labels and predictions from the files of all ranks, after checking that the labels agree."""
        mine = self._classes
        for path in sorted(self.folder.glob("classes-rank-*.npy")):
            theirs = load(path)[0]
            self._files.check_n(path, theirs.shape[1])
            if (differs := (mine[0] >= 0) & (theirs[0] >= 0) & (mine[0] != theirs[0])).any():
                raise Refused(
                    f"{path} has other labels for {differs.sum()} of {self.n} samples, the first is sample "
                    f"{differs.argmax()}: give the labels of that run, or choose another folder"
                )
            np.maximum(mine[0], theirs[0], out=mine[0])
            newer = theirs[2] > mine[2]
            mine[1:, newer] = theirs[1:, newer]

    def _summary(self, epoch=None) -> tuple[dict[str, np.ndarray], list[Count]]:
        """Return each sample's means, last loss and number of epochs, until the end of an epoch; and all counts."""
        total, seen, last, counts = np.zeros((2, self.n)), np.zeros((2, self.n), int), np.full(self.n, np.nan), []
        for number, values, repeated in self._files.each(epoch):
            known = ~np.isnan(values)
            np.add(total, values, out=total, where=known)
            np.copyto(last, values[0], where=known[0])
            seen += known
            some = int(known[0].sum())
            counts.append(Count(number, some, self.n - some, repeated))
        loss, margin = np.divide(total, seen, out=np.full_like(total, np.nan), where=seen > 0)
        return {"mean_loss": loss, "last_loss": last, "mean_margin": margin, "epochs": seen[0]}, counts


def _scores(logits, labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return log-losses, margins and predicted classes, shape (batch,); logits, (batch, n_classes), are changed."""
    rows = np.arange(len(labels))
    given = logits[rows, labels]
    logits[rows, labels] = -np.inf
    other = logits.argmax(axis=1)
    top = logits[rows, other]
    with np.errstate(invalid="ignore", divide="ignore"):
        margins = given - top
        excess = np.log(np.exp(logits - top[:, None]).sum(axis=1)) - margins  # of the others over the given label
        losses = np.logaddexp(0, excess)
    return losses, margins, np.where(margins >= 0, labels, other)


def _alarms(known, counts) -> Iterator[Alarm]:
    """Yield what a reader must know of unseen, missing and repeated samples."""
    if not known.all():
        text = "{:,} samples were never recorded. They are kept, with the median score: check that the loader has them."
        yield Alarm("unseen", text.format((~known).sum()), tuple(np.flatnonzero(~known)[:SHOWN].tolist()))
    for kind, text in (
        ("missing", "{} of {} epochs lack samples, at most {:,} each. Means leave such epochs out."),
        ("repeated", "{} of {} epochs have repeated samples, at most {:,} each. Only the first value counts."),
    ):
        numbers = [getattr(one, kind) for one in counts]
        if any(numbers):
            yield Alarm(kind, text.format(np.count_nonzero(numbers), len(numbers), max(numbers)))


def _integers(name, values, size, below, remedy) -> np.ndarray:
    """Return integers in 0 to ``below`` - 1 as an array, of length ``size`` unless that is None."""
    values = values.detach().cpu().numpy() if hasattr(values, "detach") else unmasked(name, values)
    if values.ndim != 1 or values.dtype.kind not in "iu" or size not in (None, len(values)):
        wanted = "one-dimensional" if size is None else f"of shape ({size},)"
        raise ValueError(f"{name} must be integers, {wanted}, got {values.dtype} of shape {values.shape}: {remedy}")
    if (bad := (values < 0) | (values >= below)).any():
        raise ValueError(f"{name} must be in 0 to {below - 1}, got {values[bad][0]}: {remedy}")
    return values.astype(np.int64, copy=False)


def _floats(values) -> np.ndarray:
    """Return a copy as float32; values beyond its range become infinite."""
    values = values.detach().cpu().float().numpy() if hasattr(values, "detach") else values  # NumPy has no bfloat16
    with np.errstate(over="ignore"):
        return np.array(values, np.float32)
