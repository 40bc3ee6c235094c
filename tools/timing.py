"""Time functions beside each other, for the benchmarks."""

import time
from collections.abc import Callable
from statistics import median


def in_turn(calls: dict[str, Callable], repeats: int) -> dict[str, list[float]]:
    """Give the seconds of every call; all in turn, so that a slow minute strikes all alike."""
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return times


def ratio(times: dict[str, list[float]], a: str, b: str) -> float:
    """Give the median over the repeats of two times' ratio."""
    return median(p / q for p, q in zip(times[a], times[b], strict=True))
