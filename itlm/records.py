"""What was found: one run, one record; many records, two tables.

``results/<experiment>.runs.csv`` has a row for each run (key, parameters, seed, provenance),
``results/<experiment>.csv`` its numbers in long form (key, round, metric, value), and
``results/paper/*.csv`` are the paper's own tables. No means are stored: pages compute them. The few arrays
that a run keeps, such as pictures, are ``results/<experiment>/<key>.npz``.
"""

import ast
import csv
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

__all__ = [
    "Record",
    "Damaged",
    "Missing",
    "Refused",
    "begin",
    "key",
    "selection",
    "save_part",
    "read_part",
    "collect",
    "folder",
    "results",
    "everything",
    "arrays",
    "by_round",
    "series",
    "runs_of",
]


ROOM = 200_000  # bytes that the arrays of one run may take, before compression
CHOOSING = 100  # seeds from here on are for choosing settings; no result is read from them


class Damaged(ValueError):
    """A recorded file is not as it was written; the message names the file, the line and the remedy."""


class Missing(RuntimeError):
    """A run needs a package or a program that is not installed; the message names it and says how to get it."""


class Refused(ValueError):
    """A checkpoint is of another run or fit; the message names the file and the remedy."""


@dataclass
class Record:
    """One run: what it was, where it ran, what it found.

    Attributes
    ----------
    experiment : str
        Its name.
    key : str
        Twelve hexadecimal digits that name the run: a digest of the experiment, its recipe number, the data
        and the fields that differ from their defaults.
    parameters : dict
        Every field, resolved.
    provenance : dict
        Device, threads, seconds, versions, source, time.
    rows : list of (round, metric, value)
        The numbers.
    arrays : dict of array
        What is no row, such as pictures: see `keep`.
    """

    experiment: str
    key: str
    parameters: dict
    provenance: dict
    rows: list = field(default_factory=list)
    arrays: dict = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter, repr=False)

    def add(self, t: int, numbers: dict[str, float]) -> None:
        """Add numbers measured in round t; NaN stands for "none" and is left out."""
        self.rows += [[t, name, float(value)] for name, value in numbers.items() if value == value]

    def keep(self, name: str, array) -> None:
        """Keep a small array, such as a few generated images.

        Raises
        ------
        ValueError
            If the run's arrays would take more than `ROOM` bytes.
        """
        self.arrays[name] = array
        taken = sum(kept.nbytes for kept in self.arrays.values())
        if taken > ROOM:
            raise ValueError(f"array {name!r} brings the run's arrays to {taken} bytes, more than {ROOM}: keep fewer")

    def finish(self, reason: str = "") -> "Record":
        """Stamp the record; a reason says why the run failed."""
        torch = sys.modules.get("torch")
        self.provenance |= {
            "status": "failed" if reason else "ok",
            "reason": " ".join(reason.split()),  # a table has one line a run
            "seconds": round(time.perf_counter() - self.began, 1),
            "device": (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu") if torch else "cpu",
            "threads": torch.get_num_threads() if torch else _threads(),
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "torch": version("torch") if torch else "",
            "utc": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return self


def begin(experiment: str, recipe: int, config, data: str) -> Record:
    """Begin the record of a run.

    Parameters
    ----------
    experiment : str
        Its name, which is its module's.
    recipe : int
        The experiment's recipe number: raised when the code changes what a run computes.
    config : itlm.config.Config
        The run, resolved: nothing left to the scale.
    data : str
        Digest of the data.
    """
    here = {"recipe": recipe, "data": data[:12], "source": _source(experiment), "dirty": _dirty()}
    return Record(experiment, key(experiment, recipe, config, data), asdict(config), here)


def key(experiment: str, recipe: int, config, data: str) -> str:
    """Name a run: a digest of its experiment, recipe number, data and fields that differ from their defaults.

    A new field with a default keeps old keys valid; a fixed bug, which raises the recipe number, does not.
    The parameters are those of `begin`.
    """
    named = {"experiment": experiment, "recipe": recipe, "data": data[:12], "fields": config.changed()}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:12]


def selection(kept, losses, is_bad) -> dict[str, float]:
    """Compare a selection with the truth.

    Parameters
    ----------
    kept : array of bool, shape (n,)
        The samples kept.
    losses : array of float, shape (n,)
        What they were ranked by; infinity is the largest.
    is_bad : array of bool, shape (n,)
        The truth.

    Returns
    -------
    dict of float
        In percent: ``precision``, the share of clean samples among those kept; ``recall``, the share of the
        clean samples that was kept; ``auc``, the chance that a bad sample has a larger loss than a clean
        one, NaN where there are none to compare.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    clean, finite = ~is_bad, np.minimum(losses, np.finfo(np.float64).max)
    return {
        "precision": 100 * float(clean[kept].mean()),
        "recall": 100 * float((kept & clean).sum() / clean.sum()) if clean.any() else np.nan,
        "auc": 100 * float(roc_auc_score(is_bad, finite)) if is_bad.any() and clean.any() else np.nan,
    }


def save_part(record: Record, parts: Path) -> Path:
    """Write one run to a file of its own, whole or not at all."""
    parts.mkdir(parents=True, exist_ok=True)
    path = parts / f"{record.key}.json"
    if record.arrays:  # first: where there is a record, its arrays are there
        import numpy as np

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **record.arrays)
        _write(path.with_suffix(".npz"), buffer.getvalue())
    content = {name: getattr(record, name) for name in ("experiment", "key", "parameters", "provenance", "rows")}
    _write(path, json.dumps(content).encode())
    return path


def read_part(path: Path) -> Record:
    """Read what `save_part` wrote, the arrays left out.

    Raises
    ------
    Damaged
        If the file is torn, or something else.
    """
    try:
        part = json.loads(path.read_text())
        record = Record(part["experiment"], part["key"], {**part["parameters"]}, {**part["provenance"]})
        for t, metric, value in part["rows"]:
            record.add(int(t), {metric: value})
        if record.key != path.stem or record.provenance["status"] not in ("ok", "failed"):
            raise ValueError(f"it is of run {record.key}, {record.provenance['status']}")
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{path} is torn, or no part file of a sweep ({type(error).__name__}: {error}). Move it elsewhere; if it "
            "was a run, that is run again"
        ) from error
    return record


def collect(experiment: str, parts: Path, into: Path | None = None) -> int:
    """Merge part files into the recorded tables.

    Rows are sorted, so that a difference between two versions is readable. A run that is recorded already
    is left as it is, unless it had failed.

    Parameters
    ----------
    experiment : str
        Which tables.
    parts : path
        Folder of part files; they stay.
    into : path, optional
        Folder of the tables; by default `folder`.

    Returns
    -------
    int
        Number of runs added.

    Raises
    ------
    Damaged
        If a table or a part file is not as it was written; then nothing is changed.
    """
    import pandas as pd

    into = into or folder()
    runs_path, values_path = into / f"{experiment}.runs.csv", into / f"{experiment}.csv"
    # The runs stay the text they are: a key of digits is no number, and a later column makes no float of an int.
    types = {"key": str, "round": int, "metric": str, "value": float}
    runs, values = pd.DataFrame(columns=["key", "status"]), pd.DataFrame(columns=list(types))
    if runs_path.exists():
        runs = pd.read_csv(_sound(runs_path), dtype=str, keep_default_na=False)
    if values_path.exists():
        values = pd.read_csv(_sound(values_path), dtype=types)
    recorded = dict(zip(runs.key, runs.status, strict=True))
    found = [read_part(path) for path in sorted(parts.glob("*.json"))]
    found = [part for part in found if part.experiment == experiment]
    new = [part for part in found if recorded.get(part.key) not in ("ok", part.provenance["status"])]
    if not new:
        return 0
    replaced = {part.key for part in new}  # perhaps with values but no run, if a process was killed in between
    told = [{"key": p.key, **p.parameters, **p.provenance} for p in new]
    new_runs = pd.DataFrame([{name: "" if v is None else str(v) for name, v in line.items()} for line in told])
    rows = [(p.key, *row) for p in new for row in p.rows]
    new_values = pd.DataFrame(rows, columns=list(types))
    columns = [*new_runs, *(name for name in runs if name not in new_runs)]
    runs = pd.concat([runs[~runs.key.isin(replaced)], new_runs], ignore_index=True)[columns].fillna("")
    values = pd.concat([values[~values.key.isin(replaced)].astype(types), new_values.astype(types)], ignore_index=True)
    parameters = [name for name in new[0].parameters if name in runs]
    runs = runs.sort_values([*parameters, "key"])
    values = values.sort_values(["key", "round", "metric"])
    for pictures in (path for p in new if (path := parts / f"{p.key}.npz").exists()):
        (into / experiment).mkdir(exist_ok=True)
        _write(into / experiment / pictures.name, pictures.read_bytes())
    _write(values_path, values.to_csv(index=False, float_format="%.8g", lineterminator="\n").encode())
    _write(runs_path, runs.to_csv(index=False, lineterminator="\n").encode())  # last: a run counts once it has its row
    return len(new)


def folder() -> Path:
    """Where the recorded results lie: in the checkout, or in the installed package."""
    here = Path(__file__).resolve().parent
    installed = here / "results"
    return installed if installed.is_dir() else here.parent / "results"


def results(name: str):
    """Read one recorded table.

    Parameters
    ----------
    name : str
        The file's name under ``results/`` without its ending, such as ``"labels"`` or ``"paper/table1"``.
        Give it literally: a notebook is re-run when a table it names has changed.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    FileNotFoundError
        If nothing is recorded under that name; the message lists what is.
    Damaged
        If a line is cut short, torn, or holds words where numbers belong.
    """
    import pandas as pd

    path = folder() / f"{name}.csv"
    if not path.exists():
        known = sorted(p.relative_to(folder()).with_suffix("").as_posix() for p in folder().rglob("*.csv"))
        raise FileNotFoundError(f"no results named {name!r} in {folder()}; there are {', '.join(known)}")
    return pd.read_csv(_sound(path), dtype=dict.fromkeys(["key", "data", "source", "python", "numpy", "torch"], str))


def everything() -> dict:
    """Read all that is recorded: the tables of `results` by name, the paper's own left out."""
    return {path.stem: results(path.stem) for path in sorted(folder().glob("*.csv"))}


def arrays(experiment: str, config) -> dict:
    """Look up the arrays that a recorded run kept.

    Parameters
    ----------
    experiment : str
        Its name.
    config : itlm.config.Config
        The run, resolved, with its seed.

    Returns
    -------
    dict of array
        As the run named them; empty where nothing is recorded, or nothing was kept.
    """
    import numpy as np

    runs = runs_of(results(f"{experiment}.runs"), config)
    for key in runs[runs.seed == config.seed].key:
        path = folder() / experiment / f"{key}.npz"
        if path.exists():
            with np.load(path) as kept:
                return dict(kept)
    return {}


def series(tables, config, metric: str, at: int | str = "last"):
    """Look up what was recorded of a configuration, seed by seed.

    Parameters
    ----------
    tables : pair of DataFrame
        ``results("x.runs")`` and ``results("x")``.
    config : itlm.config.Config
        The run, resolved; its seed does not matter. A field that the tables do not have yet counts as
        recorded at its default.
    metric : str
        Which number.
    at : int or "last"
        Of which round; ``"last"`` is the last that has the number.

    Returns
    -------
    pandas.Series
        Values by seed, ascending; empty where nothing is recorded. Seeds kept for choosing are left out.
    """
    found = by_round(tables, config, metric)
    found = found.ffill().tail(1) if at == "last" else found[found.index == at]
    return found.melt().set_index("seed").value.dropna().sort_index()


def by_round(tables, config, metric: str):
    """Look up what was recorded of a configuration, round by round and seed by seed.

    The parameters are those of `series`.

    Returns
    -------
    pandas.DataFrame
        A row for each round, a column for each seed; empty where nothing is recorded.
    """
    values, runs = tables[1], runs_of(tables[0], config)
    runs = runs[runs.seed < CHOOSING]
    mine = values[(values.metric == metric) & values.key.isin(runs.key)].merge(runs[["key", "seed"]], on="key")
    return mine.pivot(index="round", columns="seed", values="value")


def runs_of(runs, config):
    """Look up the finished runs of a configuration, whatever their seed: of the newest recipe, on the newest data.

    Where a set's digest differs between machines, as CelebA's does with the JPEG decoder, only the runs on the data
    that were used last count: each seed has one run.

    Parameters
    ----------
    runs : DataFrame
        ``results("x.runs")``.
    config : itlm.config.Config
        As for `series`.

    Returns
    -------
    pandas.DataFrame
        Their rows, with provenance such as ``seconds``.
    """
    runs = runs[runs.status == "ok"]
    for f in fields(config):
        want = getattr(config, f.name)
        if f.name == "seed":
            continue
        if f.name not in runs:
            runs = runs if want == f.default else runs[:0]
        else:
            column = runs[f.name]
            runs = runs[(column == want) | (column.isna() & (want == f.default or want is None))]
    runs = runs[runs.recipe == runs.recipe.max()]
    if "data" in runs and runs.data.nunique() > 1:
        runs = runs[runs.data == runs.sort_values("utc").data.iloc[-1]]
    return runs


NEEDED = {".runs.csv": ["key", "recipe", "data", "status", "reason"], ".csv": ["key", "round", "metric", "value"]}
NUMBERS = {"round": int, "value": float, "recipe": int, "seed": int, "seconds": float, "threads": int}


def _sound(path: Path) -> io.StringIO:
    """Open a table after a look at each line: whole, as wide as the first one, numbers where they belong."""
    text = path.read_text()
    lines = csv.reader(io.StringIO(text), strict=True)

    def refuse(what):
        raise Damaged(
            f"{path}:{max(lines.line_num, 1)}: {what}. Nothing was changed. Mend the line, or take the file back from "
            f"git: git restore {path}"
        )

    try:
        head = next(lines, [])
        needed = [] if path.parent.name == "paper" else NEEDED[".runs.csv" if ".runs" in path.suffixes else ".csv"]
        if missing := [name for name in needed if name not in head]:
            refuse(f"column {', '.join(missing)} is missing; there are {', '.join(head)}")
        for line in lines:
            if len(line) != len(head):
                refuse(f"has {len(line)} fields, the first line has {len(head)}")
            for name, word in zip(head, line, strict=True):
                try:
                    NUMBERS.get(name, str)(word)
                except ValueError:
                    refuse(f"{name} must be a number, got {word!r}")
    except csv.Error as error:
        refuse(str(error))
    if not text.endswith("\n"):
        refuse("the line is cut short: nothing ends it")
    return io.StringIO(text)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. One process at a time: what a killed one left, the next one overwrites."""
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a disk may say only now that it is full
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # writing to an open file names none
        raise
    finally:
        partial.unlink(missing_ok=True)


def imported(tree: ast.AST, package: Path) -> set[str]:
    """Tell the modules of itlm that a piece of code imports, inside functions too.

    Parameters
    ----------
    tree : ast.AST
        The code.
    package : path
        Folder of itlm's modules: only names that are files there count.

    Returns
    -------
    set of str
        The modules' names; ``__init__`` among them where there is any other.
    """
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if origin.split(".")[0] == "itlm" or node.level:
                inner = origin if node.level else origin.removeprefix("itlm").lstrip(".")
                modules |= {"__init__", inner.split(".")[0], *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "itlm":
                    modules |= {"__init__", *alias.name.split(".")[1:]}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "itlm":
            modules.add(node.attr)
    return {name for name in modules if (package / f"{name}.py").exists()}


@cache
def _source(experiment: str) -> str:
    """A digest of the modules that an experiment runs, as they were when the process first asked."""
    here, pending, texts = Path(__file__).resolve().parent, {experiment}, {}
    while pending:
        name = pending.pop()
        texts[name] = (here / f"{name}.py").read_text()
        pending |= imported(ast.parse(texts[name]), here) - set(texts)
    return hashlib.sha256("".join(text for _, text in sorted(texts.items())).encode()).hexdigest()[:12]


def _threads() -> int:
    """The most threads that a library of this process may use, such as NumPy's BLAS; 1 where nothing can tell."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return 1
    return max((pool["num_threads"] for pool in threadpool_info()), default=1)


@cache
def _dirty() -> bool | None:
    """Whether the code differs from what is committed; None where there is no checkout."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True)
    except OSError:
        return None
    return None if done.returncode else bool(done.stdout.strip())
