"""Verdicts on the paper's claims."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import recorded, runs_of
from scipy import stats

from itlm import records, verdicts
from itlm.experiments import labels, synthetic
from itlm.experiments.protocol import load
from itlm.records import results
from itlm.verdicts import agreement, evidence, holds, holm, interval, scorecard

PARTS = ("metric", "round", "where", "times", "plus")


def side(metric=None, at=None, where=None, times=None, plus=None):
    return dict(zip(PARTS, (metric, at, where, times, plus), strict=True))


def claim(before, after, **fields):
    """A line of claims.csv."""
    found = {
        "item": "x",
        "claim": "y",
        "paper_before": np.nan,
        "paper_after": np.nan,
        "unit": "%",
        "page": "z",
        "caveat": np.nan,
    }
    found |= {"experiment": "labels", "select": "dataset=mnist", "sense": "", "seeds": 3}
    sides = {f"{name}_{part}": v for name, s in (("before", before), ("after", after)) for part, v in s.items()}
    return found | sides | fields


def judged(one, recorded):
    """The scorecard's row of one claim."""
    (row,) = scorecard(pd.DataFrame([one]), recorded).to_dict("records")
    return row


def itlm(metric, at, **more):
    return side(metric, at, "method=itlm", **more)


def test_the_interval_and_the_p_value_are_those_of_the_paired_t_test():
    random = np.random.default_rng(0)
    before, after = random.random(7), random.random(7) + 0.3
    found, reference = evidence(before, after).difference, stats.ttest_rel(after, before)
    low, high = reference.confidence_interval(0.95)
    assert np.allclose([found.mean - found.half_width, found.mean + found.half_width], [low, high])
    assert found.n == 7 and np.isclose(found.p_value, reference.pvalue)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12))
def test_the_p_value_is_below_five_percent_exactly_if_the_interval_excludes_zero(values):
    found = interval(values)
    assert (found.p_value < 0.05) == found.excludes(0) == (holds(evidence(np.zeros(found.n), values)) != "undecided")


def test_a_single_seed_decides_nothing_and_seeds_that_agree_decide_at_once():
    one = evidence([1.0], [2.0])
    assert one.difference.half_width == np.inf and one.difference.p_value == 1 and str(one) == "+1.0"
    assert holds(one) == "undecided" and one.difference.needed() is None
    assert interval([2.0, 2.0]).p_value == 0 and interval([0.0, 0.0]).p_value == 1


@pytest.mark.parametrize("seed", range(5))
def test_as_many_values_as_are_needed_exclude_zero_and_one_less_do_not(seed):
    values = np.random.default_rng(seed).normal(0.3, 1, 8)
    needed = interval(values).needed()

    def alike(n):  # n values of the same mean and spread
        drawn = np.random.default_rng(99).normal(size=n)
        return values.mean() + (drawn - drawn.mean()) * values.std(ddof=1) / drawn.std(ddof=1)

    if needed > 1000:
        assert needed == np.inf and not interval(alike(1000)).excludes(0)
    else:
        needed = int(needed)
        assert interval(alike(needed)).excludes(0) and (needed == 2 or not interval(alike(needed - 1)).excludes(0))


def test_a_mean_is_written_with_its_interval_and_few_seeds_one_by_one():
    four = interval([1.0, 2.0, 3.0, 4.0])
    half = stats.t.ppf(0.975, 3) * np.std(four.values, ddof=1) / 2
    assert (four.mean, four.n) == (2.5, 4) and np.isclose(four.half_width, half)
    assert str(four) == f"2.5 ± {half:.1f}" and f"{four:+.2f}" == f"+2.50 ± {half:.2f}"
    assert [str(interval(v)) for v in ([1.0, 2.0, 3.0], [4.0], [])] == ["1.0, 2.0, 3.0", "4.0", "not run"]
    assert np.isnan([interval([]).mean, interval([]).half_width]).all() and interval([]).n == 0
    assert str(evidence([1, 2], [3, 5])) == "+2.0, +3.0"


@pytest.mark.parametrize("sides", [([1.0], [1.0, 2.0]), ([], [])])
def test_unpaired_sides_are_refused(sides):
    with pytest.raises(ValueError, match="one value a seed"):
        evidence(*sides)


@pytest.mark.parametrize(
    ("after", "falls", "expected"),
    [
        ([62, 63, 64, 63], False, "yes"),
        ([62, 63, 64, 63], True, "no"),
        ([58, 57, 59, 58], False, "no"),
        ([58, 57, 59, 58], True, "yes"),
        ([58, 62, 60, 61], False, "undecided"),
        ([62], False, "undecided"),
    ],
)
def test_a_claim_holds_if_the_interval_excludes_zero_with_its_sign(after, falls, expected):
    found = evidence([60] * len(after), after)
    assert holds(found, falls=falls) == expected
    assert holds(found, falls=falls, p_value=0.06) == "undecided" and holds(None) == "not run"


