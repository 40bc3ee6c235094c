"""Recorded results, and the verdicts on the paper's claims."""

import importlib
import itertools
import sys
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from itlm import labels, records, synthetic, verdicts
from itlm.records import results
from itlm.verdicts import Evidence, evidence, judge, mean_interval, verdict


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
    assert [mean_interval(v) for v in ([1.0, 2.0, 3.0], [4.0], [])] == [f"2.0 ± {half:.1f}", "4.0", "not run"]


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


def recorded(*configs):
    """Tables as a sweep leaves them: in round r, seed s, the accuracy is 60 + 10 r + s."""
    runs = pd.DataFrame([{"key": f"k{i}", **asdict(c), "recipe": 1, "status": "ok"} for i, c in enumerate(configs)])
    values = pd.DataFrame(
        [(f"k{i}", r, "test_accuracy", 60.0 + 10 * r + c.seed) for i, c in enumerate(configs) for r in range(3)],
        columns=["key", "round", "metric", "value"],
    )
    return runs, values


def runs_of(**fields):
    return [labels.Config(scale="cpu", seed=seed, **fields).resolved() for seed in range(3)]


def test_a_claim_is_filled_from_recorded_runs():
    claim = {"item": "Table 1", "claim": "better", "paper_before": 60.0, "paper_after": 80.0, "unit": "%", "page": "x",
             "experiment": "labels", "select": "dataset=mnist noise=random clean=0.6",
             "before": "itlm:test_accuracy@0", "after": "itlm:test_accuracy@last", "paper_scale": "cpu",
             "sense": "", "seeds": 3}  # fmt: skip
    other = runs_of(noise="random", bounded=False) + runs_of(noise="random", clean=0.7) + runs_of()
    runs, values = recorded(*runs_of(noise="random"), *other)
    (row,) = judge(pd.DataFrame([claim]), {"labels": values, "labels.runs": runs}).to_dict("records")
    assert row["ours"] == "61.0 → 81.0 (+20.0 ± 0.0)"
    assert (row["n"], row["scale"], row["verdict"]) == ("3", "cpu", "reproduced")
    (row,) = judge(pd.DataFrame([claim | {"seeds": 5}]), {"labels": values, "labels.runs": runs}).to_dict("records")
    assert row["n"] == "3 of 5"
    (row,) = judge(pd.DataFrame([claim]), {}).to_dict("records")
    assert row["verdict"] == "not run"


def test_a_claim_is_judged_at_the_papers_scale_unless_another_has_more_seeds():
    claim = {"item": "Table 1", "claim": "better", "paper_before": 60.0, "paper_after": 80.0, "unit": "%", "page": "x",
             "experiment": "labels", "select": "dataset=mnist", "before": "itlm:test_accuracy@0",
             "after": "itlm:test_accuracy@last", "paper_scale": "cpu", "sense": "", "seeds": 3}  # fmt: skip
    found = {}
    for at_papers in (0, 1, 3):
        papers = [labels.Config(scale="paper", seed=seed).resolved() for seed in range(at_papers)]
        runs, values = recorded(*runs_of(), *papers)
        (row,) = judge(pd.DataFrame([claim]), {"labels": values, "labels.runs": runs}).to_dict("records")
        found[at_papers] = row["n"], row["scale"], row["verdict"]
    assert found[0] == found[1] == ("3", "cpu", "reproduced") and found[3] == ("3", "paper", "reproduced")


