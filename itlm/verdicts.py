"""Verdicts on the claims of the paper, computed from the recorded runs.

A claim compares two numbers. The rule for a verdict was fixed before the first run, and made stricter later.
"""

import ast
from dataclasses import dataclass
from typing import NamedTuple

from . import records
from .experiments.protocol import load

__all__ = ["Evidence", "Interval", "evidence", "interval", "scorecard", "verdict"]

CLOSE = 2.0  # largest distance from the paper's values for "reproduced", points


@dataclass(frozen=True)
class Evidence:
    """Two sides compared over seeds.

    Attributes
    ----------
    before, after, difference : float
        Mean of each side, and the mean of ``after - before``, paired by seed.
    half_width : float
        Half the width of the difference's 95 % t-interval; infinite for a single seed.
    n : int
        Number of seeds.
    """

    before: float
    after: float
    difference: float
    half_width: float
    n: int

    def __str__(self) -> str:
        spread = f" ± {self.half_width:.1f}" if self.n > 1 else ""  # one seed has no interval
        return f"{self.difference:+.1f}{spread}"


def evidence(before, after) -> Evidence:
    """Compare two sides, paired by seed.

    Parameters
    ----------
    before, after : array of float, shape (n_seeds,)
        One value a seed, the same seeds in the same order.

    Raises
    ------
    ValueError
        If the sides differ in length or are empty.
    """
    import numpy as np

    before, after = np.asarray(before, float), np.asarray(after, float)
    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise ValueError(f"before and after must have one value a seed, got shapes {before.shape} and {after.shape}")
    found = interval(after - before)
    return Evidence(float(before.mean()), float(after.mean()), found.mean, found.half_width, found.n)


class Interval(NamedTuple):
    """A mean, and half the width of its 95 % t-interval: infinite for one value, NaN for none."""

    mean: float
    half_width: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "not run"
        return f"{self.mean:.1f}" + (f" ± {self.half_width:.1f}" if self.n > 1 else "")


def interval(values) -> Interval:
    """Compute the mean of values and its 95 % t-interval, printed as ``"86.1 ± 0.9"``."""
    import numpy as np
    from scipy import stats

    values = np.asarray(values, float)
    n = len(values)
    if not n:
        return Interval(np.nan, np.nan, 0)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf
    return Interval(float(values.mean()), half, n)


def verdict(
    found: Evidence | None, paper_before: float, paper_after: float, *, paper_size: bool, sense: str = ""
) -> str:
    """Return the verdict on a claim.

    Parameters
    ----------
    found : Evidence or None
        Our evidence; None if nothing is recorded.
    paper_before, paper_after : float
        The paper's two values; NaN if the paper prints none.
    paper_size : bool
        Whether our runs have the paper's size (data, network, epochs).
    sense : {"rises", "falls"} or anything else
        Direction that the paper claims; anything else, such as an empty cell, means the direction of the two values.

    Returns
    -------
    str
        ``"direction"`` if the interval excludes 0 with the claimed sign. ``"reproduced"`` if, in addition, the runs
        have the paper's size and both of our values are within 2 points of the paper's. ``"not reproduced"`` if the
        interval excludes 0 with the other sign, ``"undecided"`` if it includes 0, ``"not run"`` without evidence.
    """
    if found is None:
        return "not run"
    falls = sense == "falls" or (sense != "rises" and paper_after < paper_before)
    sign = -1 if falls else 1
    if sign * found.difference - found.half_width > 0:
        close = max(abs(found.before - paper_before), abs(found.after - paper_after)) <= CLOSE
        return "reproduced" if paper_size and close else "direction"
    if sign * found.difference + found.half_width < 0:
        return "not reproduced"
    return "undecided"