def around(mean, half, n=5):
    """Values with this mean and this half width of their interval."""
    values = np.arange(n) - (n - 1) / 2
    return interval(mean + values * half / interval(values).half_width)


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([(around(61, 1), 60), (around(79, 1), 80)], "agree"),
        ([(around(63, 1), 60), (around(76, 1), 80)], "off by 4.0"),
        ([(around(63, 3.5), 60), (around(76, 4.5), 80)], "agree"),  # within the interval
        ([(around(63, 3.5, n=3), 60)], "off by 3.0"),  # too few seeds for an interval
        ([(around(61.9, 0.1, n=1), 60)], "agree"),
        ([(around(61, 1), np.nan), (around(75, 1), 80)], "off by 5.0"),
        ([(around(61, 1), np.nan)], "nothing printed"),
        ([(interval([]), 60.0)], "not run"),
    ],
)
def test_numbers_agree_within_two_points_or_within_the_interval(sides, expected):
    assert agreement(*sides) == expected


def test_holms_correction_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for seed in range(20):
        p_values = np.random.default_rng(seed).random(seed % 7 + 1) ** 3
        assert np.allclose(holm(p_values), multitest.multipletests(p_values, method="holm")[1])


def test_a_claim_is_filled_from_recorded_runs():
    one = claim(
        itlm("test_accuracy", "0"), itlm("test_accuracy", "last"), item="Table 1", claim="better", paper_before=60.0,
        paper_after=80.0, select="dataset=mnist noise=random clean=0.6",
    )  # fmt: skip
    other = runs_of(noise="random", bounded=False) + runs_of(noise="random", clean=0.7) + runs_of()
    runs, values = recorded(*runs_of(noise="random"), *other)
    row = judged(one, {"labels": values, "labels.runs": runs})
    assert row["ours"] == "61.0 → 81.0 (+20.0, +20.0, +20.0)"
    assert (row["n"], row["size"], row["holds"], row["numbers"]) == ("3", "the paper's", "yes", "agree")
    assert row["reproduced"] and row["needed"] == ""
    row = judged(one | {"seeds": 5}, {"labels": values, "labels.runs": runs})
    assert row["n"] == "3 of 5"
    single = values[values.key.isin(runs.key[runs.seed == 0])]
    alone = judged(one, {"labels": single, "labels.runs": runs[runs.seed == 0]})
    assert (alone["holds"], alone["needed"], alone["n"]) == ("undecided", "", "1 of 3")  # one seed has no spread
    for partly in ({}, {"labels": values}, {"labels.runs": runs}):  # a sweep may be about to write the other
        assert judged(one, partly)["holds"] == "not run"
    assert judged(one | {"before_round": 0.0}, {"labels": values, "labels.runs": runs})["ours"] == row["ours"]


def test_a_claim_is_judged_at_the_papers_scale_unless_another_has_more_seeds():
    one = claim(itlm("test_accuracy", "0"), itlm("test_accuracy", "last"))
    found = {}
    for at_papers in (0, 1, 3):
        papers = [labels.Config(scale="paper", seed=seed).resolved() for seed in range(at_papers)]
        runs, values = recorded(*runs_of(), *papers)
        values.loc[values.key.isin(runs.key[runs.scale == "paper"]), "value"] += 7
        found[at_papers] = judged(one, {"labels": values, "labels.runs": runs})["ours"].split(" (")[0]
    assert found == {0: "61.0 → 81.0", 1: "61.0 → 81.0", 3: "68.0 → 88.0"}


def test_a_claim_may_name_its_scale():
    one = claim(itlm("test_accuracy", "0"), itlm("test_accuracy", "last"), select="scale=authors")
    authors = [labels.Config(scale="authors", seed=seed).resolved() for seed in range(2)]
    runs, values = recorded(*runs_of(), *authors)
    row = judged(one, {"labels": values, "labels.runs": runs})
    assert (row["n"], row["size"]) == ("2 of 3", "the paper's")


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("labels", "scale=cpu", "the paper's"),
        ("labels", "scale=cpu n=500", "the paper's"),  # chosen for both
        ("cifar", "scale=cpu", "reduced: 25,000 of 50,000 images, small network, not wide"),
        ("gan", "scale=cpu", "reduced: 6,000 of 60,000 images, 32 of 64 channels"),
        ("gan", "scale=cpu n=60000 width=64", "the paper's"),
        ("synthetic", "", "simulated"),
    ],
)
def test_a_size_says_what_is_reduced(name, fields, expected):
    assert verdicts._size(load(name), fields.split()) == expected