@pytest.mark.parametrize(
    ("before", "after", "sense", "ours", "verdict"),
    [
        ("itlm:test_accuracy@0", "itlm:test_accuracy@1", "rises", "61.0 → 71.0 (+10.0 ± 0.0)", "direction"),
        ("itlm:test_accuracy@0", "itlm:test_accuracy@1+2.5", "rises", "61.0 → 71.0 + 2.5 (+12.5 ± 0.0)", "direction"),
        ("2*itlm:test_accuracy@0", "itlm:test_accuracy@1", "falls", "2 × 61.0 → 71.0 (-51.0 ± 0.7)", "direction"),
        ("5", "itlm:test_accuracy@1", "falls", "5.0 → 71.0 (+66.0 ± 0.7)", "not reproduced"),
    ],
)
def test_a_claim_may_have_a_factor_a_margin_or_a_constant_and_pool_settings(before, after, sense, ours, verdict):
    claim = {"item": "x", "claim": "y", "paper_before": np.nan, "paper_after": np.nan, "unit": "%", "page": "x",
             "experiment": "labels", "select": "clean=0.6|clean=0.7", "before": before, "after": after,
             "paper_scale": "cpu", "sense": sense, "seeds": 6}  # fmt: skip
    runs, values = recorded(*runs_of(clean=0.6), *runs_of(clean=0.7), *runs_of(clean=0.8))
    (row,) = judge(pd.DataFrame([claim]), {"labels": values, "labels.runs": runs}).to_dict("records")
    spread = stats.t.ppf(0.975, 5) * np.std([0, 1, 2, 0, 1, 2], ddof=1) / np.sqrt(6)
    assert row["ours"] == ours.replace("± 0.7", f"± {spread:.1f}")
    assert (row["n"], row["verdict"]) == ("6", verdict)


def test_a_claim_about_simulated_data_may_set_each_side_apart():
    claim = {"item": "Figure 2(a)", "claim": "falls with n", "paper_before": np.nan, "paper_after": np.nan,
             "unit": np.nan, "page": "x", "experiment": "synthetic", "select": "sigma=0.01",
             "before": "error_full@0 n=600", "after": "error_full@0 n=900",
             "paper_scale": "simulated", "sense": "falls", "seeds": 3}  # fmt: skip
    configs = [synthetic.Config(sigma=0.01, n=n, seed=seed).resolved() for n in (600, 900) for seed in range(3)]
    runs, _ = recorded(*configs)
    rows = [(f"k{i}", 0, "error_full", 6 / c.n + 1e-5 * c.seed) for i, c in enumerate(configs)]
    values = pd.DataFrame(rows, columns=["key", "round", "metric", "value"])
    (row,) = judge(pd.DataFrame([claim]), {"synthetic": values, "synthetic.runs": runs}).to_dict("records")
    assert row["ours"].startswith("0.01 → 0.00668 (-0.00333 ± ")
    assert (row["n"], row["scale"], row["verdict"], row["paper"]) == ("3", "simulated", "direction", "")


def test_a_field_added_later_counts_as_recorded_at_its_default():
    runs, values = recorded(*runs_of())
    old = runs.drop(columns="balanced")
    (config, *_), (changed, *_) = runs_of(), runs_of(balanced=True)
    assert len(records.series((old, values), config, "test_accuracy")) == 3
    assert len(records.series((old, values), changed, "test_accuracy")) == 0
    both = pd.concat([old, recorded(*runs_of(balanced=True))[0].assign(key=["n0", "n1", "n2"])])  # NaN in the old rows
    assert len(records.series((both, values), config, "test_accuracy")) == 3


def test_rounds_and_seeds_make_a_table_and_a_runs_last_round_is_its_own():
    runs, values = recorded(*runs_of())
    config, *_ = runs_of()
    values = values[~((values.key == values.key.iloc[0]) & (values["round"] > 0))]  # as if the first run had no updates
    table = records.by_round((runs, values), config, "test_accuracy")
    assert table.columns.tolist() == [0, 1, 2] and table[0].notna().tolist() == [True] + [False] * (len(table) - 1)
    last = records.series((runs, values), config, "test_accuracy")
    assert last.tolist() == [table[0].iloc[0], table[1].iloc[-1], table[2].iloc[-1]]
    assert records.series((runs, values), config, "test_accuracy", 1).index.tolist() == [1, 2]
    assert records.series((runs, values), config, "test_accuracy", 99).empty
    assert records.by_round((runs, values), config, "unheard of").empty


def test_a_seed_kept_for_choosing_is_no_result():
    runs, values = recorded(*runs_of())
    config, *_ = runs_of()
    runs["seed"] = [0, records.CHOOSING, 2]
    assert records.series((runs, values), config, "test_accuracy").index.tolist() == [0, 2]


