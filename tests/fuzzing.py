"""The command line of the fuzzers: problems by seed, until time is up."""

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np


def main(faults: Callable[[int], list[str]], title: str, arguments=None) -> int:
    """Check problem after problem, and print the faults; return 1 if there is one.

    Parameters
    ----------
    faults : callable, (seed) -> list of str
        What is wrong with the problem of a seed; empty if nothing is.
    title : str
        What is fuzzed, for ``--help``.
    arguments : list of str, optional
        Those of the command line by default.
    """
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, help="only this problem")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    asked = parser.parse_args(arguments)
    warnings.simplefilter("error")
    np.seterr(all="ignore")
    if asked.seed is not None:
        found = faults(asked.seed)
        print(*found or ["sound"], sep="\n")
        return int(bool(found))
    end, seed, bad = time.monotonic() + asked.seconds, asked.first, 0
    while time.monotonic() < end:
        for fault in faults(seed):
            bad += 1
            print(f"--seed {seed}: {fault}", flush=True)
        seed += 1
    print(f"{seed - asked.first} problems, {bad} faults")
    return int(bad > 0)
