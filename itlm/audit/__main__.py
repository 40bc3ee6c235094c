"""Find wrong labels or values in a table or in a folder of images, and write a report.

    python -m itlm.audit my.csv --target label --out report/      a table, CSV or Parquet
    python -m itlm.audit photos/ --out report/                    images, photos/<class>/*.png

The report is a folder: report.html to look at, report.csv and report.json with all samples, and what is kept: of a
table cleaned.csv, of images kept.txt. A folder that exists is replaced if it holds nothing but an earlier report. The
exit code is 0, 2 if something has to be corrected, or 130 after Ctrl-C; only 0 writes anything.
"""

import argparse
import json
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import files
from ..errors import Diverged, Missing
from .planting import shifted, systematic
from .report import FORMAT, Report

__all__ = ["main", "options"]

WRITTEN = {"report.html", "report.csv", "report.json", "cleaned.csv", "kept.txt"}
KINDS = {
    "classification": ("confusable", "uniform", "systematic"),
    "regression": ("gross", "permuted", "wrong_unit", "shifted"),
}
ONLY = {"table": ("target", "id", "task", "model"), "folder": ("features", "epochs")}


def options() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    add = (
        parser := argparse.ArgumentParser(
            prog="python -m itlm.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
    ).add_argument
    add("path", type=Path, help="a .csv or .parquet file, or a folder with a subfolder of images for each class")
    add("--out", type=Path, required=True, help="the folder to write")
    add("--target", metavar="COLUMN", help="table: the column of labels or values")
    add("--id", metavar="COLUMN", help="table: a column that names the rows; by default rows are counted from 0")
    add("--task", choices=sorted(KINDS), help="table: by default, found out from the target")
    add("--model", help="table: boosting (default), linear, or a scikit-learn estimator of yours, package.module:Class")
    add("--features", type=Path, metavar="FILE.npy",
        help="folder: an array with a row for each image file, sorted by class and then by path; logistic regression "
        "is fitted to these features instead of a network to the images")  # fmt: skip
    add("--epochs", type=float, help="folder: epochs of each of the network's fits, by default 6")
    add("--errors", metavar="KINDS",
        help="kinds of errors that you fear, separated by commas: of labels confusable (default), uniform, systematic; "
        "of values gross (default), permuted, wrong_unit, shifted")  # fmt: skip
    add("--seed", type=int, default=0, help="seeds models, folds and planted errors (default 0)")
    add("--most", type=int, default=500, help="samples that report.html shows (default 500)")
    return parser


def main(arguments=None) -> int:
    """Run the command line; return 0, 2 if something has to be corrected, or 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    asked = options().parse_args(arguments)
    asked.command = shlex.join(["python", "-m", "itlm.audit", *arguments])
    try:
        with _warned():
            _check(asked)
            with _folder(asked.out) as place:
                text = (_audit_folder if asked.path.is_dir() else _audit_table)(asked, place)
        print(f"{text}; the report is {asked.out / 'report.html'}", flush=True)
        return 0
    except KeyboardInterrupt:
        _say("itlm.audit: stopped; nothing was written")
        return 130
    except OSError as error:
        name = str(error.filename or asked.out).replace(*map(str, _places(asked.out)[1::-1]))
        _say(f"itlm.audit: {name}: {error.strerror or error}; nothing was written. Remove the cause and start again")
    except MemoryError as error:
        _say(f"itlm.audit: out of memory ({error}): take fewer rows or columns")
    except ImportError as error:
        _say(f"itlm.audit: {error}: pip install 'itlm[torch]' pandas")
    except (ValueError, Missing, Diverged) as error:
        _say(f"itlm.audit: {error}")
    return 2


def _check(asked) -> None:
    """Check what the arguments have in common, before anything is read."""
    if not asked.path.exists():
        raise ValueError(f"{asked.path} does not exist: give a .csv or .parquet file, or a folder of images")
    kind, other = ("folder", "table") if asked.path.is_dir() else ("table", "folder")
    for name in ONLY[other]:
        if getattr(asked, name) is not None:
            raise ValueError(f"--{name} is for a {other}, and {asked.path} is a {kind}: leave it out")
    if kind == "table" and asked.target is None:
        raise ValueError(f"--target is missing: name the column of {asked.path} that has the labels or values")
    if asked.epochs is not None and not 0 < asked.epochs < 1e6:
        raise ValueError(f"--epochs must be above 0, got {asked.epochs}")
    for name, least in (("seed", 0), ("most", 1)):
        if getattr(asked, name) < least:
            raise ValueError(f"--{name} must be at least {least}, got {getattr(asked, name)}")


def _audit_table(asked, place: Path) -> str:
    """Write the report of a table; return its result in one sentence."""
    from . import models, tables

    table = tables.read(asked.path, asked.target, asked.id, asked.task)
    n, d = table.X.shape
    for note in [f"{asked.path}: {n:,} rows, {d:,} columns to learn from.", *table.notes]:
        _say(note)
    model = models.pipeline(table.X, table.task, asked.model or "boosting", asked.seed)
    report = _report(asked, model, table.X, table, table.task, {"X": table.X, "details": table.X})
    _write(report, asked, place)
    files.write(place / "cleaned.csv", tables.cleaned(table, report.kept[-1]))
    return _result(report, "labels" if table.task == "classification" else "values")


def _audit_folder(asked, place: Path) -> str:
    """Write the report of a folder of images; return its result in one sentence."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from ..deep.inputs import to_tensor
    from . import folders

    found = folders.read(asked.path)
    for note in [f"{asked.path}: {len(found.y):,} images of {len(np.unique(found.y))} classes.", *found.notes]:
        _say(note)
    if asked.features is None:
        X, model = to_tensor(found.images), folders.Network(asked.epochs or folders.EPOCHS, asked.seed)
    else:
        X = folders.features(asked.features, found)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    shown = {"X": found.images, "images": folders.Thumbnails(asked.path, found.ids)}
    report = _report(asked, model, X, found, "classification", shown)
    _write(report, asked, place)
    kept = found.ids[report.kept[-1]]
    files.write(place / "kept.txt", "".join(f"{name}\n" for name in kept).encode())
    return _result(report, "labels")


def _report(asked, model, X, data, task, shown: dict) -> Report:
    """Estimate the share of errors, rank the samples, and return the report; ``data`` has y, ids and digest."""
    from .inspection import inspected

    y, names = (data.y, None) if task == "regression" else np.unique(data.y, return_inverse=True)[::-1]
    errors = _errors(asked.errors, task, y)
    try:
        share, found = inspected(model, X, y, errors=errors, seed=asked.seed, progress=_progress)
    except Exception as error:
        if ":" not in (asked.model or ""):
            raise
        raise ValueError(f"--model {asked.model} fails: {type(error).__name__}: {error}") from error
    if names is not None:
        found["suggested"] = names[found["suggested"]]
    return Report.from_share(
        share, data.y, ids=data.ids, command=asked.command, seed=asked.seed, data=data.digest, **found, **shown
    )


def _errors(names: str | None, task: str, y):
    """Return the kinds of errors of that name, as `itlm.audit.inspection.inspected` takes them."""
    if names is None:
        return "auto"
    make = {"systematic": lambda: systematic(y.max() + 1), "shifted": shifted}
    kinds = {}
    for name in (name.strip() for name in names.split(",")):
        if name not in KINDS[task]:
            raise ValueError(f"--errors has {name!r}: for {task} the kinds are {', '.join(KINDS[task])}")
        kinds[name] = make[name]() if name in make else name
    return kinds


def _write(report: Report, asked, place: Path) -> None:
    report.to_html(place / "report.html", asked.most)
    report.to_csv(place / "report.csv")
    report.to_json(place / "report.json")


def _result(report: Report, what: str) -> str:
    """Return the result in one sentence, for somebody who reads nothing else."""
    n, dropped, share = len(report.losses), int((~report.kept[-1]).sum()), report.share
    bound = f"at most {_percent(share.upper)} with {100 * share.level:g} % confidence"
    if share.verdict == "none found":
        text = f"No wrong {what} found among {n:,}, {bound}"
    elif share.verdict == "cannot tell":
        text = f"The share of wrong {what} among {n:,} cannot be told ({'; '.join(share.reasons)}): try other --errors"
    else:
        text = f"About {_percent(share.estimate)} of the {n:,} {what} are wrong, {bound}"
    return f"{text}; the {dropped:,} most suspect are dropped" if dropped else f"{text}; none are dropped"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _places(out: Path) -> tuple[Path, Path, Path]:
    """Return the folder to write, the one that is written first, and where an earlier report is put meanwhile."""
    out = Path(os.path.abspath(out))
    return out, *(out.with_name(f".{out.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """Yield a folder to write into, which takes the place of ``out`` at the end, or is removed after an error."""
    out, partial, old = _places(out)
    if out.exists() and not _is_ours(out):
        raise ValueError(f"--out {out} exists and is no report of this command: remove it, or name another folder")
    partial.mkdir(parents=True)
    try:
        yield partial
        if out.exists():
            out.rename(old)
        partial.rename(out)
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        for rest in (partial, old):
            shutil.rmtree(rest, ignore_errors=True)


def _is_ours(out: Path) -> bool:
    """Tell whether a folder is empty, or holds an earlier report and nothing else."""
    if not out.is_dir() or not {path.name for path in out.iterdir()} <= WRITTEN:
        return False
    try:
        return not any(out.iterdir()) or json.loads((out / "report.json").read_bytes())["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def _warned() -> Iterator[None]:
    """Say each warning once, in one line."""
    said = set()

    def show(message, *_, **__):
        if (text := f"{message}".splitlines()[0]) not in said:
            said.add(text)
            _say(f"warning: {text}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _progress(text: str) -> None:
    print(text, end="\r", file=sys.stderr, flush=True)  # whatever is printed next takes its place


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
