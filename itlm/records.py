"""What was found: recorded runs, and what they say about a claim of the paper.

``results/<experiment>.runs.csv`` has a row for each run (key, parameters, seed, provenance),
``results/<experiment>.csv`` its numbers in long form (key, round, metric, value), and
``results/paper/*.csv`` are the paper's own tables. No means are stored: pages compute them.
"""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["folder", "results", "everything", "Evidence", "evidence", "verdict", "judge"]

CLOSE = 2.0  # points: how near to the paper's value "reproduced" asks for


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
