"""Algorithm 1 around any scikit-learn estimator.

Source: Shen & Sanghavi, ICML 2019, Section 4.
"""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, assert_all_finite, check_random_state, get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, has_fit_parameter, validate_data

from ..least_squares.rows import in_place
from ..parameters import whole
from ..trimming import iterate
from ..weighted import total_weight, trim_mass
from .checks import check_weights, mass_kept
from .losses import LOSSES, is_nothing

__all__ = ["TrimmedEstimator"]

_SEPARATED = 5e-4  # if the kept samples' mean log-loss is smaller, they are separable


def _has(method):
    """Return a check of whether the estimator has a method."""
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


class TrimmedEstimator(MetaEstimatorMixin, BaseEstimator):
    """Algorithm 1 around any estimator: refit on the samples of smallest loss until they no longer change.

    The first model is fitted to all samples. If corrupted samples mislead it too far, trimming cannot recover;
    `TrimmedRegressor` has better starts.

    Parameters
    ----------
    estimator : regressor or classifier
        Any of scikit-learn's, or a pipeline that ends in one; cloned, never changed. After a fit to some samples it
        scores all, so encoders must accept unseen categories (``handle_unknown="ignore"``).
    support_fraction : float in (0, 1], default 0.75
        Fraction kept (alpha in the paper): ``floor(support_fraction n)`` samples. Cross-validation cannot choose it, as
        in `TrimmedRegressor`.
    loss : {"auto", "squared", "absolute", "poisson", "log"} or callable, default "auto"
        The loss to trim by, preferably the one that ``estimator`` minimises.

        * ``"squared"``, the ``"auto"`` of regressors, and ``"absolute"``: summed over outputs.
        * ``"poisson"``: deviance, 2 (y log(y / mu) - y + mu). The negative log-likelihood would be smaller for low
          counts even if they are fitted perfectly; trimming by it would keep low counts and bias the mean downwards.
        * ``"log"``, the ``"auto"`` of classifiers: - log of the predicted probability of the sample's class.
        * ``callable(y, prediction) -> (n,)``: ``prediction`` is from ``predict_proba`` if the estimator is a classifier
          that has it, else from ``predict``.
    groups : {"classes"} or None, default "classes"
        For classifiers, ``"classes"`` trims within each class, so that each keeps its share and none can vanish. None
        trims all samples together. Regressors have no classes.
    max_iter : int, at least 1, default 50
        Maximum number of refits after the fit to all samples.
    random_state : int, RandomState or None, default None
        Seeds every ``random_state`` within ``estimator``, the same in each round. With None they stay unchanged; a
        random estimator's fit then differs between rounds.

    Attributes
    ----------
    estimator_ : estimator
        theta, fitted to the kept samples.
    inlier_mask_ : array of bool, shape (n,)
        S: the samples whose loss under ``estimator_`` is smallest.
    objective_ : float
        The trimmed loss: sum of the kept samples' losses.
    objective_path_ : array, shape (rounds,)
        The objective in each round, starting with the fit to all samples.
    n_iter_ : int
        Number of rounds, the fit to all samples included.
    classes_ : array, shape (n_classes,)
        The labels, for classifiers only.
    n_features_in_, feature_names_in_ : int, and array of shape (n_features,)
        Number of features, if X is a table; their names, if X has names that are all strings.

    Warns
    -----
    UserWarning
        If trimming cannot tell samples apart, for one of three reasons. The estimator fits every sample without loss,
        corrupted ones too. Or it has at least as many coefficients as kept samples, and fits these without loss. Or a
        classifier's kept samples have a mean log-loss below 0.0005. Such samples are separable and the loss has no
        minimum: coefficients grow until a penalty or the solver's tolerance stops them. Trimming by log-loss makes
        overlapping classes separable, because it drops just the samples that overlap.
    ConvergenceWarning
        If ``max_iter`` rounds did not reach a fixed point.
    """

    def __init__(
        self, estimator, support_fraction=0.75, *, loss="auto", groups="classes", max_iter=50, random_state=None
    ):
        self.estimator = estimator
        self.support_fraction = support_fraction
        self.loss = loss
        self.groups = groups
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit to data with corrupted samples; return self.

        Parameters
        ----------
        X : array, sparse matrix or data frame, shape (n, n_features)
            Features, of any kind that ``estimator`` accepts.
        y : array, shape (n,) or (n, n_outputs)
            Outputs or labels.
        sample_weight : array, shape (n,), optional
            How many samples each row represents, 0 or more; ``estimator`` must accept weights. Trimming is by weighted
            mass, so whole weights equal repetition. If not all are whole, ``support_fraction`` of their sum is kept,
            perhaps with a part of the row at the threshold.

        Raises
        ------
        ValueError
            If a parameter is out of range or does not suit the estimator, or data or weights have the wrong shape. Also
            if no sample of a class would be kept, or one of infinite loss would be.
        """
        X, y, counted, weights = self._checked(X, y, sample_weight)
        classifier = is_classifier(self.estimator)
        seed = None if self.random_state is None else check_random_state(self.random_state).randint(2**31 - 1)
        groups = np.unique(y, return_inverse=True)[1] if classifier and self.groups else None

        def refit(mass):
            kept, some = np.flatnonzero(mass), {} if weights is None else {"sample_weight": mass[mass > 0]}
            return _seeded(self.estimator, seed).fit(_safe_indexing(X, kept), y[kept], **some)

        def update(_, mass, t):
            if classifier:
                self._check_classes(y, mass > 0, t)
            return refit(mass)

        path, flawless, stopped = [], False, False
        for step in iterate(
            lambda model: self._losses(model, X, y),
            update,
            refit(np.ones(len(y), bool) if weights is None else weights),
            self.support_fraction,
            self.max_iter,
            groups=groups,
            select=None if weights is None else lambda losses, alpha: trim_mass(losses, weights, alpha, groups=groups),
            stop_at_fixed_point=True,
        ):
            kept = step.kept > 0
            path.append(float(step.kept[kept] @ step.losses[kept]))
            if step.t == 0:
                flawless = is_nothing(step.losses, y, self._loss_name())
            # At 0, no selection has a smaller loss; the model must have been fitted to this one.
            stopped = path[-1] == 0 and (flawless or step.t > 0)
            if stopped:
                break
        if not stopped:
            self._warn_unsettled(step)
        if said := self._says_nothing(step.theta, flawless, step.losses[kept], y[kept], step.kept[kept]):
            warnings.warn(said, stacklevel=2)
        self.estimator_, self.inlier_mask_ = step.theta, in_place(kept, counted)
        self.objective_, self.objective_path_, self.n_iter_ = path[-1], np.array(path), len(path)
        if classifier:
            self.classes_ = self.estimator_.classes_
        return self

    def _checked(self, X, y, sample_weight):
        """Check parameters and data; return the samples of positive weight, their mask and their weights."""
        self._check_loss()
        whole(1).check("max_iter", self.max_iter)
        if self.groups is not None and not (isinstance(self.groups, str) and self.groups == "classes"):
            raise ValueError(f"groups must be 'classes' or None, got {self.groups!r:.60}; itlm.iterate allows others")
        tags, name = get_tags(self.estimator), type(self.estimator).__name__
        if tags.input_tags.pairwise:
            raise ValueError(f"estimator must take features, got {name}, set to take a matrix of all pairs of samples")
        validate_data(self, X, y, skip_check_array=True)
        X, y = indexable(X, y)
        if is_classifier(self.estimator) or not tags.target_tags.multi_output:
            y = column_or_1d(y, warn=True)
        if not len(y):
            raise ValueError("X has 0 samples; give at least one")
        if is_classifier(self.estimator):
            _check_labels(y)
        else:
            y = np.asarray(y).astype(np.float64, copy=False)
            assert_all_finite(y, input_name="y")
        counted, weights = check_weights(sample_weight, X)
        if weights is not None and not has_fit_parameter(self.estimator, "sample_weight"):
            raise ValueError(f"sample_weight cannot be used: {name} takes none; leave it out, or repeat samples")
        if counted is not None:
            X, y = _safe_indexing(X, np.flatnonzero(counted)), y[counted]
        mass_kept(len(y) if weights is None else total_weight(weights), self.support_fraction)
        return X, y, counted, weights

    def _check_classes(self, y, kept, t):
        """Refuse a selection without a sample of some class."""
        if len(lost := np.setdiff1d(y, y[kept])):
            raise ValueError(
                f"no sample of class {lost[0]} is kept in round {t}; use a support_fraction larger than "
                f"{self.support_fraction}, or "
                + ("leave out classes of so few samples" if self.groups else "groups='classes'")
            )

    def _warn_unsettled(self, last):
        """Warn if the selection still changed in the last round."""
        if moving := last.n_entered + last.n_left:
            warnings.warn(
                f"{moving} of {len(last.kept)} samples entered or left in round {last.t}, the last; raise "
                f"max_iter={self.max_iter}, or accept this fit",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _says_nothing(self, model, flawless, losses, y, mass) -> str:
        """Return why trimming is uninformative, from the kept samples' losses, outputs and mass; empty if it is not."""
        name, many = self._loss_name(), _n_coefficients(model)
        if flawless:
            return (
                "estimator fits every sample without loss, corrupted ones too, so trimming cannot tell them apart; "
                "use a more strongly regularised estimator"
            )
        if name != "log" and many >= mass.sum() and is_nothing(losses, y, name):
            return (
                f"estimator has {many} coefficients for {mass.sum():g} kept samples, and fits these without loss, as "
                "it would any selection, so trimming cannot find outliers; use more samples, fewer features, a more "
                "strongly regularised estimator, or a larger support_fraction"
            )
        mean = mass @ losses / mass.sum()
        if name == "log" and mean < _SEPARATED:
            why = "the kept set carries little information; use a more strongly regularised estimator"
            if many:
                why = (
                    "a penalty or the solver's tolerance alone determines the size of the coefficients; regularise "
                    "estimator more (such as a smaller C)"
                )
            return (
                f"the kept samples are separable: their mean log-loss is {mean:.1g}, and {why}, or a support_fraction "
                f"larger than {self.support_fraction}"
            )
        return ""

    def _loss_name(self):
        return ("log" if is_classifier(self.estimator) else "squared") if self.loss == "auto" else self.loss

    def _check_loss(self):
        loss, name = self._loss_name(), type(self.estimator).__name__
        if not (is_classifier(self.estimator) or is_regressor(self.estimator)):
            raise ValueError(f"estimator must be a regressor or a classifier, got {name}")
        if callable(loss):
            return
        if not isinstance(loss, str) or loss not in (*LOSSES, "log"):
            raise ValueError(f"loss must be 'auto', 'log', {', '.join(map(repr, LOSSES))} or callable, got {loss!r}")
        if is_classifier(self.estimator) != (loss == "log"):
            raise ValueError(f"loss={loss!r} does not suit {name}; use 'auto' or a callable")
        if loss == "log" and not hasattr(self.estimator, "predict_proba"):
            raise ValueError(
                f"loss='log' needs predict_proba, which {name} lacks; calibrate {name}, or give a callable loss of the "
                "predicted labels"
            )

    def _losses(self, model, X, y):
        loss = self._loss_name()
        if is_classifier(model) and hasattr(model, "predict_proba"):
            prediction = model.predict_proba(X)
        else:
            prediction = model.predict(X)
        if loss == "log":
            own = prediction[np.arange(len(y)), np.searchsorted(model.classes_, y)]
            return -np.log(np.maximum(own, np.finfo(own.dtype).tiny))
        if not callable(loss):
            return LOSSES[loss](y, prediction)
        losses = np.asarray(loss(y, prediction))
        if losses.shape != (len(y),):
            raise ValueError(f"loss must return shape ({len(y)},), one value a sample, got {losses.shape}")
        return losses

    @available_if(_has("predict"))
    def predict(self, X):
        """Predict outputs or labels with ``estimator_``: shape (m,) or (m, n_outputs).

        Parameters
        ----------
        X : array, sparse matrix or data frame, shape (m, n_features)
            Features.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X):
        """Predict probabilities, if ``estimator_`` does: shape (m, n_classes), in the order of ``classes_``."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(_has("decision_function"))
    def decision_function(self, X):
        """Compute the decision function, if ``estimator_`` has one: shape (m,) or (m, n_classes)."""
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

    @available_if(_has("score"))
    def score(self, X, y, sample_weight=None):
        """Score all given samples as ``estimator_`` does: usually by R^2 or accuracy."""
        check_is_fitted(self)
        return self.estimator_.score(X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))

    def __sklearn_tags__(self):
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "input_tags", "target_tags"):
            setattr(tags, name, getattr(inner, name))
        if inner.estimator_type == "classifier":
            tags.target_tags = replace(inner.target_tags, multi_output=False)
            tags.classifier_tags = inner.classifier_tags and replace(inner.classifier_tags, multi_label=False)
        return tags


def _n_coefficients(model) -> int:
    """Return the coefficients per output of a linear model, or of a pipeline that ends in one; else 0."""
    coef = getattr(model[-1] if isinstance(model, Pipeline) else model, "coef_", None)
    return 0 if coef is None else np.shape(coef)[-1]


def _seeded(estimator, seed):
    """Clone an estimator, and set every random_state within it."""
    model = clone(estimator)
    if seed is not None:
        model.set_params(**{k: seed for k in model.get_params() if k == "random_state" or k.endswith("__random_state")})
    return model


def _check_labels(y):
    """Refuse labels that are missing, or no classes."""
    if y.dtype.kind == "O":
        missing = np.flatnonzero([v is None or type(v).__name__ in ("NAType", "NaTType") or v != v for v in y])
        if len(missing):
            first = ", ".join(map(str, missing[:3]))
            raise ValueError(f"y has {len(missing)} missing labels of {len(y)}, at {first}: drop these samples first")
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
