"""What the recorded runs say about the claims of the paper.

A claim compares two numbers. The rule that turns a paired difference into a verdict was fixed before
anything was run; it has been made stricter since.
"""

import ast
import importlib
import re
from dataclasses import dataclass, fields
from typing import NamedTuple

from . import records

__all__ = ["Evidence", "evidence", "mean_interval", "verdict", "judge"]

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
    from scipy import stats

    before, after = np.asarray(before, float), np.asarray(after, float)
    if before.shape != after.shape or before.ndim != 1 or not before.size:
        raise ValueError(f"before and after must have one value a seed, got shapes {before.shape} and {after.shape}")
    d = after - before
    n = len(d)
    half = float(stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / np.sqrt(n)) if n > 1 else np.inf
    return Evidence(float(before.mean()), float(after.mean()), float(d.mean()), half, n)


def mean_interval(values) -> str:
    """Write a mean with its 95 % t-interval: ``"86.1 ± 0.9"``; of one value the mean alone, of none ``"not run"``."""
    import numpy as np

    values = np.asarray(values, float)
    if not len(values):
        return "not run"
    half = evidence(np.zeros_like(values), values).half_width
    return f"{values.mean():.1f}" + (f" ± {half:.1f}" if len(values) > 1 else "")


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


def judge(claims, recorded: dict):
    """Fill in a list of claims from what is recorded.

    Parameters
    ----------
    claims : pandas.DataFrame
        The columns of ``results/paper/claims.csv``: ``item, claim, paper_before, paper_after, unit, page``,
        and where to look: ``experiment``, ``select`` (``field=value`` conditions on the runs; several sets of them,
        separated by ``|``, are pooled), ``before`` and ``after`` (``method:metric@round``, the method left out where
        the experiment has none, then perhaps conditions of this side alone; round ``last`` is each run's last; a
        leading ``2*`` doubles the number, a final ``+1`` adds to it; ``before`` may be a constant), ``paper_scale``
        (the scale that is the paper's size), ``sense`` (see `verdict`), ``seeds`` (how many are planned).
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
        form = ".1f" if "%" in str(claim.unit) else ".3g"
        before, after = map(_Number.read, (claim.before, claim.after))
        spread = f" ± {found.half_width:{form}}" if found and found.n > 1 else ""  # one seed has none
        rows.append(
            {
                "item": claim.item,
                "claim": claim.claim,
                "paper": f"{claim.paper_before:g} → {claim.paper_after:g} {claim.unit}" if numbers else "",
                "ours": (
                    f"{before.write(found.before, form)} → {after.write(found.after, form)}"
                    f" ({found.difference:+{form}}{spread})"
                    if found
                    else ""
                ),
                "n": ("" if not found else f"{found.n} of {claim.seeds}" if found.n < claim.seeds else str(found.n)),
                "scale": scale,
                "verdict": verdict(
                    found,
                    claim.paper_before,
                    claim.paper_after,
                    paper_size=scale in ("paper", claim.paper_scale),
                    sense=claim.sense,
                ),
                "page": claim.page,
            }
        )
    return pd.DataFrame(rows)


def _look_up(claim, recorded) -> tuple[Evidence | None, str]:
    """The recorded evidence on a claim and its scale: the paper's, unless another has more seeds."""
    if claim.experiment not in recorded:
        return None, ""
    experiment = importlib.import_module(f"itlm.{claim.experiment}")
    tables = recorded[f"{claim.experiment}.runs"], recorded[claim.experiment]
    scaled = "scale" in {f.name for f in fields(experiment.Config)}
    most, at_scale = [], ""
    for scale in ("paper", "cpu") if scaled else ("simulated",):
        pooled = []
        for select in claim.select.split("|"):
            common = select.split() + ([f"scale={scale}"] if scaled else [])
            try:
                before, after = (
                    _Number.read(side).values(tables, experiment, common) for side in (claim.before, claim.after)
                )
            except (TypeError, ValueError):  # a set or a field that the experiment does not have yet
                return None, ""
            if isinstance(before, float):  # a constant, beside every seed of the other side
                before = 0 * after + before
            seeds = before.index.intersection(after.index)
            pooled += list(zip(before[seeds], after[seeds], strict=True))
        if len(pooled) > len(most) and len(most) < claim.seeds:
            most, at_scale = pooled, scale
    return (evidence(*zip(*most, strict=True)) if most else None), at_scale


class _Number(NamedTuple):
    """One side of a claim, as claims.csv writes it: ``factor * metric + add``, or a constant without a metric."""

    metric: str | None
    at: str
    factor: float
    add: float
    conditions: list[str]  # of this side alone

    @classmethod
    def read(cls, side) -> "_Number":
        first, *own = str(side).split()
        found = re.fullmatch(r"(?:([\d.]+)\*)?(?:(\w+):)?(\w+)@(\w+)(?:\+([\d.]+))?", first)
        if not found:
            return cls(None, "", 1.0, float(first), own)
        factor, method, metric, at, add = found.groups()
        return cls(metric, at, float(factor or 1), float(add or 0), own + ([f"method={method}"] if method else []))

    def write(self, value: float, form: str) -> str:
        """Write its mean, with what was measured apart from the factor and the margin: ``"2 × 0.0252"``."""
        measured = (value - self.add) / self.factor if self.metric else value
        factor = f"{self.factor:g} × " if self.factor != 1 else ""
        return f"{factor}{measured:{form}}" + (f" + {self.add:g}" if self.metric and self.add else "")

    def values(self, tables, experiment, common):
        """A value a seed; of a constant, itself."""
        if self.metric is None:
            return self.add
        chosen = {k: _value(v) for k, v in (f.split("=") for f in [*common, *self.conditions])}
        at = self.at if self.at == "last" else int(self.at)
        return self.factor * records.series(tables, experiment.Config(**chosen).resolved(), self.metric, at) + self.add


def _value(text: str):
    """A field's value as claims.csv writes it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
