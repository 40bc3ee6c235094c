"""Kill a small sweep at random moments, start it again each time, and look what was lost.

    python tests/kill_sweep.py                      20 kills; some minutes, on Linux
    python tests/kill_sweep.py --kills 5 --seed 1

Two workers side by side, and every third time ``make sweep``. What is killed, with SIGKILL, is one worker, whoever
started the workers, or everything. It fails if a finished run is repeated, a record torn or doubled, or if the
tables in the end are not, apart from times, those of a sweep that no one disturbed. `test_sweep.py` kills three
times, at moments of its choice.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
from bench_sweep import checkout  # noqa: E402
from runs import assert_same_but_for_times, finished  # noqa: E402

GRID = {
    "experiment": "labels",
    "fixed": {"n": 1000, "epochs": 1, "rounds": 2, "noise": "random", "clean": 0.8},
    "blocks": [{"seed": list(range(32)), "method": ["itlm", "oracle"]}],
}
MAKE = ["make", "-o", ".venv/.all", "sweep", "GRID=grid"]
WORKER = f"{sys.executable} -m itlm.sweep sweeps/grid.yaml"
WORKERS = ["sh", "-c", f"{WORKER} & {WORKER} & wait; {WORKER} --collect"]


def processes(folder: Path) -> dict[int, str]:
    """The command lines of all processes that run in a folder."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.joinpath("cwd").resolve() == folder:
                found[int(entry.name)] = entry.joinpath("cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has ended
    return found


def changed(path: Path) -> float:
    """When a file was last opened for writing; 0 if it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def kill(pids) -> None:
    """Kill processes, those included that have ended by now."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def disturb(folder: Path, parts: Path, command: list[str], chance: random.Random) -> str | None:
    """Start a sweep and kill something of it; return what, or None if it was done before."""
    before, begin, more = finished(parts), time.time(), chance.randrange(3)
    started = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    claimed = False
    while not claimed or len(finished(parts)) < len(before) + more:
        if started.poll() is not None:
            return None
        claimed = claimed or any(changed(path) >= begin for path in parts.glob("*.lock"))
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 0.5))  # somewhere in a run, or between two
    running = processes(folder)
    workers = [pid for pid, line in running.items() if "python -m itlm.sweep" in " ".join(line.split()[:3])]
    victim = chance.choice(["a worker", "who started them", "everything"])
    kill({"a worker": workers[:1], "who started them": set(running) - set(workers)}.get(victim, running))
    if victim == "a worker":
        time.sleep(chance.uniform(0, 1))  # the others go on meanwhile
    if victim != "who started them":  # else orphans go on beside those that are started next
        kill(processes(folder))
    started.wait()
    return victim


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    os.environ |= {"OMP_NUM_THREADS": "1"}
    os.environ.pop("PYTHONPATH", None)
    runs = len(GRID["blocks"][0]["seed"]) * len(GRID["blocks"][0]["method"])
    with TemporaryDirectory() as scratch:
        ours, whole = (checkout(Path(scratch).resolve() / name, **GRID) for name in ("ours", "whole"))
        parts, before = ours / "sweeps" / "parts", {}
        for folder in (ours, whole):
            (folder / ".venv").symlink_to(sys.prefix)
        for number in range(1, options.kills + 1):
            command = WORKERS if number % 3 else MAKE
            victim = disturb(ours, parts, command, chance)
            assert victim, f"the sweep was done after {number - 1} kills: make it longer"
            now = finished(parts)  # and none is torn
            assert before.items() <= now.items(), "a finished run was repeated or lost"
            print(f"{number:2}: {command[0]:4}  killed {victim:16}  {len(now)} of {runs} runs finished", flush=True)
            before = now
        kill(processes(ours))
        assert len(before) < runs
        for folder in (ours, whole):
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run(MAKE, cwd=folder, check=True, **quiet)
        now = finished(parts)
        assert before.items() <= now.items() and len(now) == runs
        assert_same_but_for_times(ours / "results", whole / "results", runs)
        assert {path.suffix for path in parts.iterdir()} <= {".json", ".lock", ".done"}, "a torn file is left"
        print(f"{options.kills} kills: nothing lost, repeated, torn or doubled; the tables are an undisturbed sweep's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
