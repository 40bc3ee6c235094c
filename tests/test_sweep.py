"""Sweeps: what is run, what a run is called, what is recorded, and that no kill costs or repeats a run."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from runs import assert_same_but_for_times, finished, part, tables, texts

from itlm import data, labels, noisy, peers, records, regressors, sweep, training
from itlm.sweep import configurations, expand

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = Path(__file__).parent
SMALL = {"n": 120, "epochs": 1, "batch": 20, "rounds": 2, "noise": "random", "clean": 0.8, "balanced": True}


def grid(*blocks, **fixed):
    return {"experiment": "labels", "fixed": fixed, "blocks": list(blocks)}


# configurations


def test_the_first_named_field_varies_slowest():
    found = configurations(grid({"seed": [3, 1], "method": ["oracle", "itlm"], "clean": 0.7}))
    assert [(c.seed, c.method) for c in found] == [(3, "oracle"), (3, "itlm"), (1, "oracle"), (1, "itlm")]


def test_blocks_follow_each_other_and_know_better_than_what_is_fixed():
    found = configurations(grid({"seed": [0, 1]}, {"seed": 0, "clean": 0.7}, clean=0.8, scale="cpu"))
    assert [(c.seed, c.clean, c.scale, c.dataset) for c in found] == [
        (0, 0.8, "cpu", "mnist"),
        (1, 0.8, "cpu", "mnist"),
        (0, 0.7, "cpu", "mnist"),
    ]


def test_a_configuration_that_could_not_take_a_step_is_named():
    with pytest.raises(sweep.GridError, match="{.*'early': 1.*}: early_epochs=0.1 over n=120 samples do not fill"):
        list(expand(grid({"early": 1, "early_epochs": 0.1}, **SMALL)))


def test_whole_numbers_may_be_given_by_their_ends():
    assert [c.seed for c in configurations(grid({"seed": "3..5", "clean": 0.7}))] == [3, 4, 5]
    with pytest.raises(sweep.GridError, match="seed has no values"):
        list(configurations(grid({"seed": "5..3"})))


def test_a_grid_may_fix_nothing():
    assert len(list(configurations({"experiment": "labels", "blocks": [{"seed": [0, 1]}]}))) == 2


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([{"seed": 0}, {"sede": [1]}], "block 2: .*'sede'"),
        ([{"clean": [0.6, 60]}], r"block 1: clean must be a number in \[0, 1\], got 60"),
        ([{"seed": [0, 1]}, {"seed": [1]}], r"block 2: {'seed': 1} is already in block 1"),
        ([{"seed": [0, 0]}], r"block 1: {'seed': 0} is already in block 1"),
        ([{"alpha": 0.55}, {"clean": 0.6}], r"block 2: {'clean': 0.6} is already in block 1"),  # what None stands for
    ],
)
def test_a_fault_in_a_grid_is_named_with_its_block(blocks, message):
    with pytest.raises(ValueError, match=message):
        list(configurations(grid(*blocks)))


@pytest.mark.parametrize("path", sorted((HERE.parent / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_grids_of_the_book_expand(path):
    assert len(list(configurations(sweep.load(path)))) > 1


def test_a_run_has_its_key_and_the_visits_it_will_cost():
    first, second = expand(grid({"method": ["itlm", "oracle"]}, n=300, epochs=2, rounds=3, batch=50))
    assert (first.visits, second.visits) == (4 * 600, 600)
    assert first.key == records.key("labels", labels.RECIPE, first.config, data.digest("mnist5k"))
    assert str(second).startswith(f"{second.key} ") and "method=oracle" in str(second)


# main


def use(results: Path, images=None) -> None:
    """Record into another folder, and let mnist5k be a few images."""
    records.folder = lambda: results
    if images is not None:
        few = data.Images(**np.load(images))
        data._BUILT_IN["mnist5k"] = lambda: few
        noisy._images.cache_clear()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for results and parts, and few images that are soon loaded."""
    full = data.load("mnist5k")
    few = {name: array[: 300 if name.startswith("train") else 100] for name, array in full._asdict().items()}
    np.savez(tmp_path / "few.npz", **few)
    monkeypatch.setattr(records, "folder", records.folder)
    monkeypatch.setitem(data._BUILT_IN, "mnist5k", None)
    for folder in ("results", "parts"):
        (tmp_path / folder).mkdir()
    use(tmp_path / "results", tmp_path / "few.npz")
    yield tmp_path
    noisy._images.cache_clear()


