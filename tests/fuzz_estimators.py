"""Fuzz the scikit-learn estimators: odd estimators, odd tables, weights; every fit must agree with its attributes.

    python tests/fuzz_estimators.py                    two minutes
    python tests/fuzz_estimators.py --seconds 3600     longer
    python tests/fuzz_estimators.py --seed 17          one problem again

A problem is a seed. Each is checked against what must hold: the mask has the size asked for, the objective is the sum
of the kept samples' losses and the last of its path, the kept samples have the smallest losses, predictions are finite,
and without a warning the model is the one fitted to the inliers. Errors must be ValueErrors that say what to do.
"""

import sys
import time
import warnings

import fuzzing
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from itlm import n_kept
from itlm.estimators import TrimmedEstimator, TrimmedRegressor

ERRORS = ("keeps none", "is kept in round", "must return shape")  # what odd problems may be refused for


class Foreign(ClassifierMixin, BaseEstimator):
    """A classifier of others: classes in reverse order, probabilities in single precision, of any kind of table."""

    def __init__(self, kind="frame"):
        self.kind = kind

    def fit(self, X, y):
        self.model_ = LogisticRegression(C=0.1).fit(X, y)
        self.classes_ = list(self.model_.classes_[::-1])
        return self

    def predict_proba(self, X):
        found = self.model_.predict_proba(X)[:, ::-1].astype(np.float32)
        return {"frame": pd.DataFrame, "list": np.ndarray.tolist, "hard": np.round}[self.kind](found)

    def predict(self, X):
        return list(self.model_.predict(X))


class Listed(RegressorMixin, BaseEstimator):
    """A regressor of others: it predicts a list, a series, a column or a second column too many."""

    def __init__(self, kind="list"):
        self.kind = kind

    def fit(self, X, y):
        self.model_ = Ridge().fit(X, y)
        return self

    def predict(self, X):
        found = self.model_.predict(X)
        return {"list": found.tolist(), "series": pd.Series(found), "column": found[:, None],
                "twice": np.column_stack([found, found])}[self.kind]  # fmt: skip


REGRESSORS = (
    LinearRegression(), Ridge(), DecisionTreeRegressor(max_depth=3, random_state=0), KNeighborsRegressor(2),
    DummyRegressor(), make_pipeline(StandardScaler(), Ridge()), TransformedTargetRegressor(Ridge(), func=np.arcsinh,
    inverse_func=np.sinh), *map(Listed, ("list", "series", "column", "twice")),
)  # fmt: skip
CLASSIFIERS = (
    LogisticRegression(), GaussianNB(), DecisionTreeClassifier(max_depth=2, random_state=0), KNeighborsClassifier(1),
    KNeighborsClassifier(3), DummyClassifier(), RidgeClassifier(), LinearSVC(), SVC(), NearestCentroid(),
    RandomForestClassifier(3, max_depth=3), make_pipeline(FunctionTransformer(), SVC()),
    *map(Foreign, ("frame", "list", "hard")),
)  # fmt: skip


def table(random, n):
    """Draw features with constant, rare, discrete and repeated columns; as an array, frame or sparse matrix."""
    X = random.standard_normal((n, random.integers(1, 5)))
    if random.random() < 0.4:
        X = np.column_stack([X, random.random(n) < random.choice([0.05, 0.3]), np.ones(n)])
    if random.random() < 0.2:
        X = np.round(X)
    if random.random() < 0.2:
        X = X[random.integers(0, n, n)]
    kind = random.choice(["array", "float32", "frame", "sparse"], p=[0.5, 0.1, 0.3, 0.1])
    if kind == "frame":
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])], index=random.permutation(n))
    return X.astype(np.float32) if kind == "float32" else csr_matrix(X) if kind == "sparse" else X


def problem(seed: int):
    """Draw a problem: an estimator, X, y and weights."""
    random = np.random.default_rng(seed)
    n = int(random.integers(6, 80))
    X = table(random, n)
    f = np.asarray(X @ random.standard_normal(X.shape[1])).ravel() + random.choice([0, 0.3]) * random.standard_normal(n)
    f[random.random(n) < random.choice([0, 0.2])] += random.choice([5, 1e3, 1e8])
    kind = random.choice(["plain", "regressor", "classifier"], p=[0.2, 0.35, 0.45])
    alpha = float(random.choice([0.5, 0.75, 0.98, 1.0, random.uniform(0.3, 1)]))
    if kind == "plain":
        model = TrimmedRegressor(alpha, reweight=bool(random.random() < 0.5), random_state=seed,
                                 fit_intercept=bool(random.random() < 0.7))  # fmt: skip
        X = X.toarray() if hasattr(X, "toarray") else X
    else:
        inner = (REGRESSORS if kind == "regressor" else CLASSIFIERS)[
            random.integers(0, 11 if kind == "regressor" else 15)
        ]
        groups = random.choice([None, "classes"], p=[0.3, 0.7])
        loss = random.choice(["auto", "absolute"]) if kind == "regressor" else "auto"
        seeded = seed if random.random() < 0.8 else None
        model = TrimmedEstimator(clone(inner), alpha, loss=str(loss), groups=groups, random_state=seeded, max_iter=20)
    if kind == "classifier":
        names = [(3, -1, 7), ("b", "a", "c"), (True, False)][random.integers(0, 3)]
        f = np.array(names)[np.clip(np.digitize(f, np.quantile(f, [0.4, 0.8])), 0, len(names) - 1)]
    elif random.random() < 0.15:
        f = np.where(random.random(n) < 0.75, 0.0, f)  # mostly one value
    weights = random.integers(0, 4, n) * 1.0 if random.random() < 0.3 else None
    return model, X, f, None if weights is None or not weights.any() else weights


