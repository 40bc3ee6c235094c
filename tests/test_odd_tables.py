"""Tables that broke other people's fits: repeated samples, odd units, dependent columns, exact planes of any spread."""

import warnings

import fuzz_least_squares as fuzz
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes

from itlm import n_kept
from itlm.estimators import TrimmedRegressor
from itlm.least_squares import least_trimmed_squares


def without_worries(X, y, **options):
    """Fit, and let any warning fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return TrimmedRegressor(random_state=0, **options).fit(X, y)


def test_every_bootstrap_replicate_of_a_table_is_fitted():
    X, y = load_diabetes(return_X_y=True)
    for seed in [38, *range(150)]:  # at 38 equal samples stand on both sides of the threshold
        again = np.random.default_rng(seed).integers(0, len(y), len(y))
        fit = least_trimmed_squares(X[again], y[again], 0.75, fit_intercept=True)
        assert fit.converged and fit.kept.sum() == n_kept(len(y), 0.75)


@given(seed=st.integers(0, 10**6), alpha=st.floats(0.5, 0.95))
@settings(max_examples=60, deadline=None)
def test_a_table_in_which_each_sample_stands_twice_is_fitted(seed, alpha):
    random = np.random.default_rng(seed)
    n = int(random.integers(8, 60))
    X = random.standard_normal((n, 3))
    y = X @ [1.0, 2.0, 3.0] + random.standard_normal(n)
    y[: n // 4] += 10
    fit = least_trimmed_squares(np.repeat(X, 2, 0), np.repeat(y, 2), alpha)
    assert fit.converged and np.diff(fit.path).max(initial=0) <= 1e-9 * fit.path[0]


def odd_units():
    """Tables whose columns depend on each other, in units far apart: X, y and the coefficients that are determined."""
    random = np.random.default_rng(0)
    x, level = random.standard_normal(200), (random.random(200) < 0.5).astype(float)
    noise = 0.1 * random.standard_normal(200)
    noise[:20] += 10
    clock = 1.7e18 + random.integers(0, 10**15, 200).astype(float)  # nanoseconds
    yield np.column_stack([clock, x, level, 1 - level]), 3 * x + 2 * level + noise, {1: 3.0}
    capacitance, resistance = 1e-12 * random.uniform(1, 10, 200), 1e6 * random.uniform(1, 10, 200)
    X = np.column_stack([capacitance, resistance, level, 1 - level])
    yield X, 2e12 * capacitance + 1e-6 * resistance + level + 0.5 * noise, {0: 2e12, 1: 1e-6}
    share, population = 1e-7 * random.uniform(1, 10, 200), 1e7 * random.uniform(1, 10, 200)
    X = np.column_stack([share, population, np.eye(3)[np.arange(200) % 3], np.ones(200)])
    yield X, 1e7 * share + 1e-7 * population + 0.5 * noise, {0: 1e7, 1: 1e-7}


@pytest.mark.parametrize(("X", "y", "determined"), list(odd_units()))
def test_no_column_is_lost_for_its_unit_where_others_depend_on_each_other(X, y, determined):
    model = without_worries(X, y)
    for column, value in determined.items():
        assert model.coef_[column] == pytest.approx(value, rel=0.05)
    assert not model.inlier_mask_[:20].any() and np.diff(model.objective_path_).max() <= 1e-9


def test_of_dependent_columns_the_fit_of_minimum_norm_in_the_units_given_is_taken():
    random = np.random.default_rng(1)
    a, b = random.standard_normal((2, 50))
    X = np.column_stack([a, 100 * a, b, np.zeros(50)])
    expected = np.linalg.lstsq(X, 2 * a + b, rcond=None)[0]
    np.testing.assert_allclose(least_trimmed_squares(X, 2 * a + b, 1.0).coef, expected, atol=1e-10)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=80, deadline=None)
def test_the_objective_never_rises_and_is_that_of_least_squares_on_the_kept(seed):
    assert fuzz.faults(seed) == []


@given(seed=st.integers(0, 10**6), ones=st.booleans(), alpha=st.sampled_from([0.6, 0.75, 0.9]))
@settings(max_examples=60, deadline=None)
def test_samples_on_one_plane_are_all_inliers_whatever_their_spread(seed, ones, alpha):
    random = np.random.default_rng(seed)
    n, d = int(random.integers(20, 120)), int(random.integers(1, 4))
    X = np.exp(4 * random.standard_normal((n, d)))
    y = X @ random.standard_normal(d) + 3 * ones
    weights = [None, random.integers(1, 4, n).astype(float), random.random(n) + 0.5][seed % 3]
    model = TrimmedRegressor(alpha, fit_intercept=ones, random_state=0).fit(X, y, sample_weight=weights)
    assert model.scale_ == 0 and model.inlier_mask_.all()


def test_nine_points_over_nine_decades_lie_on_one_line():
    x = 10.0 ** np.arange(-4, 5)
    model = without_worries(x[:, None], 0.3 * x)
    assert model.inlier_mask_.all() and model.scale_ == 0 and model.coef_[0] == pytest.approx(0.3)


def test_exact_collinear_data_without_an_intercept_settle():
    x = np.arange(1.0, 30)
    model = without_worries(np.column_stack([x, 2 * x]), 3 * x, fit_intercept=False)
    assert model.scale_ == 0 and model.inlier_mask_.all()