def write(folder, *blocks, **fixed):
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(grid(*blocks, **SMALL | fixed), sort_keys=False))
    return str(path)


def run_and_collect(path):
    assert sweep.main([path]) == 0
    return sweep.main([path, "--collect"])


def test_a_plan_lists_the_runs_with_their_cost_and_runs_none(place, capsys):
    path = write(place, {"seed": [0, 1], "method": ["itlm", "oracle"]})
    assert sweep.main([path, "--plan"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [int(line.split()[0], 16) > 0 for line in lines] == [True] * 4
    assert "method=oracle" in lines[1] and "seed=1" in lines[2] and last == "4 runs left, cost not known yet"
    assert list((place / "results").iterdir()) == list((place / "parts").iterdir()) == []
    part(place / "parts", "visits", seed=9, values=(36000.0,))
    records.collect("labels", place / "parts")
    for end in (".runs", ""):
        file = place / "results" / f"labels{end}.csv"
        file.write_text(file.read_text().replace("visits_0", "visits").replace(",0.0,cpu,", ",10.0,cpu,"))
    sweep.main([path, "--plan"])
    *lines, last = capsys.readouterr().out.splitlines()  # 3,600 visits a second; 360 and 120 visits a run
    assert [line.split("  ")[1] for line in lines] == ["0.0 min"] * 4
    assert last == "4 runs left, about 0.0 core-hours" and sweep.throughput("labels") == 3600


def test_a_plan_after_nothing_but_failures_knows_no_cost(place, capsys):
    part(place / "parts", "m", seed=9, values=(), status="Diverged: nan")
    records.collect("labels", place / "parts")
    assert sweep.main([write(place, {"seed": 0}), "--plan"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 runs left, cost not known yet"


def test_collecting_before_anything_was_run_says_what_is_left(place, capsys):
    assert sweep.main([write(place, {"seed": [0, 1]}), "--collect"]) == 0
    assert capsys.readouterr().out == "0 runs added to results/, 2 left to run\n"


def begun(monkeypatch, run=None):
    """Note which seeds are run."""
    seeds, run = [], run or labels.run
    monkeypatch.setattr(labels, "run", lambda c, **options: seeds.append(c.seed) or run(c, **options))
    return seeds


def quick(config, **_):
    time.sleep(0.01)
    record = records.begin("labels", labels.RECIPE, config, labels.digest(config))
    record.add(0, {"m": 1.0})
    return record.finish()


def test_what_is_recorded_is_not_run_again(place, monkeypatch, capsys):
    first, seeds = write(place, {"seed": [0, 1], "method": "oracle"}), begun(monkeypatch)
    assert run_and_collect(first) == 0 and seeds == [0, 1]
    assert "2 runs added to results/, 0 left to run" in capsys.readouterr().out
    before = texts(place / "results")
    assert run_and_collect(first) == 0 and seeds == [0, 1] and texts(place / "results") == before
    (place / "results" / "labels.runs.csv").unlink()  # parts that no one has collected yet count too
    assert sweep.main([first]) == 0 and seeds == [0, 1]
    assert sweep.main([first, "--collect"]) == 0 and len(tables(place / "results")[1]) == 14
    for file in (place / "parts").iterdir():
        file.unlink()
    assert run_and_collect(write(place, {"seed": [0, 1, 2], "method": "oracle"})) == 0 and seeds == [0, 1, 2]
    assert sorted(tables(place / "results")[0].seed) == [0, 1, 2]


def test_a_key_of_digits_is_recognised_as_recorded(place, monkeypatch):
    path, seeds = write(place, {"seed": 0}), begun(monkeypatch)
    monkeypatch.setattr(records, "key", lambda *_: "012345678901")
    part(place / "parts", "m", key="012345678901").rename(place / "012345678901.json")
    records.collect("labels", place)
    assert sweep.main([path]) == 0 and seeds == []


def test_a_raised_recipe_is_run_anew(place, monkeypatch):
    path = write(place, {"seed": 0, "method": "oracle"})
    run_and_collect(path)
    monkeypatch.setattr(labels, "RECIPE", labels.RECIPE + 1)
    run_and_collect(path)
    assert sorted(tables(place / "results")[0].recipe) == [labels.RECIPE - 1, labels.RECIPE]


def test_a_run_that_fails_is_recorded_with_its_reason_and_stops_no_other(place, capsys, monkeypatch):
    diverging = {"seed": 1, "bounded": False, "activation": "relu", "lr": 10, "momentum": 0.9, "epochs": 5}
    path = write(place, diverging, {"seed": [0, 2], "method": "oracle"})
    assert sweep.main([path]) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if "FAILED" in line)
    assert "lr=10.0" in said and "Diverged: the training loss is" in said
    assert sweep.main([path, "--collect"]) == 1
    assert said in capsys.readouterr().out
    runs, values = tables(place / "results")
    runs = runs.set_index("seed").sort_index()
    assert runs.status.tolist() == ["ok", "failed", "ok"]
    assert runs.reason[1].startswith("Diverged: the training loss is ") and runs.reason[[0, 2]].isna().all()
    assert set(values.key) == set(runs.key[runs.status == "ok"])
    before, seeds = texts(place / "results"), begun(monkeypatch)
    assert run_and_collect(path) == 1 and seeds == []  # it is not tried again
    assert texts(place / "results") == before
    assert sorted(path.suffix for path in (place / "parts").iterdir()) == [".json"] * 3


def test_an_interrupt_is_no_failure(place, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    path = write(place, {"seed": [0, 1]})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(labels, "run", interrupted)
        sweep.main([path])
    assert list((place / "parts").glob("*.json")) == []
    seeds = begun(monkeypatch, quick)
    assert sweep.main([path]) == 0 and seeds == [0, 1]  # its claim was released


def test_a_run_that_another_process_has_claimed_is_left_to_it(place, monkeypatch):
    path = write(place, {"seed": [0, 1, 2]})
    seeds = begun(monkeypatch, quick)
    _, second, _ = expand(yaml.safe_load(Path(path).read_text()))
    with open(place / "parts" / f"{second.key}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sweep.main([path]) == 0 and seeds == [0, 2]
    assert sweep.main([path]) == 0 and seeds == [0, 2, 1]


def test_workers_side_by_side_run_everything_once(place, monkeypatch):
    path, seeds = write(place, {"seed": list(range(12))}), begun(monkeypatch, quick)
    with ThreadPoolExecutor(3) as workers:  # a file lock holds between threads as between processes
        assert list(workers.map(sweep.main, [[path]] * 3)) == [0, 0, 0]
    assert sorted(seeds) == list(range(12))
    assert len(list((place / "parts").glob("*.json"))) == 12


@pytest.mark.parametrize("parts", ["parts", "elsewhere"])
def test_two_sweeps_that_end_together_collect_one_after_the_other(place, parts):
    path, end = write(place, {"seed": 0}), []
    part(place / parts, "m")
    with open(place / "results" / ".labels.lock", "w") as other, ThreadPoolExecutor(1) as threads:
        fcntl.flock(other, fcntl.LOCK_EX)
        asked = [path, "--collect", "--parts", str(place / parts)]
        waiting = threads.submit(lambda: end.append(sweep.main(asked)))
        time.sleep(0.2)
        assert not waiting.done() and not (place / "results" / "labels.csv").exists()
        fcntl.flock(other, fcntl.LOCK_UN)
    assert end == [0] and (place / "results" / "labels.csv").exists()


# bad input


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
        ("blocks:\n  - {seed: []}\n", ":3: seed has no values"),
        ("blocks:\n  - {seed: 0}\n  - {seed: 0}\n", ":4: {'seed': 0} is already in "),
        ("blocks:\n  - seed: 0\n    clean: 0.5\n    seed: 1\n", ":5: seed is given twice"),
        ("blocks:\n  - {seed: 0\n", ":4: expected ',' or '}'"),
        ("blocks: {seed: 0}\n", ":2: blocks must be a list of fields"),
        ("blocks: 3\n", ":2: blocks must be a list of fields"),
        ("block: [{seed: 0}]\n", ": a grid has experiment, blocks and perhaps fixed, got experiment, block"),
        (None, ": a grid has experiment, blocks and perhaps fixed, got NoneType"),
        ("blocks: [{seed: 0}]\nexperiment: lables\n", ":3: experiment is given twice"),
    ],
)
def test_a_grid_that_cannot_be_run_is_named_with_its_line(tmp_path, capsys, text, message):
    path = tmp_path / "grid.yaml"
    path.write_text("" if text is None else f"experiment: labels\n{text}")
    assert f"{path}{message}" in refused(capsys, path)
    assert not list(tmp_path.glob("parts/*"))


@pytest.mark.parametrize("name", ["lables", "data", 3])
def test_a_grid_of_no_experiment_says_what_one_is(tmp_path, capsys, name):
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"experiment": name, "blocks": [{"seed": 0}]}))
    assert f"{path}: experiment must be a module of itlm such as labels or gan: " in refused(capsys, path)


