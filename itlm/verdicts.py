"""Verdicts on the claims of the paper, computed from the recorded runs.

A claim compares two numbers. Three questions are asked of it: does it hold here, do the numbers agree with the paper's,
and at which size were the runs. The rule for the first was fixed before the first run, and made stricter later.
"""

import ast
import re
from dataclasses import dataclass
from typing import NamedTuple

from . import records
from .experiments.protocol import load

__all__ = ["CLOSE", "FEWEST", "Evidence", "Interval", "agreement", "evidence", "holds", "interval", "scorecard"]

CLOSE = 2.0  # points: numbers at most so far from the paper's agree with it
FEWEST = 4  # seeds: fewer are shown one by one, without an interval
LEVEL = 0.05  # of every test: intervals are of 95 %
MOST = 1000  # seeds that anybody would add to decide a claim
PAPERS, SIMULATED = "the paper's", "simulated"
WORDS = {  # what makes a run smaller than the paper's
    "n": "{:,} of {:,} images",
    "network": "{} network, not {}",
    "size": "{} of {} pixels a side",
    "width": "{} of {} channels",
}


@dataclass(frozen=True)
class Interval:
    """Values, one a seed, with their mean and its 95 % t-interval.

    Written as text, it is ``"86.1 ± 0.9"``, or the values one by one if there are fewer than `FEWEST`. A format such as
    ``f"{found:+.2f}"`` applies to each number.
    """

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)

    @property
    def is_few(self) -> bool:
        """Whether there are too few values for an interval, fewer than `FEWEST`."""
        return self.n < FEWEST

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        import numpy as np

        return float(np.mean(self.values)) if self.values else np.nan

    @property
    def half_width(self) -> float:
        """Half the width of the interval: infinite for one value, NaN for none."""
        import numpy as np
        from scipy import stats

        if self.n < 2:
            return np.inf if self.n else np.nan
        return float(stats.t.ppf(1 - LEVEL / 2, self.n - 1) * np.std(self.values, ddof=1) / np.sqrt(self.n))

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the hypothesis that the mean is 0: below 0.05 if the interval excludes 0."""
        from scipy import stats

        if self.n < 2 or not self.half_width:
            return float(self.n < 2 or not self.mean)
        ratio = stats.t.ppf(1 - LEVEL / 2, self.n - 1) / self.half_width
        return float(2 * stats.t.sf(abs(self.mean) * ratio, self.n - 1))

    def excludes(self, number: float) -> bool:
        """Return whether the interval excludes a number."""
        return abs(self.mean - number) > self.half_width

    def needed(self) -> float | None:
        """Return the number of values with which the interval would exclude 0, if mean and spread stay as they are.

        None if there are fewer than two values, which have no spread; infinite if more than 1,000 would be needed.
        """
        import numpy as np
        from scipy import stats

        if self.n < 2:
            return None
        numbers = np.arange(2, MOST + 1)
        half = stats.t.ppf(1 - LEVEL / 2, numbers - 1) * np.std(self.values, ddof=1) / np.sqrt(numbers)
        enough = numbers[half < abs(self.mean)]
        return float(enough[0]) if len(enough) else np.inf

    def __format__(self, form: str) -> str:
        form = form or ".1f"
        if not self.n:
            return "not run"
        if self.is_few:
            return ", ".join(f"{value:{form}}" for value in self.values)
        return f"{self.mean:{form}} ± {self.half_width:{form.lstrip('+')}}"

    def __str__(self) -> str:
        return format(self, "")


def interval(values) -> Interval:
    """Return the `Interval` of an array of values, shape (n_seeds,)."""
    return Interval(tuple(map(float, values)))


@dataclass(frozen=True)
class Evidence:
    """Two sides, paired by seed: ``before`` and ``after``, and their ``difference``, after minus before."""

    before: Interval
    after: Interval

    @property
    def difference(self) -> Interval:
        """The differences, seed by seed."""
        return Interval(tuple(b - a for a, b in zip(self.before.values, self.after.values, strict=True)))

    @property
    def n(self) -> int:
        """Number of seeds."""
        return self.before.n

    def __str__(self) -> str:
        return f"{self.difference:+.1f}"


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
    found = Evidence(interval(before), interval(after))
    if found.before.n != found.after.n or not found.n:
        raise ValueError(
            f"before and after must have one value a seed, got {found.before.n} and {found.after.n} values"
        )
    return found


def holds(found: Evidence | None, *, falls: bool = False, p_value: float | None = None) -> str:
    """Return whether a claim holds: ``"yes"``, ``"no"``, ``"undecided"``, or ``"not run"`` without evidence.

    Parameters
    ----------
    found : Evidence or None
        The evidence.
    falls : bool
        Whether the claim is that the number falls from before to after; by default it rises.
    p_value : float, optional
        Corrected p-value of the difference, in place of its own.
    """
    if found is None:
        return "not run"
    if (found.difference.p_value if p_value is None else p_value) >= LEVEL:
        return "undecided"
    return "yes" if (found.difference.mean < 0) == falls else "no"


def agreement(*sides: tuple[Interval, float]) -> str:
    """Return whether measured numbers agree with printed ones.

    Parameters
    ----------
    *sides : pair of Interval and float
        A measured number and the paper's, NaN if the paper prints none. They agree if they differ by at most 2 points,
        or if the interval of four or more seeds contains the paper's number.

    Returns
    -------
    str
        ``"agree"``; ``"off by 3.1"``, the largest distance of those that do not agree; ``"nothing printed"``, or
        ``"not run"``.
    """
    printed = [(found, number) for found, number in sides if number == number]
    if not printed:
        return "nothing printed"
    if not all(found.n for found, _ in printed):
        return "not run"
    gaps = [
        abs(found.mean - number)
        for found, number in printed
        if abs(found.mean - number) > CLOSE and (found.n < FEWEST or found.excludes(number))
    ]
    return f"off by {max(gaps):.1f}" if gaps else "agree"


def holm(p_values) -> list[float]:
    """Return the p-values of a family of tests, corrected by Holm's method (Holm 1979)."""
    import numpy as np

    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    raised = p_values[order] * (len(p_values) - np.arange(len(p_values)))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1)
    return corrected.tolist()


