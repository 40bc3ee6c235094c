"""Figure 2's experiment: every fit from the same start, and where each must end."""

from dataclasses import replace

import numpy as np
import pytest

from itlm.experiments import synthetic
from itlm.experiments.synthetic import Config, run
from itlm.least_squares import least_trimmed_squares
from itlm.linear import simulate

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


def test_methods_for_linear_models_are_refused_beside_a_curve():
    with pytest.raises(ValueError, match="peers=True needs link='identity', got 'wavy'"):
        Config(peers=True, link="wavy")


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
