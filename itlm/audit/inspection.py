"""Estimate the share of wrong samples, and rank them: Algorithm 1 with losses out of fold.

    share, found = inspected(LogisticRegression(), X, y)          any model of scikit-learn
    share, found = inspected_by(fit, probabilities, X, y)         any other classifier, as two functions
    report = Report.from_share(share, y, X=X)                     which samples

In each of four rounds, every sample is scored by a model that was fitted to samples of the other folds: to all of them
first, then to those that the round before keeps. The last three rounds count the first and the present models equally.
A trimmed model finds systematic errors, which a model of all samples has learnt. A model of all samples knows the hard
samples, which trimming drops.
"""

from collections.abc import Callable

import numpy as np

from ..trimming import trim
from .fraction import START, ErrorShare, error_share, split
from .planting import confusable, labels_of, several, shifted, spread, take

__all__ = ["FOLDS", "inspected", "inspected_by", "log_losses"]

FOLDS = (5, 2, 2, 5)  # of each round: those that rank the samples, the first and the last, see more of them
EPS = 1e-12  # smallest probability
BLOCK = 10_000  # samples predicted at a time


def inspected(estimator, X, y, **options) -> tuple[ErrorShare, dict]:
    """Estimate the share of wrong samples with a model of scikit-learn, and return with it what a report needs.

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, or regressor
        Cloned for each of fourteen fits, five of them to four fifths of all samples, the others to kept ones.
    X, y : array or data frame, and array, n rows
        Features, and labels or outputs as given.
    **options
        ``errors``, ``seed`` and ``progress``, as for `inspected_by`.

    Raises
    ------
    ValueError
        For a classifier without ``predict_proba``, or one that does not know a label, and the errors of
        `itlm.audit.error_share`.
    """
    from sklearn.base import clone, is_classifier

    def fit(X, y):
        return clone(estimator).fit(X, y)

    if not is_classifier(estimator):
        return inspected_by(fit, lambda model, X: model.predict(X), X, y, classifies=False, **options)
    if not hasattr(estimator, "predict_proba"):
        raise ValueError(
            f"estimator {type(estimator).__name__} has no predict_proba: wrap it in CalibratedClassifierCV, or take "
            "another classifier"
        )
    classes = np.unique(y)

    def probabilities(model, X):
        if len(lacking := np.setdiff1d(classes, model.classes_)):
            raise ValueError(f"a model has not seen class {lacking[0]!r}: give more samples of it, or leave it out")
        return model.predict_proba(X)

    return inspected_by(fit, probabilities, X, y, **options)


def inspected_by(
    fit: Callable,
    predict: Callable,
    X,
    y,
    *,
    classifies: bool = True,
    errors="auto",
    seed: int = 0,
    progress: Callable[[str], object] | None = None,
) -> tuple[ErrorShare, dict]:
    """Estimate the share of wrong samples with any model, and return with it what a report needs.

    Parameters
    ----------
    fit : callable, (X, y) -> model
        Fits a model of yours to some samples.
    predict : callable, (model, X) -> array of float
        Class probabilities, shape (m, n_classes), columns in the order of the sorted labels; of a regressor, values in
        the shape of y.
    X, y : array, data frame or tensor, n rows
        Features, and labels or outputs as given.
    classifies : bool
        Whether y are labels.
    errors : "auto", or as ``kind`` of `itlm.audit.error_share`
        The kind of errors to plant in y; errors of X are not possible. For classifiers ``"confusable"`` ones are drawn
        with the first models' probabilities, and for regressors ``"gross"`` ones move a value by five scales of the
        first models' residuals. These are planted by default; uniform errors and permuted outputs only to see how many
        of them are found.
    seed : int
        Seeds the folds and the planted errors.
    progress : callable, optional
        Called before each fit with a text such as ``"fit 3 of 14"``.

    Returns
    -------
    share : ErrorShare
    found : dict
        Options for `itlm.audit.report.Report.of`: ``suggested``, and of a classifier ``margin`` and ``log_loss``.
    """
    labels, random = labels_of(y), np.random.default_rng(seed)
    scored = (_Classified if classifies else _Predicted)(predict, X, labels)
    counted, groups = iter(range(1, 10**6)), labels if classifies else None

    def refit(rows, _=None):
        if progress:
            progress(f"fit {next(counted)} of {sum(FOLDS)}")
        return fit(take(X, rows), take(y, rows))

    rows, fold = np.arange(len(labels)), split(len(labels), FOLDS[0], groups, random)
    for k in range(FOLDS[0]):
        scored.of(refit(rows[fold != k]), rows[fold == k])
    losses = scored.first_losses()
    default = isinstance(errors, str) and errors == "auto"
    kinds, also = (scored.kinds(), scored.also) if default else (several(errors, scored.kinds()), None)
    share = error_share(
        rows, labels, refit, scored.losses, kinds, also=also, kept=trim(losses, START, groups=groups), groups=groups,
        rounds=len(FOLDS) - 1, folds=FOLDS[1:], random_state=random,
    )  # fmt: skip
    return share, scored.found(share)


