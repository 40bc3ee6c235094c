"""What the recorded runs say about the claims of the paper.

A claim compares two numbers. The rule that turns a paired difference into a verdict was fixed before
anything was run; it has been made stricter since.
"""

import ast
from dataclasses import dataclass
from typing import NamedTuple

from . import records
from .experiments.protocol import load

__all__ = ["Evidence", "Interval", "evidence", "interval", "scorecard", "verdict"]

CLOSE = 2.0  # points: how near to the paper's value "reproduced" asks for


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

    def __str__(self) -> str:
        spread = f" ± {self.half_width:.1f}" if self.n > 1 else ""  # one seed has none
        return f"{self.difference:+.1f}{spread}"


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

    before, after = np.asarray(before, float), np.asarray(after, float)
    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise ValueError(f"before and after must have one value a seed, got shapes {before.shape} and {after.shape}")
    found = interval(after - before)
    return Evidence(float(before.mean()), float(after.mean()), found.mean, found.half_width, found.n)


class Interval(NamedTuple):
    """A mean and half the width of its 95 % t-interval: infinite for one value, NaN for none."""

    mean: float
    half_width: float
    n: int

    def __str__(self) -> str:
        if not self.n:
            return "not run"
        return f"{self.mean:.1f}" + (f" ± {self.half_width:.1f}" if self.n > 1 else "")


def interval(values) -> Interval:
    """Compute the mean of some values and its 95 % t-interval, as text ``"86.1 ± 0.9"``."""
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
    """Judge a claim by the rule that was fixed before anything was run.

    Parameters
    ----------
    found : Evidence or None
        None where nothing is recorded.
    paper_before, paper_after : float
        The paper's two values; NaN where it prints none.
    paper_size : bool
        Whether ours was measured at the paper's size (data, network, passes).
    sense : {"rises", "falls"} or anything else
        What the paper claims of the pair; anything else, as an empty cell of a table: what its two values do.

    Returns
    -------
    str
        ``"reproduced"``: the interval excludes 0 with the sign claimed, at the paper's size, and both of our
        values are within 2 points of the paper's. ``"direction"``: the first of these. ``"not reproduced"``: the
        interval excludes 0 with the other sign. ``"undecided"``. ``"not run"``.
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
    """Judge a list of claims by what is recorded.

    Parameters
    ----------
    claims : pandas.DataFrame
        The columns of ``results/paper/claims.csv``. ``item, claim, paper_before, paper_after, unit, page`` are for
        readers. ``experiment`` and ``select`` say which runs: conditions ``field=value``, separated by spaces; several
        sets of conditions, separated by ``|``, are pooled. Each side, ``before_`` and ``after_``, has a ``metric``, a
        ``round`` (a number, or ``last``), ``where`` (conditions of this side alone), and is ``times`` the metric
        ``plus`` a number; without a metric the side is the constant ``plus``. ``paper_scale`` is the scale of the
        paper's size, ``sense`` is as for `verdict`, ``seeds`` is how many are planned.
    recorded : dict of DataFrame
        The recorded tables by name, as from `itlm.records.everything`.

    Returns
    -------
    pandas.DataFrame
        One row a claim: item, claim, paper, ours, n, scale, verdict, page.

    Raises
    ------
    ValueError
        If a claim names a field, value, metric or round that the experiment does not have; the message names the claim.
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
    """Write both sides and their difference: ``"62.0 → 81.0 (+19.0 ± 1.2)"``."""
    if not found:
        return ""
    spread = f" ± {found.half_width:{form}}" if found.n > 1 else ""  # one seed has none
    return f"{before.write(found.before, form)} → {after.write(found.after, form)} ({found.difference:+{form}}{spread})"


def _look_up(claim, before, after, recorded) -> tuple[Evidence | None, str]:
    """The recorded evidence on a claim and its scale: the paper's, unless another has more seeds."""
    name = claim["experiment"]
    if name not in recorded:
        return None, ""
    experiment, tables = load(name), (recorded[f"{name}.runs"], recorded[name])
    scaled = "scale" in experiment.Config.ranges()
    most, at_scale = [], ""
    for scale in ("paper", "cpu") if scaled else ("simulated",):
        pooled = []
        for select in claim["select"].split("|"):
            common = select.split() + ([f"scale={scale}"] if scaled else [])
            first, second = (side.values(tables, experiment, common) for side in (before, after))
            if isinstance(first, float):  # a constant, beside every seed of the other side
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
            raise ValueError(f"{side}_metric is empty, and so is {side}_plus: give a metric, or a constant")
        at = at if at in (None, "last") else int(at)
        return cls(metric, at, str(where or "").split(), float(times or 1), float(plus or 0))

    def write(self, value: float, form: str) -> str:
        """Write its mean, with the measured number apart from the factor and the margin: ``"2 × 0.0252"``."""
        measured = (value - self.plus) / self.times if self.metric else value
        factor = f"{self.times:g} × " if self.times != 1 else ""
        return f"{factor}{measured:{form}}" + (f" + {self.plus:g}" if self.metric and self.plus else "")

    def values(self, tables, experiment, common):
        """A value a seed; for a constant, itself."""
        if self.metric is None:
            return self.plus
        if self.metric not in set(tables[1].metric):
            raise ValueError(f"no run has a metric {self.metric!r}")
        chosen = {k: _value(v) for k, v in (f.split("=") for f in [*common, *self.where])}
        config = experiment.Config(**chosen).resolved()
        return self.times * records.series(tables, config, self.metric, self.at) + self.plus


def _value(text: str):
    """A field's value as claims.csv writes it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
