"""Models for tables of mixed columns: gradient boosting, linear models, or an estimator of yours.

    model = pipeline(table.X, table.task)                "linear", or "package.module:Class", as a third argument

The pipeline is fitted anew in each fold, so nothing of a held-out sample reaches its model. Only the types of columns
are found out from all rows, by `itlm.audit.tables.read`.
"""

import importlib

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from .tables import TASKS

__all__ = ["pipeline"]

MIXINS = dict(zip(TASKS, ("ClassifierMixin", "RegressorMixin"), strict=True))
CATEGORIES = 254  # per column; rarer ones share one code
TOPICS, HASHES = 50, 2**14  # numbers that boosting sees of a text column, and hashed words


def pipeline(X: pd.DataFrame, task: str, model: str = "boosting", seed: int = 0):
    """Return an unfitted scikit-learn pipeline for the columns of a `Table`.

    Parameters
    ----------
    X : data frame
        The features, typed as in `Table`.
    task : {"classification", "regression"}
    model : str
        ``"boosting"``: scikit-learn's histogram gradient boosting. ``"linear"``: logistic regression, or ridge.
        ``"package.module:Class"``: your own class, made without arguments. Boosting gets missing values and categories
        as they are. Other models get imputed and scaled numbers, and a column for each category. Text becomes TF-IDF of
        hashed words; except for linear models, its 50 principal axes.
    seed : int
        Seeds boosting and the axes.

    Raises
    ------
    ValueError
        If ``model`` cannot be imported, or is no estimator for the task.
    """
    final = _estimator(model, task, seed)
    numbers, dates, categories = (list(X.select_dtypes(kind)) for kind in (["number", "bool"], "datetime", "category"))
    texts = X.columns.drop([*numbers, *dates, *categories])
    codes, moments = FunctionTransformer(_codes), FunctionTransformer(_moments)
    if model == "boosting":
        final.set_params(categorical_features=np.arange(len(categories)))
        scaled = "passthrough"
    else:
        codes = make_pipeline(codes, OneHotEncoder(handle_unknown="ignore"))
        scaled = make_pipeline(SimpleImputer(keep_empty_features=True, add_indicator=True), StandardScaler())
        moments = make_pipeline(moments, clone(scaled))
    words = [HashingVectorizer(n_features=HASHES, alternate_sign=False), TfidfTransformer(sublinear_tf=True)]
    if model != "linear":
        words.append(TruncatedSVD(TOPICS, random_state=seed))
    columns = make_column_transformer(
        (codes, categories), (scaled, numbers), (moments, dates), *((make_pipeline(*words), name) for name in texts),
        sparse_threshold=0.3 if model == "linear" else 0,
    )  # fmt: skip
    return make_pipeline(columns, final)


def _codes(X: pd.DataFrame) -> np.ndarray:
    """Return categories as numbers, by descending frequency; rare ones share the last number, missing ones are NaN."""
    codes = np.column_stack([column.cat.codes for _, column in X.items()]).astype(float)
    return np.where(codes < 0, np.nan, np.minimum(codes, CATEGORIES - 1))


def _moments(X: pd.DataFrame) -> np.ndarray:
    """Return year, month, day, weekday and seconds since 1970 of each column of dates: float, (n, 5 n_columns)."""
    parts = [[t.dt.year, t.dt.month, t.dt.day, t.dt.day_of_week, (t - pd.Timestamp(0)).dt.total_seconds()]
             for _, t in X.items()]  # fmt: skip
    return np.column_stack([part.to_numpy(float) for column in parts for part in column])


def _estimator(model: str, task: str, seed: int):
    """Return the last step of the pipeline."""
    classifies = task == TASKS[0]
    if model == "boosting":
        return (HistGradientBoostingClassifier if classifies else HistGradientBoostingRegressor)(random_state=seed)
    if model == "linear":
        return LogisticRegression(max_iter=1000) if classifies else Ridge()
    place, _, name = model.partition(":")
    try:
        made = clone(getattr(importlib.import_module(place), name)())
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"--model {model!r} cannot be made: {error}; give boosting, linear, or package.module:Class, an estimator "
            "like scikit-learn's that needs no arguments"
        ) from error
    for method in ("fit", "predict_proba" if classifies else "predict"):
        if not hasattr(made, method):
            raise ValueError(f"--model {model!r} has no {method}, which {task} needs: take another class")
    if is_classifier(made) != classifies:
        raise ValueError(
            f"--model {model!r} is not for {task}: take another class, or derive yours from {MIXINS[task]}"
        )
    return made
