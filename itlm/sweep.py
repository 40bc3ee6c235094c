"""Many runs in one process: a grid of parameters, recorded one part file a run.

    python -m itlm.sweep sweeps/labels_demo.yaml --plan      what is left to run
    python -m itlm.sweep sweeps/labels_demo.yaml             run it, and merge into results/
    python -m itlm.sweep sweeps/labels_demo.yaml --share 1/2 half of it, beside another process

What is recorded is not run again. A run that was killed goes on from its last finished round. A run that
fails is recorded with its reason and does not stop the others.
"""

import argparse
import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from . import data, records

__all__ = ["expand", "left", "main"]


def expand(grid: dict) -> Iterator:
    """Yield the configurations of a grid in the order of importance.

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
        For a field the experiment does not have, or two equal runs.
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


def left(grid: dict, parts: Path) -> Iterator[tuple[str, object]]:
    """Yield the runs that are neither recorded nor waiting in a part file, each with its key."""
    name = grid["experiment"]
    experiment = importlib.import_module(f"itlm.{name}")
    table = records.folder() / f"{name}.runs.csv"
    recorded = set(pd.read_csv(table).key) if table.exists() else set()
    for config in expand(grid):
        key = records.begin(name, experiment.RECIPE, config, data.digest(config.dataset)).key
        if key not in recorded and not (parts / f"{key}.json").exists():
            yield key, config


def main(arguments=None) -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m itlm.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("grid", type=Path, help="a YAML file, as in sweeps/")
    parser.add_argument("--share", default="0/1", help="i/k: the i-th of k equal shares, from 0 (default 0/1: all)")
    parser.add_argument("--parts", type=Path, help="folder of the part files (default: sweeps/parts/ beside the grid)")
    parser.add_argument("--plan", action="store_true", help="only list the runs that are left")
    options = parser.parse_args(arguments)
    grid = yaml.safe_load(options.grid.read_text())
    experiment = importlib.import_module(f"itlm.{grid['experiment']}")
    parts = options.parts or options.grid.parent / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    share, shares = map(int, options.share.split("/"))
    # By key, not by position: processes that begin at different times must not meet in the same run.
    todo = [(key, config) for key, config in left(grid, parts) if int(key, 16) % shares == share]
    failed = []
    for number, (key, config) in enumerate(todo, 1):
        told = " ".join(f"{name}={value}" for name, value in config.changed().items())
        print(f"[{number}/{len(todo)}] {key} {told}", flush=True)
        if options.plan:
            continue
        try:
            record = experiment.run(config, checkpoint=parts / f"{key}.pt")
        except Exception as error:  # the others still run; the record says why this one did not
            reason = f"{type(error).__name__}: {error}"
            record = records.begin(grid["experiment"], experiment.RECIPE, config, data.digest(config.dataset))
            record.finish(reason)
            failed.append(f"{key} {told}: {reason}")
        records.save_part(record, parts)
    if not options.plan:
        print(f"{records.collect(grid['experiment'], parts)} runs added to results/")
    for line in failed:
        print(f"FAILED {line}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