def test_a_grid_that_is_missing_is_named_with_those_that_are_there(tmp_path, capsys):
    (tmp_path / "other.yaml").write_text("")
    said = refused(capsys, tmp_path / "grid.yaml")
    assert f"'{tmp_path}/grid.yaml'" in said and said.endswith("are: other\n")


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
    assert len(tables(place / "results")[0]) == 1


def test_a_package_that_an_experiment_needs_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    monkeypatch.delitem(sys.modules, "itlm.labels")
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"experiment": "labels", "blocks": [{"seed": 0}]}))
    assert f"{path}: labels needs torch: pip install 'itlm[torch,linear]'" in refused(capsys, path)


def test_a_checkpoint_that_is_refused_is_no_failed_run(place, capsys, monkeypatch):
    path, seeds = write(place, {"seed": 0}), []
    (run,) = expand(sweep.load(Path(path)))
    left_behind = place / "parts" / f"{run.key}.pt.fit0"
    left_behind.write_bytes(b"of older code")

    def picky(config, *, checkpoint):
        seeds.append(config.seed)
        if left_behind.exists():
            raise records.Refused("checkpoint x is of another fit")
        return quick(config)

    monkeypatch.setattr(labels, "run", picky)
    assert run_and_collect(path) == 0 and seeds == [0, 0]
    assert "ANEW" in capsys.readouterr().out and tables(place / "results")[0].status.tolist() == ["ok"]


