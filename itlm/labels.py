"""Label errors: Table 1 of the paper, as an experiment.

Some training labels are wrong, at random or systematically. ITLM trains on everything (Round 0), keeps
the fraction alpha of the samples with the smallest loss, trains anew on those, and so on. Beside it the
paper's yardsticks: the oracle, trained on the clean samples alone, and the centroid rule, which drops the
samples far from the mean image of their class.

    config = Config(noise="systematic", clean=0.6)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.2; details the paper leaves to an appendix are from the
authors' code or declared on the page.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch

from . import corruption, data, networks, peers, records, training
from .config import Config as Checked
from .config import flag, one_of, parameter, real, whole
from .trimming import Round, iterate, trim

__all__ = ["RECIPE", "SCALES", "Config", "Task", "digest", "measure", "rounds", "run", "task", "visits"]

RECIPE = 1  # raise it when a change of the code changes what a run computes: old rows are then run again

# What a scale means. MNIST's 3,000 images are the paper's own size, so "paper" is "cpu" here.
SCALES = {
    "demo": {"dataset": "mnist5k", "n": 3000, "epochs": 10.0, "rounds": 5, "batch": 100, "lr": 0.1},
    "cpu": {"dataset": "mnist", "n": 3000, "epochs": 20.0, "rounds": 5, "batch": 100, "lr": 0.1},
    "paper": {"dataset": "mnist", "n": 3000, "epochs": 20.0, "rounds": 5, "batch": 100, "lr": 0.1},
}


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """One run of the experiment. None means: as the scale has it.

    Attributes
    ----------
    scale : {"demo", "cpu", "paper"}
        Where the fields below that are None come from.
    dataset : {"mnist5k", "mnist", "fashion_mnist"} or None
        The image set.
    noise : {"systematic", "random"}
        The kind of label errors.
    clean : float in [0, 1]
        Fraction of right labels (alpha* in the paper).
    alpha : float in (0, 1] or None
        Fraction kept (alpha in Algorithm 1). None: five points less than clean, as in the paper.
    method : {"itlm", "oracle", "centroid", "gce", "self_paced", "co_teaching", "confident"}
        What chooses the samples. ITLM's Round 0 is the baseline, Round 1 the paper's "1-step" column. The last four
        are other authors' methods, see `itlm.peers`.
    bounded : bool
        Whether the logits pass through tanh, as in the authors' code.
    activation : {"tanh", "relu"}
        The network's non-linearity.
    momentum : float in [0, 0.99]
        Of SGD.
    balanced : bool
        Trim within each given class, so that none can vanish.
    seed : int
        Of the subset, the errors, the weights and the batches.
    n, epochs, rounds, batch, lr
        Training images; passes over all n in every fit (the same steps whatever is kept); updates (T);
        samples a step; step size.
    """

    scale: str = parameter("demo", one_of(*SCALES))
    dataset: str | None = parameter(None, one_of("mnist5k", "mnist", "fashion_mnist", optional=True))
    noise: str = parameter("systematic", one_of("systematic", "random"))
    clean: float = parameter(0.6, real(0, 1))
    alpha: float | None = parameter(None, real(0, 1, above_low=True, optional=True))
    method: str = parameter("itlm", one_of("itlm", "oracle", "centroid", *peers.METHODS))
    bounded: bool = parameter(True, flag())
    activation: str = parameter("tanh", one_of("tanh", "relu"))
    momentum: float = parameter(0.0, real(0, 0.99))
    balanced: bool = parameter(False, flag())
    seed: int = parameter(0, whole())
    n: int | None = parameter(None, whole(100, 60000, optional=True))
    epochs: float | None = parameter(None, real(0, 1000, above_low=True, optional=True))
    rounds: int | None = parameter(None, whole(0, 50, optional=True))
    batch: int | None = parameter(None, whole(1, 10000, optional=True))
    lr: float | None = parameter(None, real(0, 10, above_low=True, optional=True))

    def resolved(self) -> "Config":
        """Return the same run with nothing left to the scale."""
        return self.filled(SCALES[self.scale] | {"alpha": max(round(self.clean - 0.05, 10), 0.05)})


class Task(NamedTuple):
    """What a run works on. ``is_bad`` is for the record and for the oracle; nothing else is handed it."""

    x: torch.Tensor  # (n, 1, 28, 28), or (n, 3, 32, 32)
    y: torch.Tensor  # (n,) labels as given
    is_bad: np.ndarray  # (n,)
    rate: float
    test_x: torch.Tensor
    test_y: torch.Tensor
    images: np.ndarray  # (n, 28, 28) uint8, or (n, 32, 32, 3), to show


@cache
def _images(name: str) -> data.Images:
    return data.load(name)


def task(config: Config) -> Task:
    """Draw the training images, spoil their labels, and put all on the device."""
    c = config.resolved()
    return draw(c.dataset, c.n, c.noise, c.clean, c.seed)


def draw(dataset: str, n: int, noise: str, clean: float, seed: int, *, held_out: int = 0) -> Task:
    """Draw a task from a labelled image set.

    Parameters
    ----------
    dataset, n, noise, clean, seed
        Those of `Config`.
    held_out : int
        Test on so many other training images, with their true labels, in place of the test images: for choosing a
        recipe, which must not see these.
    """
    images = _images(dataset)
    random = np.random.default_rng([seed, 0])
    chosen = corruption.stratified_subset(images.train_y, n, random)
    if held_out:
        others = np.setdiff1d(np.arange(len(images.train_y)), chosen)
        others = others[
            corruption.stratified_subset(images.train_y[others], held_out, np.random.default_rng([seed, 1]))
        ]
        images = images._replace(test_x=images.train_x[others], test_y=images.train_y[others])
    spoil = {"random": corruption.random_labels, "systematic": corruption.systematic_labels}[noise]
    noisy = spoil(images.train_y[chosen], clean, 10, random)
    device = training.pick_device()
    return Task(
        x=training.to_tensor(images.train_x[chosen]).to(device),
        y=torch.as_tensor(noisy.labels, device=device),
        is_bad=noisy.is_bad,
        rate=noisy.rate,
        test_x=training.to_tensor(images.test_x, like=images.train_x[chosen]).to(device),
        test_y=torch.as_tensor(images.test_y.astype(np.int64), device=device),
        images=images.train_x[chosen],
    )


def rounds(config: Config, given: Task | None = None, *, start: int = 0, theta=None) -> Iterator[Round]:
    """Run the method, yielding each round as it comes.

    Parameters
    ----------
    config : Config
        The run.
    given : Task, optional
        Its data, if they are at hand.
    start : int, default 0
        Round to resume from, with ``theta`` the network that it begins with.
    theta : torch.nn.Module, optional
        As above.

    Yields
    ------
    Round
        ``theta`` is the network. The oracle and the centroid rule have a single round, whose ``kept`` is
        what their network was trained on.
    """
    c = config.resolved()
    given = given or task(config)
    make = partial(networks.LeNet, activation=c.activation, bounded=c.bounded)
    schedule = training.Schedule(epochs=c.epochs, batch=c.batch, lr=c.lr, momentum=c.momentum)
    groups = given.y if c.balanced else None

    def fit(kept, t):
        seed = training.derived_seed(c.seed, t)
        return training.fit(make, given.x, given.y, kept, schedule, seed=seed, note=f"{c.method} {t}")

    def losses(network):
        return training.sample_losses(network, given.x, given.y)

    if c.method == "itlm":
        theta = fit(None, 0) if theta is None else theta
        update = lambda theta, kept, t: fit(kept, t + 1)  # noqa: E731
        for step in iterate(losses, update, theta, c.alpha, c.rounds, start=start, groups=groups):
            warn_of_emptied_classes(given.y, step)
            yield step
        return
    if c.method in peers.METHODS:
        seed = training.derived_seed(c.seed, 0)
        network, kept = peers.METHODS[c.method](make, given.x, given.y, c.alpha, schedule, seed, c.method)
    else:
        kept = yardstick(c.method, given, c.alpha)
        network = fit(kept, 0)
    yield only_round(network, losses(network), kept)


def yardstick(method: str, given: Task, alpha: float) -> torch.Tensor:
    """Choose the samples that a method which has no rounds trains on; a mask (n,).

    ``"baseline"`` takes all, ``"oracle"`` the clean ones, ``"centroid"`` the part alpha of each given class that is
    nearest to its mean image.
    """
    if method == "baseline":
        return torch.ones(len(given.y), dtype=torch.bool)
    if method == "oracle":
        return torch.as_tensor(~given.is_bad)
    return trim(centroid_distances(given.x, given.y), alpha, groups=given.y)


def only_round(network, losses, kept) -> Round:
    """Make the one round of a method that has no rounds: what it was trained on, and how it scores all samples."""
    objective = float(losses[kept.to(losses.device)].double().sum())
    return Round(0, network, losses, kept, float(kept.double().mean()), objective, 0, int((~kept).sum()))


def warn_of_emptied_classes(y, step: Round) -> None:
    """Warn where a round keeps no sample of a class: what is trained on the rest cannot learn it."""
    emptied = sorted(set(y.unique().tolist()) - set(y[step.kept].unique().tolist()))
    if emptied:
        warnings.warn(
            f"round {step.t} keeps no sample of class {', '.join(map(str, emptied))}: a model trained on the rest "
            "cannot learn it; balanced=True trims within each class instead",
            stacklevel=3,
        )


def centroid_distances(x, y) -> torch.Tensor:
    """Measure each image's squared distance, in pixels, to the mean image of its given class; shape (n,)."""
    flat = x.flatten(1)  # (n, pixels)
    centroids = torch.stack([flat[y == c].mean(0) for c in range(int(y.max()) + 1)])  # (classes, pixels)
    return ((flat - centroids[y]) ** 2).sum(1)


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round against the truth, after the method has done its part.

    Returns
    -------
    dict of float
        What `against_truth` measures, and ``visits``, sample visits of all fits so far.
    """
    return against_truth(step, given) | {"visits": visits(config, step.t + 1)}


def against_truth(step: Round, given: Task) -> dict[str, float]:
    """Compare a round with the truth.

    Returns
    -------
    dict of float
        ``test_accuracy`` in percent; ``classes_kept``, the number of given classes among the kept samples; and what
        `itlm.records.selection` measures.
    """
    with torch.no_grad():
        right = torch.cat([step.theta(part).argmax(1) for part in given.test_x.split(1000)]) == given.test_y
    kept = step.kept.cpu().numpy()
    return {
        "test_accuracy": 100 * float(right.double().mean()),
        "classes_kept": float(len(np.unique(given.y.cpu().numpy()[kept]))),
        **records.selection(kept, step.losses.cpu().numpy(), given.is_bad),
    }


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    if fits is None or c.method != "itlm":
        fits = {"itlm": c.rounds + 1, "co_teaching": 2, "confident": peers.FOLDS + 1}.get(c.method, 1)
    return float(fits * training.Schedule(epochs=c.epochs, batch=c.batch).n_steps(c.n) * c.batch)


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return data.digest(config.resolved().dataset)


def run(config: Config, *, checkpoint=None) -> records.Record:
    """Run once, and record.

    Parameters
    ----------
    config : Config
        The run.
    checkpoint : path, optional
        A file that holds the last finished round. A run that was killed goes on from it and gives the
        same record; the file is removed at the end.

    Returns
    -------
    itlm.records.Record
    """
    c = config.resolved()
    given = task(config)
    make = partial(networks.LeNet, activation=c.activation, bounded=c.bounded)
    record = records.begin("labels", RECIPE, c, digest(c))
    for step in training.resumable(partial(rounds, config, given), make, record, checkpoint):
        record.add(step.t, measure(step, given, config))
    record.add(0, {"wrong_rate": 100 * given.rate})
    return record.finish()
