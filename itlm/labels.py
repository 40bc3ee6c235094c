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

import copy
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
from .trimming import Round, iterate, n_kept, trim

__all__ = ["RARE", "RECIPE", "SCALES", "Config", "Task", "digest", "measure", "rounds", "run", "task", "visits"]

RECIPE = 1  # raise it when a change of the code changes what a run computes: old rows are then run again

# What a scale means. MNIST's 3,000 images are the paper's own size, so "paper" is "cpu" here.
SCALES = {
    "demo": {"dataset": "mnist5k", "n": 3000, "epochs": 10.0, "rounds": 5, "batch": 100, "lr": 0.1},
    "cpu": {"dataset": "mnist", "n": 3000, "epochs": 20.0, "rounds": 5, "batch": 100, "lr": 0.1},
    "paper": {"dataset": "mnist", "n": 3000, "epochs": 20.0, "rounds": 5, "batch": 100, "lr": 0.1},
}


RARE = (7, 8, 9)  # the classes that an imbalance makes rare


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """One run of the experiment. None means: as the scale has it.

    Attributes
    ----------
    scale : {"demo", "cpu", "paper"}
        Where the fields below that are None come from.
    dataset : {"mnist5k", "mnist", "fashion_mnist"} or None
        The image set.
    noise : {"systematic", "random", "confusable"}
        The kind of label errors; the last, which depends on the image, is not the paper's.
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
    choose : {"last", "noisy_test", "noisy_validation"}
        Which pass of a fit gives its network: the last, or the one that does best on test images with labels spoilt
        alike, as in the authors' code, or on a tenth of the training samples that no fit sees.
    warm : bool
        Begin each fit at the weights of the one before, in place of new ones.
    equal : {"steps", "epochs"}
        What fits to fewer samples have in common with the first: their steps, or their passes.
    early : int
        Fits stopped early, the first included.
    early_epochs : float, above 0
        Their passes over the samples they see.
    imbalance : float in [1, 100]
        Samples of a common class for each of a rare one; rare are `RARE`.
    seed : int
        Of the subset, the errors, the weights and the batches.
    n, epochs, rounds, batch, lr
        Training images; passes over all n in every fit (the same steps whatever is kept); updates (T);
        samples a step; step size.
    """

    scale: str = parameter("demo", one_of(*SCALES))
    dataset: str | None = parameter(None, one_of("mnist5k", "mnist", "fashion_mnist", optional=True))
    noise: str = parameter("systematic", one_of("systematic", "random", "confusable"))
    clean: float = parameter(0.6, real(0, 1))
    alpha: float | None = parameter(None, real(0, 1, above_low=True, optional=True))
    method: str = parameter("itlm", one_of("itlm", "oracle", "centroid", *peers.METHODS))
    bounded: bool = parameter(True, flag())
    activation: str = parameter("tanh", one_of("tanh", "relu"))
    momentum: float = parameter(0.0, real(0, 0.99))
    balanced: bool = parameter(False, flag())
    choose: str = parameter("last", one_of("last", "noisy_test", "noisy_validation"))
    warm: bool = parameter(False, flag())
    equal: str = parameter("steps", one_of("steps", "epochs"))
    early: int = parameter(0, whole(0, 50))
    early_epochs: float = parameter(5.0, real(0, 1000, above_low=True))
    imbalance: float = parameter(1.0, real(1, 100))
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
    noisy_test_y: torch.Tensor  # the test labels, spoilt in the same way: for choose="noisy_test" alone


@cache
def _images(name: str) -> data.Images:
    return data.load(name)


def task(config: Config) -> Task:
    """Draw the training images, spoil their labels, and put all on the device."""
    c = config.resolved()
    return draw(c.dataset, c.n, c.noise, c.clean, c.seed, imbalance=c.imbalance)


