"""Other authors' methods for linear models: where each must end, and what they refuse."""

import numpy as np
import pandas as pd
import pytest

from itlm.least_squares import least_trimmed_squares
from itlm.linear import simulate
from itlm.rivals import linear as rivals


def test_a_fixed_point_of_consistent_regression_is_one_of_algorithm_1():
    data = simulate(300, 4, 0.7, 0.3, "random", seed=2)
    theta = rivals.consistent_regression(data.X, data.y, 0.65)
    again = least_trimmed_squares(data.X, data.y, 0.65, start=theta)
    assert np.allclose(again.coef, theta, atol=1e-8) and again.n_iter <= 2


@pytest.mark.parametrize("method", [rivals.alternating_minimization, rivals.one_by_one])
@pytest.mark.parametrize("k", [2, 3])
def test_all_components_of_a_mixture_are_found(method, k):
    data = simulate(300 * k, 3, 1 / k, 0.01, "mixture", seed=1, components=k)
    found = method(data.X, data.y, k, starts=20)
    assert np.linalg.norm(found[:, None] - data.components, axis=2).min(0).max() < 0.02


@pytest.mark.parametrize("seed", range(1, 6))
def test_without_noise_no_sample_of_a_component_found_disturbs_the_next(seed):
    data = simulate(300, 3, 1 / 3, 0.0, "mixture", seed=seed, components=3)
    found = rivals.one_by_one(data.X, data.y, 3, starts=10)
    assert np.linalg.norm(found[:, None] - data.components, axis=2).min(0).max() < 1e-6


METHODS = {
    "consistent_regression": lambda X, y: rivals.consistent_regression(X, y, 0.75),
    "adaptive_thresholding": rivals.adaptive_thresholding,
    "alternating_minimization": lambda X, y: rivals.alternating_minimization(X, y, 2),
    "one_by_one": lambda X, y: rivals.one_by_one(X, y, 2),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_data_frames_and_name_what_is_wrong(name):
    method, (X, y, *_) = METHODS[name], simulate(60, 3, 0.8, 0.1)
    frame, series = pd.DataFrame(X, columns=["a", "b", "c"]), pd.Series(y)
    assert np.allclose(method(frame[::-1], series[::-1]), method(X[::-1], y[::-1]))
    for change, said in (
        ((X[:2], y[:2]), "X has 2 samples for 3 features: give at least as many"),
        ((np.where(X == X[3], np.nan, X), y), "X has NaN or infinity: drop or correct these samples first"),
        ((X, np.where(y == y[3], np.inf, y)), "y has NaN or infinity"),
        ((X, y[:5]), r"y must have shape \(60,\)"),
    ):
        with pytest.raises(ValueError, match=said):
            method(*change)


@pytest.mark.parametrize("name", METHODS)
def test_dependent_columns_are_named_or_share_what_is_theirs(name):
    method, (X, y, *_) = METHODS[name], simulate(60, 2, 0.8, 0.1)
    assert np.isfinite(method(X * [1e-20, 1], y)).all()  # columns of different size are no dependent ones
    X = np.column_stack([X, X[:, 0]])
    if name == "one_by_one":
        found = method(X, y)
        assert np.allclose(found[:, 0], found[:, 2])
        return
    with pytest.raises(ValueError, match="X has 3 columns of rank 2: leave out those that depend on others"):
        method(X, y)


def test_one_component_is_least_squares():
    data = simulate(100, 3, 1.0, 0.1, seed=1)
    least = np.linalg.lstsq(data.X, data.y, rcond=None)[0]
    assert np.allclose(rivals.alternating_minimization(data.X, data.y, 1), least)
    assert np.allclose(rivals.one_by_one(data.X, data.y, 1), least, atol=0.02)


def test_methods_want_at_least_one_round_and_one_start():
    data = simulate(50, 2, 0.8, 0.1)
    with pytest.raises(ValueError, match="rounds must be an integer of at least 1, got 0"):
        rivals.consistent_regression(data.X, data.y, 0.75, rounds=0)
    with pytest.raises(ValueError, match="starts must be an integer of at least 1, got 0"):
        rivals.one_by_one(data.X, data.y, 2, starts=0)