def log_losses(probabilities, codes) -> np.ndarray:
    """Return - log of the probability of each sample's class, (n,); ``codes`` number the columns."""
    return -np.log(np.maximum(probabilities[np.arange(len(codes)), codes], EPS))


class _Predicted:
    """A regressor's values, computed once for each sample, and squared errors."""

    also = {"permuted": "permuted"}

    def __init__(self, predict, X, y, width=None):
        self.predict, self.X, self.y, self.model, self.first = predict, X, y, None, None
        self.predictions, self.known = np.empty(y.shape if width is None else (len(y), width)), np.zeros(len(y), bool)

    def of(self, model, rows):
        """Return the predictions of some rows, and keep them: planted errors have the same features."""
        if model is not self.model:
            self.model, self.known[:] = model, False
        if len(new := rows[~self.known[rows]]):
            for some in np.array_split(new, -(-len(new) // BLOCK)):  # a pipeline's copies are the peak of the memory
                found = np.asarray(self.predict(model, take(self.X, some)), float)
                self.predictions[some] = found.reshape(len(some), *self.predictions.shape[1:])
            self.known[new] = True
        return self.predictions[rows] if self.first is None else self.joint(self.predictions[rows], self.first[rows])

    def first_losses(self):
        """Return the losses of all samples in the first round, whose predictions count from now on."""
        self.first, found = None, self.loss(self.predictions, self.y)
        self.first = self.predictions.copy()
        return found

    def losses(self, model, rows, y):
        return self.loss(self.of(model, rows), np.asarray(y))

    def joint(self, now, first):
        return (now + first) / 2

    def loss(self, predictions, y):
        return ((y - predictions) ** 2).reshape(len(y), -1).sum(axis=1)

    def kinds(self):
        """Return errors that are large beside the residuals: smaller ones are neither seen nor counted."""
        scale = spread(self.y - self.first)
        return {"gross": shifted(5.0, scale if np.all(scale > 1e-9 * spread(self.y)) else None)}

    def found(self, share):
        return {"suggested": self.joint(self.predictions, self.first)}


class _Classified(_Predicted):
    """A classifier's probabilities, computed once for each sample: it is scored under several labels."""

    also = {"uniform": "uniform"}

    def __init__(self, predict, X, y):
        self.classes = np.unique(y)
        super().__init__(predict, X, y, len(self.classes))

    def joint(self, now, first):
        """Return the geometric mean of two models' probabilities."""
        found = np.sqrt(np.maximum(now, EPS) * np.maximum(first, EPS))
        return found / found.sum(axis=1, keepdims=True)

    def margins(self, probabilities, y):
        """Return the probability of the given label less that of the most probable other one, in [-1, 1]."""
        at, own, others = np.arange(len(y)), np.searchsorted(self.classes, y), probabilities.copy()
        others[at, own] = -1.0
        return probabilities[at, own] - others.max(axis=1)

    def loss(self, probabilities, y):
        """Return (1 - margin)/2: 0 if the model is certain of the given label, 1 if it is of another."""
        return (1 - self.margins(probabilities, y)) / 2

    def kinds(self):
        """Return confusable errors: on digits their bound holds for uniform and systematic ones too."""
        return {"confusable": confusable(self.first, self.classes)}

    def found(self, share):
        joint, own = self.joint(self.predictions, self.first), np.searchsorted(self.classes, self.y)
        return {"suggested": self.classes[joint.argmax(axis=1)], "margin": self.margins(joint, self.y),
                "log_loss": log_losses(joint, own)}  # fmt: skip