FAULTS = [OSError(5, "Input/output error"), data.DataError("mnist is gone"), ImportError("No module named 'sklearn'")]
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
            raise records.Missing("cleanlab is not installed: pip install cleanlab")
        return quick(config)

    path = write(place, {"method": ["confident", "oracle"]})
    monkeypatch.setattr(labels, "run", lacking)
    assert run_and_collect(path) == 0
    said = capsys.readouterr().out
    assert "LEFT OUT" in said and "method=confident" in said and "pip install cleanlab" in said
    assert "1 runs added to results/, 1 left to run" in said
    assert peers.Missing is regressors.Missing is records.Missing


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("what", ["part", "checkpoint", "values", "runs"])
def test_a_full_disk_loses_nothing_that_was_recorded(place, capsys, monkeypatch, what):
    path = write(place, {"seed": [0, 1]})
    if what != "checkpoint":
        monkeypatch.setattr(labels, "run", quick)
    part(place / "parts", "m", seed=9)
    records.collect("labels", place / "parts")
    recorded = texts(place / "results")
    first, second = expand(sweep.load(Path(path)))
    full = {  # where a file is written before it gets its name
        "part": place / "parts" / f".{second.key}.json.tmp",
        "checkpoint": place / "parts" / f"{second.key}.pt.{os.getpid()}.tmp",
        "values": place / "results" / ".labels.csv.tmp",
        "runs": place / "results" / ".labels.runs.csv.tmp",
    }[what]
    full.symlink_to("/dev/full")
    name = full.name.removesuffix(".tmp").removeprefix(".").removesuffix(f".{os.getpid()}")
    codes = [sweep.main([path]), sweep.main([path, "--collect"])]
    said = capsys.readouterr().err
    assert 2 in codes and f"No space left on device: '{full.with_name(name)}'" in said and "making room" in said
    assert not full.is_symlink() and not list(place.rglob("*.tmp"))  # what was half written takes no room
    assert first.key in finished(place / "parts") and all(
        set(old.splitlines()) <= set(new.splitlines())
        for old, new in zip(recorded, texts(place / "results"), strict=True)
    )
    before = finished(place / "parts")
    assert run_and_collect(path) == 0 and before.items() <= finished(place / "parts").items()
    assert tables(place / "results")[0].status.tolist() == ["ok"] * 3
    assert set(tables(place / "results")[1].key) == set(tables(place / "results")[0].key)


