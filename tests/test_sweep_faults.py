"""Sweeps that go wrong: a fault is named with its file and line, and nothing that was recorded is lost."""

import fcntl
import re
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from runs import begun, finished, part, quick, run_and_collect, tables_in, texts, write

from itlm import files, sweep
from itlm.errors import Damaged, DataError, GridError, Missing, Refused
from itlm.experiments import labels
from itlm.records import record, tables
from itlm.sweep import expand

pytestmark = pytest.mark.usefixtures("one_thread")


def refused(capsys, path, *options):
    """The sweep stops before it has run or changed anything; return what it says."""
    assert sweep.main([str(path), *options]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("STOPPED ") and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blocks:\n  - {seed: 0}\n  - {sede: 1}\n", ":4: unknown field 'sede'; the fields are scale, dataset,"),
        ("fixed: {sede: 1}\nblocks:\n  - {seed: 0}\n", ":4: unknown field 'sede' in fixed; the fields are scale,"),
        ("blocks:\n  - {clean: 60}\n", ":3: clean must be a number in [0, 1], got 60"),
        (
            "blocks:\n  - {lr: 1e-3}\n",
            ":3: lr must be a number in (0, 10] or None, got '1e-3' (YAML reads lr=1e-3 as text",
        ),
        ("blocks:\n  - {seed: []}\n", ":3: seed has no values"),
        ("blocks:\n  - {seed: 0}\n  - {seed: 0}\n", ":4: {'seed': 0} is already in "),
        ("blocks:\n  - seed: 0\n    clean: 0.5\n    seed: 1\n", ":5: seed is given twice"),
        ("blocks:\n  - {seed: 0\n", ":4: expected ',' or '}'"),
        ("blocks: {seed: 0}\n", ":2: blocks must be a list of fields"),
        ("blocks: 3\n", ":2: blocks must be a list of fields"),
        ("block: [{seed: 0}]\n", ": a grid has experiment, blocks and perhaps fixed, got experiment, block"),
        (None, ": a grid has experiment, blocks and perhaps fixed, got NoneType"),
        ("blocks: [{seed: 0}]\nexperiment: lables\n", ":3: experiment is given twice"),
        ("blocks:\n  - {seed: 08}\n", ":3: seed must be an integer of at least 0, got '08' (YAML reads seed=08"),
        ("blocks: [[2026-13-45]]\n", ":1: month must be in 1..12"),
    ],
)
def test_a_grid_that_cannot_be_run_is_named_with_its_line(tmp_path, capsys, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text("" if text is None else f"experiment: labels\n{text}")
    assert f"{path}{message}" in refused(capsys, path)
    assert not list(tmp_path.glob("parts/*"))


ODD = ["010", "-010", "0x1F", "0b11", "0b_", "1_000", "1:30", "190:20:30", "1_0.5", "1:30.5", "1_0.0e+1", "2026-13-45"]
ODD += ["yes", "No", "ON", "off", "!!int x", "!!float x", "!!bool x", ""]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("form", ["{}", "[{}, 1]", "\n    - 0\n    - {}"])
def test_a_value_that_yaml_does_not_read_as_it_looks_is_refused(tmp_path, form, text):
    path, value = tmp_path / "grid.yaml", form.format(text)
    if value == "[, 1]":
        return  # no YAML at all
    path.write_text(f"experiment: labels\nblocks:\n- noise: random\n  seed: {value}\n")
    line, written = 4 + value.count("\n"), text.split()[-1] if text else "no value"
    said = f"{path}:{line}: seed has {written}: YAML reads 010 as 8"
    with pytest.raises(GridError, match=f"^{re.escape(said)}.*Write a decimal number without leading zeros"):
        sweep.load(path)


@given(value=st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.text(max_size=5)))
def test_values_that_look_like_what_they_are_are_read_as_such(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(yaml.safe_dump({"experiment": "labels", "blocks": [{"seed": value, "clean": [value]}]}))
    assert sweep.load(path)["blocks"] == [{"seed": value, "clean": [value]}]


@given(text=st.from_regex(r"[-+]?[0-9._:xb]{1,6}(e[-+]?[0-9])?", fullmatch=True, alphabet="0123456789._:xb+-e"))
def test_a_number_is_refused_or_read_as_python_reads_its_digits(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("grid") / "grid.yaml"
    path.write_text(f"experiment: labels\nblocks:\n- seed: {text}\n")
    try:
        value = sweep.load(path)["blocks"][0]["seed"]
    except GridError:
        return
    assert value == (float(text) if isinstance(value, int | float) else text)


@pytest.mark.parametrize("name", ["lables", "data", "measures", "itlm.files", 3])
def test_a_grid_of_no_experiment_says_what_one_is(tmp_path, capsys, name):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"experiment": name, "blocks": [{"seed": 0}]}))
    assert f"{path}: experiment must be a module of itlm.experiments such as labels or gan, or one of " in refused(
        capsys, path
    )


