"""Figure 2's experiment: every fit from the same start, where each must end, and the methods beside it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from itlm.rivals import linear as methods
from itlm.experiments import synthetic
from itlm.linear import (full_update, gradient_step, least_trimmed_squares, simulate)
from itlm.experiments.synthetic import Config, run

SMALL = {"n": 400, "d": 5}


def numbers(**fields):
    return {name: value for _, name, value in run(Config(**{**SMALL, **fields})).rows}


@pytest.mark.parametrize("link", ["identity", "leaky", "wavy"])
@pytest.mark.parametrize("outputs", ["random", "mixture"])
def test_at_small_noise_both_updates_end_near_the_oracle(link, outputs):
    found = numbers(link=link, outputs=outputs, rounds=500)
    assert found["error_full"] < 2 * found["error_oracle"] < 0.05 < found["error_all"]
    assert found["error_gradient"] == pytest.approx(found["error_full"], rel=0.2)
    assert found["bad_rate"] == pytest.approx(20) and found["bad_kept"] < 2


def test_without_bad_samples_and_with_all_kept_every_fit_is_the_oracle():
    found = numbers(clean=1.0, alpha=1.0, sigma=0.5, rounds=500, peers=True)
    errors = {name: value for name, value in found.items() if name.startswith("error_")}
    assert max(errors.values()) < 1.2 * found["error_oracle"]
    for name in ("full", "gradient", "all", "crr"):
        assert errors[f"error_{name}"] == pytest.approx(found["error_oracle"], rel=1e-6)


def test_the_fraction_kept_is_five_points_below_what_is_clean():
    assert Config(clean=0.7).resolved().alpha == 0.65 and Config(clean=0.7, alpha=0.7).resolved().alpha == 0.7


def test_oblivious_errors_leave_every_method_consistent_and_random_outputs_none():
    names = ("full", "crr", "adaptive", "reweighted")
    where = {"n": 20_000, "d": 3, "clean": 0.7, "sigma": 0.5, "peers": True}
    oblivious, chance = numbers(outputs="oblivious", **where), numbers(outputs="random", **where)
    for name in names:
        assert oblivious[f"error_{name}"] < 0.015 < 0.02 < chance[f"error_{name}"]
    assert chance["error_oracle"] < 0.015 and chance["loss_gap"] > 3 * oblivious["loss_gap"]


def test_a_fixed_point_of_consistent_regression_is_one_of_algorithm_1():
    data = simulate(300, 4, 0.7, 0.3, "random", seed=2)
    theta = methods.consistent_regression(data.X, data.y, 0.65)
    again = least_trimmed_squares(data.X, data.y, 0.65, start=theta)
    assert np.allclose(again.coef, theta, atol=1e-8) and again.n_iter <= 2


@pytest.mark.parametrize("method", [methods.alternating_minimization, methods.one_by_one])
@pytest.mark.parametrize("k", [2, 3])
def test_all_components_of_a_mixture_are_found(method, k):
    data = simulate(300 * k, 3, 1 / k, 0.01, "mixture", seed=1, components=k)
    found = method(data.X, data.y, k, starts=20)
    assert np.linalg.norm(found[:, None] - data.components, axis=2).min(0).max() < 0.02


@pytest.mark.parametrize("seed", range(1, 6))
def test_without_noise_no_sample_of_a_component_found_disturbs_the_next(seed):
    data = simulate(300, 3, 1 / 3, 0.0, "mixture", seed=seed, components=3)
    found = methods.one_by_one(data.X, data.y, 3, starts=10)
    assert np.linalg.norm(found[:, None] - data.components, axis=2).min(0).max() < 1e-6


METHODS = {
    "consistent_regression": lambda X, y: methods.consistent_regression(X, y, 0.75),
    "adaptive_thresholding": methods.adaptive_thresholding,
    "alternating_minimization": lambda X, y: methods.alternating_minimization(X, y, 2),
    "one_by_one": lambda X, y: methods.one_by_one(X, y, 2),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_data_frames_and_name_what_is_wrong(name):
    method, (X, y, *_) = METHODS[name], simulate(60, 3, 0.8, 0.1)
    frame, series = pd.DataFrame(X, columns=["a", "b", "c"]), pd.Series(y)
    assert np.allclose(method(frame[::-1], series[::-1]), method(X[::-1], y[::-1]))
    for change, said in (
        ((X[:2], y[:2]), "X has 2 samples for 3 features: give at least as many"),
        ((np.where(X == X[3], np.nan, X), y), "X has NaN or infinity: drop or mend these samples first"),
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


def test_methods_want_at_least_one_round_and_one_start():
    data = simulate(50, 2, 0.8, 0.1)
    with pytest.raises(ValueError, match="rounds must be an integer of at least 1, got 0"):
        methods.consistent_regression(data.X, data.y, 0.75, rounds=0)
    with pytest.raises(ValueError, match="starts must be an integer of at least 1, got 0"):
        methods.one_by_one(data.X, data.y, 2, starts=0)
    with pytest.raises(ValueError, match="peers=True needs link='identity', got 'wavy'"):
        Config(peers=True, link="wavy")


def test_one_component_is_least_squares():
    data = simulate(100, 3, 1.0, 0.1, seed=1)
    least = np.linalg.lstsq(data.X, data.y, rcond=None)[0]
    assert np.allclose(methods.alternating_minimization(data.X, data.y, 1), least)
    assert np.allclose(methods.one_by_one(data.X, data.y, 1), least, atol=0.02)


@pytest.mark.parametrize("link", ["identity", "leaky", "wavy"])
def test_the_full_update_is_where_no_gradient_is_left(link):
    data = simulate(200, 3, 0.8, 0.3, link=link, seed=3)
    kept = ~data.is_bad
    theta = full_update(data.X, data.y, np.zeros(3), kept, link)
    assert np.allclose(gradient_step(data.X, data.y, theta, kept, 1.0, link), theta, atol=1e-6)
    if link == "identity":
        least = np.linalg.lstsq(data.X[kept], data.y[kept], rcond=None)[0]
        assert np.allclose(theta, least)
        assert np.allclose(full_update(data.X, data.y, least + 1e-8, kept), least, rtol=0, atol=1e-13)


def test_a_full_update_that_is_not_determined_is_refused():
    data = simulate(20, 5, 1.0, 0.1)
    with pytest.raises(ValueError, match="kept has 4 samples for 5 features"):
        full_update(data.X, data.y, data.theta, np.arange(20) < 4)


def test_the_rounds_are_those_of_algorithm_1():
    data = simulate(300, 4, 0.8, 0.1, seed=5)
    start = np.linalg.lstsq(data.X, data.y, rcond=None)[0]
    *_, last = synthetic.rounds(data.X, data.y, start, 0.75, 100)
    solved = least_trimmed_squares(data.X, data.y, 0.75, start=start)
    assert np.allclose(last.theta, solved.coef) and np.array_equal(last.kept, solved.kept)
    by_hand = start
    for _ in range(last.t):
        kept = np.argsort(np.abs(data.y - data.X @ by_hand), kind="stable")[:225]
        by_hand = np.linalg.lstsq(data.X[kept], data.y[kept], rcond=None)[0]
    assert np.allclose(last.theta, by_hand)
    config = Config(n=300, d=4, seed=5, rounds=100)
    updates = [
        synthetic._full(data.X, data.y, start, replace(config, rounds=rounds).resolved())[1] for rounds in (2, 100)
    ]
    assert updates == [2, last.t]
