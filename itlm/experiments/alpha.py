"""How much is wrong? Estimates of the share of wrong labels compared, and what ITLM reaches with them.

    record = run(Config(dataset="digits", noise="systematic", share=0.2))

Every method gets the same data and the same model, and returns an estimate. ITLM is then run with the fraction to keep
that follows from the estimate, and with alpha* - 5 points, which nobody knows.

Not in the paper, which takes alpha from the truth, or names cross-validation (Shen & Sanghavi, ICML 2019, Section 6.2).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..audit import confusable, error_share, plant, systematic
from ..audit.fraction import START
from ..parameters import Parameters, alpha_of, one_of, parameter, real, whole
from ..records.record import Record, begin
from ..rivals import shares
from ..trimming import iterate, trim

__all__ = ["RECIPE", "Config", "Task", "digest", "estimate", "run", "task", "visits"]

RECIPE = 1
FOLDS = 5  # of predictions out of fold for the other methods, as in cleanlab
ROUNDS = {"cifar10": 2}  # of ITLM; 5 elsewhere
# Of digits as in `itlm.experiments.labels`, of CIFAR-10 a small network as in `itlm.experiments.cifar`.
NETWORK = {"batch": 100, "lr": 0.1}
COLOUR = NETWORK | {"momentum": 0.9, "shape": "one_cycle", "augment": "mirror", "half": True}
EPOCHS = {"mnist5k": 10.0, "mnist": 20.0, "cifar10": 6.0}
IMAGES = {"mnist5k": 3000, "mnist": 3000, "cifar10": 10_000}
# Share of wrong labels in each set of CIFAR-10N, all 50,000 images.
HUMAN = {"aggregate": 0.0901, "random1": 0.1723, "random2": 0.1812, "random3": 0.1764, "worse": 0.4021}
GRID = tuple(round(0.5 + 0.05 * i, 2) for i in range(11))  # fractions kept that cross-validation tries
VERDICTS = {"a number": 0.0, "none found": 1.0, "cannot tell": 2.0}
TABLES = ("digits", "cancer")  # fitted by scikit-learn
KINDS = ("uniform", "systematic", "confusable")
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


class Task(NamedTuple):
    """A run's data and model. Only the record uses ``is_wrong``, and only its accuracies the test set."""

    X: object  # (n, ...)
    y: np.ndarray  # (n,) labels as given, 0, 1, ...
    is_wrong: np.ndarray  # (n,)
    test_X: object
    test_y: np.ndarray
    n_classes: int
    fit: Callable  # (X, y, **options) -> model; ``weights`` for tables, ``n`` to fix the steps of a network
    probabilities: Callable  # (model, X) -> (m, n_classes)

    def losses(self, model, X, y) -> np.ndarray:
        """Return the log-loss of each sample, (m,)."""
        p = self.probabilities(model, X)
        return -np.log(np.maximum(p[np.arange(len(y)), np.asarray(y)], 1e-12))

    def accuracy(self, model) -> float:
        """Return the percentage of test samples whose class is predicted."""
        return 100 * float((self.probabilities(model, self.test_X).argmax(1) == self.test_y).mean())


def task(config: Config) -> Task:
    """Draw the data, and corrupt labels."""
    c = config.resolved()
    given = _table(c) if c.dataset in TABLES else _images(c)
    wrong = round(c.share * len(given.y))
    if not wrong or c.noise in HUMAN:
        return given
    kind = _kind(c.noise, given, lambda: _out_of_fold(given, c.seed))  # a model of the clean data, not for the methods
    dirty = plant(given.X, given.y, kind, wrong, random_state=[c.seed, 1])
    return given._replace(y=dirty.y, is_wrong=np.isin(np.arange(len(given.y)), dirty.ids))


def _kind(name, given, probabilities):
    """Return a kind of error by name; ``probabilities`` are computed for confusable errors only."""
    if name == "several":
        return ["uniform", confusable(probabilities())]
    if name == "confusable":
        return confusable(probabilities())
    if name == "systematic":
        return systematic(given.n_classes)
    return name


