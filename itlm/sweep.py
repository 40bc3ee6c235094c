"""Run a grid of parameters in one process, and record each run in its own part file.

    python -m itlm.sweep sweeps/labels_demo.yaml --plan       list the remaining runs, in order, and their cost
    python -m itlm.sweep sweeps/labels_demo.yaml              run the grid
    python -m itlm.sweep sweeps/labels_demo.yaml --collect    merge the part files into results/

Start one process for each core; each process claims the next free run. The claim is a file lock, so any process may
be killed at any moment. Recorded runs are not repeated, and a killed run resumes from its last finished round. A failed
run is recorded with its reason, and the other runs continue. Runs whose package is missing are skipped. If memory or
disk space runs out, the sweep stops.
"""

import argparse
import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from . import files
from .errors import Damaged, DataError, GridError, MachineFault, Missing, Refused
from .experiments.protocol import load as load_experiment
from .records import record, tables

__all__ = ["Run", "load", "configurations", "expand", "left", "faults", "throughput", "main"]

UNNAMED = ("DefaultCPUAllocator", "CUDA error", "cuDNN error", "CUBLAS_STATUS")  # texts of torch's RuntimeErrors


LOOKS = {  # of the values that are what they look like, by YAML type
    "int": "[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?\.(inf|nan)",
    "bool": "true|false",
    "null": "~|null",
    "timestamp": "(?!)",  # none
}
PLAIN = (
    "YAML reads 010 as 8, 1:30 as 90, 1_0 as 10, off as false, nothing as null. Write a decimal number without leading "
    "zeros, true, false or null, or quote a text"
)


class Run(NamedTuple):
    """One run of a grid, with its key, its configuration and its cost in sample visits."""

    key: str
    config: object
    visits: float

    def __str__(self) -> str:
        return f"{self.key} " + " ".join(f"{name}={value}" for name, value in self.config.changed().items())


