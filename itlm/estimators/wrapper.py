"""Algorithm 1 around any scikit-learn estimator.

Source: Shen & Sanghavi, ICML 2019, Section 4.
"""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_classifier, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_method_params,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
    validate_data,
)

from ..audit.fraction import START
from ..least_squares.rows import in_place
from ..parameters import whole
from ..trimming import iterate, trim
from ..weighted import total_weight, trim_mass
from .checks import check_labels, check_outputs, check_weights, mass_kept, seed_from, warn_undetermined
from .diagnosis import period, uninformative
from .losses import LOSSES, METHODS, is_nothing, losses_of, worst_class
from .share import planted_share

__all__ = ["TrimmedEstimator"]


def _has(method):
    """Return a check of whether the estimator has a method."""
    return lambda self: hasattr(getattr(self, "estimator_", self.estimator), method)


def _inner(name):
    """Return a property that reads a fitted attribute of ``estimator_``."""
    return property(lambda self: getattr(self.estimator_, name), doc=f"``{name}`` of ``estimator_``, if it has one.")


class TrimmedEstimator(MetaEstimatorMixin, BaseEstimator):
    """Algorithm 1 around any estimator: refit on the samples of smallest loss until they no longer change.

    The first model is fitted to all samples. If corrupted samples mislead it too far, trimming cannot recover;
    `TrimmedRegressor` has better starts.

    Parameters
    ----------
    estimator : regressor or classifier
        Any of scikit-learn's, or a pipeline that ends in one; cloned, never changed. After a fit to some samples it
        scores all, so encoders must accept unseen categories (``handle_unknown="ignore"``).
    support_fraction : float in (0, 1] or "auto", default 0.75
        Fraction kept (alpha in the paper): ``floor(support_fraction n)`` samples. Cross-validation cannot choose it, as
        in `TrimmedRegressor`. ``"auto"`` estimates the share of wrong samples by `itlm.audit.error_share`, in four more
        fits to half of the samples, and keeps all but its upper bound. It takes no ``sample_weight``.
    loss : {"auto", "squared", "absolute", "poisson", "log", "hinge"} or callable, default "auto"
        The loss to trim by, preferably the one that ``estimator`` minimises.

        * ``"squared"``, the ``"auto"`` of regressors, and ``"absolute"``: summed over outputs.
        * ``"poisson"``: deviance, 2 (y log(y / mu) - y + mu). The negative log-likelihood would be smaller for low
          counts even if they are fitted perfectly; trimming by it would keep low counts and bias the mean downwards.
        * ``"log"``, the ``"auto"`` of classifiers with ``predict_proba``: - log of the predicted probability of the
          sample's class. As in scikit-learn's ``log_loss``, a probability below the resolution of its dtype counts as
          that resolution (2.2e-16 in double precision, 1.2e-7 in single), so no loss is infinite.
        * ``"hinge"``, the ``"auto"`` of classifiers with ``decision_function`` alone: max(0, 1 - y f) with y = 1 or -1
          and decision value f. With three classes or more, the sum over each class against the others, which
          ``LinearSVC`` and ``SGDClassifier`` minimise; ``sklearn.metrics.hinge_loss`` compares the two largest values.
        * ``callable(y, prediction) -> (n,)``: ``prediction`` is from ``predict_proba`` if the estimator is a classifier
          that has it (columns in the order of ``estimator_.classes_``), else from ``predict``.
    groups : {"classes"} or None, default "classes"
        For classifiers, ``"classes"`` trims within each class, so that each keeps its share and none can vanish. None
        trims all samples together. Regressors have no classes.
    errors : "auto", or as ``kind`` of `itlm.audit.plant`, default "auto"
        The kind of errors that ``support_fraction="auto"`` counts; errors of X are not possible. By default, for
        classifiers with ``predict_proba``, confusable label noise, drawn with the first model's probabilities: its
        bound holds for uniform errors too, on the data that were tried, and not the other way round. For other
        classifiers ``"uniform"`` label noise, for regressors ``"permuted"`` outputs.
    max_iter : int, at least 1, default 50
        Maximum number of refits after the fit to all samples.
    random_state : int, RandomState or None, default None
        Seeds every ``random_state`` within ``estimator``, the same in each round. With None they stay unchanged; a
        random estimator's fit then differs between rounds.

    Attributes
    ----------
    estimator_ : estimator
        theta, fitted to the samples kept in the round before, or to all samples if these have no loss. At a fixed
        point, the samples kept in the round before are those of ``inlier_mask_``; else a warning says so.
    inlier_mask_ : array of bool, shape (n,)
        S: the samples whose loss under ``estimator_`` is smallest.
    support_fraction_ : float
        The fraction kept.
    error_share_ : itlm.audit.ErrorShare
        The estimated share of wrong samples, only with ``support_fraction="auto"``.
    objective_ : float
        The trimmed loss: sum of the kept samples' losses.
    objective_path_ : array, shape (rounds,)
        The objective in each round, starting with the fit to all samples.
    n_iter_ : int
        Number of rounds, the fit to all samples included.
    classes_ : array, shape (n_classes,)
        The labels, for classifiers only, in the order of the columns of ``predict_proba``.
    coef_, intercept_, feature_importances_
        Those of ``estimator_``, if it has them.
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

        Also if a column of X varies but is constant among the kept samples: nothing determines predictions for its
        other values. X must be an array, or a data frame of at most 1e7 numbers. There is no warning if so few samples
        have other values that dropping samples at random loses them with a probability above 1 %.
    ConvergenceWarning
        If ``max_iter`` rounds did not reach a fixed point, or if selections repeat without one. Of repeated selections,
        the fit is the round of smallest objective.

    Notes
    -----
    With ``sklearn.set_config(enable_metadata_routing=True)``, methods accept metadata and route it to ``estimator``.
    Values of one per sample are cut to the kept samples. Pass weights to the last step of a pipeline like this::

        step = Ridge().set_fit_request(sample_weight=True)
        model = TrimmedEstimator(make_pipeline(StandardScaler(), step)).set_fit_request(sample_weight=True)
        model.fit(X, y, sample_weight=weights)

    Weights always count samples in trimming; ``estimator`` gets them only if it requests them.
    """

    __metadata_request__score = {"sample_weight": UNUSED}  # only estimator uses them
    coef_, intercept_, feature_importances_ = map(_inner, ("coef_", "intercept_", "feature_importances_"))

    def __init__(
        self,
        estimator,
        support_fraction=0.75,
        *,
        loss="auto",
        groups="classes",
        errors="auto",
        max_iter=50,
        random_state=None,
    ):
        self.estimator = estimator
        self.support_fraction = support_fraction
        self.loss = loss
        self.groups = groups
        self.errors = errors
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, **params):
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
        **params : dict
            Metadata that ``estimator`` requests for its fit, if metadata routing is enabled.

        Raises
        ------
        ValueError
            If a parameter is out of range or does not suit the estimator, or data or weights have the wrong shape. Also
            if no sample of a class would be kept, or one of infinite loss would be, or if predictions have the wrong
            shape or lack a label. Also for ``params`` without metadata routing.
        """
        X, y, counted, weights, refit = self._checked(X, y, sample_weight, params)
        loss, names = self._loss_name(), getattr(self, "feature_names_in_", None)
        classes = np.unique(y, return_inverse=True) if is_classifier(self.estimator) else None
        groups = classes[1] if classes and self.groups else None

        def update(_, mass, t):
            if classes:
                self._check_classes(y, mass > 0, t)
            return refit(mass)

        def select(losses, alpha):
            try:
                if weights is None:
                    return trim(losses, alpha, groups=groups)
                return trim_mass(losses, weights, alpha, groups=groups)
            except ValueError as error:
                raise ValueError(f"{error}{worst_class(losses, groups, classes)}") from None

        losses = _scores(X, y, loss, classes)
        first = refit(np.ones(len(y), bool) if weights is None else weights)
        self.support_fraction_ = self._fraction(X, y, refit, losses, select, first)
        rounds = iterate(
            losses, update, first, self.support_fraction_, self.max_iter, select=select, stop_at_fixed_point=True
        )
        path, flawless, before, said, seen = [], False, None, "", {}
        for step in rounds:
            mass, moving = step.kept, step.n_entered + step.n_left
            path.append(float(mass[mass > 0] @ step.losses[mass > 0]))
            if before is None:
                flawless = is_nothing(step.losses, y, loss)
            if path[-1] == 0 and (flawless if before is None else not step.losses[before > 0].any()):
                mass, said = mass if before is None else before, ""  # no other selection has a smaller loss
                break
            said = moving and (
                f"{moving} of {len(mass)} samples entered or left in round {step.t}, the last; raise "
                f"max_iter={self.max_iter}, or accept this fit"
            )
            if again := period(seen, mass, path):
                said = (
                    f"no fixed point: the selections repeat every {again} rounds, and more rounds change nothing; the "
                    f"fit is that of round {step.t}, of smallest objective among these. Accept this fit, or use a "
                    "smoother estimator (such as more neighbours)"
                )
                break
            before = mass
        if said:
            warnings.warn(said, ConvergenceWarning, stacklevel=2)
        kept = mass > 0
        said = uninformative(step.theta, loss, self.support_fraction_, flawless, step.losses[kept], y[kept], mass[kept])
        if said:
            warnings.warn(said, stacklevel=2)
        warn_undetermined(X, kept, names, chance=0.01)
        self.estimator_, self.inlier_mask_ = step.theta, in_place(kept, counted)
        self.objective_, self.objective_path_, self.n_iter_ = path[-1], np.array(path), len(path)
        if classes:
            self.classes_ = getattr(step.theta, "classes_", classes[0])
        return self

    def _checked(self, X, y, sample_weight, params):
        """Check parameters and data; return the samples of positive weight, their mask, their weights, and the refit.

        The refit is a function of the mass kept of each sample, (n,), that returns a fitted model.
        """
        self._check_loss()
        whole(1).check("max_iter", self.max_iter)
        if self.groups is not None and not (isinstance(self.groups, str) and self.groups == "classes"):
            raise ValueError(f"groups must be 'classes' or None, got {self.groups!r:.60}; itlm.iterate allows others")
        seed = None if self.random_state is None else seed_from(self.random_state)
        given, weighted = self._routed(sample_weight, params)
        tags, name = get_tags(self.estimator), type(self.estimator).__name__
        if tags.input_tags.pairwise:
            raise ValueError(f"estimator must take features, got {name}, set to take a matrix of all pairs of samples")
        if isinstance(X, list) and not X:
            raise ValueError("X has 0 samples; give at least one")
        validate_data(self, X, y, skip_check_array=True)
        X, y = indexable(X, y)
        if is_classifier(self.estimator) or not tags.target_tags.multi_output:
            y = column_or_1d(y, warn=True)
        if not len(y):
            raise ValueError("X has 0 samples; give at least one")
        if is_classifier(self.estimator):
            check_labels(y)
        else:
            y = check_outputs(y)
        counted, weights = check_weights(sample_weight, X)
        if counted is not None:
            some = np.flatnonzero(counted)
            given, X, y = _check_method_params(X, given, some), _safe_indexing(X, some), y[counted]
        if not self._is_auto():
            mass_kept(len(y) if weights is None else total_weight(weights), self.support_fraction, " or 'auto'")
        elif weights is not None:
            raise ValueError("support_fraction='auto' takes no sample_weight: give the fraction, or repeat samples")

        def refit(mass):
            kept = np.flatnonzero(mass)
            own = {} if weights is None else dict.fromkeys(weighted, mass[kept])
            model = _seeded(self.estimator, seed)
            return model.fit(_safe_indexing(X, kept), y[kept], **_check_method_params(X, given, kept), **own)

        return X, y, counted, weights, refit

    def _is_auto(self) -> bool:
        return isinstance(self.support_fraction, str) and self.support_fraction == "auto"

    def _fraction(self, X, y, refit, losses, select, first):
        """Return the fraction to keep, given or estimated from the first fit and planted errors."""
        vars(self).pop("error_share_", None)  # of an earlier fit
        if not self._is_auto():
            return self.support_fraction
        seed = 0 if self.random_state is None else seed_from(self.random_state)
        kept = select(losses(first), START) > 0
        self.error_share_ = planted_share(self.estimator, self.errors, X, y, refit, losses, first, kept, seed)
        return self.error_share_.fraction()

    def _routed(self, sample_weight, params):
        """Return what ``estimator`` gets for its fit, and the names under which it gets the weights."""
        _raise_for_params(params, self, "fit")
        if _routing_enabled():
            given = process_routing(self, "fit", sample_weight=sample_weight, **params)["estimator"]["fit"]
            weighted = [name for name, value in given.items() if value is sample_weight]
            return {name: value for name, value in given.items() if name not in weighted}, weighted
        if sample_weight is not None and not has_fit_parameter(self.estimator, "sample_weight"):
            raise ValueError(
                f"sample_weight cannot be used: {type(self.estimator).__name__} takes none; leave it out, repeat "
                "samples, or enable metadata routing (see the notes of TrimmedEstimator)"
            )
        return {}, ["sample_weight"]

    def _check_classes(self, y, kept, t):
        """Refuse a selection without a sample of some class."""
        if len(lost := np.setdiff1d(y, y[kept])):
            raise ValueError(
                f"no sample of class {lost[0]} is kept in round {t}; use a support_fraction larger than "
                f"{self.support_fraction}, or "
                + ("leave out classes of so few samples" if self.groups else "groups='classes'")
            )

    def _loss_name(self):
        if not (isinstance(self.loss, str) and self.loss == "auto"):
            return self.loss
        if not is_classifier(self.estimator):
            return "squared"
        only = hasattr(self.estimator, "decision_function") and not hasattr(self.estimator, "predict_proba")
        return "hinge" if only else "log"

    def _check_loss(self):
        name = type(self.estimator).__name__
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "fit"):
            raise ValueError(f"estimator must be a regressor or a classifier, like Ridge(), got {self.estimator!r:.60}")
        if not (is_classifier(self.estimator) or is_regressor(self.estimator)):
            raise ValueError(f"estimator must be a regressor or a classifier, got {name}")
        loss = self._loss_name()
        if callable(loss):
            return
        if not isinstance(loss, str) or loss not in (*LOSSES, *METHODS):
            known = ", ".join(map(repr, (*METHODS, *LOSSES)))
            raise ValueError(f"loss must be 'auto', {known} or callable, got {loss!r}")
        if is_classifier(self.estimator) != (loss in METHODS):
            raise ValueError(f"loss={loss!r} does not suit {name}; use 'auto' or a callable")
        if loss in METHODS and not hasattr(self.estimator, METHODS[loss]):
            raise ValueError(
                f"loss={loss!r} needs {METHODS[loss]}, which {name} lacks; use loss='auto', calibrate {name}, or give "
                "a callable loss of the predicted labels"
            )

    def get_metadata_routing(self):
        """Return which metadata the methods use and pass on, as a scikit-learn ``MetadataRouter``."""
        mapping = MethodMapping()
        for method in ("fit", "predict", "predict_proba", "predict_log_proba", "decision_function", "score"):
            mapping.add(caller=method, callee=method)
        return MetadataRouter(owner=self).add_self_request(self).add(estimator=self.estimator, method_mapping=mapping)

    def _ask(self, method, *data, **params):
        """Call a method of ``estimator_``, with the metadata that it requests."""
        check_is_fitted(self)
        if _routing_enabled():
            params = process_routing(self, method, **params)["estimator"][method]
        elif method != "score":
            _raise_for_params(params, self, method)
        return getattr(self.estimator_, method)(*data, **params)

    @available_if(_has("predict"))
    def predict(self, X, **params):
        """Predict outputs or labels with ``estimator_``: shape (m,) or (m, n_outputs).

        Parameters
        ----------
        X : array, sparse matrix or data frame, shape (m, n_features)
            Features.
        **params : dict
            Metadata that ``estimator`` requests, if metadata routing is enabled. So too for the methods below.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        return self._ask("predict", X, **params)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X, **params):
        """Predict probabilities, if ``estimator_`` does: shape (m, n_classes), in the order of ``classes_``."""
        return self._ask("predict_proba", X, **params)

    @available_if(_has("predict_log_proba"))
    def predict_log_proba(self, X, **params):
        """Predict logarithms of probabilities, if ``estimator_`` does: shape (m, n_classes)."""
        return self._ask("predict_log_proba", X, **params)

    @available_if(_has("decision_function"))
    def decision_function(self, X, **params):
        """Compute the decision function, if ``estimator_`` has one: shape (m,) or (m, n_classes)."""
        return self._ask("decision_function", X, **params)

    @available_if(_has("score"))
    def score(self, X, y, sample_weight=None):
        """Score all given samples as ``estimator_`` does: usually by R^2 or accuracy."""
        return self._ask("score", X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if not hasattr(self.estimator, "__sklearn_tags__") or isinstance(self.estimator, type):
            return tags  # fit refuses it; its repr must not
        inner = get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "input_tags", "target_tags"):
            setattr(tags, name, getattr(inner, name))
        if inner.estimator_type == "classifier":
            tags.target_tags = replace(inner.target_tags, multi_output=False)
            tags.classifier_tags = inner.classifier_tags and replace(inner.classifier_tags, multi_label=False)
        return tags


def _scores(X, y, loss, classes):
    """Return the function that scores all samples or, with ``rows``, some of them with other labels."""

    def losses(model, rows=None, labels=y):
        known = classes and (classes[0], np.searchsorted(classes[0], labels))
        return losses_of(model, X if rows is None else _safe_indexing(X, rows), labels, loss, known)

    return losses


def _seeded(estimator, seed):
    """Clone an estimator, and set every random_state within it."""
    model = clone(estimator)
    if seed is not None:
        model.set_params(**{k: seed for k in model.get_params() if k == "random_state" or k.endswith("__random_state")})
    return model
