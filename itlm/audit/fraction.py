"""Estimate what share of the samples is wrong, with an upper bound, from errors planted on purpose.

    share = error_share(X, y, fit, losses, "uniform")
    print(share)                      0.196 of the samples, at most 0.224 (95 %)
    share.estimate, share.upper, share.verdict

The idea: let D(t) be the share of all samples whose loss is at least t, and R(t) that of planted errors. If real errors
have losses like planted ones, D = eps R + (1 - eps) F, with F >= 0 that of the clean samples. So eps <= D(t)/R(t) for
every t. The smallest ratio bounds the share eps of errors from above, without any assumption about the clean samples,
and equals it if some threshold separates them.

All losses are out of fold: a model never scores a sample that it was fitted to, so it cannot have memorised it. Errors
are planted among samples that a trimmed fit keeps: a planted error on a wrong label would be an error of another kind.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..parameters import whole
from ..trimming import as_losses, n_kept, trim
from .planting import _OfLabels, labels_of, plant, several, take

__all__ = ["ErrorShare", "choose_fraction", "compare", "error_share", "split"]

START = 0.5  # fraction that the first, trimmed fits keep
LEAST = 0.7  # share of planted errors that a threshold must reach: beyond it, they are no longer like real ones
THRESHOLDS = np.linspace(LEAST, 0.99, 16)  # shares of planted errors at which ratios are taken
NONE = 0.03  # largest upper bound for "none found"
SMALL = 0.1  # an upper bound below this says enough, whatever share of it is clean samples
AGREE = 0.1  # largest difference between the estimates of several kinds for "a number"
SETTLED = 0.1  # largest change of the estimate in the last round for "a number"
FLAT = 0.3  # largest excess of the slope of D over R above D/R for "a number"; without clean samples both are eps
DISTINCT = 0.7  # largest ratio of the second to the first predicted class, of the samples with one given label
MOST = 0.6  # largest share of wrong samples that is believed


@dataclass(frozen=True, eq=False, repr=False)
class ErrorShare:
    """An estimated share of wrong samples.

    Attributes
    ----------
    estimate : float in [0, 1]
        Estimated share of wrong samples.
    upper : float in [0, 1]
        Upper bound of the share, at the confidence ``level``, if real errors are like the planted ones.
    level : float in (0, 1)
        Confidence of the bound.
    verdict : {"a number", "none found", "cannot tell"}
        "None found": the bound is at most 0.03. "Cannot tell": see ``reasons``.
    reasons : tuple of str
        Why the estimate cannot be trusted; empty unless the verdict is "cannot tell".
    threshold, of_all, of_planted : array, shape (n_thresholds,)
        Losses t, and the shares D(t) of all samples and R(t) of planted errors with a loss of at least t.
    by_round : tuple of float
        Estimates of all rounds; the last is ``estimate``.
    losses : array, shape (n,), or None
        Each sample's loss, out of fold, in the last round.
    kept : array of bool, shape (n_rounds + 1, n), or None
        The samples kept before the first round and after each round.
    suggested, margin : array, shape (n,), or None
        The label of smallest loss, out of fold, and the smallest loss under another label than the given one minus the
        loss under the given one: below 0 if the model prefers another label. Only for kinds of errors in labels.
    by_kind : dict of str to ErrorShare
        The comparison with the planted errors of each kind, in the last round.
    """

    estimate: float
    upper: float
    level: float
    verdict: str
    reasons: tuple[str, ...]
    threshold: np.ndarray
    of_all: np.ndarray
    of_planted: np.ndarray
    by_round: tuple[float, ...] = ()
    losses: np.ndarray | None = None
    kept: np.ndarray | None = None
    suggested: np.ndarray | None = None
    margin: np.ndarray | None = None
    by_kind: dict[str, "ErrorShare"] = field(default_factory=dict)

    def __repr__(self) -> str:
        bound = f"at most {self.upper:.3f} ({100 * self.level:g} %)"
        if self.verdict == "none found":
            return f"none found, {bound}"
        if self.verdict == "cannot tell":
            return f"cannot tell: {'; '.join(self.reasons)} (estimate {self.estimate:.3f}, {bound})"
        return f"{self.estimate:.3f} of the samples, {bound}"

    def fraction(self) -> float:
        """Return the fraction to keep: one minus the upper bound.

        If the share cannot be told, a warning says why, and at least one half is kept.
        """
        if self.verdict != "cannot tell":
            return max(1 - self.upper, 0.05)
        alpha = max(1 - self.upper, START)
        warnings.warn(f"the share of wrong samples is unknown ({self!r}); keeping {alpha:.3f} of them", stacklevel=3)
        return alpha

    def after_trimming(self, alpha: float) -> tuple[float, float]:
        """Predict what nobody can see: the shares of wrong samples among the kept and among the dropped.

        Parameters
        ----------
        alpha : float in (0, 1]
            Fraction kept, by loss.
        """
        probability, k = np.sort(self.probability()), n_kept(len(self.losses), alpha)
        return float(probability[:k].mean()), float(probability[k:].mean()) if k < len(probability) else 0.0

    def found(self, alpha: float) -> float:
        """Return the share of planted errors among the dropped, if the fraction alpha is kept, by loss."""
        n_kept(10**6, alpha)
        return float(np.interp(1 - alpha, self.of_all[::-1], self.of_planted[::-1], left=0.0))

    def probability(self, losses=None) -> np.ndarray:
        """Return the probability of each sample to be wrong, which rises with its loss.

        Of the share D(t) of all samples, min(D, eps R) is wrong. The probability is the slope of this curve's least
        concave majorant over D. Over all samples it adds up to the estimate.

        Parameters
        ----------
        losses : array, shape (m,), optional
            Losses of samples; by default of those that the share was estimated from.
        """
        from scipy.optimize import isotonic_regression

        losses = self.losses if losses is None else np.asarray(losses, float)
        some = np.flatnonzero(np.diff(self.of_all, append=0))  # thresholds that are losses of the samples
        of_all, wrong = self.of_all[some], np.minimum(self.of_all, self.estimate * self.of_planted)[some]
        all_in, wrong_in = -np.diff(of_all, append=0), -np.diff(wrong, append=0)
        slope = isotonic_regression(wrong_in / all_in, weights=all_in).x
        step = np.searchsorted(self.threshold[some], losses, side="right") - 1
        return np.clip(slope[np.maximum(step, 0)], 0.0, 1.0) + 0.0  # never -0.0


def compare(losses, planted, *, level: float = 0.95) -> ErrorShare:
    """Estimate the share of wrong samples from the losses of all samples and those of planted errors.

    The bound is the smallest, over 16 thresholds, of the ratio of an upper bound of D to a lower bound of R. These are
    exact binomial bounds, with a level that holds for all thresholds together: Clopper-Pearson's of D, and the law of
    order statistics for R, since thresholds are quantiles of the planted losses. (Best bin estimation, Garg et al.
    2021, uses Hoeffding's bound, which is far wider for small shares.)

    Parameters
    ----------
    losses : array of float, shape (n,)
        Losses of all samples, planted errors excluded.
    planted : array of float, shape (m,)
        Losses of the planted errors.
    level : float in (0, 1)
        Confidence of the bound.

    Raises
    ------
    ValueError
        For NaN losses, a level out of range, or so few samples that even with no error found the bound would exceed 1.
    """
    from scipy.stats import beta

    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level!r}: a bound that is certain is 1")
    losses, planted = (as_losses(labels_of(values).astype(float)) for values in (losses, planted))
    n, m = len(losses), len(planted)
    risk = (1 - level) / 2 / len(THRESHOLDS)
    needed = int(np.ceil(np.log(risk) / np.log(LEAST)))
    if min(n, m) < needed:
        raise ValueError(
            f"losses has {n} samples and planted {m}: a bound at level {level:g} needs at least {needed} of each"
        )
    threshold = np.quantile(planted, 1 - THRESHOLDS, method="inverted_cdf")
    above = np.array([(losses >= t).sum() for t in threshold])
    found = np.array([(planted >= t).sum() for t in threshold])
    high = np.where(above < n, beta.ppf(1 - risk, above + 1, np.maximum(n - above, 1)), 1.0)
    low = beta.ppf(risk, found, m - found + 1)
    bounds, ratios = np.minimum(high / low, 1), np.minimum(above / n / (found / m), 1)
    best = int(np.argmin(bounds))
    estimate, upper = float(ratios[best]), float(bounds[best])
    far = 2 * len(THRESHOLDS) // 3
    rise = (above[far] - above[0]) / n / ((found[far] - found[0]) / m) if found[far] > found[0] else 1.0
    reasons = []
    if upper > SMALL and (rise - ratios[0] > FLAT or estimate > MOST):
        reasons.append("no threshold separates planted errors from clean samples")
    verdict = "cannot tell" if reasons else "none found" if upper <= NONE else "a number"
    every = np.sort(np.concatenate([losses, planted]))
    every = np.unique(every[np.linspace(0, len(every) - 1, 200).astype(int)])
    shares = [1 - np.searchsorted(np.sort(v), every, side="left") / len(v) for v in (losses, planted)]
    return ErrorShare(estimate, upper, level, verdict, tuple(reasons), every, *shares, (estimate,), losses)


def error_share(
    X,
    y,
    fit: Callable,
    losses: Callable,
    kind,
    *,
    also=None,
    kept=None,
    start: float = START,
    groups=None,
    rounds: int = 2,
    folds: int = 2,
    level: float = 0.95,
    random_state=0,
) -> ErrorShare:
    """Estimate what share of the samples is wrong, in the way that ``kind`` describes.

    Each round fits one model to the kept samples outside each fold, scores the fold's samples, plants errors among the
    kept ones, compares the losses, and keeps the samples that are then believed clean. Two rounds of two folds cost
    four fits, each to at most half of the samples, beyond the fit to all samples that gives ``kept``.

    Parameters
    ----------
    X, y : array, data frame or tensor with n samples
        Features, and labels or outputs as given.
    fit : callable, (X, y) -> model
        Fits a model of yours to some samples.
    losses : callable, (model, X, y) -> array of float, shape (n_samples,)
        The loss of each sample; large if the model disagrees with y.
    kind : str or callable, or sequence or mapping of these
        The kind of error that you fear, as for `itlm.audit.planting.plant`. Of several kinds, planted in turn without
        further fits, the one with the largest bound counts; if their estimates differ by more than 0.1, the share
        cannot be told. A mapping names them.
    also : as kind, optional
        Kinds that are planted only to see how many of them are found, see ``by_kind``.
    kept : array of bool, shape (n,), optional
        Samples to begin with, nearly all of them clean. By default the fraction ``start`` with the smallest losses
        under a fit to all samples.
    start : float in (0, 1]
        Fraction to begin with. It must be below the clean fraction.
    groups : array, shape (n,), optional
        Trim within each group; by default within each given label if ``kind`` changes labels.
    rounds : int, at least 1
        Number of rounds.
    folds : int, at least 2, or sequence of int
        Number of folds; a sequence has one for each round.
    level : float in (0, 1)
        Confidence of the bound.
    random_state : int or numpy.random.Generator
        Seeds the folds and the planted errors.

    Raises
    ------
    ValueError
        For too few samples, NaN losses, losses of another length, or the errors of `itlm.audit.planting.plant`.
    """
    whole(1).check("rounds", rounds)
    folds = [folds] * rounds if isinstance(folds, int) else list(folds)
    for one in folds:
        whole(2).check("folds", one)
    if len(folds) != rounds:
        raise ValueError(f"folds has {len(folds)} numbers for {rounds} rounds: give one for each, or a single one")
    random, n = np.random.default_rng(random_state), len(y)
    feared, others = several(kind), {} if also is None else several(also)
    kinds = [*feared.values(), *others.values()]
    if groups is None and all(isinstance(one, _OfLabels) for one in kinds):
        groups = labels_of(y)
    if kept is None:
        kept = trim(_losses_of(losses, fit(X, y), X, y), start, groups=groups)
    kept, estimates = labels_of(kept).astype(bool), []
    history = [kept]
    for n_folds in folds:
        fold = split(n, n_folds, groups, random)
        given, planted, by_label = _out_of_fold(X, y, fit, losses, kinds, kept, fold, random)
        each = [compare(given, wrong, level=level) for wrong in planted]
        found = max(each[: len(feared)], key=lambda one: one.upper)
        estimates.append(found.estimate)
        kept = labels_of(trim(given, 1 - min(found.estimate, MOST), groups=groups))
        history.append(kept)
    suggested = margin = None
    ambiguous = 0.0
    if by_label is not None:
        suggested, margin, ambiguous = _preferred(labels_of(y), by_label)
    reasons = list(found.reasons)
    if len(estimates) > 1 and abs(estimates[-1] - estimates[-2]) > SETTLED:
        reasons.append(f"the estimate does not settle ({', '.join(f'{e:.2f}' for e in estimates)})")
    if np.ptp(estimated := [one.estimate for one in each[: len(feared)]]) > AGREE:
        reasons.append(f"the kinds disagree ({', '.join(f'{one:.2f}' for one in estimated)})")
    if ambiguous > DISTINCT:
        reasons.append("the samples of a given label belong to two classes in nearly equal parts")
    verdict = "none found" if found.upper <= NONE else "cannot tell" if reasons else "a number"
    return replace(
        found, verdict=verdict, reasons=tuple(reasons) if verdict == "cannot tell" else (), by_round=tuple(estimates),
        losses=given, kept=np.array(history), suggested=suggested, margin=margin,
        by_kind=dict(zip([*feared, *others], each, strict=True)),
    )  # fmt: skip


def choose_fraction(*arguments, **options) -> float:
    """Return `ErrorShare.fraction` of `error_share`, whose parameters these are: the fraction to keep."""
    return error_share(*arguments, **options).fraction()


def _out_of_fold(X, y, fit, losses, kinds, kept, fold, random):
    """Return the losses of all samples and of planted errors of each kind, out of fold.

    For errors in labels also the loss of each sample under each label, shape (n, n_classes), else None.
    """
    given, planted = np.empty(len(y)), [[] for _ in kinds]
    of_labels = all(isinstance(kind, _OfLabels) for kind in kinds)
    labels = labels_of(y)
    classes = np.unique(labels) if of_labels else []
    by_label = np.empty((len(y), len(classes))) if of_labels else None
    errors = [plant(X, y, kind, among=kept, random_state=random) for kind in kinds]
    for k in np.unique(fold):
        rest, mine = np.flatnonzero(kept & (fold != k)), np.flatnonzero(fold == k)
        if len(lacking := np.setdiff1d(classes, labels[rest])):
            raise ValueError(
                f"kept has no sample of class {lacking.tolist()[0]!r} outside fold {k}: keep at least two of each "
                "class, or more of all"
            )
        model, part = fit(take(X, rest), take(y, rest)), take(X, mine)
        given[mine] = _losses_of(losses, model, part, take(y, mine))
        for j, c in enumerate(classes):
            by_label[mine, j] = _losses_of(losses, model, part, _filled(y, len(mine), c))
        for error, found in zip(errors, planted, strict=True):
            if not len(wrong := error.ids[fold[error.ids] == k]):
                continue
            found.append(_losses_of(losses, model, take(error.X, wrong), take(error.y, wrong)))
    return given, [np.concatenate(found) for found in planted], by_label


def split(n: int, folds: int, groups, random) -> np.ndarray:
    """Return the fold of each sample, shape (n,); each group is spread evenly."""
    order = random.permutation(n)
    if groups is not None:
        order = order[np.argsort(labels_of(groups)[order], kind="stable")]
    fold = np.empty(n, int)
    fold[order] = np.arange(n) % folds
    return fold


def _losses_of(losses, model, X, y) -> np.ndarray:
    found = as_losses(labels_of(losses(model, X, y)))
    if len(found) != len(y):
        raise ValueError(f"losses gave {len(found)} values for {len(y)} samples: give the loss of each")
    return found.astype(float)


def _filled(y, n, label):
    """Return n times the same label, in the container that y has."""
    same = take(y, np.zeros(n, int))
    return same.new_full((n,), label) if hasattr(same, "new_full") else np.full(n, label)


def _preferred(labels, by_label):
    """Return the label of smallest loss, the margin, and how ambiguous the labels are.

    The last is, for the given label that is most so, the second most preferred class's share over the first's.
    """
    classes, code = np.unique(labels, return_inverse=True)
    guess, worst = np.argmin(by_label, axis=1), 0.0
    for c in range(len(classes)):
        second, first = np.sort(np.bincount(guess[code == c], minlength=max(2, len(classes))))[-2:]
        worst = max(worst, second / first)
    rows, others = np.arange(len(labels)), by_label.copy()
    others[rows, code] = np.inf
    return classes[guess], others.min(axis=1) - by_label[rows, code], worst
