"""How much is wrong? Estimates of the share of wrong labels compared, and what ITLM reaches with them.

    record = run(Config(dataset="digits", noise="systematic", share=0.2))

Every method gets the same data and the same model, and returns an estimate. ITLM is then run with the fraction to keep
that follows from the estimate, and with alpha* - 5 points, which nobody knows.

Not in the paper, which takes alpha from the truth, or names cross-validation (Shen & Sanghavi, ICML 2019, Section 6.2).
"""

import warnings
from dataclasses import dataclass

import numpy as np

from ..audit import error_share
from ..audit.fraction import START
from ..audit.inspection import log_losses
from ..parameters import Parameters, alpha_of, one_of, parameter, real, whole
from ..records.record import Record, begin
from ..rivals import shares
from ..trimming import iterate, trim
from . import tasks
from .tasks import FOLDS, HUMAN, IMAGES, KINDS, TABLES, Task

__all__ = ["RECIPE", "TABLES", "Config", "Task", "digest", "estimate", "run", "task", "visits"]

RECIPE = 1
ROUNDS = {"cifar10": 2}  # of ITLM; 5 elsewhere
GRID = tuple(round(0.5 + 0.05 * i, 2) for i in range(11))  # fractions kept that cross-validation tries
VERDICTS = {"a number": 0.0, "none found": 1.0, "cannot tell": 2.0}
ONLY = {"margins": tuple(IMAGES), **dict.fromkeys(("variational", "cross_validation",
                                                          "trimmed_cross_validation"), TABLES)}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One estimate."""

    dataset: str = parameter(
        "digits", one_of(*TABLES, *IMAGES), "data and model",
        more="Digits: 1,300 of scikit-learn's, logistic regression. Cancer: a table of 400 samples and two classes, "
        "gradient boosting. Mnist5k and mnist: 3,000 images, the authors' network with our schedule. Cifar10: 10,000 "
        "images, a small network for 6 epochs.",
    )  # fmt: skip
    noise: str = parameter(
        "uniform", one_of(*KINDS, *HUMAN), "kind of label noise",
        more="Confusable: another label drawn with the probabilities of a model of the clean data. The last five are "
        "labels that people gave to CIFAR-10's images, see `itlm.deep.images.human_labels`.",
    )  # fmt: skip
    share: float | None = parameter(
        None, real(0, 0.6), "share of wrong labels", none="0.2, or that of the labels that people gave", earlier=0.2
    )
    method: str = parameter(
        "planted", one_of("planted", "confident", "incv", "gaussian", "gaussian_test", "beta", "variational", "margins",
                          "cross_validation", "trimmed_cross_validation"),
        "estimate", more="Planted is `itlm.audit.error_share`; the others are in `itlm.rivals.shares`.",
    )  # fmt: skip
    feared: str | None = parameter(
        None, one_of(*KINDS, "several"), "kind of error planted", none="that of the noise, or several for people's",
        more="Confusable errors are drawn with the probabilities of the model of the data as given. Several: uniform "
        "and confusable ones in turn.",
    )  # fmt: skip
    seed: int = parameter(0, whole(), "seed of the data, the errors, the folds and the weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dataset not in ONLY.get(self.method, (self.dataset,)):
            raise ValueError(
                f"method={self.method!r} is for dataset {' or '.join(ONLY[self.method])}, got {self.dataset!r}"
            )
        human = HUMAN.get(self.noise)
        if human and (self.dataset != "cifar10" or self.share not in (None, human)):
            raise ValueError(
                f"noise={self.noise!r} is of dataset cifar10 and has a share of its own, got {self.dataset!r} and "
                f"share={self.share}: take dataset='cifar10', and leave share out"
            )

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        human = self.noise in HUMAN
        return self.filled({"feared": "several" if human else self.noise, "share": HUMAN.get(self.noise, 0.2)})


def task(config: Config) -> Task:
    """Draw the data, and corrupt labels."""
    c = config.resolved()
    return tasks.draw(c.dataset, c.noise, c.share, c.seed, note=c.method)


def estimate(config: Config, given: Task) -> dict[str, float]:
    """Estimate the share of wrong labels.

    Returns
    -------
    dict of float
        ``estimate``; ``alpha``, the fraction to keep that follows; ``fits``, the number of fits; for planted errors
        also ``upper`` and ``verdict``, the position in `VERDICTS`.
    """
    c = config.resolved()
    if c.method == "planted":
        return _planted(c, given)
    if c.method == "margins":
        found, fits = _margins(given, c), 1
    elif c.method == "variational":
        scores = lambda model: given.losses(model, given.X, given.y)  # noqa: E731
        weighted = lambda weights: given.fit(given.X, given.y, weights=weights)  # noqa: E731
        found, fits = shares.variational(weighted, scores, len(given.y)), 10
    elif c.method in ("cross_validation", "trimmed_cross_validation"):
        found, fits = _cross_validated(given, c), len(GRID) * (ROUNDS.get(c.dataset, 5) + 1) * FOLDS
    else:
        p, symmetric = tasks.out_of_fold(given, c.seed), c.feared in ("uniform", "several") or given.n_classes == 2
        losses = log_losses(p, given.y)
        found, fits = (
            {
                "confident": lambda: shares.confident_joint(given.y, p),
                "incv": lambda: shares.agreement(given.y, p.argmax(1), given.n_classes, symmetric=symmetric),
                "gaussian": lambda: shares.gaussian_mixture(losses),
                "gaussian_test": lambda: shares.gaussian_mixture(losses, test=True),
                "beta": lambda: shares.beta_mixture(losses),
            }[c.method](),
            FOLDS,
        )
    return {"estimate": found, "alpha": alpha_of(1 - min(found, 0.9)), "fits": float(fits)}


def _planted(c: Config, given: Task) -> dict[str, float]:
    first = given.fit(given.X, given.y)
    kept = trim(given.losses(first, given.X, given.y), START, groups=given.y)
    kind = tasks.kind_of(c.feared, given, lambda: given.probabilities(first, given.X))
    found = error_share(given.X, given.y, given.fit, given.losses, kind, kept=kept, random_state=c.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the verdict is recorded
        alpha = found.fraction()
    return {
        "estimate": found.estimate, "upper": found.upper, "verdict": VERDICTS[found.verdict], "alpha": alpha,
        "fits": 5.0,
    }  # fmt: skip


def _cross_validated(given: Task, c: Config) -> float:
    """Return one minus the fraction kept whose held-out loss, of all samples or trimmed like the fit, is smallest."""
    from sklearn.model_selection import StratifiedKFold

    held_out = dict.fromkeys(GRID, 0.0)
    for rest, mine in StratifiedKFold(FOLDS, shuffle=True, random_state=c.seed).split(given.y, given.y):
        part = given._replace(X=given.X[rest], y=given.y[rest])
        for alpha in GRID:
            losses = given.losses(_itlm(part, alpha, c), given.X[mine], given.y[mine])
            kept = trim(losses, alpha) if c.method == "trimmed_cross_validation" else np.ones(len(mine), bool)
            held_out[alpha] += float(losses[kept].mean())
    return 1 - min(held_out, key=held_out.get)


def _margins(given: Task, c: Config) -> float:
    """Return AUM's estimate, with threshold samples of a class that does not exist, as many as a class has."""
    random, n = np.random.default_rng([c.seed, 2]), len(given.y)
    chosen = random.permutation(n)[: n // (given.n_classes + 1)]
    y = given.y.copy()
    y[chosen] = given.n_classes
    total = tasks.mean_margins(c.dataset, given, y, given.n_classes + 1, c.seed, c.method)
    others = np.setdiff1d(np.arange(n), chosen)
    return shares.margins(total[others], total[chosen])


def _itlm(given: Task, alpha: float, c: Config):
    """Return the last model of ITLM."""

    def update(model, kept, t):
        rows = np.flatnonzero(kept)
        return given.fit(given.X[rows], given.y[rows], n=len(given.y))

    everything = lambda model: given.losses(model, given.X, given.y)  # noqa: E731
    *_, last = iterate(everything, update, given.fit(given.X, given.y), alpha, ROUNDS.get(c.dataset, 5), groups=given.y)
    return last.theta


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return tasks.digest(config.dataset)


def visits(config: Config) -> float:
    """Return the number of samples times the fits, as the cost of a run."""
    c = config.resolved()
    fits = {"cross_validation": 330, "trimmed_cross_validation": 330, "variational": 10}.get(c.method, FOLDS)
    return float(tasks.visits(c.dataset) * (fits + 2 * (ROUNDS.get(c.dataset, 5) + 1)))


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and return the record.

    ``truth`` is the share of wrong labels; the numbers of `estimate` follow. ``accuracy_chosen`` and ``accuracy_known``
    are ITLM's test accuracies with ``alpha`` and with alpha* - 5 points, and ``accuracy_all`` is that of one fit to all
    samples, in percent. A run is short, so ``checkpoint`` is unused.
    """
    c = config.resolved()
    given = task(c)
    record = begin("alpha", RECIPE, c, digest(c))
    found = estimate(c, given)
    record.add(0, {"truth": float(given.is_wrong.mean()), **found})
    if c.method != "planted":
        return record.finish()
    record.add(0, {
        "accuracy_chosen": given.accuracy(_itlm(given, found["alpha"], c)),
        "accuracy_known": given.accuracy(_itlm(given, alpha_of(1 - float(given.is_wrong.mean())), c)),
        "accuracy_all": given.accuracy(given.fit(given.X, given.y)),
        "visits": visits(c),
    })  # fmt: skip
    return record.finish()
