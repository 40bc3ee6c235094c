"""Which samples are suspect, how many are wrong, and what to look at first.

    report = Report.from_estimator(model, X, y, ids=names)     a fitted TrimmedEstimator or TrimmedRegressor
    report = Report.from_share(share, y)                       an estimate by `itlm.audit.error_share`
    report = Report.from_rounds(rounds, y)                     the rounds of `itlm.iterate`
    print(report)                                              the share of errors, the alarms, the first suspects
    report.to_html("report.html")                              one file to look at; also to_csv, to_parquet, to_json

A report never knows which samples are wrong. It ranks them by loss, and estimates probabilities from planted errors.
"""

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write
from ..trimming import as_losses, trim
from .alarms import Alarm, are_classes, look, row_hashes
from .fraction import ErrorShare
from .planting import labels_of

__all__ = ["FORMAT", "NAMES", "Report", "digest", "provenance"]

FORMAT = "itlm-report-1"  # of the JSON file, see report.schema.json
# Column names of other tools: Datalab's of cleanlab, and FiftyOne's.
NAMES = {
    "datalab": {"given": "given_label", "suggested": "predicted_label", "dropped": "is_label_issue",
                "quality": "label_score"},
    "fiftyone": {"id": "filepath", "given": "ground_truth", "suggested": "predictions", "probability": "mistakenness"},
}  # fmt: skip
BLOCK = 5000  # samples that are turned into JSON at a time
CONFUSIONS = 20  # most frequent ones that the summary lists
VERSIONS = ("itlm", "numpy", "scipy", "scikit-learn", "pandas", "torch")


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """What trimming says about each sample, and about all of them.

    Attributes
    ----------
    ids : array, shape (n,)
        The user's names of the samples; by default 0, 1, ...
    losses : array of float, shape (n,)
        Loss of each sample; out of fold if planted errors were used.
    kept : array of bool, shape (n_rounds, n)
        The samples kept in each round. Those that the last round dropped are the suspects.
    given, suggested : array, shape (n,), or None
        Label or value as given, and as the model has it.
    margin : array of float, shape (n,), or None
        How much the model prefers the given label to the best other one; below 0 if it prefers another label.
    share : ErrorShare or None
        The estimated share of wrong samples.
    alarms : tuple of `itlm.audit.alarms.Alarm`
        What is wrong with the data or with this report.
    scores : dict of str to array, shape (n,)
        Further scores, such as a recorder's.
    images : array of uint8, shape (n, height, width) or (n, height, width, 3), or None
        The samples to show.
    details : data frame of n rows, or None
        The user's own columns, to show beside the suspects.
    provenance : dict of str
        Versions, command, seed and the digest of the data.
    """

    ids: np.ndarray
    losses: np.ndarray
    kept: np.ndarray
    given: np.ndarray | None = None
    suggested: np.ndarray | None = None
    margin: np.ndarray | None = None
    share: ErrorShare | None = None
    alarms: tuple[Alarm, ...] = ()
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    images: np.ndarray | None = None
    details: Any = None
    provenance: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        losses,
        *,
        kept,
        ids: Sequence | None = None,
        given=None,
        suggested=None,
        margin=None,
        share: ErrorShare | None = None,
        X=None,
        scores: dict | None = None,
        images=None,
        details=None,
        log_loss=None,
        command: str = "",
        seed: int | None = None,
        data: str = "",
    ) -> "Report":
        """Make a report from arrays of n samples.

        Parameters
        ----------
        losses, kept, ids, given, suggested, margin, share, scores, images, details
            As the attributes. ``kept`` may have one round alone, shape (n,).
        X : array, data frame or tensor with n rows, optional
            Features, in which the alarms look for duplicates and for details that the easiest samples share.
        log_loss : array of float, shape (n,), optional
            Log-losses: if those of the kept samples are tiny, the classes are separable.
        command, seed, data : str, int, str
            How the report was made, and the digest of its data; by default that of X and the given labels.

        Raises
        ------
        ValueError
            If lengths differ, ids are not unique, or losses are NaN.
        """
        losses = as_losses(labels_of(losses).astype(float))
        n = len(losses)
        kept = np.atleast_2d(labels_of(kept)).astype(bool)
        ids = np.arange(n) if ids is None else _unique(np.asarray(ids))
        given, suggested, margin = (None if v is None else labels_of(v) for v in (given, suggested, margin))
        scores = {name: labels_of(values) for name, values in (scores or {}).items()}
        every = {"ids": ids, "kept": kept.T, "given": given, "suggested": suggested, "margin": margin,
                 "images": images, "details": details, "X": X, "log_loss": log_loss} | scores  # fmt: skip
        for name, values in every.items():
            if values is not None and (found := values.shape[0] if hasattr(values, "shape") else len(values)) != n:
                raise ValueError(f"{name} has {found} samples, and losses has {n}: give one for each")
        if margin is not None and (given is None or given.ndim != 1):
            raise ValueError("margin needs the given labels, one for each sample: pass given too, or leave margin out")
        if given is not None and (missing := _missing(given)):
            raise ValueError(f"given lacks {missing} of {n} labels: leave these samples out, or name the gap")
        if images is not None and (images.dtype != np.uint8 or images.shape[3:] not in ((), (3,)) or images.ndim < 3):
            raise ValueError(
                "images must be uint8, (n, height, width) or (n, height, width, 3), got "
                f"{images.dtype} {images.shape}: scale them to 0 to 255, colours last"
            )
        found = look(losses, kept[-1], given=given, X=X, share=share, log_loss=log_loss)
        made = provenance(command, seed, data or ("" if X is None else digest(X, given)))
        return cls(ids, losses, kept, given, suggested, margin, share, found, scores, images, details, made)

    @classmethod
    def from_share(cls, share: ErrorShare, given, *, last=None, **options) -> "Report":
        """Make a report from an estimate, whose losses are out of fold.

        Parameters
        ----------
        share : ErrorShare
            The result of `itlm.audit.error_share` for all samples of the data.
        given : array, shape (n,) or (n, n_outputs)
            Labels or values as given.
        last : array of bool, shape (n,), optional
            The last selection. By default it drops the upper bound of the share, by loss and within each class, or
            nothing if no errors were found or the share cannot be told.
        **options
            As for `of`.
        """
        if share.losses is None or len(share.losses) != len(given):
            raise ValueError(f"share has no losses of the {len(given)} samples: take that of error_share")
        if last is None:
            drop = share.upper if share.verdict == "a number" else 0.0
            last = trim(share.losses, max(1 - drop, 0.05), groups=None if share.margin is None else labels_of(given))
        kept = np.vstack([share.kept, labels_of(last)[None] > 0])
        options = {"suggested": share.suggested, "margin": share.margin} | options
        return cls.of(share.losses, kept=kept, given=given, share=share, **options)

    @classmethod
    def from_estimator(cls, model, X, y, *, ids=None, errors="auto", seed: int = 0, **options) -> "Report":
        """Make a report from a fitted `TrimmedEstimator` or `TrimmedRegressor` and the data that it was fitted to.

        The suspects are the samples that the model dropped. Their losses, and the share of wrong samples, are estimated
        out of fold, by fourteen further fits, see `itlm.audit.inspection`.

        Parameters
        ----------
        model : TrimmedEstimator or TrimmedRegressor
            Fitted; not changed.
        X, y : array or data frame
            The data that the model was fitted to.
        ids : sequence of length n, optional
            Names of the samples; default the index of a data frame.
        errors : "auto", or as for `itlm.audit.inspection.inspected_by`
            The kinds of errors to plant.
        seed : int
            Seeds the folds and the planted errors.
        **options
            As for `of`.
        """
        from .inspection import inspected

        if not hasattr(model, "inlier_mask_"):
            raise ValueError(f"model must be a fitted trimmed estimator, got {type(model).__name__}: call fit first")
        share, found = inspected(getattr(model, "estimator", model), X, y, errors=errors, seed=seed)
        options = {"X": X, "ids": getattr(X, "index", None) if ids is None else ids, "seed": seed} | found | options
        return cls.from_share(share, y, last=model.inlier_mask_, **options)

    @classmethod
    def from_rounds(cls, rounds, y=None, **options) -> "Report":
        """Make a report from the rounds of `itlm.iterate`, whose losses are those of the last; options are `of`'s."""
        rounds = list(rounds)
        if not rounds:
            raise ValueError("rounds is empty: give at least one round of iterate")
        kept = [labels_of(step.kept) > 0 for step in rounds]
        return cls.of(labels_of(rounds[-1].losses), kept=np.array(kept), given=y, **options)

    @property
    def order(self) -> np.ndarray:
        """The samples from the most suspect to the least: by descending loss, ties by position; int, shape (n,)."""
        return np.argsort(-self.losses, kind="stable")

    @property
    def probability(self) -> np.ndarray | None:
        """The probability of each sample to be wrong, shape (n,), from planted errors; None without a share."""
        return None if self.share is None else self.share.probability(self.losses)

    def to_frame(self, names: str | None = None):
        """Return one row a sample, in the order of the data, as a `pandas.DataFrame`.

        Parameters
        ----------
        names : {None, "datalab", "fiftyone"}
            Whose names the columns get. The other tools' tables have their columns alone.
        """
        import pandas as pd

        n, rank = len(self.losses), np.empty(len(self.losses), int)
        rank[self.order] = np.arange(1, n + 1)
        dropped = ~self.kept
        table = pd.DataFrame({"id": self.ids})
        if self.given is not None and self.given.ndim == 1:
            table["given"] = self.given
        if self.suggested is not None and self.suggested.ndim == 1:
            table["suggested"] = self.suggested
        table["loss"], table["rank"] = self.losses, rank
        if self.by_class:
            table["rank_in_class"] = table.groupby("given")["rank"].rank(method="first").astype(int)
        if self.margin is not None:
            table["margin"] = self.margin
        if (probability := self.probability) is not None:
            table["probability"] = probability
        table["dropped"] = dropped[-1]
        first = np.where(dropped.any(axis=0), dropped.argmax(axis=0), -1)
        table["first_dropped"] = pd.array(first, dtype="Int64")
        table.loc[first < 0, "first_dropped"] = pd.NA
        table["kept_rounds"] = ["".join(column) for column in np.where(self.kept.T, "1", "0").tolist()]
        for name, values in self.scores.items():
            table[name] = values
        table.attrs["provenance"] = self.provenance
        if names is None:
            return table
        if names not in NAMES:
            raise ValueError(f"names must be one of {', '.join(map(repr, NAMES))} or None, got {names!r}")
        table["quality"] = np.exp(-self.losses) if self.probability is None else 1 - self.probability
        theirs = {"id": "id"} | NAMES[names]
        return table[[c for c in theirs if c in table]].rename(columns=theirs)

    @property
    def by_class(self) -> bool:
        """Whether the given labels are classes, which the report then counts."""
        return self.margin is not None or are_classes(self.given)

    def summary(self) -> dict:
        """Return what is known of all samples, as plain numbers and text, ready for JSON.

        Returns
        -------
        dict
            ``samples``, ``dropped``; ``share`` (estimate, upper, level, verdict, reasons, text), or None;
            ``wrong_among_dropped`` and ``wrong_among_kept``, predicted; ``classes``, one entry a class; ``confusions``,
            the most frequent (given, suggested, count) among the dropped; ``found``, by kind the share of planted
            errors that the same cut drops, if it drops any; ``alarms``.
        """
        n, dropped, share = len(self.losses), ~self.kept[-1], self.share
        found = {"samples": n, "dropped": int(dropped.sum()), "share": None}
        if share is not None:
            alpha = max(1 - dropped.mean(), 1 / n)
            probability = self.probability
            in_kept, in_dropped = (
                float(probability[some].mean()) if some.any() else 0.0 for some in (~dropped, dropped)
            )
            found["share"] = {
                "estimate": share.estimate, "upper": share.upper, "level": share.level, "verdict": share.verdict,
                "reasons": list(share.reasons), "text": repr(share),
            }  # fmt: skip
            found |= {"wrong_among_dropped": in_dropped, "wrong_among_kept": in_kept}
            if dropped.any():
                found["found"] = {name: one.found(float(alpha)) for name, one in share.by_kind.items()}
        if self.by_class:
            found |= {"classes": self._classes(dropped), "confusions": self._confusions(dropped)}
        found["alarms"] = [{"kind": one.kind, "text": one.text, "ids": _plain(self.ids[list(one.rows)])}
                           for one in self.alarms]  # fmt: skip
        return found

    def _classes(self, dropped) -> list[dict]:
        """Return each class's size, number dropped, expected number wrong, and most frequent suggestion."""
        probability, rows = self.probability, []
        for label in np.unique(self.given):
            mine = self.given == label
            row = {"class": _plain(label), "samples": int(mine.sum()), "dropped": int(dropped[mine].sum())}
            if probability is not None:
                row["expected_wrong"] = float(probability[mine].sum())
            if self.suggested is not None and (other := self.suggested[mine & dropped]).size:
                labels, counts = np.unique(other[other != label], return_counts=True)
                row["most_suggested"] = _plain(labels[counts.argmax()]) if len(labels) else None
            rows.append(row)
        return rows

    def _confusions(self, dropped) -> list[dict]:
        if self.suggested is None:
            return []
        some = dropped & (self.given != self.suggested)
        pairs = np.array([self.given[some].astype(str), self.suggested[some].astype(str)])
        found, first, counts = np.unique(pairs, axis=1, return_index=True, return_counts=True)
        rows, order = np.flatnonzero(some)[first], np.argsort(-counts, kind="stable")[:CONFUSIONS]
        return [{"given": _plain(self.given[rows[k]]), "suggested": _plain(self.suggested[rows[k]]),
                 "count": int(counts[k])} for k in order]  # fmt: skip

    def to_csv(self, path, names: str | None = None) -> None:
        """Write `to_frame` as CSV. A last column, ``provenance``, holds a JSON text in its first row alone."""
        table = self.to_frame(names)
        table["provenance"] = [json.dumps(self.provenance, sort_keys=True)] + [""] * (len(table) - 1)
        write(Path(path), table.to_csv(index=False, lineterminator="\n").encode())

    def to_parquet(self, path, names: str | None = None) -> None:
        """Write `to_frame` as Parquet, with the provenance among the file's metadata; needs pyarrow.

        Labels of several types become text.
        """
        import io

        try:
            import pyarrow as pa
            from pandas.api.types import is_object_dtype
            from pyarrow import parquet
        except ImportError as error:
            from ..errors import Missing

            raise Missing("to_parquet needs pyarrow: pip install pyarrow, or take to_csv") from error
        table = self.to_frame(names)
        for name in filter(lambda column: is_object_dtype(table[column]), table.columns):
            table[name] = table[name].astype(str)
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        arrow = arrow.replace_schema_metadata({"itlm": json.dumps(self.provenance, sort_keys=True)})
        parquet.write_table(arrow, target := io.BytesIO())
        write(Path(path), target.getvalue())

    def to_json(self, path) -> None:
        """Write provenance, summary and all samples as JSON; its schema is ``itlm/audit/report.schema.json``."""
        table = self.to_frame()
        whole = {"format": FORMAT, "provenance": self.provenance, "summary": self.summary(), "samples": []}
        head, tail = json.dumps(whole, indent=1, default=_plain, allow_nan=False).rsplit("[]", 1)
        blocks = []
        for at in range(0, len(table), BLOCK):  # all at once would take many times the table's memory
            rows = json.loads(table.iloc[at : at + BLOCK].to_json(orient="records"))
            known = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows]
            blocks.append(",\n".join(known).encode())
        write(Path(path), head.encode(), b"[\n", b",\n".join(blocks), b"\n]", tail.encode())

    def to_html(self, path, most: int = 500) -> None:
        """Write one page to look at, without a network: the summary and the first ``most`` suspects."""
        from .page import page

        write(Path(path), page(self, most).encode())

    def __repr__(self) -> str:
        found = self.summary()
        lines = [f"{found['samples']:,} samples, {found['dropped']:,} dropped"]
        if self.share is not None:
            lines[0] += f"; wrong: {self.share!r}"
        lines += [f"! {one.text}" for one in self.alarms]
        some = self.to_frame().sort_values("rank").head(5)
        columns = [c for c in ("rank", "id", "given", "suggested", "loss", "probability", "dropped") if c in some]
        return "\n".join([*lines, some[columns].to_string(index=False, float_format="{:.3g}".format)])


