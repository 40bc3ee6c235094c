"""What the recorded runs say about the claims of the paper.

A claim compares two numbers. The rule that turns a paired difference into a verdict was fixed before
anything was run.
"""

import ast
import importlib
from dataclasses import dataclass, fields

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
        Whether ours was measured at the paper's size (data, network, schedule).
    sense : {"", "rises", "falls"}
        What the paper claims of a pair that it prints no values of; empty means "rises".

    Returns
    -------
    str
        ``"reproduced"``: the interval excludes 0 with the paper's sign, at the paper's size, and our
        value is within 2 points of the paper's. ``"direction"``: the first of these. ``"not
        reproduced"``: the interval contradicts the claim. ``"undecided"``. ``"not run"``.
    """
    if found is None:
        return "not run"
    sign = -1 if paper_after < paper_before or sense == "falls" else 1
    if sign * found.difference - found.half_width > 0:
        close = abs(found.after - paper_after) <= CLOSE
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
        and where to look: ``experiment``, ``select`` (``field=value`` conditions on the runs), ``before``
        and ``after`` (``method:metric@round``, the method left out where the experiment has none, then perhaps
        conditions of this side alone; round ``last`` is each run's last), ``paper_scale`` (the scale that is the
        paper's size), ``sense`` (see `verdict`).
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
        spread = f" ± {found.half_width:{form}}" if found and found.n > 1 else ""  # one seed has none
        rows.append(
            {
                "item": claim.item,
                "claim": claim.claim,
                "paper": f"{claim.paper_before:g} → {claim.paper_after:g} {claim.unit}" if numbers else "",
                "ours": (
                    f"{found.before:{form}} → {found.after:{form}} ({found.difference:+{form}}{spread})"
                    if found
                    else ""
                ),
                "n": str(found.n) if found else "",
                "scale": scale,
                "verdict": verdict(
                    found,
                    claim.paper_before,
                    claim.paper_after,
                    paper_size=scale == claim.paper_scale,
                    sense=claim.sense,
                ),
                "page": claim.page,
            }
        )
    return pd.DataFrame(rows)


def _look_up(claim, recorded) -> tuple[Evidence | None, str]:
    """The recorded evidence on a claim, and the scale it was measured at."""
    if claim.experiment not in recorded:
        return None, ""
    experiment = importlib.import_module(f"itlm.{claim.experiment}")
    tables = recorded[f"{claim.experiment}.runs"], recorded[claim.experiment]
    scaled = "scale" in {f.name for f in fields(experiment.Config)}
    for scale in ("paper", "cpu") if scaled else ("simulated",):
        sides = []
        for side in (claim.before, claim.after):
            number, *own = side.split()
            *method, metric, at = number.replace("@", ":").split(":")
            chosen = {k: _value(v) for k, v in (f.split("=") for f in [*claim.select.split(), *own])}
            chosen |= ({"scale": scale} if scaled else {}) | ({"method": method[0]} if method else {})
            try:
                config = experiment.Config(**chosen)
            except (TypeError, ValueError):  # a set or a field that the experiment does not have yet
                return None, ""
            sides.append(records.series(tables, config.resolved(), metric, at if at == "last" else int(at)))
        seeds = sides[0].index.intersection(sides[1].index)
        if len(seeds):
            return evidence(sides[0][seeds], sides[1][seeds]), scale
    return None, ""


def _value(text: str):
    """A field's value as claims.csv writes it."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
