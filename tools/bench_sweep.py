"""Measure a sweep of demo runs, as `make sweep` does it: how busy the cores are, and what is not training.

    python tools/bench_sweep.py                         40 runs on 2 cores; the machine must be idle otherwise
    python tools/bench_sweep.py --runs 4 --epochs 1     does it work?

It sweeps in a copy of the code, so nothing of it goes into results/.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

ROOT = Path(__file__).resolve().parents[1]


def checkout(folder: Path, **grid) -> Path:
    """Copy what a sweep needs into a folder where nothing is recorded, with one grid, named grid."""
    shutil.copytree(ROOT / "itlm", folder / "itlm")
    for name in ("results", "sweeps"):
        (folder / name).mkdir()
    for name in ("Makefile", "sweeps/Snakefile"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "sweeps" / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    return folder


def timed(log: str, arguments: list[str]) -> int:
    """Be ``python -m itlm.sweep``, and note how long each fit and each scoring of the samples takes."""
    sys.path.insert(0, os.getcwd())
    from itlm import sweep
    from itlm.deep import training

    def noting(name, function):
        def noted(*given, **named):
            begin = time.perf_counter()
            result = function(*given, **named)
            with open(log, "a") as file:
                file.write(f"{name} {time.perf_counter() - begin}\n")
            return result

        return noted

    for name in ("fit", "sample_losses"):
        setattr(training, name, noting(name, getattr(training, name)))
    return sweep.main(arguments)


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40, help="seeds of the label-noise notebook's own setting")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--epochs", type=float, help="fewer, to see whether this works")
    options = parser.parse_args()
    runs = {"seed": list(range(options.runs))} | ({"epochs": options.epochs} if options.epochs else {})
    with TemporaryDirectory() as scratch:
        folder, log = checkout(Path(scratch) / "itlm", experiment="labels", blocks=[runs]), Path(scratch) / "log"
        python = f"{sys.executable} {Path(__file__).resolve()} --timed {log}"
        command = [sys.executable, "-m", "snakemake", "-s", "sweeps/Snakefile", "--cores", str(options.cores)]
        command += ["--nolock", "--forceall", "--quiet", "all", "--config", "grid=grid", f"python={python}"]
        begin = time.perf_counter()
        subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True)
        wall = time.perf_counter() - begin
        notes = [line.split() for line in log.read_text().splitlines()]
        recorded = (folder / "results" / "labels.runs.csv").read_text().count(",ok,")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    share = lambda seconds: 100 * seconds / (options.cores * wall)  # noqa: E731
    fits, scores = (share(sum(float(took) for what, took in notes if what == n)) for n in ("fit", "sample_losses"))
    print(f"{recorded} demo runs on {options.cores} cores: {wall:.0f} s")
    print(f"cores busy {share(used.ru_utime + used.ru_stime):.1f} % (at least 85 %)")
    rest = 100 - fits - scores
    print(f"training {fits + scores:.1f} %: fits {fits:.1f} %, losses of the samples {scores:.1f} %")
    print(f"all else, waiting included, {rest:.1f} % (at most 10 %)")
    return int(recorded != options.runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        sys.exit(timed(sys.argv[2], sys.argv[5:]))  # after "-m itlm.sweep"
    sys.exit(main())
