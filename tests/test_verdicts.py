"""Verdicts on the paper's claims."""

import numpy as np
import pandas as pd
import pytest
from runs import recorded, runs_of
from scipy import stats

from itlm import records
from itlm.experiments import labels, synthetic
from itlm.records import results
from itlm.verdicts import Evidence, Interval, evidence, interval, scorecard, verdict

PARTS = ("metric", "round", "where", "times", "plus")


def side(metric=None, at=None, where=None, times=None, plus=None):
    return dict(zip(PARTS, (metric, at, where, times, plus), strict=True))


def claim(before, after, **fields):
    """A line of claims.csv."""
    found = {"item": "x", "claim": "y", "paper_before": np.nan, "paper_after": np.nan, "unit": "%", "page": "z"}
    found |= {"experiment": "labels", "select": "dataset=mnist", "paper_scale": "cpu", "sense": "", "seeds": 3}
    sides = {f"{name}_{part}": v for name, s in (("before", before), ("after", after)) for part, v in s.items()}
    return found | sides | fields


def judged(one, recorded):
    """The scorecard's row of one claim."""
    (row,) = scorecard(pd.DataFrame([one]), recorded).to_dict("records")
    return row


def itlm(metric, at, **more):
    return side(metric, at, "method=itlm", **more)


def test_the_interval_is_the_paired_t_interval():
    random = np.random.default_rng(0)
    before, after = random.random(7), random.random(7) + 0.3
    found = evidence(before, after)
    low, high = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert np.allclose([found.difference - found.half_width, found.difference + found.half_width], [low, high])
    assert found.n == 7


def test_one_seed_has_no_interval():
    one = evidence([1.0], [2.0])
    assert one.half_width == np.inf and str(one) == "+1.0"
    assert str(Evidence(5.0, 3.0, -2.0, 0.54, 3)) == "-2.0 ± 0.5"


def test_a_mean_is_written_with_its_interval_where_there_is_one():
    half = stats.t.ppf(0.975, 2) / np.sqrt(3)
    found = [interval(v) for v in ([1.0, 2.0, 3.0], [4.0], [])]
    assert [str(one) for one in found] == [f"2.0 ± {half:.1f}", "4.0", "not run"]
    assert found[0] == (2.0, pytest.approx(half), 3) and found[1] == (4.0, np.inf, 1)
    assert isinstance(found[0], Interval) and np.isnan(found[2][:2]).all() and found[2].n == 0


@pytest.mark.parametrize("sides", [([1.0], [1.0, 2.0]), ([], [])])
def test_unpaired_sides_are_refused(sides):
    with pytest.raises(ValueError, match="one value a seed"):
        evidence(*sides)


def found(before, after, half):
    return Evidence(before, after, after - before, half, 5)


@pytest.mark.parametrize(
    ("evidence", "paper", "size", "expected"),
    [
        (None, (60, 80), True, "not run"),
        (found(61, 79, 3), (60, 80), True, "reproduced"),
        (found(61, 79, 3), (60, 80), False, "direction"),
        (found(61, 77, 3), (60, 80), True, "direction"),
        (found(50, 80, 3), (60, 80), True, "direction"),
        (found(61, 62, 3), (60, 80), True, "undecided"),
        (found(61, 50, 3), (60, 80), True, "not reproduced"),
        (found(96, 1, 3), (97.5, 0.1), True, "reproduced"),
        (found(95, 99, 3), (97.5, 0.1), True, "not reproduced"),
        (found(61, 99, np.inf), (60, 80), True, "undecided"),
    ],
)
def test_the_rule_of_the_verdicts(evidence, paper, size, expected):
    assert verdict(evidence, *paper, paper_size=size) == expected


def test_a_figure_without_numbers_says_whether_it_rises_or_falls():
    none = float("nan")
    falling = found(61, 50, 3)
    assert verdict(falling, none, none, paper_size=True, sense="falls") == "direction"
    assert verdict(falling, none, none, paper_size=True) == "not reproduced"
    assert verdict(falling, 60, 59, paper_size=True, sense="rises") == "not reproduced"  # what is claimed, not printed
    for empty in ("", none):  # as a table's empty cell is read
        assert verdict(falling, 60, 59, paper_size=True, sense=empty) == "direction"
        assert verdict(falling, 59, 60, paper_size=True, sense=empty) == "not reproduced"


