"""One run, one record: its name, where it ran, its part file."""

import json
import os
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from runs import Later, part

from itlm.errors import Damaged
from itlm.experiments import labels
from itlm.parameters import one_of, parameter
from itlm.records import record
from itlm.records.record import ROOM, Record

# keys


def key(config, recipe=1, digest="ab" * 32, experiment="labels"):
    found = record.key(experiment, recipe, config.resolved(), digest)
    assert found == record.begin(experiment, recipe, config.resolved(), digest).key
    return found


def test_a_new_field_keeps_old_keys():
    for fields in ({}, {"seed": 3, "method": "oracle"}, {"clean": 0.7}):
        assert key(labels.Config(**fields)) == key(Later(**fields))
    assert key(Later(width=21)) != key(Later())
    assert key(Later(size=32)) != key(Later()) == key(Later(size=28))


def test_a_field_named_like_a_column_of_every_record_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Clashing(labels.Config):
        data: str = parameter("a", one_of("a", "b"), "data")

    with pytest.raises(ValueError, match="Clashing has a field 'data', which is a column of every record"):
        key(Clashing())
    found = record.begin("labels", 1, labels.Config().resolved(), "ab" * 32).finish()
    assert set(found.provenance) | {"key"} == record.COLUMNS and not set(found.parameters) & record.COLUMNS


def test_a_key_names_the_run_and_stays_what_it_is():
    assert key(labels.Config()) == "a9990fccbfce"


def test_everything_that_changes_a_run_changes_its_key():
    configs = [labels.Config(**fields) for fields in ({}, {"seed": 1}, {"alpha": 0.5}, {"n": 200}, {"balanced": True})]
    keys = [key(config) for config in configs]
    keys += [key(configs[0], recipe=2), key(configs[0], digest="cd" * 32), key(configs[0], experiment="gan")]
    assert len(set(keys)) == len(keys)
    assert all(len(k) == 12 and int(k, 16) >= 0 for k in keys)


def test_what_the_scale_fills_in_makes_no_other_run():
    assert key(labels.Config()) == key(labels.Config(n=3000, alpha=0.55, dataset="mnist5k"))


# part files


def test_a_part_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = part(tmp_path, "m")
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no room")))
    with pytest.raises(OSError, match="no room"):
        part(tmp_path, "other")
    assert path.read_bytes() == before and list(tmp_path.glob("*.json")) == [path]


def test_a_part_is_read_as_it_was_written_but_for_its_arrays(tmp_path):
    run = record.begin("labels", 1, labels.Config(seed=4).resolved(), "ab" * 32)
    run.add(2, {"m": 1.5, "none": np.nan})
    run.keep("pictures", np.zeros((2, 3), np.uint8))
    path = record.save_part(run.finish(), tmp_path)
    again = record.read_part(path)
    assert (again.experiment, again.key, again.parameters, again.provenance) == (
        run.experiment, run.key, run.parameters, run.provenance)  # fmt: skip
    assert again.rows == run.rows == [[2, "m", 1.5]] and again.arrays == {}
    with np.load(path.with_suffix(".npz")) as kept:
        assert np.array_equal(kept["pictures"], run.arrays["pictures"])


def test_a_part_of_another_run_is_damaged(tmp_path):
    path = part(tmp_path, "m")
    other = path.with_name("0123456789ab.json")
    other.write_bytes(path.read_bytes())
    with pytest.raises(Damaged, match=rf"0123456789ab.json is torn, .*it is of run {path.stem}, ok\)"):
        record.read_part(other)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 3}))
    with pytest.raises(Damaged, match=rf"{path.name} is torn, or no part file of a sweep \(TypeError"):
        record.read_part(path)


# provenance


@pytest.mark.parametrize("name", ["x.py", "deep/y.py", "deep/further/z.py"])
def test_the_source_counts_every_file_of_the_package_wherever_it_lies(tmp_path, monkeypatch, name):
    monkeypatch.setattr(record, "PACKAGE", tmp_path)
    for file in ("x.py", "deep/y.py", "deep/further/z.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("z = 0\n")
    before = record._source.__wrapped__()
    assert record._source.__wrapped__() == before and len(before) == 12
    (tmp_path / name).write_text("z = 1\n")
    changed = record._source.__wrapped__()
    assert changed != before
    (tmp_path / "notes.txt").write_text("no code")
    assert record._source.__wrapped__() == changed


def test_threads_are_counted_without_torch_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [{"num_threads": 1}, {"num_threads": 3}])
    assert Record("x", "k", {}, {}).finish().provenance["threads"] == 3
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert Record("x", "k", {}, {}).finish().provenance["threads"] == 1


# arrays


def test_too_many_arrays_are_refused():
    run = record.begin("labels", 1, labels.Config().resolved(), "ab" * 32)
    run.keep("half", np.zeros(ROOM // 2, np.uint8))
    with pytest.raises(ValueError, match="array 'more' brings the run's arrays to 200001 bytes, more than 200000"):
        run.keep("more", np.zeros(ROOM // 2 + 1, np.uint8))
