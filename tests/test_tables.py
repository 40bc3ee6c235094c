"""The recorded tables: how runs are merged into them, and how they are found again."""

import numpy as np
import pandas as pd
import pytest
from runs import Later, part, recorded, runs_of, tables_in, texts

from itlm.experiments import labels
from itlm.records import tables
from itlm.records.record import begin, save_part

# collecting


def test_parts_are_merged_and_sorted_whatever_their_order(tmp_path):
    parts, into, other = (tmp_path / name for name in ("parts", "into", "other"))
    into.mkdir(), other.mkdir()
    for seed in (10, 0, 2):
        part(parts, "m", seed)
    part(parts, "x", 5, experiment="gan")
    assert tables.collect("labels", parts, into) == 3
    runs, values = tables_in(into)
    assert runs.seed.tolist() == [0, 10, 2]  # as text, like every field
    assert sorted(runs.key) == sorted(values.key) == values.key.tolist()
    assert list(values.columns) == ["key", "round", "metric", "value"]
    assert {"status", "seconds", "threads", "device", "source", "dirty", "data", "utc"} <= set(runs.columns)
    one_at_a_time = tmp_path / "one"
    for path in sorted(parts.glob("*.json"), reverse=True):
        one_at_a_time.mkdir(exist_ok=True)
        (one_at_a_time / path.name).write_bytes(path.read_bytes())
        tables.collect("labels", one_at_a_time, other)
    assert texts(other) == texts(into)


def test_collecting_twice_changes_nothing(tmp_path):
    part(tmp_path / "parts", "m", values=(1 / 3, np.nan, 1e-9, 100.0))
    assert tables.collect("labels", tmp_path / "parts", tmp_path) == 1
    before = texts(tmp_path)
    assert b"nan" not in before[1] and before[1].count(b"\n") == 4
    assert tables.collect("labels", tmp_path / "parts", tmp_path) == 0
    part(tmp_path / "parts", "m", seed=1)
    assert tables.collect("labels", tmp_path / "parts", tmp_path) == 1
    assert set(before[1].splitlines()) < set(texts(tmp_path)[1].splitlines())
    assert set(before[0].splitlines()) < set(texts(tmp_path)[0].splitlines())


def test_what_is_recorded_is_left_as_it_is_unless_it_had_failed(tmp_path):
    part(tmp_path / "parts", "m", seed=0, values=(1.0,))
    part(tmp_path / "parts", "m", seed=1, values=(), status="Diverged: the loss is nan")
    tables.collect("labels", tmp_path / "parts", tmp_path)
    runs, values = tables_in(tmp_path)
    assert runs.status.tolist() == ["ok", "failed"] and runs.reason[1] == "Diverged: the loss is nan"
    assert len(values) == 1
    for seed in (0, 1):
        part(tmp_path / "parts", "m", seed, values=(2.0,))
    assert tables.collect("labels", tmp_path / "parts", tmp_path) == 1
    runs, values = tables_in(tmp_path)
    assert runs.status.tolist() == ["ok", "ok"] and sorted(values.value) == [1, 2]


def test_a_failure_may_come_first(tmp_path):
    part(tmp_path / "parts", "m", seed=1, values=(), status="Diverged: the loss is nan")
    tables.collect("labels", tmp_path / "parts", tmp_path)
    assert len(tables_in(tmp_path)[0]) == 1 and len(tables_in(tmp_path)[1]) == 0
    part(tmp_path / "parts", "m", seed=0, values=(1 / 3,))
    tables.collect("labels", tmp_path / "parts", tmp_path)
    assert tables_in(tmp_path)[1].value.tolist() == [0.33333333]


@pytest.mark.parametrize("name", ["012345678901", "123456789e12", "000000000000"])
def test_a_key_that_looks_like_a_number_stays_a_key(tmp_path, name):
    part(tmp_path / "parts", "m", key=name)
    assert tables.collect("labels", tmp_path / "parts", tmp_path) == 1
    before = texts(tmp_path)
    assert tables.collect("labels", tmp_path / "parts", tmp_path) == 0
    part(tmp_path / "parts", "m", seed=7, key="fedcba987654")
    tables.collect("labels", tmp_path / "parts", tmp_path)
    assert sorted(tables_in(tmp_path)[0].key) == [name, "fedcba987654"] == sorted(tables_in(tmp_path)[1].key)
    assert set(before[1].splitlines()) < set(texts(tmp_path)[1].splitlines())


def test_a_field_added_later_changes_no_recorded_row_but_for_its_column(tmp_path):
    part(tmp_path / "parts", "m", seed=0)
    tables.collect("labels", tmp_path / "parts", tmp_path)
    before = pd.read_csv(tmp_path / "labels.runs.csv", dtype=str)
    record = begin("labels", 1, Later(seed=1, width=7).resolved(), "ab" * 32)
    save_part(record.finish(), tmp_path / "parts")
    tables.collect("labels", tmp_path / "parts", tmp_path)
    after = pd.read_csv(tmp_path / "labels.runs.csv", dtype=str)
    assert after.set_index("seed").width["1"] == "7"  # not 7.0
    pd.testing.assert_frame_equal(after[after.seed == "0"][before.columns].reset_index(drop=True), before)