def draw(
    dataset: str, n: int, noise: str, clean: float, seed: int, *, held_out: int = 0, imbalance: float = 1.0
) -> Task:
    """Draw a task from a labelled image set.

    Parameters
    ----------
    dataset, n, noise, clean, seed, imbalance
        Those of `Config`.
    held_out : int
        Test on so many other training images, with their true labels, in place of the test images: for choosing a
        recipe, which must not see these.
    """
    images = _images(dataset)
    random = np.random.default_rng([seed, 0])
    chosen = _subset(images.train_y, n, imbalance, random)
    if held_out:
        others = np.setdiff1d(np.arange(len(images.train_y)), chosen)
        others = others[
            corruption.stratified_subset(images.train_y[others], held_out, np.random.default_rng([seed, 1]))
        ]
        images = images._replace(test_x=images.train_x[others], test_y=images.train_y[others])
    noisy = _spoilt(noise, images.train_y[chosen], images.train_x[chosen], clean, random)
    also = _spoilt(noise, images.test_y, images.test_x, clean, np.random.default_rng([seed, 2]))
    device = training.pick_device()
    return Task(
        x=training.to_tensor(images.train_x[chosen]).to(device),
        y=torch.as_tensor(noisy.labels, device=device),
        is_bad=noisy.is_bad,
        rate=noisy.rate,
        test_x=training.to_tensor(images.test_x, like=images.train_x[chosen]).to(device),
        test_y=torch.as_tensor(images.test_y.astype(np.int64), device=device),
        images=images.train_x[chosen],
        noisy_test_y=torch.as_tensor(also.labels, device=device),
    )


def _subset(labels, n, imbalance, random) -> np.ndarray:
    """Which n training images: the classes in their proportions, or the rare ones thinned out."""
    if imbalance == 1:
        return corruption.stratified_subset(labels, n, random)
    share = float(np.isin(labels, RARE).mean())
    many = min(len(labels), int(n / (1 - share + share / imbalance)) + 20)
    drawn = corruption.stratified_subset(labels, many, random)
    thinned = drawn[corruption.imbalanced_subset(labels[drawn], RARE, imbalance, random)]
    common = np.flatnonzero(~np.isin(labels[thinned], RARE))
    if len(thinned) < n:
        raise ValueError(f"n={n} with imbalance={imbalance:g} needs more images than there are; lower n")
    return np.delete(thinned, random.choice(common, len(thinned) - n, replace=False))


