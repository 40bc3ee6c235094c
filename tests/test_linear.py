"""Simulated data, gradient steps, and least trimmed squares against known truths."""

import itertools

import numpy as np
import pytest

from itlm import iterate
from itlm.linear import OUTPUTS, least_trimmed_squares, simulate


def test_the_solver_finds_the_proved_optimum_of_small_sets():
    for seed in range(5):
        random = np.random.default_rng(seed)
        X, y = random.standard_normal((12, 2)), random.standard_normal(12)
        sets = (list(chosen) for chosen in itertools.combinations(range(12), 8))
        best = min(np.linalg.lstsq(X[chosen], y[chosen], rcond=None)[1][0] for chosen in sets)
        assert abs(least_trimmed_squares(X, y, 8 / 12).objective / best - 1) < 1e-9


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_the_fused_solver_takes_algorithm_1s_steps(outputs):
    data = simulate(20000, 6, 0.75, 0.1, outputs, seed=3)
    start = np.linalg.lstsq(data.X, data.y, rcond=None)[0]
    *_, plain = iterate(
        lambda theta: (data.y - data.X @ theta) ** 2,
        lambda theta, kept, t: np.linalg.lstsq(data.X[kept], data.y[kept], rcond=None)[0],
        start, 0.7, 200, stop_at_fixed_point=True,
    )  # fmt: skip
    fit = least_trimmed_squares(data.X, data.y, 0.7, start=start)
    assert fit.converged and (fit.kept == plain.kept).all()
    assert np.allclose(fit.coef, plain.theta, rtol=1e-9, atol=1e-12)
    assert (np.diff(fit.path) <= 1e-9 * fit.path[0]).all()