def test_a_claim_is_filled_from_recorded_runs():
    one = claim(
        itlm("test_accuracy", "0"), itlm("test_accuracy", "last"), item="Table 1", claim="better", paper_before=60.0,
        paper_after=80.0, select="dataset=mnist noise=random clean=0.6",
    )  # fmt: skip
    other = runs_of(noise="random", bounded=False) + runs_of(noise="random", clean=0.7) + runs_of()
    runs, values = recorded(*runs_of(noise="random"), *other)
    row = judged(one, {"labels": values, "labels.runs": runs})
    assert row["ours"] == "61.0 → 81.0 (+20.0 ± 0.0)"
    assert (row["n"], row["scale"], row["verdict"]) == ("3", "cpu", "reproduced")
    row = judged(one | {"seeds": 5}, {"labels": values, "labels.runs": runs})
    assert row["n"] == "3 of 5"
    for partly in ({}, {"labels": values}, {"labels.runs": runs}):  # a sweep may be about to write the other
        assert judged(one, partly)["verdict"] == "not run"
    assert judged(one | {"before_round": 0.0}, {"labels": values, "labels.runs": runs})["ours"] == row["ours"]


def test_a_claim_is_judged_at_the_papers_scale_unless_another_has_more_seeds():
    one = claim(
        itlm("test_accuracy", "0"), itlm("test_accuracy", "last"), item="Table 1", claim="better", paper_before=60.0,
        paper_after=80.0,
    )  # fmt: skip
    found = {}
    for at_papers in (0, 1, 3):
        papers = [labels.Config(scale="paper", seed=seed).resolved() for seed in range(at_papers)]
        runs, values = recorded(*runs_of(), *papers)
        row = judged(one, {"labels": values, "labels.runs": runs})
        found[at_papers] = row["n"], row["scale"], row["verdict"]
    assert found[0] == found[1] == ("3", "cpu", "reproduced") and found[3] == ("3", "paper", "reproduced")


@pytest.mark.parametrize(
    ("before", "after", "sense", "ours", "verdict"),
    [
        (itlm("test_accuracy", "0"), itlm("test_accuracy", "1"), "rises", "61.0 → 71.0 (+10.0 ± 0.0)", "direction"),
        (
            itlm("test_accuracy", "0"), itlm("test_accuracy", "1", plus=2.5), "rises",
            "61.0 → 71.0 + 2.5 (+12.5 ± 0.0)", "direction",
        ),
        (
            itlm("test_accuracy", "0", times=2), itlm("test_accuracy", "1"), "falls",
            "2 × 61.0 → 71.0 (-51.0 ± 0.7)", "direction",
        ),
        (side(plus=5), itlm("test_accuracy", "1"), "falls", "5.0 → 71.0 (+66.0 ± 0.7)", "not reproduced"),
    ],
)  # fmt: skip
def test_a_claim_may_have_a_factor_a_margin_or_a_constant_and_pool_settings(before, after, sense, ours, verdict):
    one = claim(before, after, select="clean=0.6|clean=0.7", sense=sense, seeds=6)
    runs, values = recorded(*runs_of(clean=0.6), *runs_of(clean=0.7), *runs_of(clean=0.8))
    row = judged(one, {"labels": values, "labels.runs": runs})
    spread = stats.t.ppf(0.975, 5) * np.std([0, 1, 2, 0, 1, 2], ddof=1) / np.sqrt(6)
    assert row["ours"] == ours.replace("± 0.7", f"± {spread:.1f}")
    assert (row["n"], row["verdict"]) == ("6", verdict)


