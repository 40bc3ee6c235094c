"""The recorded tables, merged from runs and read by pages.

``results/<experiment>.runs.csv`` has a row for each run (key, parameters, seed, provenance), and
``results/<experiment>.csv`` the numbers in long form (key, round, metric, value). A run's few arrays are in
``results/<experiment>/<key>.npz``. ``results/paper/*.csv`` are the paper's own tables. Pages compute all means.
"""

import csv
import io
from pathlib import Path

import numpy as np

from .. import files
from ..errors import Damaged
from .record import PACKAGE, read_part

__all__ = ["CHOOSING", "arrays", "by_round", "collect", "everything", "folder", "results", "runs_of", "series"]

CHOOSING = 100  # seeds of at least 100 serve to choose settings; results exclude them


def collect(experiment: str, parts: Path, into: Path | None = None) -> int:
    """Merge part files into the recorded tables, and return the number of runs added.

    Rows are sorted, so that two versions are easy to compare. Recorded runs are kept, but a finished run replaces a
    failed one.

    Parameters
    ----------
    experiment, parts : str, path
        Name of the experiment, and folder of the part files, which are kept.
    into : path, optional
        Folder of the tables; by default `folder`.

    Raises
    ------
    Damaged
        If a table or a part file is damaged; no table is changed then.
    """
    import pandas as pd

    into = into or folder()
    runs_path, values_path = into / f"{experiment}.runs.csv", into / f"{experiment}.csv"
    # Runs are read as text: a key of digits must not become a number, nor an integer a float beside empty cells.
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
    replaced = {part.key for part in new}  # a killed process may have written values without a run
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
        files.write(into / experiment / pictures.name, pictures.read_bytes(), alone=True)
    files.write(values_path, values.to_csv(index=False, float_format="%.8g", lineterminator="\n").encode(), alone=True)
    # Last, because a run counts once it has its row.
    files.write(runs_path, runs.to_csv(index=False, lineterminator="\n").encode(), alone=True)
    return len(new)


def folder() -> Path:
    """Return the folder of the recorded results, in the checkout or in the installed package."""
    installed = PACKAGE / "results"
    return installed if installed.is_dir() else PACKAGE.parent / "results"


def results(name: str):
    """Read one recorded table as a DataFrame.

    Parameters
    ----------
    name : str
        The file's name under ``results/`` without its ending, such as ``"labels"`` or ``"paper/table1"``. Notebooks
        must write the name literally: they are re-run when a table they name has changed.

    Raises
    ------
    FileNotFoundError
        If nothing is recorded under that name; the message lists the names.
    Damaged
        If a line is cut short or torn, or holds text instead of a number.
    """
    import pandas as pd

    path = folder() / f"{name}.csv"
    if not path.exists():
        known = sorted(p.relative_to(folder()).with_suffix("").as_posix() for p in folder().rglob("*.csv"))
        raise FileNotFoundError(f"no results named {name!r} in {folder()}; there are {', '.join(known)}")
    return pd.read_csv(_sound(path), dtype=dict.fromkeys(["key", "data", "source", "python", "numpy", "torch"], str))


def everything() -> dict:
    """Read all recorded tables, by name; the paper's own are excluded."""
    return {path.stem: results(path.stem) for path in sorted(folder().glob("*.csv"))}


def arrays(experiment: str, config) -> dict:
    """Return the arrays that a recorded run kept, by name; empty if there are none.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    config : itlm.parameters.Parameters
        The run's parameters, resolved, with its seed.
    """
    runs = runs_of(results(f"{experiment}.runs"), config)
    for key in runs[runs.seed == config.seed].key:
        path = folder() / experiment / f"{key}.npz"
        if path.exists():
            with np.load(path) as kept:
                return dict(kept)
    return {}


def series(tables, config, metric: str, at: int | str = "last"):
    """Look up one number of a configuration; return it as a Series by ascending seed, empty if nothing is recorded.

    Seeds from `CHOOSING` on are excluded.

    Parameters
    ----------
    tables : pair of DataFrame
        ``results("x.runs")`` and ``results("x")``.
    config : itlm.parameters.Parameters
        The run's parameters, resolved; the seed is ignored. Fields that the tables lack count as recorded at the
        value that `itlm.parameters.Parameters.absent` gives.
    metric : str
        Name of the number.
    at : int or "last"
        Round of the number; ``"last"`` is the last round that has the number.
    """
    found = by_round(tables, config, metric)
    found = found.ffill().tail(1) if at == "last" else found[found.index == at]
    return found.melt().set_index("seed").value.dropna().sort_index()


def by_round(tables, config, metric: str):
    """Look up one number, as for `series`, and return a DataFrame with a row for each round, a column for each seed."""
    values, runs = tables[1], runs_of(tables[0], config)
    runs = runs[runs.seed < CHOOSING]
    mine = values[(values.metric == metric) & values.key.isin(runs.key)].merge(runs[["key", "seed"]], on="key")
    return mine.pivot(index="round", columns="seed", values="value")


def runs_of(runs, config):
    """Return the rows of a configuration's finished runs, for all seeds, with provenance such as ``seconds``.

    Only runs of the newest recipe on the data used last count, so each seed has one run. A data set's digest may
    differ between machines, as CelebA's does with the JPEG decoder. ``runs`` is ``results("x.runs")``, and ``config``
    is as for `series`.
    """
    runs = runs[runs.status == "ok"]
    for name, absent in config.absent().items():
        want = getattr(config, name)
        if name == "seed":
            continue
        if name not in runs:
            runs = runs if want == absent else runs[:0]
        else:
            column = runs[name]
            runs = runs[(column == want) | (column.isna() & (want == absent or want is None))]
    runs = runs[runs.recipe == runs.recipe.max()]
    if "data" in runs and runs.data.nunique() > 1:
        runs = runs[runs.data == runs.sort_values("utc").data.iloc[-1]]
    return runs


NEEDED = {".runs.csv": ["key", "recipe", "data", "status", "reason"], ".csv": ["key", "round", "metric", "value"]}
NUMBERS = {"round": int, "value": float, "recipe": int, "seed": int, "seconds": float, "threads": int}


def _sound(path: Path) -> io.StringIO:
    """Open a table after checking that each line is complete and has numbers in the number columns."""
    text = path.read_text()
    lines = csv.reader(io.StringIO(text), strict=True)

    def refuse(what):
        raise Damaged(
            f"{path}:{max(lines.line_num, 1)}: {what}. Nothing was changed. Correct the line, or restore the file: "
            f"git restore {path}"
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
        refuse("the line is cut short: its line break is missing")
    return io.StringIO(text)
