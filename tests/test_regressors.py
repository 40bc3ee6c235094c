"""The comparison of robust regressors: every method fits the same data, and is timed."""

import numpy as np
import pytest

from itlm.errors import Missing
from itlm.experiments.regressors import METHODS, OUTPUTS, Config, run, task

SMALL = {"n": 120, "d": 2}


def numbers(**fields):
    return {name: value for _, name, value in run(Config(**SMALL, **fields)).rows}


@pytest.mark.parametrize("method", ["itlm", "one_start", "raw", "huber", "ransac", "theil_sen", "ols", "oracle"])
def test_every_method_finds_a_clean_plane(method):
    found = numbers(method=method, clean=1.0, sigma=0.001)
    assert found["error"] < 0.002 and found["fit_seconds"] > 0


@pytest.mark.parametrize("method", ["lts", "lts_mcd", "rlm", "robpy", "ltsfit"])
def test_other_peoples_packages_fit_or_say_that_they_are_missing(method, monkeypatch):
    if method in ("robpy", "ltsfit"):
        monkeypatch.setitem(__import__("sys").modules, method, None)  # installed or not: they take many seconds
        with pytest.raises(Missing, match=f"{method} is not installed"):
            numbers(method=method)
        return
    try:
        found = numbers(method=method, clean=1.0, sigma=0.001)
    except Missing as missing:
        pytest.skip(str(missing))
    assert found["error"] < 0.002


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_all_methods_get_the_same_data(outputs):
    first, second = (task(Config(method=m, outputs=outputs, seed=3, **SMALL)) for m in ("itlm", "huber"))
    assert np.array_equal(first.X, second.X) and np.array_equal(first.y, second.y)
    assert first.is_bad.sum() == (0 if outputs == "heavy" else 24)


def test_the_oracle_is_least_squares_on_the_clean():
    given = task(Config(**SMALL))
    coef, _ = METHODS["oracle"].ready()(given.X, given.y, Config(**SMALL), given.is_bad)
    clean = np.column_stack([given.X, np.ones(120)])[~given.is_bad]
    assert np.allclose(coef, np.linalg.lstsq(clean, given.y[~given.is_bad], rcond=None)[0])


def test_heavy_tails_are_heavy():
    given = task(Config(outputs="heavy", n=5000, d=2, sigma=1.0))
    noise = np.abs(given.y - given.X @ given.theta)
    assert 0.6 < np.median(noise) < 1.0 and noise.max() > 20  # Student's t with 2 degrees of freedom: median 0.816


@pytest.mark.parametrize(("outputs", "signs"), [("one_sided", {1}), ("two_sided", {-1, 1})])
def test_outliers_are_four_standard_deviations_off(outputs, signs):
    given = task(Config(outputs=outputs, n=4000, d=2, sigma=0.5))
    off = (given.y - given.X @ given.theta) / 0.5
    assert abs(np.abs(off[given.is_bad]).mean() - 4) < 0.15 and abs(off[~given.is_bad]).mean() < 0.9
    assert set(np.sign(off[given.is_bad][abs(off[given.is_bad]) > 2]).astype(int)) == signs


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="method must be one of 'itlm'"):
        Config(method="magic")