def test_of_runs_that_were_repeated_under_a_new_recipe_the_old_ones_are_no_result():
    runs, values = recorded(*runs_of(), *runs_of())
    runs["recipe"] = [1, 1, 1, 2, 2, 2]
    values.loc[values.key.isin(["k3", "k4", "k5"]), "value"] += 100
    config, *_ = runs_of()
    assert (records.series((runs, values), config, "test_accuracy") > 170).all()


def test_of_runs_on_data_of_two_digests_those_on_the_newest_are_the_result():
    runs, values = recorded(*runs_of(), *runs_of())
    runs["data"], runs["utc"] = ["old"] * 3 + ["new"] * 3, [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3, 2, 4, 5)]
    values.loc[values.key.isin(["k3", "k4", "k5"]), "value"] += 100
    config, *_ = runs_of()
    assert (records.series((runs, values), config, "test_accuracy") > 170).all()
    assert records.by_round((runs, values), config, "test_accuracy").shape == (3, 3)
    assert set(records.runs_of(runs, config).key) == {"k3", "k4", "k5"}


def test_a_failed_run_is_no_result():
    runs, values = recorded(*runs_of())
    config, *_ = runs_of()
    assert records.series(
        (runs.assign(status=["ok", "failed", "ok"]), values), config, "test_accuracy"
    ).index.tolist() == [0, 2]


def test_a_missing_table_lists_those_there_are():
    with pytest.raises(FileNotFoundError, match="no results named 'table9'.*paper/table1"):
        results("table9")


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
    monkeypatch.setattr(records, "series", lambda found, config, metric, at: looked.append(metric) or pd.Series([0.0]))
    for claim in results("paper/claims").itertuples():
        experiment = importlib.import_module(f"itlm.{claim.experiment}")
        for side, select in itertools.product((claim.before, claim.after), claim.select.split("|")):
            looked.clear()
            number = verdicts._Number.read(side)
            number.values((None, None), experiment, select.split())  # a field or a value that is none would raise
            assert not set(looked) - set(tables[claim.experiment].metric), f"{claim.item}: {side} is never recorded"


def test_results_travel_with_an_installed_package(tmp_path, monkeypatch):
    (tmp_path / "itlm" / "results").mkdir(parents=True)
    monkeypatch.setattr(records, "__file__", str(tmp_path / "itlm" / "records.py"))
    assert records.folder() == tmp_path / "itlm" / "results"


# provenance


@pytest.mark.parametrize("line", ["from .y import z", "from . import y", "from itlm import y", "import itlm.y"])
def test_the_source_counts_what_is_imported_inside_functions(tmp_path, monkeypatch, line):
    monkeypatch.setattr(records, "__file__", str(tmp_path / "records.py"))
    (tmp_path / "x.py").write_text(f"def run():\n    {line}\n")
    digests = []
    for number in range(2):
        (tmp_path / "y.py").write_text(f"z = {number}\n")
        digests.append(records._source.__wrapped__("x"))
    assert digests[0] != digests[1]


def test_threads_are_counted_without_torch_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [{"num_threads": 1}, {"num_threads": 3}])
    assert records.Record("x", "k", {}, {}).finish().provenance["threads"] == 3
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert records.Record("x", "k", {}, {}).finish().provenance["threads"] == 1


# arrays


def test_arrays_travel_with_their_run(tmp_path, monkeypatch):
    config = labels.Config(seed=3).resolved()
    record = records.begin("labels", 1, config, "ab" * 32)
    pictures = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    record.keep("pictures", pictures)
    record.add(0, {"m": 1.0})
    records.save_part(record.finish(), tmp_path / "parts")
    assert records.collect("labels", tmp_path / "parts", tmp_path) == 1
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    assert np.array_equal(records.arrays("labels", config)["pictures"], pictures)
    assert records.arrays("labels", labels.Config(seed=4).resolved()) == {}
    assert records.arrays("labels", labels.Config(seed=3, clean=0.7).resolved()) == {}


def test_too_many_arrays_are_refused():
    record = records.begin("labels", 1, labels.Config().resolved(), "ab" * 32)
    record.keep("half", np.zeros(records.ROOM // 2, np.uint8))
    with pytest.raises(ValueError, match="array 'more' brings the run's arrays to 200001 bytes, more than 200000"):
        record.keep("more", np.zeros(records.ROOM // 2 + 1, np.uint8))