class _Strict(yaml.SafeLoader):
    """A YAML loader that refuses duplicate fields, and values that YAML 1.1 does not read as they look."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value]
        for number, (key, value) in enumerate(node.value):
            if key.value in names[:number]:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            for scalar in [key, *(value.value if isinstance(value, yaml.SequenceNode) else [value])]:
                look = LOOKS.get(scalar.tag.rpartition(":")[2])
                if look and isinstance(scalar, yaml.ScalarNode) and not re.fullmatch(look, scalar.value, re.IGNORECASE):
                    problem = f"{key.value} has {scalar.value or 'no value'}: {PLAIN}"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=scalar.start_mark)
        return super().construct_mapping(node, deep)


def load(path: Path) -> dict:
    """Read a grid for `configurations` from a YAML file such as those in ``sweeps/``.

    Raises
    ------
    GridError
        If the file cannot be read, or is not a grid.
    """
    try:
        text = path.read_text()
        tree, grid = yaml.compose(text, _Strict), yaml.load(text, _Strict)
    except (OSError, UnicodeDecodeError) as error:
        meant = Path("sweeps", path.name).with_suffix(".yaml")
        known = ", ".join(sorted(p.stem for p in path.parent.glob("[!.]*.yaml"))) or "none"
        said = f"Did you mean {meant}?" if meant.exists() else f"The grids in {path.parent} are: {known}"
        raise GridError(f"{path}: {error}. {said}") from error
    except (yaml.YAMLError, ValueError) as error:  # PyYAML's ValueErrors: a date of month 13
        mark = getattr(error, "problem_mark", None)
        raise GridError(f"{path}:{mark.line + 1 if mark else 1}: {getattr(error, 'problem', error)}") from error
    if not isinstance(grid, dict) or not {"experiment", "blocks"} <= set(grid) <= {"experiment", "fixed", "blocks"}:
        said = ", ".join(map(str, grid)) if isinstance(grid, dict) else type(grid).__name__
        raise GridError(f"{path}: a grid has experiment, blocks and perhaps fixed, got {said}")
    blocks = next(value for name, value in tree.value if name.value == "blocks")
    listed = grid["blocks"] if isinstance(grid["blocks"], list) else []
    if not listed or not all(isinstance(part, dict) for part in [grid.get("fixed", {}), *listed]):
        raise GridError(
            f"{path}:{blocks.start_mark.line + 1}: blocks must be a list of fields with values, like those of fixed"
        )
    grid["places"] = [f"{path}:{block.start_mark.line + 1}" for block in blocks.value]
    name = grid["experiment"]
    try:
        load_experiment(name)
    except (ImportError, TypeError) as error:
        lacking = getattr(error, "name", None) or name
        is_itself = f"{name}.".startswith(f"{lacking}.")  # or a package that it would lie in
        if not is_itself and not lacking.startswith("itlm"):
            ours = Path(__file__).parent.joinpath("experiments", f"{name}.py").exists()
            said = "pip install 'itlm[torch,linear]'" if ours else "install it, or correct the import"
            raise GridError(f"{path}: {name} needs {lacking}: {said} ({error})") from error
        raise GridError(
            f"{path}: experiment must be a module of itlm.experiments such as labels or gan, or one of your own that "
            f"Python can import: {error}"
        ) from error
    return grid


def configurations(grid: dict) -> Iterator:
    """Yield the configurations of a grid, resolved, in order of importance.

    Parameters
    ----------
    grid : dict
        From `load`. ``experiment`` is the module's name, and ``fixed`` holds the fields common to all runs. ``blocks``
        is a list of dicts; each field has a value, a list of values, or integers such as ``0..99``. The first field
        varies slowest: with ``seed`` first, every setting gets one seed before any gets two.

    Raises
    ------
    GridError
        If the experiment lacks a field, a value is out of range, or two runs are equal.
    """
    experiment, seen = load_experiment(grid["experiment"]), {}
    known = [f.name for f in fields(experiment.Config)]
    places = grid.get("places") or [f"block {number}" for number in range(1, len(grid["blocks"]) + 1)]
    for place, block in zip(places, grid["blocks"], strict=True):
        given = {**block, **{k: v for k, v in grid.get("fixed", {}).items() if k not in block}}
        axes = {name: _listed(values) for name, values in given.items()}
        for name, values in axes.items():
            if name not in known:
                where = "" if name in block else " in fixed"
                raise GridError(f"{place}: unknown field {name!r}{where}; the fields are {', '.join(known)}")
            if not values:
                raise GridError(f"{place}: {name} has no values")
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            try:
                config = experiment.Config(**chosen).resolved()
            except (TypeError, ValueError) as error:
                words = [f"{name}={value}" for name, value in chosen.items() if _is_number(value)]
                said = f" (YAML reads {words[0]} as text: write 8 for 08, 1.0e-3 for 1e-3)" if words else ""
                raise GridError(f"{place}: {error}{said}") from error
            if config in seen:
                raise GridError(f"{place}: {chosen} is already in {seen[config]}")
            seen[config] = place
            yield config


def _listed(values) -> list:
    """Return the values of a field: a list, a range of integers, or one value."""
    if isinstance(values, str) and (ends := re.fullmatch(r"(\d+)\.\.(\d+)", values)):
        return list(range(int(ends[1]), int(ends[2]) + 1))
    return values if isinstance(values, list) else [values]


def _is_number(value) -> bool:
    try:
        return isinstance(value, str) and float(value) is not None
    except ValueError:
        return False


def expand(grid: dict) -> Iterator[Run]:
    """Yield the runs of a grid, one for each of its `configurations`; the keys need the data sets."""
    experiment = load_experiment(grid["experiment"])
    for config in configurations(grid):
        key = record.key(grid["experiment"], experiment.RECIPE, config, experiment.digest(config))
        try:
            visits = experiment.visits(config)
        except ValueError as error:
            raise GridError(f"{config.changed()}: {error}") from error
        yield Run(key, config, visits)


def left(grid: dict, parts: Path) -> list[Run]:
    """Return the runs that are neither in the tables nor in a part file."""
    runs = _recorded(grid["experiment"])
    recorded = set() if runs is None else set(runs.key)
    return [run for run in expand(grid) if run.key not in recorded and not _part(parts, run).exists()]


def faults(name: str) -> list[str]:
    """Return the contradictions in an experiment's tables, one message a line.

    Each run's key must match its parameters and be unique, and a finished run must have values.

    Raises
    ------
    itlm.errors.Damaged
        If a line is cut short or torn.
    """
    if _recorded(name) is None:
        return []
    path, values = (tables.folder() / f"{name}{end}.csv" for end in (".runs", ""))
    rows = pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")
    measured = set(tables.results(name).key) if values.exists() else set()  # read last, because written first
    experiment, found, lines = load_experiment(name), [], {}
    for line, row in enumerate(rows, 2):
        try:
            key = record.key(name, int(row["recipe"]), configuration(experiment, row), row["data"])
        except ValueError as error:
            key = f"none: {error}"
        if key != row["key"]:
            found.append(f"{path}:{line}: the key is {row['key']}, the parameters make it {key}")
        elif key in lines:
            found.append(f"{path}:{line}: run {key} is in line {lines[key]} already")
        elif row["status"] == "ok" and key not in measured:
            found.append(f"{path}:{line}: run {key} has no values in {values}")
        lines.setdefault(row["key"], line)
    return found


def configuration(experiment, row: dict[str, str]):
    """Return the configuration of a recorded row; missing fields as in `itlm.parameters.Parameters.absent`."""
    given = experiment.Config.absent()
    for name, allowed in experiment.Config.ranges().items():
        if text := row.get(name):
            kind = allowed.kind
            given[name] = kind(text) if kind is not bool else {"True": True, "False": False}.get(text, text)
    return experiment.Config(**given)


def throughput(experiment: str) -> float | None:
    """Return the sample visits per second, over all recorded runs; None if there are none."""
    try:
        runs, values = tables.results(f"{experiment}.runs"), tables.results(experiment)
    except FileNotFoundError:
        return None
    visits = values[values.metric == "visits"].groupby("key").value.max()
    runs = runs[(runs.status == "ok") & runs.key.isin(visits.index)]
    seconds = float(runs.seconds.sum())
    return float(runs.key.map(visits).sum()) / seconds if seconds else None


def options() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m itlm.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("grid", type=Path, help="a YAML file, as in sweeps/")
    parser.add_argument("--parts", type=Path, help="folder of the part files (default: parts/ in the grid's folder)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--plan", action="store_true", help="only list the remaining runs and their cost")
    only.add_argument("--collect", action="store_true", help="only merge the part files into results/")
    return parser


def main(arguments=None) -> int:
    """Run the command line; return 2 if the sweep had to stop, 1 if ``--collect`` finds failed runs, else 0."""
    asked = options().parse_args(arguments)
    parts = asked.parts or asked.grid.parent / "parts"
    try:
        grid = load(asked.grid)
        parts.mkdir(parents=True, exist_ok=True)
        _check(grid, parts)
        return (_plan if asked.plan else _collect if asked.collect else _run)(grid, parts)
    except (GridError, Damaged) as error:
        said = str(error)
    except DataError as error:
        said = f"{asked.grid}: {error}"
    except _machines_faults() as error:
        said = (
            f"{str(error) or type(error).__name__}. Nothing recorded is lost: remove the cause (for a full disk or "
            "memory, by making room) and start again"
        )
    print(f"STOPPED {said}", file=sys.stderr, flush=True)
    return 2


def _check(grid, parts) -> None:
    """Check the files of earlier sweeps, before a new sweep spends hours."""
    for path in parts.glob("*.json"):
        record.read_part(path)
    if found := faults(grid["experiment"]):
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        file = found[0].split(":")[0]
        raise Damaged(
            f"{'; '.join(found[:3])}{more}. Nothing was changed. Correct the lines, or restore the file: git restore "
            f"{file}"
        )


def _run(grid, parts) -> int:
    experiment = load_experiment(grid["experiment"])
    todo = left(grid, parts)
    for number, run in enumerate(todo, 1):
        with files.locked(parts / f"{run.key}.lock", wait=False) as mine:
            if not mine:
                continue  # another process runs it
            if not _part(parts, run).exists():  # another process may have finished it
                print(f"[{number}/{len(todo)}] {run}", flush=True)
                try:
                    done = _recorded_run(experiment, run, parts / f"{run.key}.pt")
                except (*_machines_faults(), DataError):
                    raise  # no fault of the run, which the next sweep repeats
                except Missing as error:
                    print(f"LEFT OUT {run}: {error}", flush=True)
                    continue
                except Exception as error:  # recorded, so that the other runs continue
                    if any(words in str(error) for words in UNNAMED):
                        raise MachineFault(str(error)) from error
                    done = record.begin(
                        grid["experiment"], experiment.RECIPE, run.config, experiment.digest(run.config)
                    ).finish(f"{type(error).__name__}: {error}")
                    print(f"FAILED {run}: {done.provenance['reason']}", flush=True)
                record.save_part(done, parts)
            _discard(parts / f"{run.key}.pt")  # a failed run may have one, which no run will resume
            (parts / f"{run.key}.lock").unlink(missing_ok=True)  # a process that has it open will find the part file
    return 0


def _recorded_run(experiment, run: Run, checkpoint: Path) -> record.Record:
    """Run once, from the start if the checkpoint is refused: the code or the rounding of losses may have changed."""
    try:
        return experiment.run(run.config, checkpoint=checkpoint)
    except Refused as error:
        print(f"ANEW {run}: {error}", flush=True)
        _discard(checkpoint)
        return experiment.run(run.config, checkpoint=checkpoint)


def _discard(checkpoint: Path) -> None:
    """Remove the checkpoints of a run and of its fits."""
    for pattern in (f"{checkpoint.name}*", f".{checkpoint.name}*.tmp"):
        for file in checkpoint.parent.glob(pattern):
            file.unlink(missing_ok=True)


def _machines_faults() -> tuple:
    """Return the errors that are faults of the machine, not of a run."""
    torch = sys.modules.get("torch")  # its errors need it loaded
    named = [torch.cuda.OutOfMemoryError, getattr(torch, "AcceleratorError", MachineFault)] if torch else []
    return OSError, ImportError, MemoryError, MachineFault, *named


def _plan(grid, parts) -> int:
    todo, speed = left(grid, parts), throughput(grid["experiment"])
    for run in todo:
        print(f"{run}" + (f"  {run.visits / speed / 60:.1f} min" if speed else ""))
    hours = f"about {sum(run.visits for run in todo) / speed / 3600:.1f} core-hours" if speed else "cost not known yet"
    print(f"{len(todo)} runs left, {hours}")
    return 0


def _collect(grid, parts) -> int:
    with files.locked(tables.folder() / f".{grid['experiment']}.lock"):  # two sweeps may collect at the same time
        added = tables.collect(grid["experiment"], parts)
    runs = _recorded(grid["experiment"])
    try:
        todo, mine = len(left(grid, parts)), {run.key: run for run in expand(grid)}
    except DataError as error:
        print(f"{added} runs added to results/; which ones are left or failed is not known here: {error}")
        return 0
    print(f"{added} runs added to results/, {todo} left to run")
    if runs is None:
        return 0
    failed = runs[runs.key.isin(mine) & (runs.status == "failed")]
    for row in failed.itertuples():
        print(f"FAILED {mine[row.key]}: {row.reason}")
    if len(failed):
        print(f"To try a failed run again, remove its line from results/ and its file from {parts}")
    return int(len(failed) > 0)


def _recorded(name) -> pd.DataFrame | None:
    """Return the table of an experiment's runs, or None if nothing is recorded."""
    return tables.results(f"{name}.runs") if (tables.folder() / f"{name}.runs.csv").exists() else None


def _part(parts: Path, run: Run) -> Path:
    return parts / f"{run.key}.json"


if __name__ == "__main__":
    sys.exit(main())