def test_a_grid_that_is_missing_is_named_with_those_that_are_there(tmp_path, capsys):
    for name in ("other", ".hidden"):
        (tmp_path / f"{name}.yaml").write_text("")
    said = refused(capsys, tmp_path / "grid.yaml")
    assert f"'{tmp_path}/grid.yaml'" in said and said.endswith("are: other\n")


def test_a_grid_that_is_named_as_for_make_is_found(capsys, monkeypatch, root):
    monkeypatch.chdir(root)
    assert refused(capsys, "labels_demo", "--plan").endswith("Did you mean sweeps/labels_demo.yaml?\n")


def test_a_missing_data_set_is_named_before_anything_is_run(tmp_path, place, capsys, monkeypatch):
    monkeypatch.setenv("ITLM_DATA", str(tmp_path / "none"))
    path, seeds = write(place, {"seed": 0}, dataset="mnist"), begun(monkeypatch, quick)
    for options in ([], ["--plan"]):
        said = refused(capsys, path, *options)
        assert f"STOPPED {path}: no mnist in {tmp_path}/none/mnist" in said and "Remedies: " in said
    assert seeds == []


def test_what_is_collected_without_the_data_set_is_said(tmp_path, place, capsys, monkeypatch):
    path = write(place, {"seed": 0}, dataset="mnist")
    part(place / "parts", "m")
    monkeypatch.setenv("ITLM_DATA", str(tmp_path / "none"))
    assert sweep.main([path, "--collect"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("1 runs added to results/; which ones are left or failed is not known here: no mnist in ")
    assert len(tables_in(place / "results")[0]) == 1


def test_a_package_that_an_experiment_needs_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    monkeypatch.delitem(sys.modules, "itlm.experiments.labels")
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"experiment": "labels", "blocks": [{"seed": 0}]}))
    assert f"{path}: labels needs torch: pip install 'itlm[torch,linear]'" in refused(capsys, path)