def _spoilt(noise, labels, images, clean, random) -> corruption.NoisyLabels:
    if noise == "confusable":
        return corruption.confusable_labels(labels, images, clean, 10)
    return {"random": corruption.random_labels, "systematic": corruption.systematic_labels}[noise](
        labels, clean, 10, random
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
    groups = given.y if c.balanced else None
    unseen = _unseen(c, given)

    def fit(kept, t, before=None):
        seed = training.derived_seed(c.seed, t)
        seen = kept if unseen is None else ~unseen if kept is None else kept.to(unseen.device) & ~unseen
        schedule = _schedule(c, t, len(given.y) if seen is None else int(seen.sum()))
        begin = make if before is None or not c.warm else partial(copy.deepcopy, before)
        best = _Best(given, c.choose, unseen)
        network = training.fit(
            begin, given.x, given.y, seen, schedule, seed=seed, watch=best.watch, note=f"{c.method} {t}"
        )
        return best.put_back(network)

    def losses(network):
        return training.sample_losses(network, given.x, given.y)

    if c.method == "itlm":
        theta = fit(None, 0) if theta is None else theta
        update = lambda theta, kept, t: fit(kept, t + 1, theta)  # noqa: E731
        for step in iterate(losses, update, theta, c.alpha, c.rounds, start=start, groups=groups):
            warn_of_emptied_classes(given.y, step)
            yield step
        return
    if c.method in peers.METHODS:
        seed = training.derived_seed(c.seed, 0)
        schedule = _schedule(c, 0, len(given.y))
        network, kept = peers.METHODS[c.method](make, given.x, given.y, c.alpha, schedule, seed, c.method)
    else:
        kept = yardstick(c.method, given, c.alpha)
        network = fit(kept, 0)
    yield only_round(network, losses(network), kept)


def _schedule(c: Config, t: int, seen: int) -> training.Schedule:
    """How fit number t of a run goes, which sees so many samples."""
    rest = {"batch": c.batch, "lr": c.lr, "momentum": c.momentum}
    if t < c.early:
        return training.Schedule(steps=max(1, int(c.early_epochs * seen / c.batch + 1e-9)), **rest)
    if c.equal == "epochs":
        return training.Schedule(steps=max(1, int(c.epochs * seen / c.batch + 1e-9)), **rest)
    return training.Schedule(epochs=c.epochs, **rest)


def _unseen(c: Config, given: Task) -> torch.Tensor | None:
    """The tenth of the samples that no fit sees; None where all may be seen."""
    if c.choose != "noisy_validation":
        return None
    drawn = np.random.default_rng([c.seed, 3]).permutation(len(given.y))[: len(given.y) // 10]
    unseen = torch.zeros(len(given.y), dtype=torch.bool, device=given.y.device)
    unseen[torch.as_tensor(drawn, device=given.y.device)] = True
    return unseen


class _Best:
    """Remembers a fit's weights at the pass of highest accuracy on some labelled images; nothing, for the last."""

    def __init__(self, given: Task, choose: str, unseen):
        self.highest, self.state, self.watch = -1.0, None, None if choose == "last" else self._look
        if choose == "noisy_test":
            self.x, self.y = given.test_x, given.noisy_test_y
        elif choose == "noisy_validation":
            self.x, self.y = given.x[unseen], given.y[unseen]

    @torch.no_grad()
    def _look(self, network, step):
        right = torch.cat([network(part).argmax(1) for part in self.x.split(1000)]) == self.y
        if (accuracy := float(right.double().mean())) > self.highest:
            self.highest, self.state = accuracy, {k: v.clone() for k, v in network.state_dict().items()}

    def put_back(self, network):
        if self.state is not None:
            network.load_state_dict(self.state)
        return network


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
    rare = RARE if config.imbalance > 1 else ()
    return against_truth(step, given, rare) | {"visits": visits(config, step.t + 1)}


def against_truth(step: Round, given: Task, rare: tuple = ()) -> dict[str, float]:
    """Compare a round with the truth; ``rare`` are classes to look at by themselves.

    Returns
    -------
    dict of float
        ``test_accuracy`` in percent; ``classes_kept``, the number of given classes among the kept samples; what
        `itlm.records.selection` measures; of rare classes ``accuracy_rare``, on their test images, and
        ``recall_rare``, the part of their rightly labelled training samples that was kept.
    """
    with torch.no_grad():
        right = torch.cat([step.theta(part).argmax(1) for part in given.test_x.split(1000)]) == given.test_y
    right, kept, y = right.cpu().numpy(), step.kept.cpu().numpy(), given.y.cpu().numpy()
    found = {
        "test_accuracy": 100 * float(right.mean()),
        "classes_kept": float(len(np.unique(y[kept]))),
        **records.selection(kept, step.losses.cpu().numpy(), given.is_bad),
    }
    if rare:
        found["accuracy_rare"] = 100 * float(right[np.isin(given.test_y.cpu().numpy(), rare)].mean())
        found["recall_rare"] = 100 * float(kept[np.isin(y, rare) & ~given.is_bad].mean())
    return found


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    if fits is None or c.method != "itlm":
        fits = {"itlm": c.rounds + 1, "co_teaching": 2, "confident": peers.FOLDS + 1}.get(c.method, 1)
    unseen = c.n // 10 if c.choose == "noisy_validation" else 0  # of the kept, about as many; exact where all are seen
    seen = [c.n - unseen, *[n_kept(c.n, c.alpha) - round(unseen * c.alpha)] * (fits - 1)]
    if c.method != "itlm":
        seen = [c.n] * fits
    return float(sum(_schedule(c, t, seen[t]).n_steps(c.n) * c.batch for t in range(fits)))


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
