"""Measure all of Figure 2, and ITLM-1 against least squares fits from scratch, round by round.

python tools/bench_synthetic.py             100 runs a point: about three minutes
python tools/bench_synthetic.py --runs 5    fewer
"""

import argparse
import time
from pathlib import Path

import numpy as np
from timing import in_turn

from itlm import n_kept, sweep
from itlm.experiments import synthetic
from itlm.least_squares import least_trimmed_squares
from itlm.linear import full_update

GRID = Path(__file__).resolve().parents[1] / "sweeps" / "synthetic.yaml"


def refitting(X, y, theta, alpha: float, rounds: int) -> np.ndarray:
    """Take the same rounds by numpy.linalg.lstsq."""
    h = n_kept(len(y), alpha)
    for _ in range(rounds):
        kept = np.argpartition(np.abs(y - X @ theta), h - 1)[:h]
        theta = np.linalg.lstsq(X[kept], y[kept], rcond=None)[0]
    return theta


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    grid = sweep.load(GRID)
    grid = {"experiment": "synthetic", "blocks": grid["blocks"][:2]}  # Figure 2 itself
    configs = [config for config in sweep.configurations(grid) if config.seed < runs]
    began = time.process_time()
    for config in configs:
        synthetic.run(config)
    used = time.process_time() - began
    print(f"Figure 2, {len(configs) // runs} points, {runs} runs each: {used:.0f} core-seconds (at most 240 for 100)")
    ours = theirs = 0.0
    for config in (config for config in configs if config.seed < 2):
        X, y, *_ = synthetic.task(config)
        start = full_update(X, y, np.zeros(config.d), np.ones(config.n, bool))
        fit = least_trimmed_squares(X, y, config.alpha, start=start, max_iter=config.rounds)
        assert np.allclose(refitting(X, y, start, config.alpha, fit.n_iter), fit.coef, atol=1e-6)
        calls = {
            "itlm": lambda: least_trimmed_squares(X, y, config.alpha, start=start, max_iter=config.rounds),  # noqa: B023
            "lstsq": lambda: refitting(X, y, start, config.alpha, fit.n_iter),  # noqa: B023
        }
        times = in_turn(calls, 3)
        ours, theirs = ours + min(times["itlm"]), theirs + min(times["lstsq"])
    print(f"ITLM-1 over all points: lstsq in every round takes {theirs / ours:.1f} times as long (at least 10)")


if __name__ == "__main__":
    main()