def test_a_package_that_an_experiment_of_your_own_needs_is_named_without_our_extras(tmp_path, capsys, monkeypatch):
    (tmp_path / "my_own_experiment.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"experiment": "my_own_experiment", "blocks": [{"seed": 0}]}))
    said = refused(capsys, path)
    assert f"{path}: my_own_experiment needs a_package_that_is_not_there: install it" in said and "itlm[" not in said


def test_plan_and_collect_exclude_each_other(place, capsys):
    with pytest.raises(SystemExit) as stopped:
        sweep.main([write(place, {"seed": 0}), "--plan", "--collect"])
    assert stopped.value.code == 2 and "--collect: not allowed with argument --plan" in capsys.readouterr().err
    assert list((place / "parts").iterdir()) == []


def test_a_checkpoint_that_is_refused_is_no_failed_run(place, capsys, monkeypatch):
    path, seeds = write(place, {"seed": 0}), []
    (run,) = expand(sweep.load(Path(path)))
    left_behind = place / "parts" / f"{run.key}.pt.fit0"
    left_behind.write_bytes(b"of older code")

    def picky(config, *, checkpoint):
        seeds.append(config.seed)
        if left_behind.exists():
            raise Refused("checkpoint x is of another fit")
        return quick(config)

    monkeypatch.setattr(labels, "run", picky)
    assert run_and_collect(path) == 0 and seeds == [0, 0]
    assert "ANEW" in capsys.readouterr().out and tables_in(place / "results")[0].status.tolist() == ["ok"]


FAULTS = [OSError(5, "Input/output error"), DataError("mnist is gone"), ImportError("No module named 'sklearn'")]
FAULTS += [MemoryError("Unable to allocate 9 GiB"), torch.cuda.OutOfMemoryError("CUDA out of memory")]
FAULTS += [RuntimeError("CUDA error: an illegal memory access was encountered")]


def thrown(error):
    raise error


@pytest.mark.parametrize(
    "fault, said",
    [
        *((partial(thrown, error), str(error)) for error in FAULTS),
        (lambda: torch.empty(10**15), "can't allocate memory"),
    ],
    ids=[*(type(error).__name__ for error in FAULTS), "torch on a CPU"],
)
def test_a_fault_of_the_machine_stops_the_sweep_and_is_no_failed_run(place, capsys, monkeypatch, fault, said):
    def faulty(config, **_):
        if config.seed == 1:
            fault()
        return quick(config)

    path = write(place, {"seed": [0, 1, 2]})
    with monkeypatch.context() as patch:
        patch.setattr(labels, "run", faulty)
        assert sweep.main([path]) == 2
    assert said in capsys.readouterr().err and len(finished(place / "parts")) == 1
    seeds = begun(monkeypatch, quick)
    assert sweep.main([path]) == 0 and seeds == [1, 2]


def test_runs_whose_package_is_missing_are_left_out_and_stay_to_be_done(place, capsys, monkeypatch):
    def lacking(config, **_):
        if config.method == "confident":
            raise Missing("cleanlab is not installed: pip install cleanlab")
        return quick(config)

    path = write(place, {"method": ["confident", "oracle"]})
    monkeypatch.setattr(labels, "run", lacking)
    assert run_and_collect(path) == 0
    said = capsys.readouterr().out
    assert "LEFT OUT" in said and "method=confident" in said and "pip install cleanlab" in said
    assert "1 runs added to results/, 1 left to run" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("what", ["part", "checkpoint", "values", "runs"])
def test_a_full_disk_loses_nothing_that_was_recorded(place, capsys, monkeypatch, what):
    path = write(place, {"seed": [0, 1]})
    if what != "checkpoint":
        monkeypatch.setattr(labels, "run", quick)
    part(place / "parts", "m", seed=9)
    tables.collect("labels", place / "parts")
    recorded = texts(place / "results")
    first, second = expand(sweep.load(Path(path)))
    full = {
        "part": place / "parts" / f"{second.key}.json",
        "checkpoint": place / "parts" / f"{second.key}.pt",
        "values": place / "results" / "labels.csv",
        "runs": place / "results" / "labels.runs.csv",
    }[what]
    opened = []

    def opening(file, mode):
        if Path(file).name.startswith(f".{full.name}."):  # where it is written before it gets its name
            opened.append(Path(file))
            opened[-1].symlink_to("/dev/full")
        return open(file, mode)

    with monkeypatch.context() as patch:
        patch.setattr(files, "open", opening, raising=False)
        codes = [sweep.main([path]), sweep.main([path, "--collect"])]
    said = capsys.readouterr().err
    assert 2 in codes and f"No space left on device: '{full}'" in said and "making room" in said
    assert opened and not list(place.rglob("*.tmp"))  # what was half written takes no room
    assert first.key in finished(place / "parts") and all(
        set(old.splitlines()) <= set(new.splitlines())
        for old, new in zip(recorded, texts(place / "results"), strict=True)
    )
    before = finished(place / "parts")
    assert run_and_collect(path) == 0 and before.items() <= finished(place / "parts").items()
    assert tables_in(place / "results")[0].status.tolist() == ["ok"] * 3
    assert set(tables_in(place / "results")[1].key) == set(tables_in(place / "results")[0].key)


def test_a_folder_without_file_locks_is_refused(place, capsys, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(37, "No locks available")))
    said = refused(capsys, write(place, {"seed": 0}))
    assert "No locks available" in said and f"'{place}/parts/" in said
    assert "(the folder must be on a file system with file locks)" in said


def lines(path, number, change):
    """Change one line of a file, counted from 1."""
    found = path.read_text().splitlines(keepends=True)
    found[number - 1] = change(found[number - 1])
    path.write_text("".join(found))


