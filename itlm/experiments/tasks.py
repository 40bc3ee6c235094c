"""Data with label noise, and a model for each set. Shared by `alpha` and `suspects`.

    given = draw("digits", "systematic", 0.2, seed=0)
    model = given.fit(given.X, given.y)
    given.losses(model, given.X, given.y), given.accuracy(model)

Tables: 1,300 of scikit-learn's digits with logistic regression; 400 samples of its breast cancer table, two classes,
with gradient boosting. Images: 3,000 of MNIST with the authors' network, 10,000 of CIFAR-10 with a small one; and the
10,000 test images of both, whose labels are as published, a few of them confirmed errors.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..audit import confusable, plant, systematic
from ..audit.inspection import log_losses

__all__ = [
    "FOLDS", "HUMAN", "IMAGES", "KINDS", "TABLES", "TESTED", "Task", "digest", "draw", "kind_of", "mean_margins",
    "network", "out_of_fold", "schedule", "visits",
]  # fmt: skip

FOLDS = 5  # of predictions out of fold for the other methods, as in cleanlab
# Of digits as in `itlm.experiments.labels`, of CIFAR-10 a small network as in `itlm.experiments.cifar`.
NETWORK = {"batch": 100, "lr": 0.1}
COLOUR = NETWORK | {"momentum": 0.9, "shape": "one_cycle", "augment": "mirror", "half": True}
EPOCHS = {"mnist5k": 10.0, "mnist": 20.0, "cifar10": 6.0, "mnist_test": 10.0, "cifar10_test": 6.0}
IMAGES = {"mnist5k": 3000, "mnist": 3000, "cifar10": 10_000}
# Share of wrong labels in each set of CIFAR-10N, all 50,000 images.
HUMAN = {"aggregate": 0.0901, "random1": 0.1723, "random2": 0.1812, "random3": 0.1764, "worse": 0.4021}
TABLES = {"digits": 1300, "cancer": 400}  # fitted by scikit-learn
TESTED = {"mnist_test": "mnist", "cifar10_test": "cifar10"}
KINDS = ("uniform", "systematic", "confusable")


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
        return log_losses(self.probabilities(model, X), np.asarray(y))

    def accuracy(self, model) -> float:
        """Return the percentage of test samples whose class is predicted."""
        return 100 * float((self.probabilities(model, self.test_X).argmax(1) == self.test_y).mean())


def draw(dataset: str, noise: str, share: float, seed: int, *, note: str = "fit") -> Task:
    """Draw data, and corrupt labels.

    Parameters
    ----------
    dataset : str
        A name of `TABLES`, `IMAGES` or `TESTED`.
    noise : str
        A name of `KINDS`, or for cifar10 of `HUMAN`: labels that people gave. Confusable errors are drawn with the
        probabilities of a model of the clean data. The sets of `TESTED` keep their labels.
    share : float in [0, 1)
        Share of labels to corrupt, for a name of `KINDS`.
    seed : int
        Seeds the samples, the errors, the folds and the weights.
    note : str
        Name of the networks' progress bar.
    """
    given = _table(dataset, seed) if dataset in TABLES else _images(dataset, noise, seed, note)
    wrong = round(share * len(given.y))
    if not wrong or noise in HUMAN or dataset in TESTED:
        return given
    kind = kind_of(noise, given, lambda: out_of_fold(given, seed))  # a model of the clean data, not for the methods
    dirty = plant(given.X, given.y, kind, wrong, random_state=[seed, 1])
    return given._replace(y=dirty.y, is_wrong=np.isin(np.arange(len(given.y)), dirty.ids))


def kind_of(name, given, probabilities):
    """Return a kind of error by name; ``probabilities`` are computed for confusable errors only."""
    if name == "several":
        return ["uniform", confusable(probabilities())]
    if name == "confusable":
        return confusable(probabilities())
    if name == "systematic":
        return systematic(given.n_classes)
    return name


def _table(dataset: str, seed: int) -> Task:
    from sklearn import datasets
    from sklearn.base import clone
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    load, plain = {
        "digits": (datasets.load_digits, LogisticRegression(max_iter=200)),
        "cancer": (datasets.load_breast_cancer, HistGradientBoostingClassifier(max_iter=50, random_state=0)),
    }[dataset]
    n = TABLES[dataset]
    X, y = load(return_X_y=True)
    X = X / np.abs(X).max(axis=0).clip(1e-9)
    X, test_X, y, test_y = train_test_split(X, y, train_size=n, stratify=y, random_state=seed)
    n_classes = int(y.max()) + 1

    def probabilities(model, X):
        p = np.zeros((len(X), n_classes))
        p[:, model.classes_] = model.predict_proba(X)
        return p

    def fit(X, y, weights=None, n=None):
        return clone(plain).fit(X, y, weights)

    return Task(X, y, np.zeros(n, bool), test_X, test_y, n_classes, fit, probabilities)


def _images(dataset: str, noise: str, seed: int, note: str) -> Task:
    from ..deep import training
    from ..deep.inputs import in_colour
    from . import label_noise

    if dataset in TESTED:
        given = label_noise.published(TESTED[dataset])
    else:
        given = label_noise.draw(dataset, IMAGES[dataset], noise if noise in HUMAN else "random", 1.0, seed)
    count = iter(range(10**6))

    def fit(X, y, n=None):  # as many steps as for n samples, by default those given
        settings = schedule(dataset, n or len(y))
        own = training.derived_seed(seed, next(count))
        return training.fit(network(dataset, X), X, y, None, settings, seed=own, note=note).network

    def probabilities(model, X):
        return training.outputs(model, X).double().softmax(1).numpy(force=True)

    if dataset.startswith("cifar10"):
        given = given._replace(x=in_colour(given.x), test_x=in_colour(given.test_x))
    y, test_y = given.y.numpy(force=True), given.test_y.numpy(force=True)
    return Task(given.x, y, given.is_bad, given.test_x, test_y, 10, fit, probabilities)


def network(dataset: str, X, n_classes: int = 10) -> Callable:
    """Return what makes the data set's network, with weights from torch's global generator."""
    from ..deep import networks

    if not dataset.startswith("cifar10"):
        return lambda: networks.LeNet(n_classes)
    filters = networks.whitening(X[:500])
    return lambda: networks.SmallNet(n_classes, width=16, filters=filters)


def schedule(dataset: str, n: int):
    """Return the schedule of a fit to n images."""
    from ..deep import training

    rest = COLOUR if dataset.startswith("cifar10") else NETWORK
    return training.Schedule(steps=training.count_steps(EPOCHS[dataset], n, rest["batch"]), **rest)


def out_of_fold(given: Task, seed: int, folds: int = FOLDS) -> np.ndarray:
    """Return predicted probabilities, (n, n_classes); no model predicts a sample that it was fitted to."""
    from sklearn.model_selection import StratifiedKFold

    found = np.empty((len(given.y), given.n_classes))
    for rest, mine in StratifiedKFold(folds, shuffle=True, random_state=seed).split(given.y, given.y):
        found[mine] = given.probabilities(given.fit(given.X[rest], given.y[rest]), given.X[mine])
    return found


def mean_margins(dataset: str, given: Task, y, n_classes: int, seed: int, note: str = "fit") -> np.ndarray:
    """Return each sample's margin, summed over the epochs of one fit (AUM): the given logit less the largest other.

    Source: Pleiss, Zhang, Elenberg and Weinberger, NeurIPS 2020.
    """
    import torch

    from ..deep import training

    labels, total = torch.as_tensor(y, device=given.X.device), np.zeros(len(y))

    def watch(model, step):
        logits = training.outputs(model, given.X)
        own = logits.gather(1, labels[:, None])[:, 0]
        others = logits.scatter(1, labels[:, None], -np.inf).max(1).values
        total[:] += (own - others).numpy(force=True)

    make, seed = network(dataset, given.X, n_classes), training.derived_seed(seed, 10**6)
    training.fit(make, given.X, y, None, schedule(dataset, len(y)), seed=seed, watch=watch, note=note)
    return total


def digest(dataset: str) -> str:
    """Return the digest of a set."""
    from ..deep import images

    return "scikit-learn" if dataset in TABLES else images.digest(TESTED.get(dataset, dataset))


def visits(dataset: str) -> float:
    """Return the sample visits of one fit, the fits of scikit-learn counted as one epoch."""
    return float(TABLES.get(dataset) or EPOCHS[dataset] * IMAGES.get(dataset, 10_000))
