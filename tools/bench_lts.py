"""Measure least trimmed squares against one plain least squares fit, and how its time and memory grow.

python tools/bench_lts.py            about two minutes
python tools/bench_lts.py --large    and n = 10^7, from a memory map: 1.6 GB of disk in a temporary folder
"""

import sys
import tempfile
import tracemalloc
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from threadpoolctl import threadpool_info
from timing import in_turn, ratio

from itlm.least_squares import least_trimmed_squares
from itlm.linear import simulate

ALPHA_STAR, ALPHA, SIGMA, REPEATS = 0.7, 0.65, 0.1, 7


def least_squares(X, y) -> np.ndarray:
    """Fit by normal equations, as plain as can be."""
    return np.linalg.solve(X.T @ X, X.T @ y)


def trimmed(X, y):
    """Fit by least trimmed squares, from one start to the exact fixed point."""
    return least_trimmed_squares(X, y, ALPHA, n_starts=1)


threads = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
print(f"alpha* {ALPHA_STAR}, alpha {ALPHA}, sigma {SIGMA}, random outputs, float64, one start, BLAS threads {threads}")
for n, d in ((1_000_000, 20), (200_000, 100)):
    data = simulate(n, d, ALPHA_STAR, SIGMA)
    fit = trimmed(data.X, data.y)
    assert fit.converged
    calls = {"plain": partial(least_squares, data.X, data.y), "trimmed": partial(trimmed, data.X, data.y)}
    times = in_turn(calls, REPEATS)
    print(
        f"n = {n}, d = {d}: {1e3 * median(times['trimmed']):.0f} ms to the fixed point in {fit.n_iter} steps on all "
        f"samples, {ratio(times, 'trimmed', 'plain'):.2f} times one least squares (at most 3)"
    )

small = simulate(100_000, 20, ALPHA_STAR, SIGMA)
least = median(in_turn({"fit": partial(trimmed, small.X, small.y)}, REPEATS)["fit"])
print(f"n = 10^5, d = 20: {1e3 * least:.1f} ms")
if "--large" in sys.argv:
    n, d, block = 10_000_000, 20, 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        X = np.lib.format.open_memmap(Path(folder) / "X.npy", "w+", np.float64, (n, d))
        y = np.empty(n)
        theta = simulate(1, d, 1.0, 0.0).theta
        for i in range(0, n, block):  # in blocks, with one parameter for all
            part = simulate(block, d, ALPHA_STAR, SIGMA, seed=i)
            X[i : i + block] = part.X
            y[i : i + block] = part.y + np.where(part.is_bad, 0, part.X @ (theta - part.theta))
        del X, part
        X = np.load(Path(folder) / "X.npy", mmap_mode="r")
        taken = median(in_turn({"fit": partial(trimmed, X, y)}, 3)["fit"])
        tracemalloc.start()
        error = np.linalg.norm(trimmed(X, y).coef - theta)
        peak = tracemalloc.get_traced_memory()[1]
    print(
        f"n = 10^7, d = 20, memory-mapped: {taken:.1f} s, {taken / least:.0f} times that of 10^5 (at most 130), error "
        f"{error:.5f}; {peak / n:.0f} bytes a sample at the peak beyond X and y (at most 40)"
    )