def scorecard(claims, recorded: dict):
    """Return a table with the verdict on each claim: item, claim, paper, ours, n, scale, verdict, page.

    Parameters
    ----------
    claims : pandas.DataFrame
        The columns of ``results/paper/claims.csv``. ``item, claim, paper_before, paper_after, unit, page`` are for
        readers. ``experiment`` and ``select`` choose the runs: ``select`` has conditions ``field=value``, separated by
        spaces; sets of conditions separated by ``|`` are pooled. Each side, ``before_`` and ``after_``, has a
        ``metric``, a ``round`` (a number, or ``last``) and ``where`` (conditions of this side only). Its value is
        ``times`` the metric ``plus`` a number, or, without a metric, the constant ``plus``. ``paper_scale`` is the
        scale of the paper's size, ``sense`` is as for `verdict`, and ``seeds`` is the planned number of seeds.
    recorded : dict of DataFrame
        The recorded tables by name, as from `itlm.records.everything`.

    Raises
    ------
    ValueError
        If a claim's experiment cannot be imported, or lacks a field, value, metric or round of the claim; the message
        names the claim. An experiment without recorded tables gives the verdict "not run".
    """
    import pandas as pd

    rows = []
    for claim in claims.to_dict("records"):
        try:
            before, after = (_Side.read(claim, side) for side in ("before", "after"))
            found, scale = _look_up(claim, before, after, recorded)
        except (TypeError, ValueError) as error:
            raise ValueError(f"claim {claim['claim']!r} ({claim['item']}): {error}") from error
        form = ".1f" if "%" in str(claim["unit"]) else ".3g"
        paper = [claim["paper_before"], claim["paper_after"]]
        rows.append(
            {
                "item": claim["item"],
                "claim": claim["claim"],
                "paper": f"{paper[0]:g} → {paper[1]:g} {claim['unit']}" if pd.notna(paper[0]) else "",
                "ours": _written(found, before, after, form),
                "n": ""
                if not found
                else f"{found.n} of {claim['seeds']}"
                if found.n < claim["seeds"]
                else str(found.n),
                "scale": scale,
                "verdict": verdict(
                    found, *paper, paper_size=scale in ("paper", claim["paper_scale"]), sense=claim["sense"]
                ),
                "page": claim["page"],
            }
        )
    return pd.DataFrame(rows)


def _written(found, before, after, form) -> str:
    """Return both sides and their difference as text: ``"62.0 → 81.0 (+19.0 ± 1.2)"``."""
    if not found:
        return ""
    spread = f" ± {found.half_width:{form}}" if found.n > 1 else ""  # one seed has no interval
    return f"{before.write(found.before, form)} → {after.write(found.after, form)} ({found.difference:+{form}}{spread})"


def _look_up(claim, before, after, recorded) -> tuple[Evidence | None, str]:
    """Return the evidence on a claim and its scale: the paper's, or "cpu" if "cpu" has more of the planned seeds."""
    name = claim["experiment"]
    try:
        experiment = load(str(name))  # an empty cell is NaN
    except ModuleNotFoundError as error:
        raise ValueError(f"experiment {name!r} cannot be imported: {error}") from error
    if not {name, f"{name}.runs"} <= set(recorded):
        return None, ""
    tables = recorded[f"{name}.runs"], recorded[name]
    scaled = "scale" in experiment.Config.ranges()
    most, at_scale = [], ""
    for scale in ("paper", "cpu") if scaled else ("simulated",):
        pooled = []
        for select in claim["select"].split("|"):
            common = select.split() + ([f"scale={scale}"] if scaled else [])
            first, second = (side.values(tables, experiment, common) for side in (before, after))
            if isinstance(first, float):  # a constant has every seed of the second side
                first = 0 * second + first
            seeds = first.index.intersection(second.index)
            pooled += list(zip(first[seeds], second[seeds], strict=True))
        if len(pooled) > len(most) and len(most) < claim["seeds"]:
            most, at_scale = pooled, scale
    return (evidence(*zip(*most, strict=True)) if most else None), at_scale


class _Side(NamedTuple):
    """One side of a claim: ``times * metric + plus``, or the constant ``plus``."""

    metric: str | None
    at: int | str
    where: list[str]
    times: float
    plus: float

    @classmethod
    def read(cls, claim: dict, side: str) -> "_Side":
        metric, at, where, times, plus = (
            None if value is None or value != value else value
            for value in (claim[f"{side}_{name}"] for name in ("metric", "round", "where", "times", "plus"))
        )
        if metric is None and plus is None:
            raise ValueError(f"{side}_metric and {side}_plus are both empty: give a metric or a constant")
        if metric is not None and at is None:
            raise ValueError(f"{side}_round is empty: give a round, or last")
        at = at if at in (None, "last") else int(str(at).removesuffix(".0"))  # pandas may read 5 as 5.0
        return cls(metric, at, str(where or "").split(), float(times or 1), float(plus or 0))

    def write(self, value: float, form: str) -> str:
        """Return the side's mean as text, with factor and margin apart from the measured number: ``"2 × 0.0252"``."""
        measured = (value - self.plus) / self.times if self.metric else value
        factor = f"{self.times:g} × " if self.times != 1 else ""
        return f"{factor}{measured:{form}}" + (f" + {self.plus:g}" if self.metric and self.plus else "")

    def values(self, tables, experiment, common):
        """Return a value for each seed, or the constant."""
        if self.metric is None:
            return self.plus
        rounds = set(tables[1]["round"][tables[1].metric == self.metric])
        if not rounds:
            raise ValueError(f"no run has a metric {self.metric!r}")
        if self.at not in {"last", *rounds}:
            raise ValueError(f"no run has {self.metric} in round {self.at}; the last round is {max(rounds)}")
        chosen = {k: _value(v) for k, v in (f.split("=") for f in [*common, *self.where])}
        config = experiment.Config(**chosen).resolved()
        return self.times * records.series(tables, config, self.metric, self.at) + self.plus


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
