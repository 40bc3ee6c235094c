"""One round at a controlled distance: where it begins, and what the lemmas and theorems say of it."""

import numpy as np
import pytest

from itlm.experiments import one_step
from itlm.experiments.one_step import Config, run

SMALL = {"n": 2000, "d": 5}


def numbers(**fields):
    return {name: value for _, name, value in run(Config(**{**SMALL, **fields})).rows}


def test_it_begins_at_the_distance_asked_for():
    data, theta = one_step.task(Config(distance=0.3, **SMALL))
    assert np.linalg.norm(theta - data.theta) == pytest.approx(0.3)


@pytest.mark.parametrize("update", ["full", "gradient"])
@pytest.mark.parametrize("outputs", ["random", "mixture", "all_scales"])
def test_the_bound_holds(update, outputs):
    found = numbers(update=update, outputs=outputs)
    assert found["error"] <= found["bound"] and found["gap"] < 1e-10
    assert found["kappa"] == pytest.approx(found["error"] / found["distance"])


def test_random_outputs_give_super_linear_steps_and_errors_at_all_scales_do_not():
    near, far = ({"distance": distance, "sigma": 0.0, "d": 3} for distance in (0.03, 0.3))
    assert numbers(**near)["kappa"] < 0.3 * numbers(**far)["kappa"]
    assert numbers(outputs="all_scales", **near)["kappa"] > 0.6 * numbers(outputs="all_scales", **far)["kappa"]


def test_an_aimed_adversary_is_kept_and_does_more_harm_than_any_kind_drawn():
    where = {"clean": 0.95, "alpha": 0.95, "sigma": 0.0, "n": 4000, "d": 20}
    worst = max(numbers(outputs=kind, **where)["kappa"] for kind in ("random", "mixture", "sign_flip", "all_scales"))
    found = numbers(outputs="aimed", **where)
    assert found["bad_kept"] == pytest.approx(100 * 0.05 / 0.95) and 1 > found["kappa"] > max(0.5, 5 * worst)
    assert numbers(outputs="aimed", **{**where, "clean": 1.0})["error"] < 1e-12
    with pytest.raises(ValueError, match="outputs='aimed' needs link='identity', got 'wavy'"):
        Config(update="gradient", link="wavy", outputs="aimed")


def test_the_constant_that_the_printed_noise_needs_grows_with_n():
    where = {"clean": 1.0, "alpha": 0.8, "sigma": 1.0, "distance": 1.0}
    few, many = (numbers(n=n, **where)["c_needed"] for n in (2000, 200_000))
    assert many > 5 * few


def test_at_the_truth_without_noise_it_stays():
    assert numbers(distance=0.0, sigma=0.0, clean=1.0)["error"] < 1e-12


def test_a_full_update_of_a_curve_is_refused_when_it_is_asked_for():
    with pytest.raises(ValueError, match="update='full' needs link='identity', got 'wavy': use update='gradient'"):
        Config(link="wavy")


def test_a_kept_set_smaller_than_the_dimension_is_named():
    with pytest.raises(ValueError, match="alpha n >= d is needed"):
        numbers(alpha=0.001)
