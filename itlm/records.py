"""What was found: recorded runs, and what they say about a claim of the paper.

``results/<experiment>.runs.csv`` has a row for each run (key, parameters, seed, provenance),
``results/<experiment>.csv`` its numbers in long form (key, round, metric, value), and
``results/paper/*.csv`` are the paper's own tables. No means are stored: pages compute them.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = [
    "Record",
    "begin",
    "selection",
    "save_part",
    "collect",
    "folder",
    "results",
    "everything",
    "Evidence",
    "evidence",
    "verdict",
    "judge",
]

CLOSE = 2.0  # points: how near to the paper's value "reproduced" asks for


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
    """

    experiment: str
    key: str
    parameters: dict
    provenance: dict
    rows: list = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter, repr=False)

    def add(self, t: int, numbers: dict[str, float]) -> None:
        """Add numbers measured in round t; NaN stands for "none" and is left out."""
        self.rows += [[t, name, float(value)] for name, value in numbers.items() if value == value]

    def finish(self, reason: str = "") -> "Record":
        """Stamp the record; a reason says why the run failed."""
        torch = sys.modules.get("torch")
        self.provenance |= {
            "status": "failed" if reason else "ok",
            "reason": reason,
            "seconds": round(time.perf_counter() - self.began, 1),
            "device": (torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu") if torch else "cpu",
            "threads": torch.get_num_threads() if torch else 1,
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
    named = {"experiment": experiment, "recipe": recipe, "data": data, "fields": config.changed()}
    key = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:12]
    here = {"recipe": recipe, "data": data[:12], "source": _source(experiment), "dirty": _dirty()}
    return Record(experiment, key, asdict(config), here)


def selection(kept, losses, is_bad) -> dict[str, float]:
    """Compare a selection with the truth.

    Parameters
    ----------
    kept : array of bool, shape (n,)
        The samples kept.
    losses : array of float, shape (n,)
        What they were ranked by.
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

    clean = ~is_bad
    return {
        "precision": 100 * float(clean[kept].mean()),
        "recall": 100 * float((kept & clean).sum() / clean.sum()) if clean.any() else np.nan,
        "auc": 100 * float(roc_auc_score(is_bad, losses)) if is_bad.any() and clean.any() else np.nan,
    }


def save_part(record: Record, parts: Path) -> Path:
    """Write one run to a file of its own, whole or not at all."""
    parts.mkdir(parents=True, exist_ok=True)
    path = parts / f"{record.key}.json"
    content = {name: getattr(record, name) for name in ("experiment", "key", "parameters", "provenance", "rows")}
    _write(path, json.dumps(content))
    return path


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
    """
    import pandas as pd

    into = into or folder()
    runs_path, values_path = into / f"{experiment}.runs.csv", into / f"{experiment}.csv"
    read = lambda path: pd.read_csv(path) if path.exists() else pd.DataFrame()  # noqa: E731
    runs, values = read(runs_path), read(values_path)
    fine = set(runs.key[runs.status == "ok"]) if len(runs) else set()
    found = [json.loads(path.read_text()) for path in sorted(parts.glob("*.json"))]
    new = [part for part in found if part["experiment"] == experiment and part["key"] not in fine]
    if not new:
        return 0
    replaced = {part["key"] for part in new}
    new_runs = pd.DataFrame([{"key": p["key"], **p["parameters"], **p["provenance"]} for p in new])
    rows = [(p["key"], *row) for p in new for row in p["rows"]]
    new_values = pd.DataFrame(rows, columns=["key", "round", "metric", "value"])
    if len(runs):
        runs, values = runs[~runs.key.isin(replaced)], values[~values.key.isin(replaced)]
    runs, values = (pd.concat(pair, ignore_index=True) for pair in ((runs, new_runs), (values, new_values)))
    parameters = [name for name in new[0]["parameters"] if name in runs]
    runs = runs.sort_values([*parameters, "key"], key=lambda column: column.astype(str))
    values = values.sort_values(["key", "round", "metric"])
    _write(values_path, values.to_csv(index=False, float_format="%.8g", lineterminator="\n"))
    _write(runs_path, runs.to_csv(index=False, lineterminator="\n"))  # last: a run counts once it has its row
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
    """
    import pandas as pd

    path = folder() / f"{name}.csv"
    if not path.exists():
        known = sorted(p.relative_to(folder()).with_suffix("").as_posix() for p in folder().rglob("*.csv"))
        raise FileNotFoundError(f"no results named {name!r} in {folder()}; there are {', '.join(known)}")
    return pd.read_csv(path)


@dataclass(frozen=True)
class Evidence:
    """Paired differences over seeds, and what they amount to.

    Attributes
    ----------
    before, after : float
        Mean of either side.
    difference : float
        Mean of ``after - before``, paired by seed.
    half_width : float
        Half the width of its 95 % t-interval; infinite for a single seed.
    n : int
        Number of seeds.
    """

    before: float
    after: float
    difference: float
    half_width: float
    n: int


def evidence(before, after) -> Evidence:
    """Compare two sides, paired by seed.

    Parameters
    ----------
    before, after : array of float, shape (n_seeds,)
        The same seeds in the same order.

    Raises
    ------
    ValueError
        If the sides differ in length, or are empty.
    """
    import numpy as np
    from scipy import stats

    before, after = np.asarray(before, float), np.asarray(after, float)
    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise ValueError(f"before and after must have one value a seed, got shapes {before.shape} and {after.shape}")
    d = after - before
    n = len(d)
    half = float(stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf
    return Evidence(float(before.mean()), float(after.mean()), float(d.mean()), half, n)


def verdict(found: Evidence | None, paper_before: float, paper_after: float, *, paper_size: bool) -> str:
    """Judge a claim by the rule that was fixed before anything was run.

    Parameters
    ----------
    found : Evidence or None
        None where nothing is recorded.
    paper_before, paper_after : float
        The paper's two values.
    paper_size : bool
        Whether ours was measured at the paper's size (data, network, schedule).

    Returns
    -------
    str
        ``"reproduced"``: the interval excludes 0 with the paper's sign, at the paper's size, and our
        value is within 2 points of the paper's. ``"direction"``: the first of these. ``"not
        reproduced"``: the interval contradicts the claim. ``"undecided"``. ``"not run"``.
    """
    if found is None:
        return "not run"
    sign = 1 if paper_after > paper_before else -1
    if sign * found.difference - found.half_width > 0:
        close = abs(found.after - paper_after) <= CLOSE
        return "reproduced" if paper_size and close else "direction"
    if sign * found.difference + found.half_width < 0:
        return "not reproduced"
    return "undecided"


def everything() -> dict:
    """Read all that is recorded: the tables of `results` by name, the paper's own left out."""
    return {path.stem: results(path.stem) for path in sorted(folder().glob("*.csv"))}


def judge(claims, recorded: dict):
    """Fill in a list of claims from what is recorded.

    Parameters
    ----------
    claims : pandas.DataFrame
        The columns of ``results/paper/claims.csv``: ``item, claim, paper_before, paper_after, unit, page``,
        and where to look: ``experiment``, ``select`` (``field=value`` conditions on the runs), ``before``
        and ``after`` (``method:metric@round``; round ``last`` is each run's last), ``paper_scale`` (the
        scale that is the paper's size).
    recorded : dict of DataFrame
        The recorded tables by name, as from `everything`.

    Returns
    -------
    pandas.DataFrame
        One row a claim: item, claim, paper, ours, n, scale, verdict, page.
    """
    import pandas as pd

    rows = []
    for claim in claims.itertuples():
        found, scale = _look_up(claim, recorded)
        numbers = pd.notna(claim.paper_before)
        rows.append(
            {
                "item": claim.item,
                "claim": claim.claim,
                "paper": f"{claim.paper_before:g} → {claim.paper_after:g} {claim.unit}" if numbers else "",
                "ours": (
                    f"{found.before:.1f} → {found.after:.1f} ({found.difference:+.1f} ± {found.half_width:.1f})"
                    if found
                    else ""
                ),
                "n": str(found.n) if found else "",
                "scale": scale,
                "verdict": verdict(found, claim.paper_before, claim.paper_after, paper_size=scale == claim.paper_scale),
                "page": claim.page,
            }
        )
    return pd.DataFrame(rows)


def _look_up(claim, recorded) -> tuple[Evidence | None, str]:
    """The recorded evidence on a claim, and the scale it was measured at."""
    if claim.experiment not in recorded:
        return None, ""
    runs, values = recorded[f"{claim.experiment}.runs"], recorded[claim.experiment]
    for condition in claim.select.split():
        name, _, value = condition.partition("=")
        runs = runs[runs[name].map(str) == value]
    sides = []
    for side in (claim.before, claim.after):
        method, metric, at = side.replace("@", ":").split(":")
        mine = values[(values.metric == metric) & values.key.isin(runs.key[runs.method == method])]
        if at == "last":
            mine = mine.loc[mine.groupby("key")["round"].idxmax()]
        else:
            mine = mine[mine["round"] == int(at)]
        sides.append(mine.merge(runs[["key", "seed"]], on="key").set_index("seed").value)
    seeds = sides[0].index.intersection(sides[1].index).sort_values()
    if seeds.empty:
        return None, ""
    return evidence(sides[0][seeds], sides[1][seeds]), ", ".join(sorted(set(runs.scale)))


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    partial.write_text(text)
    os.replace(partial, path)


def _source(experiment: str) -> str:
    """A digest of the modules that an experiment runs."""
    here, pending, texts = Path(__file__).resolve().parent, [experiment], {}
    while pending:
        name = pending.pop()
        path = here / f"{name}.py"
        if name not in texts and path.exists():
            texts[name] = path.read_text()
            for module, names in re.findall(r"^from \.(\w*) import (.+)$", texts[name], re.MULTILINE):
                pending += [module] if module else re.findall(r"\w+", names)
    return hashlib.sha256("".join(text for _, text in sorted(texts.items())).encode()).hexdigest()[:12]


def _dirty() -> bool | None:
    """Whether the code differs from what is committed; None where there is no checkout."""
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", "status", "--porcelain", "--", "."], cwd=here, capture_output=True, text=True)
    except OSError:
        return None
    return None if done.returncode else bool(done.stdout.strip())