def provenance(command: str = "", seed: int | None = None, data: str = "") -> dict[str, str]:
    """Return how a report was made: versions, and what is given of command, seed and digest of the data."""
    made = {"python": platform.python_version()}
    for name in VERSIONS:
        with suppress(metadata.PackageNotFoundError):
            made[name] = metadata.version(name)
    given = {"command": command, "seed": seed, "data": data}
    return made | {name: str(value) for name, value in given.items() if value not in (None, "")}


def digest(X, y=None) -> str:
    """Return the SHA-256 of all rows of X and of the labels: 64 hexadecimal digits."""
    total = sha256(row_hashes(X).tobytes())
    if y is not None:
        total.update(row_hashes(np.asarray(y).astype(str)).tobytes())
    return total.hexdigest()


def _missing(given) -> int:
    """Return how many labels are None or NaN."""
    return int(sum(one is None or one != one for one in given.ravel())) if given.dtype.kind in "Of" else 0


def _unique(ids) -> np.ndarray:
    """Return the ids if they are unique; else an error names one that is not."""
    if ids.ndim != 1:
        raise ValueError(f"ids must be one for each sample, got an array of shape {ids.shape}")
    names, counts = np.unique(ids.astype(str), return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f"ids must be unique, got {names[counts.argmax()]} {counts.max()} times ({int((counts > 1).sum())} ids are "
            "repeated): name another column, or leave ids out to count rows"
        )
    return ids


def _plain(value):
    """Return numbers and text of NumPy and pandas as Python's own; others as text."""
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return value if isinstance(value, int | float | str | list | type(None)) else str(value)