# looking up


def test_a_field_added_later_counts_as_recorded_at_its_default():
    runs, values = recorded(*runs_of())
    old = runs.drop(columns="balanced")
    (config, *_), (changed, *_) = runs_of(), runs_of(balanced=True)
    assert len(tables.series((old, values), config, "test_accuracy")) == 3
    assert len(tables.series((old, values), changed, "test_accuracy")) == 0
    both = pd.concat([old, recorded(*runs_of(balanced=True))[0].assign(key=["n0", "n1", "n2"])])  # NaN in the old rows
    assert len(tables.series((both, values), config, "test_accuracy")) == 3


@pytest.mark.parametrize("column", [False, True])  # a table without the field, or with an empty cell in the old rows
def test_a_field_that_the_scale_sets_counts_as_recorded_at_what_older_runs_had(column):
    runs, values = recorded(*runs_of())
    old = runs.assign(size=pd.NA) if column else runs
    for size, found in ((None, 3), (28, 3), (32, 0)):
        config = Later(scale="cpu", size=size).resolved()
        assert len(tables.series((old, values), config, "test_accuracy")) == found


def test_rounds_and_seeds_make_a_table_and_a_runs_last_round_is_its_own():
    runs, values = recorded(*runs_of())
    config, *_ = runs_of()
    values = values[~((values.key == values.key.iloc[0]) & (values["round"] > 0))]  # as if the first run had no updates
    table = tables.by_round((runs, values), config, "test_accuracy")
    assert table.columns.tolist() == [0, 1, 2] and table[0].notna().tolist() == [True] + [False] * (len(table) - 1)
    last = tables.series((runs, values), config, "test_accuracy")
    assert last.tolist() == [table[0].iloc[0], table[1].iloc[-1], table[2].iloc[-1]]
    assert tables.series((runs, values), config, "test_accuracy", 1).index.tolist() == [1, 2]
    assert tables.series((runs, values), config, "test_accuracy", 99).empty
    assert tables.by_round((runs, values), config, "unheard of").empty


def test_a_seed_kept_for_choosing_is_no_result():
    runs, values = recorded(*runs_of())
    config, *_ = runs_of()
    runs["seed"] = [0, tables.CHOOSING, 2]
    assert tables.series((runs, values), config, "test_accuracy").index.tolist() == [0, 2]


def test_of_runs_that_were_repeated_under_a_new_recipe_the_old_ones_are_no_result():
    runs, values = recorded(*runs_of(), *runs_of())
    runs["recipe"] = [1, 1, 1, 2, 2, 2]
    values.loc[values.key.isin(["k3", "k4", "k5"]), "value"] += 100
    config, *_ = runs_of()
    assert (tables.series((runs, values), config, "test_accuracy") > 170).all()


def test_of_runs_on_data_of_two_digests_those_on_the_newest_are_the_result():
    runs, values = recorded(*runs_of(), *runs_of())
    runs["data"], runs["utc"] = ["old"] * 3 + ["new"] * 3, [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3, 2, 4, 5)]
    values.loc[values.key.isin(["k3", "k4", "k5"]), "value"] += 100
    config, *_ = runs_of()
    assert (tables.series((runs, values), config, "test_accuracy") > 170).all()
    assert tables.by_round((runs, values), config, "test_accuracy").shape == (3, 3)
    assert set(tables.runs_of(runs, config).key) == {"k3", "k4", "k5"}


def test_a_failed_run_is_no_result():
    runs, values = recorded(*runs_of())
    config, *_ = runs_of()
    assert tables.series(
        (runs.assign(status=["ok", "failed", "ok"]), values), config, "test_accuracy"
    ).index.tolist() == [0, 2]


def test_a_missing_table_lists_those_there_are():
    with pytest.raises(FileNotFoundError, match="no results named 'table9'.*paper/table1"):
        tables.results("table9")


def test_results_travel_with_an_installed_package(tmp_path, monkeypatch):
    (tmp_path / "itlm" / "results").mkdir(parents=True)
    monkeypatch.setattr(tables, "PACKAGE", tmp_path / "itlm")
    assert tables.folder() == tmp_path / "itlm" / "results"


# arrays


def test_arrays_travel_with_their_run(tmp_path, monkeypatch):
    config = labels.Config(seed=3).resolved()
    record = begin("labels", 1, config, "ab" * 32)
    pictures = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    record.keep("pictures", pictures)
    record.add(0, {"m": 1.0})
    save_part(record.finish(), tmp_path / "parts")
    assert tables.collect("labels", tmp_path / "parts", tmp_path) == 1
    monkeypatch.setattr(tables, "folder", lambda: tmp_path)
    assert np.array_equal(tables.arrays("labels", config)["pictures"], pictures)
    assert tables.arrays("labels", labels.Config(seed=4).resolved()) == {}
    assert tables.arrays("labels", labels.Config(seed=3, clean=0.7).resolved()) == {}