def scorecard(claims, recorded: dict):
    """Return a table with the answers for each claim.

    Parameters
    ----------
    claims : pandas.DataFrame
        The columns of ``results/paper/claims.csv``. ``item, claim, paper_before, paper_after, unit, caveat, page`` are
        for readers. ``experiment`` and ``select`` choose the runs: ``select`` has conditions ``field=value``, separated
        by spaces; sets of conditions separated by ``|`` are pooled. Each side, ``before_`` and ``after_``, has a
        ``metric``, a ``round`` (a number, or ``last``) and ``where``, conditions of this side only: one set, or one for
        each pooled set, separated by ``|``. Its value is ``times`` the metric ``plus`` a number, or, without a metric,
        the constant ``plus``. ``sense`` is ``rises`` or ``falls``; empty means the direction of the two printed values.
        ``seeds`` is the planned number of seeds.
    recorded : dict of DataFrame
        The recorded tables by name, as from `itlm.records.everything`.

    Returns
    -------
    pandas.DataFrame
        ``item``, ``claim``, ``paper`` and ``ours`` as text, ``n`` seeds; the answers ``holds``, ``corrected`` (the same
        after Holm's correction within the paper's table, figure or theorem), ``numbers`` (see `agreement`) and
        ``size``; ``reproduced``, whether the claim holds with numbers that agree at the paper's size; ``needed``, the
        seeds that would decide an undecided claim; ``caveat`` and ``page``.

    Raises
    ------
    ValueError
        If a claim's experiment cannot be imported, or lacks a field, value, metric or round of the claim; the message
        names the claim. An experiment without recorded tables gives the answer "not run".
    """
    import pandas as pd

    rows, tests = [], []
    for claim in claims.to_dict("records"):
        try:
            before, after = (_Side.read(claim, side) for side in ("before", "after"))
            found, size = _look_up(claim, before, after, recorded)
        except (TypeError, ValueError) as error:
            raise ValueError(f"claim {claim['claim']!r} ({claim['item']}): {error}") from error
        row = _row(claim, before, after, found, size)
        rows.append(row)
        if found:
            tests.append((_family(claim["item"]), row, found, _falls(claim)))
    for family in {name for name, *_ in tests}:
        mine = [test[1:] for test in tests if test[0] == family]
        corrected = holm([found.difference.p_value for _, found, _ in mine])
        for (row, found, falls), p_value in zip(mine, corrected, strict=True):
            row["corrected"] = holds(found, falls=falls, p_value=p_value)
    return pd.DataFrame(rows)


def _row(claim, before, after, found, size) -> dict:
    """Return a claim's row of the scorecard."""
    form = ".1f" if "%" in str(claim["unit"]) else ".3g"
    paper = claim["paper_before"], claim["paper_after"]
    sides = (before.measured(found.before), after.measured(found.after)) if found else (interval([]),) * 2
    answer, numbers = holds(found, falls=_falls(claim)), agreement(*zip(sides, paper, strict=True))
    needed = found.difference.needed() if answer == "undecided" else None
    written = "" if not found else f"{before.write(sides[0], form)} → {after.write(sides[1], form)}"
    return {
        "item": claim["item"],
        "claim": claim["claim"],
        "paper": " → ".join(f"{number:g}" for number in paper if number == number)
        + (f" {claim['unit']}" if paper[1] == paper[1] else ""),
        "ours": written and f"{written} ({found.difference:+{form}})",
        "n": "" if not found else f"{found.n} of {claim['seeds']}" if found.n < claim["seeds"] else str(found.n),
        "holds": answer,
        "corrected": answer,
        "numbers": numbers,
        "size": size,
        "reproduced": (answer, numbers, size) == ("yes", "agree", PAPERS),
        "needed": "" if needed is None else f"about {needed:g}" if needed <= MOST else f"more than {MOST:,}",
        "caveat": claim["caveat"] if claim["caveat"] == claim["caveat"] else "",
        "page": claim["page"],
    }