def test_a_claim_about_simulated_data_may_set_each_side_apart():
    one = claim(
        side("error_full", "0", "n=600"), side("error_full", "0", "n=900"), item="Figure 2(a)", claim="falls with n",
        unit=np.nan, experiment="synthetic", select="sigma=0.01", paper_scale="simulated", sense="falls",
    )  # fmt: skip
    configs = [synthetic.Config(sigma=0.01, n=n, seed=seed).resolved() for n in (600, 900) for seed in range(3)]
    runs, _ = recorded(*configs)
    rows = [(f"k{i}", 0, "error_full", 6 / c.n + 1e-5 * c.seed) for i, c in enumerate(configs)]
    values = pd.DataFrame(rows, columns=["key", "round", "metric", "value"])
    row = judged(one, {"synthetic": values, "synthetic.runs": runs})
    assert row["ours"].startswith("0.01 → 0.00668 (-0.00333 ± ")
    assert (row["n"], row["scale"], row["verdict"], row["paper"]) == ("3", "simulated", "direction", "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"select": "dataset=mnist clena=0.6"}, "unexpected keyword argument 'clena'"),
        ({"after_where": "mehtod=itlm"}, "unexpected keyword argument 'mehtod'"),
        ({"select": "dataset=minst"}, "dataset must be one of .* got 'minst'"),
        ({"select": "clean=60"}, r"clean must be a number in \[0, 1\], got 60"),
        ({"before_where": "method=itml"}, "method must be one of .* got 'itml'"),
        ({"before_metric": "test_acuracy"}, "metric 'test_acuracy'"),
        ({"after_metric": "auc_of_nothing"}, "metric 'auc_of_nothing'"),
        ({"after_round": "lsat"}, "'lsat'"),
        ({"before_round": 7}, "no run has test_accuracy in round 7; the last round is 2"),
        ({"after_round": "-1"}, "no run has test_accuracy in round -1"),
        ({"after_round": 1.5}, "'1.5'"),
        ({"experiment": "lables"}, "experiment 'lables' cannot be imported: No module named 'lables'"),
        ({"experiment": np.nan}, "experiment nan cannot be imported"),
        ({"experiment": "measures"}, "itlm.experiments.measures is no experiment"),
        ({"after_round": None}, "after_round is empty: give a round, or last"),
        ({"after_metric": None}, "after_metric and after_plus are both empty: give a metric or a constant"),
        ({"after_times": "twice"}, "'twice'"),
        ({"select": "dataset"}, "."),
    ],
)
def test_a_typo_in_a_claim_is_an_error_that_names_the_claim(change, said):
    one = claim(itlm("test_accuracy", "0"), itlm("test_accuracy", "last"), item="Table 7", claim="ITLM is better")
    runs, values = recorded(*runs_of())
    tables = {"labels": values, "labels.runs": runs}
    assert judged(one, tables)["n"] == "3"
    with pytest.raises(ValueError, match=rf"claim 'ITLM is better' \(Table 7\): .*{said}"):
        scorecard(pd.DataFrame([one, one | change]), tables)


def test_the_claims_quote_the_papers_tables():
    claims, table1 = results("paper/claims"), results("paper/table1")
    assert len(claims) >= 40
    first = claims[claims.item == "Table 1"].head(len(table1))
    assert (first.paper_before.to_numpy() == table1.baseline.to_numpy()).all()
    assert (first.paper_after.to_numpy() == table1.itlm.to_numpy()).all()
    for number, before, after in ((3, "iter_1", "iter_5"), (4, "naive_test2", "itlm_test2")):
        table, rows = results(f"paper/table{number}"), claims[claims.item == f"Table {number}"]
        assert (rows.paper_before.to_numpy() == table[before].to_numpy()).all()
        assert (rows.paper_after.to_numpy() == table[after].to_numpy()).all()


def test_every_claim_says_where_to_look(monkeypatch):
    tables, looked = records.everything(), []
    series = records.series
    monkeypatch.setattr(records, "series", lambda *asked: looked.append(asked) or series(*asked))
    for one in results("paper/claims").to_dict("records"):
        looked.clear()
        row = judged(one, tables)  # a field, a value or a metric that is none would raise
        measured = [
            one[f"{name}_metric"] for name in ("before", "after") if one[f"{name}_metric"] == one[f"{name}_metric"]
        ]
        assert {metric for _, _, metric, _ in looked} == set(measured), row
        assert set(measured) <= set(tables[one["experiment"]].metric), f"{one['item']}: {measured} is never recorded"