def losses_of(around, X, y):
    """Compute the losses anew, by scikit-learn's words alone."""
    model, n = around.estimator_, len(y)
    if not is_classifier(model):
        size = np.abs(y - np.asarray(model.predict(X)).reshape(n))
        return size if around.loss == "absolute" else size**2
    own = y[:, None] == np.asarray(model.classes_)
    if hasattr(model, "predict_proba"):
        p = np.asarray(model.predict_proba(X))
        return -np.log(np.maximum(p[own], np.finfo(p.dtype).eps))
    f = np.asarray(model.decision_function(X)).reshape(n, -1)
    own = own[:, 1:] if f.shape[1] == 1 else own
    return np.maximum(0, 1 - np.where(own, f, -f)).sum(1)


def disagreements(around, X, y, weights, said) -> list[str]:
    """Say where a fit around an estimator disagrees with its attributes."""
    found, kept, losses = [], around.inlier_mask_, losses_of(around, X, y)
    centre = np.median(y) if not is_classifier(around) else 0
    rounding = 1e-9 * (1 + around.objective_) + (0 if is_classifier(around) else 1e-12 * np.abs(y - centre).max() ** 2)
    if weights is None:
        if abs(losses[kept].sum() - around.objective_) > rounding + 1e-6 * around.objective_:
            found.append(f"objective {around.objective_:.6g}, losses sum to {losses[kept].sum():.6g}")
        for c in np.unique(y) if is_classifier(around) and around.groups else [None]:
            own = np.ones(len(y), bool) if c is None else y == c
            if losses[own & kept].max(initial=0) > losses[own & ~kept].min(initial=np.inf) + rounding:
                found.append(f"a kept sample has a larger loss than a dropped one, class {c}")
        settled = around.n_iter_ > 1 and not any(issubclass(w.category, ConvergenceWarning) for w in said)
        if settled and (around.random_state is not None or not hasattr(around.estimator, "n_estimators")):
            again = clone(around.estimator)
            if "random_state" in again.get_params() and around.random_state is not None:
                again.set_params(random_state=around.estimator_.random_state)
            some = np.flatnonzero(kept)
            again.fit(X.iloc[some] if hasattr(X, "iloc") else X[some], y[some])
            if not np.array_equal(np.asarray(again.predict(X)), np.asarray(around.predict(X))):
                found.append("the model is not the one fitted to the inliers")
    if is_classifier(around) and set(around.classes_) != set(y[weights > 0] if weights is not None else y):
        found.append(f"classes_ {around.classes_}")
    return found


def faults(seed: int) -> list[str]:
    """Say what is wrong with the fit of a problem."""
    model, X, y, weights = problem(seed)
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            model.fit(X, y, *([] if weights is None else [weights]))
            prediction = np.asarray(model.predict(X))
        except ValueError as error:
            known = ERRORS + ("takes none",) * (weights is not None)
            lone = "NearestCentroid" in repr(model) and "contains NaN" in str(
                error
            )  # one sample a class: its own fault
            inner = lone or "classes" in str(error) or "sparse" in str(error).lower() or "n_neighbors" in str(error)
            return [] if inner or any(words in str(error) for words in known) else [f"ValueError: {error}"]
        except TypeError as error:  # scikit-learn's words for a sparse table
            return [] if "parse" in str(error) else [f"TypeError: {error}"]
        except Exception as error:
            return [f"{type(error).__name__}: {error}"]
        found = [str(w.message) for w in said if issubclass(w.category, RuntimeWarning) and "itlm" in w.filename]
        if (took := time.perf_counter() - began) > 5:
            found.append(f"took {took:.1f} s")
        if prediction.dtype.kind == "f" and not np.isfinite(prediction).all():
            found.append("predictions are not finite")
        kept = getattr(model, "raw_inlier_mask_", model.inlier_mask_)
        if kept.shape != (len(y),) or (weights is not None and kept[weights == 0].any()):
            found.append("the mask keeps samples of no weight")
        if weights is None and model.support_fraction != 1 and kept.sum() != n_kept(len(y), model.support_fraction):
            found.append(f"the mask keeps {kept.sum()} of {len(y)} at {model.support_fraction}")
        path = model.objective_path_
        if len(path) != model.n_iter_ or path[-1] != model.objective_ or not np.isfinite(path).all():
            found.append(f"objective {model.objective_}, rounds {model.n_iter_}, path {path}")
        if isinstance(model, TrimmedEstimator):
            try:
                found += disagreements(model, X, y, weights, said)
            except Exception as error:
                found.append(f"cannot be checked: {type(error).__name__}: {error}")
        elif np.diff(path).max(initial=0) > 1e-9 * path.max() + 1e-12 * np.ptp(y) ** 2:
            found.append(f"the objective rises: {path}")
    return [f"{model.__class__.__name__} {getattr(model, 'estimator', '')!r:.60}: {fault}" for fault in found]


if __name__ == "__main__":
    sys.exit(fuzzing.main(faults, __doc__.splitlines()[0]))