TORN = [
    ("labels.csv", lambda path: path.write_text(path.read_text()[:-1]), 5, "the line is cut short"),
    ("labels.csv", lambda path: lines(path, 3, lambda line: line[:14] + "\n"), 3, "has 2 fields, the first line has 4"),
    ("labels.csv", lambda path: lines(path, 3, lambda line: line.replace(",2", ",high")), 3, "value must be a"),
    (
        "labels.csv",
        lambda path: lines(path, 2, lambda line: line.replace(",0,", ",zero,")),
        2,
        "round must be a number",
    ),
    ("labels.csv", lambda path: lines(path, 1, lambda line: line.replace("round", "t")), 1, "column round is missing"),
    ("labels.csv", lambda path: lines(path, 2, lambda line: f"<<<<<<< HEAD\n{line}"), 2, "has 1 fields"),
    ("labels.csv", lambda path: path.write_text(""), 1, "column key, round, metric, value is missing"),
    ("labels.runs.csv", lambda path: path.write_text(path.read_text()[:-30]), 3, "fields, the first line has "),
    ("labels.runs.csv", lambda path: lines(path, 1, lambda line: line.replace("status", "state")), 1, "column status"),
    (
        "labels.runs.csv",
        lambda path: lines(path, 2, lambda line: line.replace("True", '"True', 1)),
        3,
        "unexpected end",
    ),
]
WRONG = [
    (
        "labels.runs.csv",
        lambda path: lines(path, 3, lambda line: line.replace(",0.6,", ",0.7,")),
        3,
        "the parameters make",
    ),
    (
        "labels.runs.csv",
        lambda path: lines(path, 3, lambda line: line.replace(",0.6,", ",60,")),
        3,
        "none: clean must be",
    ),
    (
        "labels.runs.csv",
        lambda path: lines(path, 3, lambda line: line.replace(",True,", ",yes,")),
        3,
        "none: bounded must",
    ),
    ("labels.runs.csv", lambda path: lines(path, 3, lambda line: "f" * 12 + line[12:]), 3, "the key is ffffffffffff"),
    ("labels.runs.csv", lambda path: lines(path, 3, lambda line: 2 * line), 4, "is in line 3 already"),
    (
        "labels.csv",
        lambda path: path.write_text("".join(path.read_text().splitlines(True)[:3])),
        None,
        "has no values in",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "line", "message"), TORN + WRONG)
def test_a_table_that_a_hand_has_changed_is_named_with_its_line_and_left_alone(
    place, capsys, monkeypatch, name, spoil, line, message
):
    for seed in (0, 1):
        part(place / "parts", "m", seed, values=(1.0, 2.0))
    tables.collect("labels", place / "parts")
    for file in (place / "parts").iterdir():
        file.unlink()
    table, seeds, path = place / "results" / name, begun(monkeypatch, quick), write(place, {"seed": [5, 6]})
    before = table.read_bytes()
    spoil(table)
    after = texts(place / "results")
    assert table.read_bytes() != before
    part(place / "parts", "m", seed=2)
    where = f"{table}:{line}: " if line else f"{place}/results/labels.runs.csv:"
    for options in ([], ["--plan"], ["--collect"]):
        said = refused(capsys, path, *options)
        assert said.startswith(f"STOPPED {where}") and message in said and f"git restore {place}/results/labels" in said
    assert seeds == [] and texts(place / "results") == after
    if (name, spoil, line, message) in TORN:  # a page says so too
        for read in (
            lambda: tables.results(name.removesuffix(".csv")),
            lambda: tables.collect("labels", place / "parts"),
        ):
            with pytest.raises(Damaged, match=f":{line}: .*{message}"):
                read()
        assert texts(place / "results") == after
    table.write_bytes(before)
    assert sweep.main([path]) == 0 and seeds == [5, 6]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text(path.read_text()[:-20]),
        lambda path: path.write_text(""),
        lambda path: path.write_text('{"a": 1}'),
        lambda path: path.write_text("[1, 2]"),
        lambda path: path.write_text(path.read_text().replace('"ok"', '"fine"')),
        lambda path: path.write_text(path.read_text().replace("1.0]]", '"one"]]')),
        lambda path: path.with_name("copy.json").write_text(path.read_text()),
    ],
)
def test_a_part_that_is_torn_or_no_part_is_named_and_nothing_is_collected(place, capsys, spoil):
    path = write(place, {"seed": 0})
    part(place / "parts", "m", seed=1)
    spoil(part(place / "parts", "m", seed=2))
    for options in ([], ["--plan"], ["--collect"]):
        said = refused(capsys, path, *options)
        assert said.startswith(f"STOPPED {place}/parts/") and ".json is torn, or no part" in said and "Move it" in said
    assert list((place / "results").iterdir()) == []


def test_a_reason_of_several_lines_is_recorded_in_one(place):
    run = record.begin("labels", 1, labels.Config(seed=3).resolved(), "ab" * 32)
    record.save_part(run.finish('Error: one,\n  "two"\n\nthree'), place / "parts")
    tables.collect("labels", place / "parts")
    assert tables.results("labels.runs").reason.tolist() == ['Error: one, "two" three']