def test_a_folder_without_file_locks_is_refused(place, capsys, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(37, "No locks available")))
    said = refused(capsys, write(place, {"seed": 0}))
    assert "No locks available" in said and "--parts and results/ must lie on a file system with file locks" in said


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
    records.collect("labels", place / "parts")
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
            lambda: records.results(name.removesuffix(".csv")),
            lambda: records.collect("labels", place / "parts"),
        ):
            with pytest.raises(records.Damaged, match=f":{line}: .*{message}"):
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
    record = records.begin("labels", 1, labels.Config(seed=3).resolved(), "ab" * 32)
    records.save_part(record.finish('Error: one,\n  "two"\n\nthree'), place / "parts")
    records.collect("labels", place / "parts")
    assert records.results("labels.runs").reason.tolist() == ['Error: one, "two" three']


# a sweep that is killed


def child(folder, moment):
    """Run a sweep in a process of its own, which is killed at a moment."""
    folder, calls = Path(folder), count(1)
    use(folder / "results", folder / "few.npz")
    watch(folder / "log")
    die = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731

    def drawn(*arguments, batches=training.batches):
        for batch in batches(*arguments):
            if next(calls) == 16:  # of 6 a fit
                die()
            yield batch

    def replaced(source, target, replace=os.replace):
        ending, at = {"in a checkpoint": (".pt", 2), "between the tables": (".runs.csv", 1)}[moment]
        if str(target).endswith(ending) and next(calls) == at:
            die()
        replace(source, target)

    if moment == "in a fit":
        training.batches = drawn
    else:
        os.replace = replaced
    for options in ([], ["--collect"]):
        sweep.main([str(folder / "grid.yaml"), *options])


def watch(log: Path) -> None:
    """Note when a run begins, when each of its fits is done, and when its part is there."""

    def note(*words):
        with log.open("a") as file:
            print(*words, file=file)

    run, fit, save = labels.run, training.fit, records.save_part

    def noted_run(config, **options):
        note("begin", options["checkpoint"].stem)
        return run(config, **options)

    def noted_fit(*arguments, **options):
        network = fit(*arguments, **options)
        note("fit", *options["note"].split(), options["seed"])
        return network

    def noted_save(record, parts):
        path = save(record, parts)
        note("end", record.key)
        return path

    labels.run, training.fit, records.save_part = noted_run, noted_fit, noted_save


def test_a_sweep_that_was_killed_three_times_ends_as_if_it_had_not(place, monkeypatch):
    write(place, {"seed": [0, 1], "method": ["itlm", "oracle"]})
    code = "import sys, test_sweep; test_sweep.child(*sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": "1"}
    before = {}
    for moment in ("in a fit", "in a checkpoint", "between the tables"):
        command = [sys.executable, "-W", "error", "-c", code, str(place), moment]
        killed = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, timeout=120)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not (place / "results" / "labels.runs.csv").exists()
        assert before.items() <= (before := finished(place / "parts")).items()
    for holder, name in ((labels, "run"), (training, "fit"), (records, "save_part")):
        monkeypatch.setattr(holder, name, getattr(holder, name))  # what watch replaces is put back afterwards
    watch(place / "log")
    assert run_and_collect(str(place / "grid.yaml")) == 0

    lines = [line.split() for line in (place / "log").read_text().splitlines()]
    begun, ended = ([line[1] for line in lines if line[0] == word] for word in ("begin", "end"))
    assert len(ended) == len(set(ended)) == 4
    assert [begun.count(key) for key in ended] == [2, 2, 1, 1]  # each of the first two was killed once
    fits = [tuple(line[1:]) for line in lines if line[0] == "fit"]
    assert len(set(fits)) == 8 and len(fits) == 9  # one more: the fit whose checkpoint was being written

    whole = place / "whole"
    (whole / "results").mkdir(parents=True)
    use(whole / "results")
    assert run_and_collect(write(whole, {"seed": [0, 1], "method": ["itlm", "oracle"]})) == 0
    assert_same_but_for_times(place / "results", whole / "results", runs=4)
    assert sorted(path.suffix for path in (place / "parts").iterdir()) == [".json"] * 4
