"""The scikit-learn estimators: scikit-learn's own checks, then known truths."""

import pickle
import subprocess
import sys
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, ndtri
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier, is_regressor
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR, LinearSVC
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from itlm import iterate, n_kept
from itlm.estimators import TrimmedEstimator, TrimmedRegressor
from itlm.linear import simulate


@pytest.mark.filterwarnings("ignore")  # tiny and perfectly fitted data get warnings; the tests below see to those
@parametrize_with_checks(
    [
        TrimmedRegressor(),
        TrimmedRegressor("breakdown", reweight=False, fit_intercept=False),
        TrimmedRegressor("auto"),
        TrimmedEstimator(LinearRegression()),
        TrimmedEstimator(Ridge(), loss="absolute"),
        TrimmedEstimator(LogisticRegression()),
        TrimmedEstimator(RandomForestClassifier(n_estimators=4, max_depth=4), max_iter=3),
    ],
    expected_failed_checks=lambda estimator: {
        f"check_sample_weight_equivalence_on_{kind}_data": "a forest draws other bootstrap samples for repeated rows"
        for kind in ("dense", "sparse")
        if isinstance(getattr(estimator, "estimator", None), RandomForestClassifier)
    },
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def contaminated(n=300, d=4, sigma=0.1, outputs="random", seed=0, clean=0.8):
    data = simulate(n, d, clean, sigma, outputs, seed=seed)
    return data, data.X, data.y + 0.5


# TrimmedRegressor


@pytest.mark.parametrize("outputs", ["sign_flip", "shifted"])  # clear optima, for robust starts are not equivariant
def test_transformed_data_give_the_transformed_fit(outputs):
    _, X, y = contaminated(outputs=outputs)
    random = np.random.default_rng(1)
    fit = TrimmedRegressor(random_state=0).fit(X, y)
    A, shift, slope = random.standard_normal((4, 4)) + 3 * np.eye(4), random.standard_normal(4), np.arange(4.0)
    moved = TrimmedRegressor(random_state=0).fit(X @ A + shift, 7 * y - X @ slope + 3)
    for mask in ("raw_inlier_mask_", "inlier_mask_"):
        assert (getattr(moved, mask) == getattr(fit, mask)).all()
    for coef, intercept, scale in (("coef_", "intercept_", "scale_"), ("raw_coef_", "raw_intercept_", "raw_scale_")):
        expected = np.linalg.solve(A, 7 * getattr(fit, coef) - slope)
        assert np.allclose(getattr(moved, coef), expected, rtol=1e-9, atol=1e-10)
        expected = 7 * getattr(fit, intercept) + 3 - shift @ expected
        assert np.isclose(getattr(moved, intercept), expected, rtol=1e-9)
        assert np.isclose(getattr(moved, scale), 7 * getattr(fit, scale), rtol=1e-9)


def test_reordered_samples_give_the_reordered_masks():
    _, X, y = contaminated()
    order = np.random.default_rng(2).permutation(len(y))
    fit, other = TrimmedRegressor(random_state=0).fit(X, y), TrimmedRegressor(random_state=0).fit(X[order], y[order])
    assert (other.inlier_mask_ == fit.inlier_mask_[order]).all() and np.allclose(other.coef_, fit.coef_, rtol=1e-9)


@pytest.mark.parametrize("outputs", ["random", "sign_flip", "shifted", "all_scales", "leverage"])
@pytest.mark.parametrize("reweight", [True, False])
def test_more_than_h_points_on_one_plane_give_that_plane(outputs, reweight):
    data, X, y = contaminated(200, 5, 0.0, outputs)
    fit = TrimmedRegressor(0.7, reweight=reweight, random_state=0).fit(X, y)
    assert np.allclose(fit.coef_, data.theta, atol=1e-9, rtol=0) and abs(fit.intercept_ - 0.5) < 1e-9
    assert fit.scale_ == fit.raw_scale_ == 0 and fit.objective_ < 1e-20
    if reweight:
        assert (fit.inlier_mask_ == ~data.is_bad).all()
    else:
        assert fit.inlier_mask_.sum() == 140 and not (fit.inlier_mask_ & data.is_bad).any()


def test_an_exact_fit_is_found_at_any_size_of_the_numbers():
    data, X, y = contaminated(200, 5, 0.0)
    for factor in (1e-150, 1e-8, 1e8, 1e150):
        fit = TrimmedRegressor(0.7, random_state=0).fit(X, factor * y)
        assert (fit.inlier_mask_ == ~data.is_bad).all() and fit.scale_ == 0
        fit = TrimmedRegressor(0.7, random_state=0).fit(factor * X[:, :3], X[:, :3].sum(1))
        assert fit.inlier_mask_.all() and np.allclose(fit.coef_ * factor, 1, rtol=1e-9)


def test_gross_outliers_change_nothing_but_that_they_are_rejected():
    _, X, y = contaminated(outputs="sign_flip")
    for weights in (None, np.arange(300) % 3):
        fits = []
        for gross in (1e6, 1e40):
            y[0] = X[1, 2] = gross
            fits.append(TrimmedRegressor(0.7, random_state=0).fit(X, y, weights))
        mild, fit = fits
        assert np.allclose(fit.coef_, mild.coef_, rtol=1e-9) and np.isclose(fit.scale_, mild.scale_, rtol=1e-9)
        assert (fit.inlier_mask_ == mild.inlier_mask_).all() and not fit.inlier_mask_[:2].any()


def test_raw_results_are_a_fixed_point_of_algorithm_1():
    _, X, y = contaminated()
    fit = TrimmedRegressor(0.7, reweight=False, random_state=0).fit(X, y)
    r = np.abs(y - fit.predict(X))
    kept = fit.inlier_mask_
    assert kept.sum() == n_kept(300, 0.7) and r[kept].max() <= r[~kept].min()
    least = LinearRegression().fit(X[kept], y[kept])
    assert np.allclose(fit.coef_, least.coef_, rtol=1e-9) and np.isclose(fit.intercept_, least.intercept_)
    assert np.isclose(fit.objective_, (r[kept] ** 2).sum()) and np.isclose(fit.objective_path_[-1], fit.objective_)
    assert (np.diff(fit.objective_path_) <= 1e-12).all() and len(fit.objective_path_) == fit.n_iter_
    assert (fit.coef_ == fit.raw_coef_).all() and fit.scale_ == fit.raw_scale_


def test_the_final_fit_is_least_squares_on_the_samples_within_2_5_scales():
    _, X, y = contaminated()
    fit = TrimmedRegressor(0.7, random_state=0).fit(X, y)
    r = np.abs(y - X @ fit.raw_coef_ - fit.raw_intercept_)
    assert (fit.inlier_mask_ == (r <= 2.5 * fit.raw_scale_)).all()
    least = LinearRegression().fit(X[fit.inlier_mask_], y[fit.inlier_mask_])
    assert np.allclose(fit.coef_, least.coef_, rtol=1e-9)
    assert fit.inlier_mask_.sum() > fit.raw_inlier_mask_.sum() == 210


def test_h_is_the_breakdown_points_where_asked():
    _, X, y = contaminated(101, 4)
    assert TrimmedRegressor("breakdown").fit(X, y).raw_inlier_mask_.sum() == (101 + 5 + 1) // 2
    assert TrimmedRegressor("breakdown", fit_intercept=False).fit(X, y).raw_inlier_mask_.sum() == (101 + 4 + 1) // 2
    assert TrimmedRegressor(1.0, reweight=False).fit(X, y).inlier_mask_.all()


def shifted_outputs(share, seed, n=1000, d=10):
    """Outputs of which a share is four standard deviations too high."""
    random = np.random.default_rng(seed)
    X, is_bad = random.standard_normal((n, d)), random.random(n) < share
    return X, X.sum(axis=1) + random.standard_normal(n) + 4 * is_bad, is_bad


@pytest.mark.parametrize(("share", "times"), [(0.0, 1.15), (0.1, 1.25), (0.4, 1.6)])
def test_the_automatic_fraction_comes_near_the_oracle(share, times):
    errors = {"auto": [], "oracle": [], "default": []}
    for seed in range(8):
        X, y, is_bad = shifted_outputs(share, seed)
        fits = {
            "auto": TrimmedRegressor("auto", random_state=0).fit(X, y),
            "oracle": LinearRegression().fit(X[~is_bad], y[~is_bad]),
            "default": TrimmedRegressor(random_state=0).fit(X, y),
        }
        for name, fit in fits.items():
            errors[name].append(np.linalg.norm(np.append(fit.coef_ - 1, fit.intercept_)))
    auto, oracle, default = (np.mean(values) for values in errors.values())
    assert auto < times * oracle and (share < 0.4 or default > 5 * oracle)


def test_the_automatic_fraction_is_told_and_is_all_of_what_lies_on_a_plane():
    X, y, is_bad = shifted_outputs(0.3, 0)
    fit = TrimmedRegressor("auto", random_state=0).fit(X, y)
    assert 0.55 < fit.support_fraction_ < 0.75 and fit.inlier_mask_.sum() == n_kept(1000, fit.support_fraction_)
    assert fit.raw_inlier_mask_.sum() == (1000 + 11 + 1) // 2
    assert TrimmedRegressor(0.8).fit(X, y).support_fraction_ == 0.8
    exact = TrimmedRegressor("auto", random_state=0).fit(X, X.sum(axis=1) + 9 * is_bad)
    assert exact.scale_ == 0 and (exact.inlier_mask_ == ~is_bad).all()


def test_an_automatic_fraction_whose_steps_do_not_end_is_said():
    X, y, _ = shifted_outputs(0.3, 0)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 steps reach no fixed point"):
        TrimmedRegressor("auto", max_iter=1, n_starts=1, random_state=0).fit(X, y)


@given(st.integers(0, 5), st.floats(0.01, 100), st.floats(-50, 50))
@settings(max_examples=10, deadline=None)
def test_the_automatic_fraction_moves_with_the_units_of_y(seed, unit, offset):
    X, y, _ = shifted_outputs(0.2, seed, n=200, d=3)
    one, other = (TrimmedRegressor("auto", random_state=0).fit(X, v) for v in (y, unit * y + offset))
    assert one.support_fraction_ == other.support_fraction_ and (one.inlier_mask_ == other.inlier_mask_).all()
    assert np.allclose(unit * one.coef_, other.coef_) and np.isclose(unit * one.scale_, other.scale_)


def test_a_few_samples_far_out_mislead_least_squares_and_not_the_trimmed_fit():
    data = simulate(400, 5, 0.85, 0.1, "leverage", seed=4)
    off = {
        name: np.linalg.norm(model.fit(data.X, data.y).coef_ - data.theta)
        for name, model in (("plain", LinearRegression()), ("trimmed", TrimmedRegressor(random_state=0)))
    }
    assert off["trimmed"] < 0.05 and off["plain"] > 10 * off["trimmed"]


@pytest.mark.parametrize("support", [0.5, 0.75, 0.9, 1.0])
def test_the_scale_is_exact_on_ideal_quantiles(support):
    n = 100_000
    y = 3 * ndtri((np.arange(n) + 0.5) / n) + 1
    fit = TrimmedRegressor(support, random_state=0).fit(np.zeros((n, 1)), y)
    assert abs(fit.raw_scale_ / 3 - 1) < 1e-3 and abs(fit.scale_ / 3 - 1) < 1e-3
    assert abs(fit.intercept_ - 1) < 1e-3 and fit.coef_ == 0


@pytest.mark.parametrize("n, p, support", [(40, 3, 0.75), (100, 10, 0.75), (100, 10, 0.9), (400, 40, 0.75)])
def test_the_scale_is_right_for_few_samples_a_coefficient(n, p, support):
    random, raw, final, rejected = np.random.default_rng(0), [], [], []
    for _ in range(max(8, 600 // n)):
        X, y = random.standard_normal((n, p - 1)), random.standard_normal(n)
        fit = TrimmedRegressor(support, random_state=0).fit(X, y)
        raw.append(fit.raw_scale_)
        final.append(fit.scale_)
        rejected.append(1 - fit.inlier_mask_.mean())
    for found in (raw, final):
        assert abs(np.mean(found) - 1) < 0.03 + 2.5 * np.std(found) / np.sqrt(len(found))
    assert np.mean(rejected) < 0.05


def test_whole_weights_equal_repetition_and_zero_equals_removal():
    _, X, y = contaminated(80, 3)
    weights = np.random.default_rng(5).integers(0, 4, 80)
    twice = np.repeat(np.arange(80), weights)
    for options in ({}, {"reweight": False}, {"support_fraction": "breakdown"}, {"support_fraction": "auto"}):
        fit = TrimmedRegressor(**options, random_state=0).fit(X, y, weights)
        other = TrimmedRegressor(**options, random_state=0).fit(X[twice], y[twice])
        assert np.allclose(fit.coef_, other.coef_, rtol=1e-9) and np.isclose(fit.scale_, other.scale_, rtol=1e-9)
        assert np.isclose(fit.raw_scale_, other.raw_scale_, rtol=1e-9) and fit.intercept_ == pytest.approx(
            other.intercept_, rel=1e-9
        )
        assert not fit.inlier_mask_[weights == 0].any()
        if fit.reweight and fit.support_fraction != "auto":  # else the last sample may be kept in part
            assert (fit.inlier_mask_[twice] == other.inlier_mask_).all()


def test_whole_weights_equal_repetition_on_a_plane():
    data, X, y = contaminated(80, 3, 0.0)
    weights = np.random.default_rng(5).integers(0, 4, 80)
    fit = TrimmedRegressor(0.7, random_state=0).fit(X, y, weights)
    assert np.allclose(fit.coef_, data.theta, atol=1e-9) and fit.scale_ == 0
    assert (fit.inlier_mask_ == (~data.is_bad & (weights > 0))).all()


def test_any_weights_trim_by_mass():
    _, X, y = contaminated(80, 3)
    weights = np.random.default_rng(5).uniform(0, 2, 80)
    fit = TrimmedRegressor(0.7, reweight=False, random_state=0).fit(X, y, weights)
    r = np.abs(y - fit.predict(X))
    kept = fit.inlier_mask_
    assert weights[kept].sum() >= 0.7 * weights.sum() > weights[kept].sum() - weights[kept][np.argmax(r[kept])]


def test_fewer_kept_samples_than_coefficients_give_the_minimum_norm_and_a_warning():
    random = np.random.default_rng(0)
    X, y = random.standard_normal((10, 20)), random.standard_normal(10)
    with pytest.warns(UserWarning, match="keeps 7 of 10 samples, for 21 coefficients"):
        fit = TrimmedRegressor(random_state=0).fit(X, y)
    assert np.allclose(fit.predict(X), y) and fit.scale_ == 0 and fit.inlier_mask_.all()
    assert np.allclose(fit.coef_, LinearRegression().fit(X, y).coef_)


def test_degenerate_columns_and_responses_fit_like_least_squares():
    _, X, y = contaminated()
    wide = np.column_stack([X, X[:, 0], np.ones(300)])
    fit, plain = TrimmedRegressor(random_state=0).fit(wide, y), TrimmedRegressor(random_state=0).fit(X, y)
    assert (fit.raw_inlier_mask_ == plain.raw_inlier_mask_).all()
    assert np.isclose(fit.coef_[0], fit.coef_[4]) and abs(fit.coef_[5]) < 1e-9
    fit = TrimmedRegressor().fit(X, np.full(300, 2.5))
    assert np.allclose(fit.coef_, 0, atol=1e-12) and np.isclose(fit.intercept_, 2.5)
    assert fit.scale_ == 0 and fit.inlier_mask_.all()


@pytest.mark.parametrize("make", [TrimmedRegressor, lambda: TrimmedEstimator(LinearRegression())])
def test_clocks_that_are_late_by_milliseconds_are_found_in_unix_time(make):
    random = np.random.default_rng(0)
    seconds, late = np.sort(random.uniform(0, 3600, 500)), random.random(500) < 0.2
    other = 0.25 + (1 + 20e-6) * seconds + 1e-3 * random.standard_normal(500) + 15e-3 * late
    near, far = (make().fit(seconds[:, None] + start, other + start) for start in (0, 1.7e9))
    assert not (far.inlier_mask_ & late).any() and (far.inlier_mask_ == near.inlier_mask_).all()
    assert far.predict([[1.7e9]]) - 1.7e9 == pytest.approx(near.predict([[0]]), abs=1e-5)


def test_a_plane_far_away_is_still_a_plane():
    x = 1.7e9 + np.linspace(0, 3600, 200)
    y = 1.5 * x + 3 + (np.arange(200) % 5 == 0)
    fit = TrimmedRegressor().fit(x[:, None], y)
    assert fit.scale_ == 0 and (fit.inlier_mask_ == (np.arange(200) % 5 > 0)).all()


def test_weights_that_sum_to_whole_numbers_but_for_rounding_keep_whole_numbers():
    _, X, y = contaminated(30)
    nearly = np.where(np.arange(30) == 7, 1 + 4e-15, 1.0)
    assert TrimmedRegressor(reweight=False, random_state=0).fit(X, y, nearly).inlier_mask_.sum() == 22


@pytest.mark.parametrize("total", [1, 2, 4.42, 1000])
def test_weights_that_are_no_counts_keep_their_fraction_whatever_their_unit(total):
    _, X, y = contaminated(442)
    weights = np.full(442, total / 442)
    assert TrimmedEstimator(LinearRegression(), 0.8).fit(X, y, weights).inlier_mask_.sum() == 354
    with (
        pytest.warns(UserWarning, match="sample_weight counts samples: it should sum to")
        if total < 5
        else nullcontext()
    ):
        assert TrimmedRegressor(0.8, reweight=False, random_state=0).fit(X, y, weights).inlier_mask_.sum() == 354


class Always(RegressorMixin, BaseEstimator):
    """Predicts one number for everything."""

    def __init__(self, number):
        self.number = number

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return np.full(len(X), self.number)


@pytest.mark.filterwarnings("ignore:One or more samples have no neighbors")
def test_samples_that_cannot_be_predicted_are_no_perfect_ones():
    x = np.r_[np.linspace(0, 10, 100), np.full(10, 50.0) + np.arange(10) / 20]
    y = np.sin(x) + (x > 20) * 100 * (-1.0) ** np.arange(110)  # the last ten are bad, and far from all others
    with pytest.raises(ValueError, match="losses has 10 NaN of 110"):
        TrimmedEstimator(RadiusNeighborsRegressor(1.0), 0.85).fit(x[:, None], y)
    for broken, said in ((np.nan, "losses has 110 NaN"), (np.inf, "losses has 110 infinite values")):
        with pytest.raises(ValueError, match=said):
            TrimmedEstimator(Always(broken)).fit(x[:, None], y)


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_counts_in_a_column_are_counts():
    x = np.random.default_rng(0).standard_normal((300, 1))
    y = np.random.default_rng(1).poisson(np.exp(1 + 0.5 * x[:, 0]))
    trimmed = TrimmedEstimator(DecisionTreeRegressor(max_depth=3), 0.85, loss="poisson")
    assert np.isclose(clone(trimmed).fit(x, y).objective_, clone(trimmed).fit(x, y[:, None]).objective_)


def test_a_matrix_of_pairs_is_refused():
    with pytest.raises(ValueError, match="estimator must take features, got SVR"):
        TrimmedEstimator(SVR(kernel="precomputed")).fit(np.eye(20), np.arange(20.0))


@pytest.mark.parametrize("make", [TrimmedRegressor, lambda s: TrimmedEstimator(Ridge(), s)])
@pytest.mark.parametrize("support", [0, -0.1, 1.5, np.nan, None, True, "half"])
def test_a_support_fraction_out_of_range_is_named(make, support):
    _, X, y = contaminated(30)
    with pytest.raises(ValueError, match="support_fraction must be in"):
        make(support).fit(X, y)


@pytest.mark.parametrize("make", [TrimmedRegressor, lambda **k: TrimmedEstimator(Ridge(), **k)])
def test_bad_input_gets_an_error_that_says_what(make):
    _, X, y = contaminated(30)
    for weights, said in ((-np.ones(30), "sample_weight must be 0 or more, got -1"), (np.zeros(30), "zero")):
        with pytest.raises(ValueError, match=said):
            make().fit(X, y, weights)
    with pytest.raises(ValueError, match="keeps none of 30 samples"):
        make(support_fraction=0.01).fit(X, y)
    with pytest.raises(ValueError, match="reweight must be True or False, got 'no'"):
        TrimmedRegressor(reweight="no").fit(X, y)
    with pytest.raises(ValueError, match="max_iter must be an integer of at least 1, got 0"):
        make(max_iter=0).fit(X, y)
    for bad in (np.nan, np.inf):
        broken = X.copy()
        broken[3, 1] = bad
        with pytest.raises(ValueError, match="contains"):
            make().fit(broken, y)
        with pytest.raises(ValueError, match="contains"):
            make().fit(X, broken[:, 1])
    with pytest.raises(NotFittedError):
        make().predict(X)
    with pytest.raises(ValueError, match="3 features"):
        make().fit(X, y).predict(X[:, :3])


def test_a_single_sample_is_refused():
    with pytest.raises(ValueError, match="1 sample"):
        TrimmedRegressor().fit([[1.0]], [1.0])
    with pytest.raises(ValueError, match="n_starts must be an integer"):
        TrimmedRegressor(n_starts=0).fit([[1.0], [2.0]], [1.0, 2.0])


def test_too_few_steps_are_said():
    _, X, y = contaminated(outputs="sign_flip", clean=0.6)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        TrimmedRegressor(0.55, n_starts=1, max_iter=1).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        TrimmedEstimator(LinearRegression(), 0.55, max_iter=1).fit(X, y)


def test_it_goes_where_scikit_learns_estimators_go():
    _, X, y = contaminated()
    table = pd.DataFrame(X, columns=list("abcd"))
    fit = TrimmedRegressor(random_state=0).fit(table, pd.Series(y))
    assert list(fit.feature_names_in_) == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        fit.predict(table.rename(columns={"a": "z"}))
    assert (pickle.loads(pickle.dumps(fit)).predict(table) == fit.predict(table)).all()
    assert clone(fit).get_params() == fit.get_params()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), TrimmedRegressor(random_state=0)),
        {"trimmedregressor__support_fraction": [0.6, "breakdown"]},
        cv=3,
    ).fit(table, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    around = TrimmedEstimator(make_pipeline(StandardScaler(), Ridge()), 0.7).fit(table, y)
    assert list(around.feature_names_in_) == list("abcd") and np.isfinite(cross_val_score(around, table, y, cv=3)).all()
    search = GridSearchCV(around, {"estimator__ridge__alpha": [0.1, 10.0], "support_fraction": [0.6]}, cv=3)
    assert search.fit(table, y).best_params_["estimator__ridge__alpha"] == 0.1
    assert (pickle.loads(pickle.dumps(around)).predict(table) == around.predict(table)).all()


def test_importing_it_does_not_import_torch():
    code = "import sys, itlm.estimators; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# TrimmedEstimator


@pytest.mark.parametrize("outputs", ["random", "sign_flip", "leverage"])
def test_around_least_squares_it_ends_where_the_regressor_with_that_one_start_does(outputs):
    _, X, y = contaminated(outputs=outputs)
    raw = TrimmedRegressor(0.7, n_starts=1, reweight=False).fit(X, y)
    around = TrimmedEstimator(LinearRegression(), 0.7).fit(X, y)
    assert (around.inlier_mask_ == raw.inlier_mask_).all()
    assert np.allclose(around.estimator_.coef_, raw.coef_, rtol=1e-9)
    assert np.isclose(around.objective_, raw.objective_) and (np.diff(around.objective_path_) < 1e-12).all()
    assert len(around.objective_path_) == around.n_iter_


def test_its_rounds_are_those_of_iterate():
    _, X, y = contaminated()
    *_, last = iterate(
        lambda model: np.abs(y - model.predict(X)),
        lambda model, kept, t: Ridge().fit(X[kept], y[kept]),
        Ridge().fit(X, y), 0.7, 50, stop_at_fixed_point=True,
    )  # fmt: skip
    around = TrimmedEstimator(Ridge(), 0.7, loss="absolute").fit(X, y)
    assert (around.inlier_mask_ == last.kept).all() and around.objective_ == last.objective
    assert around.n_iter_ == last.t + 1 and (around.predict(X) == last.theta.predict(X)).all()


def flipped(n=1500, rate=0.3, seed=0):
    X, y = make_classification(
        n, n_features=10, n_informative=6, n_classes=3, class_sep=2.0, flip_y=0, random_state=seed
    )
    random = np.random.default_rng(seed)
    labels = np.array(["ant", "bee", "cow"])
    bad = random.random(n) < rate
    bad[n // 2 :] = False  # the second half is for testing
    noisy = np.where(bad, (y + 1 + (random.random(n) < 0.1)) % 3, y)
    return X, labels[y], labels[noisy], bad, n // 2


def test_a_classifier_with_30_percent_flipped_labels_gains():
    X, truth, noisy, bad, half = flipped()
    plain = RandomForestClassifier(n_estimators=30, max_depth=8, random_state=0)
    around = TrimmedEstimator(plain, 0.7, max_iter=4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # forests wander on; four rounds are enough here
        around.fit(X[:half], noisy[:half])
    before = plain.fit(X[:half], noisy[:half]).score(X[half:], truth[half:])
    assert around.score(X[half:], truth[half:]) > before + 0.01
    assert bad[:half][~around.inlier_mask_].mean() > 0.75
    assert is_classifier(around) and list(around.classes_) == ["ant", "bee", "cow"]
    assert around.predict_proba(X).shape == (1500, 3) and not hasattr(around, "decision_function")
    assert is_regressor(TrimmedEstimator(Ridge())) and not hasattr(TrimmedEstimator(Ridge()), "predict_proba")


def test_groups_keep_each_class_its_share_where_a_rare_one_would_vanish():
    X, _, noisy, _, _ = flipped()
    rare = (noisy != "cow") | (np.arange(1500) % 10 == 0)
    X, y = X[rare], noisy[rare]
    model = LogisticRegression(C=0.01)
    around = TrimmedEstimator(model, 0.6).fit(X, y)
    counts, kept = (np.unique(labels, return_counts=True)[1] for labels in (y, y[around.inlier_mask_]))
    assert (np.abs(kept - 0.6 * counts) <= 1).all() and kept.sum() == n_kept(len(y), 0.6)
    with pytest.raises(ValueError, match="no sample of class cow is kept in round .; .*, or groups='classes'"):
        TrimmedEstimator(model, 0.6, groups=None).fit(X, y)


@pytest.mark.parametrize("solver, tol", [("lbfgs", 1e-4), ("newton-cg", 1e-10)])
def test_separation_of_the_kept_samples_is_said_with_the_remedy(solver, tol):
    random = np.random.default_rng(0)
    X = random.standard_normal((300, 3))
    y = random.random(300) < 1 / (1 + np.exp(-3 * X[:, 0]))
    free = LogisticRegression(C=np.inf, solver=solver, tol=tol, max_iter=1000)
    free.fit(X, y)  # all samples overlap: nothing is wrong with them
    with pytest.warns(UserWarning, match="the kept samples are separable.*smaller C"):
        TrimmedEstimator(free, 0.75).fit(X, y)
    around = TrimmedEstimator(LogisticRegression(), 0.75).fit(X, y)  # the remedy: no warning
    assert np.abs(around.estimator_.coef_).max() < 10


def test_losses_of_next_to_nothing_without_coefficients_are_said_in_other_words():
    random = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = y[:, None] + 0.3 * random.standard_normal((200, 2))
    with pytest.warns(UserWarning, match="the kept set carries little information; use a more strongly"):
        TrimmedEstimator(KNeighborsClassifier(), 0.75).fit(X, y)


@pytest.mark.parametrize("inner", [DecisionTreeRegressor(random_state=0), KernelRidge(1e-9, kernel="rbf", gamma=30)])
def test_an_estimator_that_fits_everything_is_said(inner):
    _, X, y = contaminated()
    with pytest.warns(UserWarning, match="fits every sample without loss"):
        TrimmedEstimator(inner).fit(X, y)


@pytest.mark.parametrize("inner", [LinearRegression(), make_pipeline(StandardScaler(), LinearRegression())])
def test_more_coefficients_than_kept_samples_are_said(inner):
    random = np.random.default_rng(0)
    X = random.standard_normal((100, 80))
    with pytest.warns(UserWarning, match="estimator has 80 coefficients for 75 kept samples"):
        TrimmedEstimator(inner, 0.75).fit(X, X[:, 0] + random.standard_normal(100))


def test_the_model_is_fitted_to_the_kept_samples_even_where_these_had_no_loss_at_once():
    random = np.random.default_rng(0)
    X, y = random.standard_normal((200, 2)), np.zeros(200)
    y[:20] = 50
    around = TrimmedEstimator(KNeighborsRegressor(5), 0.5).fit(X, y)
    assert not around.inlier_mask_[:20].any() and around.estimator_.n_samples_fit_ == 100
    assert (around.predict(X) == 0).all()


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("kind", ["object", "category"])
def test_missing_labels_are_counted(missing, kind):
    _, X, _ = contaminated(40)
    y = pd.Series([missing, "a", missing, "b"] * 10, dtype=kind)
    with pytest.raises(ValueError, match="y has 20 missing labels of 40, at 0, 2, 4: drop these samples first"):
        TrimmedEstimator(LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match="y contains NaN"):
        TrimmedEstimator(LogisticRegression()).fit(X, np.where(np.arange(40) % 4, 1.0, np.nan))


def test_trimming_counts_by_likelihood_keeps_the_low_ones_and_by_deviance_does_not():
    random = np.random.default_rng(0)
    X = random.standard_normal((2000, 2))
    mean = np.exp(1.5 + 0.3 * X[:, 0])
    y = random.poisson(mean).astype(float)
    model = PoissonRegressor(alpha=0, tol=1e-8)

    def likelihood(y, mu):
        return mu - y * np.log(mu) + gammaln(y + 1)

    ratio = {}
    for name, loss in (("deviance", "poisson"), ("likelihood", likelihood)):
        around = TrimmedEstimator(model, 0.8, loss=loss).fit(X, y)
        ratio[name] = around.predict(X).mean() / mean.mean()
    assert ratio["likelihood"] < 0.9 < 0.96 < ratio["deviance"] < 1.05


def test_poisson_deviance_resists_planted_counts_and_refuses_what_are_none():
    random = np.random.default_rng(0)
    X = random.standard_normal((500, 2))
    y = random.poisson(np.exp(1 + 0.5 * X[:, 0])).astype(float)
    bad = random.random(500) < 0.1
    y[bad] += 60
    around = TrimmedEstimator(PoissonRegressor(alpha=0), 0.85, loss="poisson").fit(X, y)
    assert not (around.inlier_mask_ & bad).any() and abs(around.estimator_.coef_[0] - 0.5) < 0.1
    with pytest.raises(ValueError, match="y has -1.0"):
        TrimmedEstimator(LinearRegression(), loss="poisson").fit(X, -np.ones(500))
    with pytest.raises(ValueError, match="the prediction has"):
        TrimmedEstimator(LinearRegression(), loss="poisson").fit(X, y)


@pytest.mark.parametrize("inner", [LinearRegression(), LogisticRegression(C=0.1, tol=1e-10)])
def test_whole_weights_equal_repetition_around_any_estimator(inner):
    _, X, y = contaminated(120, 3)
    if is_classifier(inner):
        y = y > np.median(y)
    weights = np.random.default_rng(5).integers(0, 4, 120)
    repeated = np.repeat(np.arange(120), weights)
    fit = TrimmedEstimator(inner, 0.7).fit(X, y, weights)
    other = TrimmedEstimator(inner, 0.7).fit(X[repeated], y[repeated])
    assert np.allclose(fit.estimator_.coef_, other.estimator_.coef_, rtol=1e-5)
    assert np.isclose(fit.objective_, other.objective_) and not fit.inlier_mask_[weights == 0].any()


def test_weights_and_repetition_lose_the_same_class():
    X, y, weights = np.arange(8.0)[:, None], np.repeat(np.arange(4), 2), np.array([2, 2, 1, 1, 1, 1, 1, 1])
    repeated = np.repeat(np.arange(8), weights)
    for data in ((X, y, weights), (X[repeated], y[repeated])):
        with pytest.raises(ValueError, match="class 3 is kept in round 0; .*, or leave out classes"):
            TrimmedEstimator(LogisticRegression(), 0.3).fit(*data)


def test_infinite_losses_are_dropped_or_refused_with_weights_or_without():
    _, X, y = contaminated(40, 2)
    for weights in (None, np.arange(40) % 3 + 1):
        for n, refused in ((4, False), (20, True)):
            around = TrimmedEstimator(
                LinearRegression(), 0.7, loss=lambda y, at, n=n: np.where(np.arange(40) < n, np.inf, np.abs(y - at))
            )
            if refused:
                with pytest.raises(ValueError, match="losses has 20 infinite values of 40, so that keeping"):
                    around.fit(X, y, weights)
            else:
                assert not around.fit(X, y, weights).inlier_mask_[:n].any()


def test_what_does_not_suit_the_estimator_is_said():
    _, X, y = contaminated(30)
    for around, said in (
        (TrimmedEstimator(Ridge(), loss="log"), "loss='log' does not suit Ridge"),
        (TrimmedEstimator(LogisticRegression(), loss="squared"), "does not suit LogisticRegression"),
        (TrimmedEstimator(LinearSVC(), loss="log"), "needs predict_proba, which LinearSVC lacks"),
        (TrimmedEstimator(Ridge(), loss="huber"), "loss must be 'auto'"),
        (TrimmedEstimator(Ridge(), loss=lambda y, prediction: 0.0), "loss must return shape"),
        (TrimmedEstimator(Ridge(), groups="labels"), "groups must be 'classes' or None"),
        (TrimmedEstimator(Ridge(), groups=np.arange(30) % 2), "groups must be 'classes' or None, got array.*iterate"),
        (TrimmedEstimator(StandardScaler()), "must be a regressor or a classifier"),
    ):
        with pytest.raises(ValueError, match=said):
            around.fit(X, y > 0 if is_classifier(around.estimator) else y)
    pipe = TrimmedEstimator(make_pipeline(StandardScaler(), Ridge()))
    with pytest.raises(ValueError, match="sample_weight cannot be used: Pipeline takes none"):
        pipe.fit(X, y, np.full(30, 2.0))


def test_several_outputs_are_trimmed_by_their_summed_loss():
    _, X, y = contaminated()
    Y = np.column_stack([y, X @ np.ones(4)])
    around = TrimmedEstimator(LinearRegression(), 0.7).fit(X, Y)
    loss = ((Y - around.predict(X)) ** 2).sum(1)
    assert loss[around.inlier_mask_].max() <= loss[~around.inlier_mask_].min()