def _table(c: Config) -> Task:
    from sklearn import datasets
    from sklearn.base import clone
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    load, n, plain = {
        "digits": (datasets.load_digits, 1300, LogisticRegression(max_iter=200)),
        "cancer": (datasets.load_breast_cancer, 400, HistGradientBoostingClassifier(max_iter=50, random_state=0)),
    }[c.dataset]
    X, y = load(return_X_y=True)
    X = X / np.abs(X).max(axis=0).clip(1e-9)
    X, test_X, y, test_y = train_test_split(X, y, train_size=n, stratify=y, random_state=c.seed)
    n_classes = int(y.max()) + 1

    def probabilities(model, X):
        p = np.zeros((len(X), n_classes))
        p[:, model.classes_] = model.predict_proba(X)
        return p

    def fit(X, y, weights=None, n=None):
        return clone(plain).fit(X, y, weights)

    return Task(X, y, np.zeros(n, bool), test_X, test_y, n_classes, fit, probabilities)


def _images(c: Config) -> Task:
    from ..deep import training
    from ..deep.inputs import in_colour
    from . import label_noise

    noise = c.noise if c.noise in HUMAN else "random"
    given, count = label_noise.draw(c.dataset, IMAGES[c.dataset], noise, 1.0, c.seed), iter(range(10**6))

    def fit(X, y, n=None):  # as many steps as for n samples, by default those given
        schedule = _schedule(c.dataset, n or len(y))
        make, seed = _network(c.dataset, X), training.derived_seed(c.seed, next(count))
        return training.fit(make, X, y, None, schedule, seed=seed, note=c.method).network

    def probabilities(model, X):
        return training.outputs(model, X).double().softmax(1).numpy(force=True)

    if c.dataset == "cifar10":
        given = given._replace(x=in_colour(given.x), test_x=in_colour(given.test_x))
    y, test_y = given.y.numpy(force=True), given.test_y.numpy(force=True)
    return Task(given.x, y, given.is_bad, given.test_x, test_y, 10, fit, probabilities)


def _network(dataset, X, n_classes=10):
    """Return what makes the data set's network, with weights from torch's global generator."""
    from ..deep import networks

    if dataset != "cifar10":
        return lambda: networks.LeNet(n_classes)
    filters = networks.whitening(X[:500])
    return lambda: networks.SmallNet(n_classes, width=16, filters=filters)


def _schedule(dataset, n):
    from ..deep import training

    rest = COLOUR if dataset == "cifar10" else NETWORK
    return training.Schedule(steps=training.count_steps(EPOCHS[dataset], n, rest["batch"]), **rest)


def _out_of_fold(given: Task, seed: int) -> np.ndarray:
    """Return predicted probabilities, (n, n_classes); no model predicts a sample that it was fitted to."""
    from sklearn.model_selection import StratifiedKFold

    found = np.empty((len(given.y), given.n_classes))
    for rest, mine in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(given.y, given.y):
        found[mine] = given.probabilities(given.fit(given.X[rest], given.y[rest]), given.X[mine])
    return found


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
        p, symmetric = _out_of_fold(given, c.seed), c.feared in ("uniform", "several") or given.n_classes == 2
        losses = -np.log(np.maximum(p[np.arange(len(p)), given.y], 1e-12))
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
    kind = _kind(c.feared, given, lambda: given.probabilities(first, given.X))
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
    import torch

    from ..deep import training

    random, n = np.random.default_rng([c.seed, 2]), len(given.y)
    chosen = random.permutation(n)[: n // (given.n_classes + 1)]
    y = given.y.copy()
    y[chosen] = given.n_classes
    labels, total = torch.as_tensor(y, device=given.X.device), np.zeros(n)

    def watch(network, step):
        logits = training.outputs(network, given.X)
        own = logits.gather(1, labels[:, None])[:, 0]
        others = logits.scatter(1, labels[:, None], -np.inf).max(1).values
        total[:] += (own - others).numpy(force=True)

    make, seed = _network(c.dataset, given.X, given.n_classes + 1), training.derived_seed(c.seed, 10**6)
    training.fit(make, given.X, y, None, _schedule(c.dataset, n), seed=seed, watch=watch, note=c.method)
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
    from ..deep import images

    return "scikit-learn" if config.dataset in TABLES else images.digest(config.dataset)


def visits(config: Config) -> float:
    """Return the number of samples times the fits, as the cost of a run."""
    c = config.resolved()
    n = {"digits": 1300, "cancer": 400}.get(c.dataset) or EPOCHS[c.dataset] * IMAGES[c.dataset]
    fits = {"cross_validation": 330, "trimmed_cross_validation": 330, "variational": 10}.get(c.method, FOLDS)
    return float(n * (fits + 2 * (ROUNDS.get(c.dataset, 5) + 1)))


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