@pytest.mark.parametrize(
    ("before", "after", "sense", "ours", "answer"),
    [
        (itlm("test_accuracy", "0"), itlm("test_accuracy", "1"), "rises", "61.0 → 71.0 (+10.0 ± 0.0)", "yes"),
        (
            itlm("test_accuracy", "0"), itlm("test_accuracy", "1", plus=2.5), "rises",
            "61.0 → 71.0 + 2.5 (+12.5 ± 0.0)", "yes",
        ),
        (
            itlm("test_accuracy", "0", times=2), itlm("test_accuracy", "1"), "falls",
            "2 × 61.0 → 71.0 (-51.0 ± 0.7)", "yes",
        ),
        (side(plus=5), itlm("test_accuracy", "1"), "falls", "5.0 → 71.0 (+66.0 ± 0.7)", "no"),
    ],
)  # fmt: skip
def test_a_claim_may_have_a_factor_a_margin_or_a_constant_and_pool_settings(before, after, sense, ours, answer):
    one = claim(before, after, select="clean=0.6|clean=0.7", sense=sense, seeds=6)
    runs, values = recorded(*runs_of(clean=0.6), *runs_of(clean=0.7), *runs_of(clean=0.8))
    row = judged(one, {"labels": values, "labels.runs": runs})
    spread = stats.t.ppf(0.975, 5) * np.std([0, 1, 2, 0, 1, 2], ddof=1) / np.sqrt(6)
    assert row["ours"] == ours.replace("± 0.7", f"± {spread:.1f}")
    assert (row["n"], row["holds"]) == ("6", answer)


def test_a_claim_about_simulated_data_may_set_each_side_apart():
    one = claim(
        side("error_full", "0", "n=600"), side("error_full", "0", "n=900"), item="Figure 2(a)", claim="falls with n",
        unit=np.nan, experiment="synthetic", select="sigma=0.01", sense="falls",
    )  # fmt: skip
    configs = [synthetic.Config(sigma=0.01, n=n, seed=seed).resolved() for n in (600, 900) for seed in range(3)]
    runs, _ = recorded(*configs)
    rows = [(f"k{i}", 0, "error_full", 6 / c.n + 1e-5 * c.seed) for i, c in enumerate(configs)]
    values = pd.DataFrame(rows, columns=["key", "round", "metric", "value"])
    row = judged(one, {"synthetic": values, "synthetic.runs": runs})
    assert row["ours"] == "0.01 → 0.00668 (-0.00333, -0.00333, -0.00333)"
    assert (row["n"], row["size"], row["holds"], row["paper"]) == ("3", "simulated", "yes", "")
    assert row["numbers"] == "nothing printed" and not row["reproduced"]


def test_a_side_may_have_conditions_of_its_own_in_each_pooled_setting():
    alike = {"select": "clean=0.6|clean=0.7", "seeds": 6, "sense": "falls"}
    lower = side("test_accuracy", "1", "alpha=0.5|alpha=0.6")
    runs, values = recorded(*runs_of(clean=0.6), *runs_of(clean=0.7), *runs_of(clean=0.6, alpha=0.5),
                            *runs_of(clean=0.7, alpha=0.6))  # fmt: skip
    values.loc[values.key.isin(runs.key[runs.alpha.isin([0.5, 0.6])]), "value"] -= 7
    tables = {"labels": values, "labels.runs": runs}
    row = judged(claim(side("test_accuracy", "1"), lower, **alike), tables)
    assert row["ours"] == "71.0 → 64.0 (-7.0 ± 0.0)" and row["n"] == "6"
    odd = claim(side("test_accuracy", "1"), side("test_accuracy", "1", "alpha=0.5|alpha=0.6|alpha=0.7"), **alike)
    with pytest.raises(ValueError, match="where has 3 sets of conditions, and select 2: give one, or as many"):
        judged(odd, tables)


def test_holms_correction_is_made_within_a_table():
    runs, values = recorded(*runs_of(clean=0.6), *runs_of(clean=0.7))
    spread = values.key.isin(runs.key[runs.clean == 0.7]) & (values["round"] == 2)
    values.loc[spread, "value"] += [-4, 0, 4]  # a gain of 20 with p near 0.03
    sides = itlm("test_accuracy", "0"), itlm("test_accuracy", "last")
    close = claim(*sides, item="Table 1, part", select="clean=0.7", sense="rises")
    sides = itlm("test_accuracy", "0"), itlm("test_accuracy", "0", plus=0.1)
    sure = claim(*sides, item="Table 1", select="clean=0.6", sense="rises")
    tables = {"labels": values, "labels.runs": runs}
    p_value = evidence([0, 0, 0], [16, 20, 24]).difference.p_value
    assert 0.01 < p_value < 0.05
    for others, expected in ((0, "yes"), (5, "undecided")):
        weak = claim(*sides, item="Table 1", select="clean=0.6", sense="rises") | {"after_plus": 0}
        rows = scorecard(pd.DataFrame([close, *[weak] * others, sure]), tables)
        assert (rows.holds[0], rows.corrected[0]) == ("yes", expected)
    elsewhere = [claim(*sides, item="Table 2", select="clean=0.6", sense="rises", after_plus=0)] * 5
    assert scorecard(pd.DataFrame([close, *elsewhere]), tables).corrected[0] == "yes"


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