def _family(item: str) -> str:
    """Return the table, figure or theorem that an item belongs to: "Figure 2" for "Figure 2(a)"."""
    return re.match(r"\w+ \d+|.*", item)[0]


def _falls(claim) -> bool:
    """Return whether a claim says that the number falls."""
    return claim["sense"] == "falls" or (claim["sense"] != "rises" and claim["paper_after"] < claim["paper_before"])


def _look_up(claim, before, after, recorded) -> tuple[Evidence | None, str]:
    """Return the evidence on a claim and its size: at the paper's scale, or at "cpu" if "cpu" has more seeds."""
    name = claim["experiment"]
    try:
        experiment = load(str(name))  # an empty cell is NaN
    except ModuleNotFoundError as error:
        raise ValueError(f"experiment {name!r} cannot be imported: {error}") from error
    if not {name, f"{name}.runs"} <= set(recorded):
        return None, ""
    tables = recorded[f"{name}.runs"], recorded[name]
    settings = [select.split() for select in claim["select"].split("|")]
    scales = [["scale=paper"], ["scale=cpu"]] if "scale" in experiment.Config.ranges() else [[]]
    if any(condition.startswith("scale=") for conditions in settings for condition in conditions):
        scales = [[]]
    most, size = [], ""
    for scale in scales:
        pooled = []
        for number, conditions in enumerate(settings):
            first, second = (
                side.values(tables, experiment, [*conditions, *scale, *side.conditions(number, len(settings))])
                for side in (before, after)
            )
            if isinstance(first, float):  # a constant has every seed of the second side
                first = 0 * second + first
            seeds = first.index.intersection(second.index)
            pooled += list(zip(first[seeds], second[seeds], strict=True))
        if len(pooled) > len(most) and len(most) < claim["seeds"]:
            most, size = pooled, _size(experiment, [*settings[0], *scale, *after.conditions(0, len(settings))])
    return (evidence(*zip(*most, strict=True)) if most else None), size


def _size(experiment, conditions) -> str:
    """Return the size of runs in words: the paper's, or what is reduced."""
    if "scale" not in experiment.Config.ranges():
        return SIMULATED
    asked = _fields(conditions)
    ours, paper = experiment.Config(**asked).resolved(), experiment.Config(**asked | {"scale": "paper"}).resolved()
    differing = [name for name in WORDS if getattr(ours, name, None) != getattr(paper, name, None)]
    if "network" in differing:  # the widths of two kinds of network cannot be compared
        differing = [name for name in differing if name != "width"]
    told = [WORDS[name].format(getattr(ours, name), getattr(paper, name)) for name in differing]
    return f"reduced: {', '.join(told)}" if told else PAPERS


class _Side(NamedTuple):
    """One side of a claim: ``times * metric + plus``, or the constant ``plus``."""

    metric: str | None
    at: int | str
    where: list[list[str]]
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
        where = [conditions.split() for conditions in str(where or "").split("|")]
        return cls(metric, at, where, float(times or 1), float(plus or 0))

    def conditions(self, number: int, of: int) -> list[str]:
        """Return this side's own conditions in setting ``number`` of ``of`` pooled settings."""
        if len(self.where) not in (1, of):
            raise ValueError(f"where has {len(self.where)} sets of conditions, and select {of}: give one, or as many")
        return self.where[number if len(self.where) > 1 else 0]

    def measured(self, found: Interval) -> Interval:
        """Return the measured numbers, without factor and margin."""
        return Interval(tuple((v - self.plus) / self.times for v in found.values)) if self.metric else found

    def write(self, measured: Interval, form: str) -> str:
        """Return the mean as text, with factor and margin apart from the measured number: ``"2 × 0.0252"``."""
        factor = f"{self.times:g} × " if self.times != 1 else ""
        sign = "+" if self.plus > 0 else "-"
        return f"{factor}{measured.mean:{form}}" + (f" {sign} {abs(self.plus):g}" if self.metric and self.plus else "")

    def values(self, tables, experiment, conditions):
        """Return a value for each seed, or the constant."""
        if self.metric is None:
            return self.plus
        rounds = set(tables[1]["round"][tables[1].metric == self.metric])
        if not rounds:
            raise ValueError(f"no run has a metric {self.metric!r}")
        if self.at not in {"last", *rounds}:
            raise ValueError(f"no run has {self.metric} in round {self.at}; the last round is {max(rounds)}")
        config = experiment.Config(**_fields(conditions)).resolved()
        return self.times * records.series(tables, config, self.metric, self.at) + self.plus


def _fields(conditions) -> dict:
    """Return the fields that conditions such as ``"clean=0.6"`` set; a later one counts."""
    return {name: _value(text) for name, text in (condition.split("=") for condition in conditions)}


def _value(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
