"""TrimmedEstimator around estimators of others: odd predictions, classes, metadata, cycles, degenerate data."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import RFE
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.metrics import hinge_loss
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from itlm import n_kept
from itlm.audit import plant, shifted
from itlm.estimators import TrimmedEstimator, TrimmedRegressor


class Reordered(ClassifierMixin, BaseEstimator):
    """A classifier whose classes_, and columns, stand in another order; ``out`` converts its predictions."""

    def __init__(self, order=None, out=None, named=True):
        self.order, self.out, self.named = order, out, named

    def fit(self, X, y):
        self.model_ = LogisticRegression(C=0.1).fit(X, y)
        self.order_ = np.arange(len(self.model_.classes_)) if self.order is None else np.array(self.order)
        if self.named:
            self.classes_ = self.model_.classes_[self.order_]
        return self

    def predict_proba(self, X):
        found = self.model_.predict_proba(X)[:, self.order_]
        return found if self.out is None else self.out(found)

    def predict(self, X):
        return self.model_.predict(X)


class Converted(RegressorMixin, BaseEstimator):
    """Ridge, whose predictions are converted."""

    def __init__(self, out=None):
        self.out = out

    def fit(self, X, y):
        self.model_ = Ridge().fit(X, y)
        return self

    def predict(self, X):
        return self.out(self.model_.predict(X))


def three(n=200, names=("ant", "bee", "cow"), seed=0):
    X, y = make_classification(n, n_informative=4, n_classes=3, n_features=5, n_redundant=0, flip_y=0.2,
                               random_state=seed)  # fmt: skip
    return X, np.array(names)[y]


def line(n=80, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, 3))
    y = X @ [1.0, 2, 3] + random.standard_normal(n)
    y[: n // 10] += 30
    return X, y


def tensor(values):
    torch = pytest.importorskip("torch")
    return torch.tensor(values, requires_grad=True)


# predictions


@settings(max_examples=15, deadline=None)
@given(st.permutations([0, 1, 2]), st.sampled_from([(0, 1, 2), (7, -1, 3), ("c", "a", "b"), (True, False, True)]))
def test_labels_are_looked_up_by_value(order, names):
    X, y = three(names=names)
    plain = TrimmedEstimator(Reordered(), 0.7).fit(X, y)
    order = [i for i in order if i < len(plain.classes_)]
    around = TrimmedEstimator(Reordered(order), 0.7).fit(X, y)
    assert (around.inlier_mask_ == plain.inlier_mask_).all() and around.objective_ == plain.objective_
    assert (around.classes_ == plain.classes_[order]).all()


@pytest.mark.parametrize("out", [pd.DataFrame, np.ndarray.tolist, tensor, lambda p: p.astype(object)])
def test_probabilities_may_be_any_table(out):
    X, y = three()
    plain, around = (TrimmedEstimator(Reordered(out=o), 0.7).fit(X, y) for o in (None, out))
    assert (around.inlier_mask_ == plain.inlier_mask_).all()


@pytest.mark.parametrize(
    "out", [pd.Series, np.ndarray.tolist, tensor, lambda p: p[:, None], lambda p: pd.Series(p, dtype="Float64")]
)
@pytest.mark.parametrize("loss", ["auto", lambda y, at: abs(y - at)])
def test_predictions_may_be_of_any_kind(out, loss):
    X, y = line()
    plain, around = (TrimmedEstimator(Converted(o), 0.7, loss=loss).fit(X, y) for o in (np.asarray, out))
    assert (around.inlier_mask_ == plain.inlier_mask_).all() and not around.inlier_mask_[:8].any()


@pytest.mark.parametrize(
    "out, said",
    [
        (lambda p: np.column_stack([p, p]), r"predict of Converted must return shape \(80,\).*got \(80, 2\)"),
        (lambda p: p[:-1], r"got \(79,\)"),
        (lambda p: p[None], r"got \(1, 80\)"),
        (lambda p: 1.0, r"got \(\)"),
        (lambda p: p + 1j, "predict of Converted must return real numbers, got dtype complex128"),
        (lambda p: p.astype(str), "real numbers"),
        (lambda p: np.array([None] * len(p)), "NaN|real numbers"),
    ],
)
def test_predictions_of_another_shape_or_type_are_refused(out, said):
    X, y = line()
    with pytest.raises(ValueError, match=said):
        TrimmedEstimator(Converted(out), 0.7).fit(X, y)


@pytest.mark.parametrize(
    "inner, said",
    [
        (Reordered(named=False), "Reordered has no classes_ after fit"),
        (Reordered(out=lambda p: p[:, :2]), r"predict_proba of Reordered must return shape \(200, 3\), got \(200, 2\)"),
        (Reordered(out=lambda p: p[:, 0]), r"got \(200,\)"),
        (Reordered(out=lambda p: np.log(p)), r"must return probabilities, in \[0, 1\], got -"),
        (Reordered([0, 1, 1]), "classes_ of Reordered lacks the label cow of y"),
    ],
)
def test_probabilities_that_cannot_be_read_are_refused(inner, said):
    X, y = three()
    with pytest.raises(ValueError, match=said):
        TrimmedEstimator(inner).fit(X, y)


def test_without_probabilities_classes_are_those_of_y():
    X, y = three()

    class Plain(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.model_ = DecisionTreeClassifier(max_depth=2).fit(X, y)
            return self

        def predict(self, X):
            return self.model_.predict(X).tolist()

    around = TrimmedEstimator(Plain(), 0.8, loss=lambda y, at: (y != at).astype(float)).fit(X, y)
    assert list(around.classes_) == ["ant", "bee", "cow"]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, int])
def test_saturated_probabilities_count_as_the_resolution_of_their_dtype(dtype):
    X, y = three()
    hard = Reordered(out=lambda p: (p > 0.5).astype(dtype))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        around = TrimmedEstimator(hard, 0.98, max_iter=3).fit(X, y)
    eps = np.finfo(dtype if dtype is not int else float).eps
    zeros = around.predict_proba(X)[around.inlier_mask_, np.unique(y, return_inverse=True)[1][around.inlier_mask_]] == 0
    assert zeros.sum() > 3 and around.objective_ == pytest.approx(-np.log(eps) * zeros.sum(), rel=1e-3)


# decision values


@pytest.mark.parametrize("inner", [LinearSVC(), SGDClassifier(random_state=0), RidgeClassifier(), SVC()])
@pytest.mark.parametrize("names", [(0, 1, 0), ("ant", "bee", "cow")])
def test_classifiers_without_probabilities_are_trimmed_by_hinge_loss(inner, names):
    X, y = three(names=names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        around = TrimmedEstimator(inner, 0.8, loss="auto", max_iter=4).fit(X, y)
    f, kept = around.decision_function(X), around.inlier_mask_
    if f.ndim == 1:
        losses = np.maximum(0, 1 - np.where(y == around.classes_[1], f, -f))
        assert np.isclose(around.objective_ / kept.sum(), hinge_loss(y[kept], f[kept]))
    else:
        losses = sum(np.maximum(0, 1 - np.where(y == c, g, -g)) for c, g in zip(around.classes_, f.T, strict=True))
    assert np.isclose(losses[kept].sum(), around.objective_)
    for c in around.classes_:
        own = y == c
        assert losses[own & kept].max() <= losses[own & ~kept].min()


def test_pairwise_decision_values_are_refused():
    X, y = three()
    with pytest.raises(ValueError, match="one decision value a class; set decision_function_shape='ovr'"):
        TrimmedEstimator(make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")), loss="hinge").fit(X, y)


# what is passed through


def test_coefficients_pass_through_and_rfe_works():
    X, y = three()
    around = TrimmedEstimator(LogisticRegression(C=0.1), 0.8)
    assert not hasattr(around, "coef_")
    around.fit(X, y)
    assert around.coef_ is around.estimator_.coef_ and around.intercept_ is around.estimator_.intercept_
    assert not hasattr(around, "feature_importances_")
    assert (np.exp(around.predict_log_proba(X)) == pytest.approx(around.predict_proba(X))) and around.coef_.shape[
        1
    ] == 5
    assert RFE(TrimmedEstimator(LogisticRegression(C=0.1), 0.8), n_features_to_select=2).fit(X, y).support_.sum() == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = TrimmedEstimator(DecisionTreeClassifier(max_depth=2, random_state=0), 0.8).fit(X, y)
    assert tree.feature_importances_.shape == (5,) and not hasattr(tree, "coef_")


# columns that trimming leaves undetermined


@pytest.mark.parametrize("make", [lambda: TrimmedRegressor(0.8, n_starts=1), lambda: TrimmedEstimator(Ridge(), 0.8)])
@pytest.mark.parametrize("named", [False, True])
def test_a_level_whose_samples_are_all_dropped_is_named(make, named):
    X, y = line()
    X = np.column_stack([X, np.arange(80) < 8])
    y[:8] += 100 * np.array([1, -1, 2, -1, 3, -1, 4, -1])  # samples of one level, and no mean of a level explains them
    X = pd.DataFrame(X, columns=["a", "b", "c", "site"]) if named else X
    with pytest.warns(UserWarning, match=f"in which columns {'site' if named else '3'} differ"):
        assert not make().fit(X, y).inlier_mask_[:8].any()


def test_columns_that_are_determined_are_not_named():
    X, y = line()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrimmedRegressor(0.8).fit(np.column_stack([X, np.ones(80), np.arange(80) % 2]), y)  # constant from the start
        TrimmedRegressor(0.8, fit_intercept=False).fit(np.column_stack([X, np.arange(80) >= 8]), y)  # the intercept


@pytest.mark.parametrize("members, said", [(2, False), (6, True)])
def test_so_few_samples_that_chance_may_drop_them_are_no_warning_around_an_estimator(members, said):
    X, y = line()
    X = np.column_stack([X, np.arange(80) < members])
    y[:members] += 100 * (-1.0) ** np.arange(members) * (1 + np.arange(members))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not TrimmedEstimator(Ridge(), 0.7).fit(X, y).inlier_mask_[:members].any()
    assert any("in which columns 3 differ" in str(w.message) for w in caught) == said


def test_tables_that_are_no_numbers_are_not_searched():
    text = [["a"], ["b", "c"], ["b"]] * 10  # ragged: token lists
    inner = make_pipeline(CountVectorizer(analyzer=list), Ridge())
    assert TrimmedEstimator(inner, 0.7).fit(text, np.arange(30.0)).inlier_mask_.sum() == 21


# cycles


def cycling(seed, n=40, d=2):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    return X, np.where(random.random(n) < 0.4, random.integers(0, 2, n), X[:, 0] > 0)


@pytest.mark.parametrize("n, d, neighbours, fraction", [(200, 5, 2, 0.7), (200, 5, 5, 0.5), (40, 1, 9, 0.5)])
def test_repeated_selections_stop_at_the_best_round_of_the_cycle(n, d, neighbours, fraction):
    found = 0
    for seed in range(12):
        X, y = cycling(seed, n, d)
        around = TrimmedEstimator(KNeighborsClassifier(neighbours), fraction)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            around.fit(X, y)
        said = [str(w.message) for w in caught if w.category is ConvergenceWarning]
        path = around.objective_path_
        if not said:
            continue
        found += 1
        period = int(said[0].split("every ")[1].split()[0])
        assert "raise" not in said[0] and period > 1 and around.n_iter_ < 30
        assert path[-1] == around.objective_ == path[-period:].min() == pytest.approx(path[-1 - period])
        own = around.predict_proba(X)[np.arange(n), y.astype(int)]
        losses = -np.log(np.maximum(own, np.finfo(float).eps))
        assert losses[around.inlier_mask_].sum() == pytest.approx(around.objective_)
    assert found > 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3]), st.sampled_from([0.5, 0.7, 0.9]))
def test_without_a_warning_the_model_is_the_one_fitted_to_the_inliers(seed, neighbours, fraction):
    X, y = cycling(seed)
    around = TrimmedEstimator(KNeighborsClassifier(neighbours), fraction)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        around.fit(X, y)
    kept = around.inlier_mask_
    if around.n_iter_ > 1 and not any(w.category is ConvergenceWarning for w in caught):
        again = KNeighborsClassifier(neighbours).fit(X[kept], y[kept])
        assert (again.predict_proba(X) == around.predict_proba(X)).all()


# metadata


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_without_routing_metadata_get_an_error_that_says_how():
    X, y = line()
    for call in (
        lambda: TrimmedEstimator(Ridge()).fit(X, y, groups=np.ones(80)),
        lambda: TrimmedEstimator(Ridge()).fit(X, y).predict(X, return_std=True),
    ):
        with pytest.raises(ValueError, match="enable_metadata_routing=True"):
            call()
    with pytest.raises(ValueError, match="Pipeline takes none; .* enable metadata routing"):
        TrimmedEstimator(make_pipeline(Ridge())).fit(X, y, np.full(80, 2.0))


def test_weights_reach_the_last_step_of_a_pipeline(routing):
    X, y = line()
    weights = np.random.default_rng(0).integers(0, 4, 80)
    step = Ridge().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    around = TrimmedEstimator(make_pipeline(step), 0.7).fit(X, y, sample_weight=weights)
    repeated = np.repeat(np.arange(80), weights)
    other = TrimmedEstimator(make_pipeline(Ridge()), 0.7).fit(X[repeated], y[repeated])
    assert np.allclose(around.estimator_[-1].coef_, other.estimator_[-1].coef_)
    assert (around.inlier_mask_[repeated] >= other.inlier_mask_).all() and not around.inlier_mask_[weights == 0].any()
    assert around.score(X, y, sample_weight=weights) == pytest.approx(other.score(X[repeated], y[repeated]))
    ignored = Ridge().set_fit_request(sample_weight=False)
    around = TrimmedEstimator(ignored, 0.7).fit(X, y, sample_weight=weights)
    assert np.allclose(around.coef_, Ridge().fit(X[around.inlier_mask_], y[around.inlier_mask_]).coef_)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        TrimmedEstimator(Ridge()).fit(X, y, sample_weight=weights)


def test_weights_pass_through_a_grid_search(routing):
    X, y = line()
    weights = np.random.default_rng(0).integers(1, 4, 80)
    step = Ridge().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    around = TrimmedEstimator(make_pipeline(StandardScaler().set_fit_request(sample_weight=False), step), 0.7)
    around.set_fit_request(sample_weight=True)
    search = GridSearchCV(around, {"estimator__ridge__alpha": [0.1, 1e4]}, cv=3).fit(X, y, sample_weight=weights)
    assert search.best_params_ == {"estimator__ridge__alpha": 0.1} and not search.best_estimator_.inlier_mask_[:8].any()
    inner = TrimmedEstimator(GridSearchCV(step, {"alpha": [0.1, 1e4]}, cv=3), 0.7).fit(X, y, sample_weight=weights)
    assert inner.estimator_.best_params_ == {"alpha": 0.1} and not inner.inlier_mask_[:8].any()


class Records(RegressorMixin, BaseEstimator):
    """Keeps what its fit got."""

    def fit(self, X, y, sample_weight=None, where=None, flag=None):
        self.X_, self.got_ = X, (sample_weight, where, flag)
        self.model_ = Ridge().fit(X, y)
        return self

    def predict(self, X, return_twice=False):
        return self.model_.predict(X) * (1 + return_twice)


def test_metadata_of_samples_are_cut_to_the_kept_ones(routing):
    X, y = line()
    inner = Records().set_fit_request(sample_weight="inner", where=True, flag=True)
    inner.set_predict_request(return_twice=True)
    around = TrimmedEstimator(inner, 0.7).set_fit_request(sample_weight=True)
    weights = np.where(np.arange(80) % 5, 1.0, 0.0)
    around.fit(X, y, sample_weight=weights, inner=np.arange(80.0), where=list(range(80)), flag="yes")
    kept = np.flatnonzero(around.inlier_mask_)
    own, where, flag = around.estimator_.got_
    assert (around.estimator_.X_ == X[kept]).all() and (own == kept).all() and list(where) == list(kept)
    assert flag == "yes" and len(kept) == 44 and (kept % 5 > 0).all()
    assert (around.predict(X, return_twice=True) == 2 * around.predict(X)).all()


def test_groups_reach_an_inner_split(routing):
    X, y = line()
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=GroupKFold(4))
    around = TrimmedEstimator(search, 0.7).fit(X, y, groups=np.arange(80) % 4)
    assert around.inlier_mask_.sum() == 56 and np.isfinite(around.estimator_.best_score_)


# degenerate input


@pytest.mark.parametrize("inner", [None, Ridge, "ridge", 3])
def test_what_is_no_estimator_is_named_and_can_be_shown(inner):
    X, y = line()
    around = TrimmedEstimator(inner)
    assert "TrimmedEstimator" in around._repr_html_() and "TrimmedEstimator" in repr(around)
    with pytest.raises(ValueError, match="estimator must be a regressor or a classifier, like Ridge"):
        around.fit(X, y)


@pytest.mark.parametrize("make", [TrimmedRegressor, lambda **k: TrimmedEstimator(Ridge(), **k)])
def test_odd_arguments_are_named(make):
    X, y = line()
    for state in ("0", -1, 0.5):
        with pytest.raises(ValueError, match="random_state must be an int"):
            make(random_state=state).fit(X, y)
    for bad in (y + 1j, (y + 1j).astype(object), pd.to_datetime(pd.Series(range(80))), y.astype("m8[s]"), ["a"] * 80):
        with pytest.raises(ValueError, match="Complex data not supported|y must be real numbers"):
            make().fit(X, bad)
    with pytest.raises(ValueError, match="0 samples|Expected 2D array"):
        make().fit([], [])
    with pytest.raises(ValueError, match="fit_intercept must be True or False, got 'no'"):
        TrimmedRegressor(fit_intercept="no").fit(X, y)


@pytest.mark.parametrize("of", [np.asarray, pd.Series])
def test_dates_that_are_missing_are_missing_labels(of):
    X, _ = line()
    y = pd.to_datetime(pd.Series(np.arange(80) % 2)).to_numpy(copy=True)
    y[[3, 7]] = np.datetime64("NaT")
    with pytest.raises(ValueError, match="y has 2 missing labels of 80, at 3, 7"):
        TrimmedEstimator(LogisticRegression()).fit(X, of(y))


@pytest.mark.parametrize("weights", [None, np.arange(200) % 2 + 1])
def test_an_infinite_loss_that_would_be_kept_names_its_class(weights):
    X, y = three()
    cows = np.flatnonzero(y == "cow")[:40]
    around = TrimmedEstimator(
        DecisionTreeClassifier(max_depth=2, random_state=0), 0.7,
        loss=lambda y, p: np.where(np.isin(np.arange(200), cows), np.inf, 1 - p.max(1)),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"trimming is within each class: 40 of \d+ samples of class cow"):
        around.fit(X, y, weights)


@pytest.mark.parametrize("reweight", [True, False])
def test_outputs_that_are_mostly_one_value_are_said(reweight):
    X, _ = line(200)
    y = np.where(np.arange(200) % 4, 0.0, np.exp(X[:, 0]))
    with pytest.warns(UserWarning, match="150 of 200 samples have the same output, 0: .* called outliers"):
        assert TrimmedRegressor(0.7, reweight=reweight, random_state=0).fit(X, y).scale_ == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrimmedRegressor(random_state=0).fit(X, np.full(200, 3.0))  # constant: no sample is called an outlier
        assert TrimmedRegressor(random_state=0).fit(X, X @ [1, 2, 3]).scale_ == 0  # a plane that is no constant
        LinearRegression().fit(X, y)


# support_fraction="auto"


def labelled(share, seed=0):
    """Three groups of points, and their labels, a share of them wrong."""
    random = np.random.default_rng(seed)
    truth = random.integers(3, size=900)
    X = random.normal(size=(900, 4)) + 3 * np.eye(3, 4)[truth]
    y = plant(X, truth, "uniform", round(share * 900), random_state=seed).y if share else truth
    return X, y, truth


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC()], ids=["log", "hinge"])
@pytest.mark.parametrize("share", [0.0, 0.2])
def test_the_fraction_is_estimated_for_classifiers(model, share):
    X, y, truth = labelled(share)
    fit = TrimmedEstimator(model, "auto").fit(X, y)
    assert abs(fit.error_share_.estimate - share) < 0.05 and fit.error_share_.upper >= share
    assert fit.support_fraction_ == 1 - fit.error_share_.upper
    assert fit.inlier_mask_.sum() == n_kept(900, fit.support_fraction_)
    assert (y == truth)[fit.inlier_mask_].mean() > 0.97
    text = TrimmedEstimator(model, "auto").fit(X, np.array(["a", "b", "c"])[y])
    assert text.support_fraction_ == fit.support_fraction_


def test_the_fraction_is_estimated_for_regressors_and_the_kind_of_error_may_be_named():
    random = np.random.default_rng(0)
    X = random.normal(size=(800, 3))
    clean = X.sum(axis=1) + 0.2 * random.normal(size=800)
    for errors, kind in (("auto", "permuted"), (shifted(8, scale=0.5), shifted(8, scale=0.5))):
        y = plant(X, clean, kind, 120, random_state=1).y
        fit = TrimmedEstimator(LinearRegression(), "auto", errors=errors).fit(X, y)
        assert abs(fit.error_share_.estimate - 0.15) < 0.03 and fit.error_share_.upper >= 0.15
    again = fit.set_params(support_fraction=0.8).fit(X, clean)
    assert again.support_fraction_ == 0.8 and not hasattr(again, "error_share_")  # nothing is left of the last fit


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({}, {"sample_weight": np.ones(900) * 2}, "support_fraction='auto' takes no sample_weight: give the fraction"),
        ({"errors": "unifrom"}, {}, "kind must be one of 'uniform', 'permuted', 'wrong_unit' or a function"),
        ({"support_fraction": "atuo"}, {}, r"support_fraction must be in \(0, 1\] or 'auto', got 'atuo'"),
    ],
)
def test_what_an_automatic_fraction_cannot_use_is_named(options, data, message):
    X, y, _ = labelled(0.2)
    with pytest.raises(ValueError, match=message):
        TrimmedEstimator(LogisticRegression(), **({"support_fraction": "auto"} | options)).fit(X, y, **data)


def test_too_few_samples_for_a_bound_are_named():
    X, y, _ = labelled(0.0)
    with pytest.raises(ValueError, match="a bound at level 0.95 needs at least 19 of each"):
        TrimmedEstimator(LogisticRegression(), "auto").fit(X[:30], y[:30])
