"""Many runs in one process: a grid of parameters, recorded one part file a run.

    python -m itlm.sweep sweeps/labels_demo.yaml --plan       what is left to run, in order, and what it costs
    python -m itlm.sweep sweeps/labels_demo.yaml              run it
    python -m itlm.sweep sweeps/labels_demo.yaml --collect    merge what was run into results/

Start as many processes as there are cores: each takes the next run that no other has claimed. A claim is a
file lock, which the kernel releases however a process ends, so any of them may be killed at any moment.
What is recorded is not run again; a run that was killed goes on from its last finished round; a run that
fails is recorded with its reason, and does not stop the others.
"""

import argparse
import fcntl
import importlib
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from . import records

__all__ = ["Run", "configurations", "expand", "left", "throughput", "main"]


class Run(NamedTuple):
    """One run of a grid: its key, its configuration, and the sample visits it will cost."""

    key: str
    config: object
    visits: float

    def __str__(self) -> str:
        return f"{self.key} " + " ".join(f"{name}={value}" for name, value in self.config.changed().items())


def configurations(grid: dict) -> Iterator:
    """Yield the configurations of a grid, resolved, in the order of importance.

    Parameters
    ----------
    grid : dict
        ``experiment``: the module's name. ``fixed``: fields that are the same in every run. ``blocks``: a
        list of dicts, each field a value or a list of values; the first named field varies slowest, so
        that with ``seed`` first every setting gets one seed before any gets two.

    Yields
    ------
    itlm.config.Config

    Raises
    ------
    ValueError
        For a field the experiment does not have, a value out of range, or two equal runs.
    """
    experiment = importlib.import_module(f"itlm.{grid['experiment']}")
    seen = {}
    for number, block in enumerate(grid["blocks"], 1):
        fields = {**block, **{k: v for k, v in grid.get("fixed", {}).items() if k not in block}}
        axes = {name: values if isinstance(values, list) else [values] for name, values in fields.items()}
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            try:
                config = experiment.Config(**chosen).resolved()
            except (TypeError, ValueError) as error:
                raise ValueError(f"block {number}: {error}") from error
            if config in seen:
                raise ValueError(f"block {number}: {chosen} is already in block {seen[config]}")
            seen[config] = number
            yield config


def expand(grid: dict) -> Iterator[Run]:
    """Yield the runs of a grid: its `configurations` with their keys, for which the data must be there."""
    experiment = importlib.import_module(f"itlm.{grid['experiment']}")
    for config in configurations(grid):
        key = records.key(grid["experiment"], experiment.RECIPE, config, experiment.digest(config))
        yield Run(key, config, experiment.visits(config))


def left(grid: dict, parts: Path) -> list[Run]:
    """Return the runs that are neither recorded nor waiting in a part file."""
    table = records.folder() / f"{grid['experiment']}.runs.csv"
    recorded = set(pd.read_csv(table, dtype={"key": str}).key) if table.exists() else set()
    return [run for run in expand(grid) if run.key not in recorded and not _part(parts, run).exists()]


def throughput(experiment: str) -> float | None:
    """Return the median sample visits a second over the recorded runs; None where there are none."""
    try:
        runs, values = records.results(f"{experiment}.runs"), records.results(experiment)
    except FileNotFoundError:
        return None
    visits = values[values.metric == "visits"].groupby("key").value.max()
    speeds = (runs.key.map(visits) / runs.seconds)[runs.status == "ok"]
    return float(speeds.median()) if len(speeds) else None


def main(arguments=None) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m itlm.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("grid", type=Path, help="a YAML file, as in sweeps/")
    parser.add_argument("--parts", type=Path, help="folder of the part files (default: parts/ beside the grid)")
    parser.add_argument("--plan", action="store_true", help="only list the runs that are left, and their cost")
    parser.add_argument("--collect", action="store_true", help="only merge the part files into results/")
    options = parser.parse_args(arguments)
    grid = yaml.safe_load(options.grid.read_text())
    parts = options.parts or options.grid.parent / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    if options.plan:
        return _plan(grid, parts)
    if options.collect:
        return _collect(grid, parts)
    experiment = importlib.import_module(f"itlm.{grid['experiment']}")
    todo = left(grid, parts)
    for number, run in enumerate(todo, 1):
        with _claim(parts, run) as mine:
            if not mine or _part(parts, run).exists():
                continue  # another process has it, or had it
            print(f"[{number}/{len(todo)}] {run}", flush=True)
            try:
                record = experiment.run(run.config, checkpoint=parts / f"{run.key}.pt")
            except Exception as error:  # the others still run; the record says why this one did not
                record = records.begin(
                    grid["experiment"], experiment.RECIPE, run.config, experiment.digest(run.config)
                ).finish(f"{type(error).__name__}: {error}")
                print(f"FAILED {run}: {record.provenance['reason']}", flush=True)
            records.save_part(record, parts)
            for file in parts.glob(f"{run.key}.pt*"):  # of a run that failed: nothing will go on from it
                file.unlink()
            (parts / f"{run.key}.lock").unlink()  # whoever holds it still will find the part
    return 0


def _plan(grid, parts) -> int:
    todo, speed = left(grid, parts), throughput(grid["experiment"])
    for run in todo:
        print(f"{run}" + (f"  {run.visits / speed / 60:.1f} min" if speed else ""))
    hours = f"about {sum(run.visits for run in todo) / speed / 3600:.1f} core-hours" if speed else "cost not known yet"
    print(f"{len(todo)} runs left, {hours}")
    return 0


def _collect(grid, parts) -> int:
    added = records.collect(grid["experiment"], parts)
    print(f"{added} runs added to results/, {len(left(grid, parts))} left to run")
    if not (records.folder() / f"{grid['experiment']}.runs.csv").exists():
        return 0
    runs = records.results(f"{grid['experiment']}.runs")
    mine = {run.key: run for run in expand(grid)}
    failed = runs[runs.key.isin(mine) & (runs.status == "failed")]
    for row in failed.itertuples():
        print(f"FAILED {mine[row.key]}: {row.reason}")
    return int(len(failed) > 0)


def _part(parts: Path, run: Run) -> Path:
    return parts / f"{run.key}.json"


@contextmanager
def _claim(parts: Path, run: Run) -> Iterator[bool]:
    """Hold a run against other processes; yields whether it was free."""
    with open(parts / f"{run.key}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


if __name__ == "__main__":
    sys.exit(main())
