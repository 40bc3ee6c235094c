"""Sweeps: what is run, what a run is called, what is recorded, and that no kill costs or repeats a run."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
import yaml
from runs import (
    SMALL,
    assert_same_but_for_times,
    begun,
    finished,
    grid,
    part,
    quick,
    run_and_collect,
    tables_in,
    texts,
    use,
    write,
)

from itlm import sweep
from itlm.deep import images, training
from itlm.errors import GridError
from itlm.experiments import labels
from itlm.records import record, tables
from itlm.sweep import configurations, expand

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = Path(__file__).parent


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
    with pytest.raises(GridError, match="{.*'early': 1.*}: early_epochs=0.1 over n=120 samples do not fill"):
        list(expand(grid({"early": 1, "early_epochs": 0.1}, **SMALL)))


def test_whole_numbers_may_be_given_by_their_ends():
    assert [c.seed for c in configurations(grid({"seed": "3..5", "clean": 0.7}))] == [3, 4, 5]
    with pytest.raises(GridError, match="seed has no values"):
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
    assert first.key == record.key("labels", labels.RECIPE, first.config, images.digest("mnist5k"))
    assert str(second).startswith(f"{second.key} ") and "method=oracle" in str(second)


# main


def test_a_plan_lists_the_runs_with_their_cost_and_runs_none(place, capsys):
    path = write(place, {"seed": [0, 1], "method": ["itlm", "oracle"]})
    assert sweep.main([path, "--plan"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [int(line.split()[0], 16) > 0 for line in lines] == [True] * 4
    assert "method=oracle" in lines[1] and "seed=1" in lines[2] and last == "4 runs left, cost not known yet"
    assert list((place / "results").iterdir()) == list((place / "parts").iterdir()) == []
    part(place / "parts", "visits", seed=9, values=(36000.0,))
    tables.collect("labels", place / "parts")
    for end in (".runs", ""):
        file = place / "results" / f"labels{end}.csv"
        file.write_text(file.read_text().replace("visits_0", "visits").replace(",0.0,cpu,", ",10.0,cpu,"))
    sweep.main([path, "--plan"])
    *lines, last = capsys.readouterr().out.splitlines()  # 3,600 visits a second; 360 and 120 visits a run
    assert [line.split("  ")[1] for line in lines] == ["0.0 min"] * 4
    assert last == "4 runs left, about 0.0 core-hours" and sweep.throughput("labels") == 3600


def test_a_plan_after_nothing_but_failures_knows_no_cost(place, capsys):
    part(place / "parts", "m", seed=9, values=(), status="Diverged: nan")
    tables.collect("labels", place / "parts")
    assert sweep.main([write(place, {"seed": 0}), "--plan"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 runs left, cost not known yet"


def test_collecting_before_anything_was_run_says_what_is_left(place, capsys):
    assert sweep.main([write(place, {"seed": [0, 1]}), "--collect"]) == 0
    assert capsys.readouterr().out == "0 runs added to results/, 2 left to run\n"


def test_what_is_recorded_is_not_run_again(place, monkeypatch, capsys):
    first, seeds = write(place, {"seed": [0, 1], "method": "oracle"}), begun(monkeypatch)
    assert run_and_collect(first) == 0 and seeds == [0, 1]
    assert "2 runs added to results/, 0 left to run" in capsys.readouterr().out
    before = texts(place / "results")
    assert run_and_collect(first) == 0 and seeds == [0, 1] and texts(place / "results") == before
    (place / "results" / "labels.runs.csv").unlink()  # parts that no one has collected yet count too
    assert sweep.main([first]) == 0 and seeds == [0, 1]
    assert sweep.main([first, "--collect"]) == 0 and len(tables_in(place / "results")[1]) == 14
    for file in (place / "parts").iterdir():
        file.unlink()
    assert run_and_collect(write(place, {"seed": [0, 1, 2], "method": "oracle"})) == 0 and seeds == [0, 1, 2]
    assert sorted(tables_in(place / "results")[0].seed) == [0, 1, 2]


def test_a_key_of_digits_is_recognised_as_recorded(place, monkeypatch):
    path, seeds = write(place, {"seed": 0}), begun(monkeypatch)
    monkeypatch.setattr(record, "key", lambda *_: "012345678901")
    part(place / "parts", "m", key="012345678901").rename(place / "012345678901.json")
    tables.collect("labels", place)
    assert sweep.main([path]) == 0 and seeds == []


def test_a_raised_recipe_is_run_anew(place, monkeypatch):
    path = write(place, {"seed": 0, "method": "oracle"})
    run_and_collect(path)
    monkeypatch.setattr(labels, "RECIPE", labels.RECIPE + 1)
    run_and_collect(path)
    assert sorted(tables_in(place / "results")[0].recipe) == [labels.RECIPE - 1, labels.RECIPE]


def test_a_run_that_fails_is_recorded_with_its_reason_and_stops_no_other(place, capsys, monkeypatch):
    diverging = {"seed": 1, "bounded": False, "activation": "relu", "lr": 10, "momentum": 0.9, "epochs": 5}
    path = write(place, diverging, {"seed": [0, 2], "method": "oracle"})
    assert sweep.main([path]) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if "FAILED" in line)
    assert "lr=10.0" in said and "Diverged: the training loss is" in said
    assert sweep.main([path, "--collect"]) == 1
    assert said in capsys.readouterr().out
    runs, values = tables_in(place / "results")
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

    run, fit, save = labels.run, training.fit, record.save_part

    def noted_run(config, **options):
        note("begin", options["checkpoint"].stem)
        return run(config, **options)

    def noted_fit(*arguments, **options):
        fitted = fit(*arguments, **options)
        note("fit", *options["note"].split(), options["seed"])
        return fitted

    def noted_save(done, parts):
        path = save(done, parts)
        note("end", done.key)
        return path

    labels.run, training.fit, record.save_part = noted_run, noted_fit, noted_save


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
    for holder, name in ((labels, "run"), (training, "fit"), (record, "save_part")):
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
