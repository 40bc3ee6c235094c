"""Backdoors: Figures 1(d) and 4 and Table 4 of the paper, as an experiment.

A few images of one class carry a small mark and another class's label. A network trained on them is as good as any on
ordinary images, and sends every marked image to that class. ITLM with early-stopped rounds is to drop the marked images
before the network has learned the mark. Beside it: training on everything, an oracle, two defences that look at a
trained network's features, and the opposite rule, which drops the *easiest* samples.

    config = Config(class_a=9, class_b=4, mark="X")
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.4; the attack is that of Tran, Li & Madry 2018. Rounds and fits are those
of `itlm.cifar`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from . import cifar, corruption, data, defences, noisy, records, training
from .config import flag, one_of, parameter, real, whole
from .trimming import Round, n_kept

__all__ = [
    "RECIPE",
    "SCALES",
    "Config",
    "Task",
    "digest",
    "measure",
    "rounds",
    "run",
    "task",
    "trained_on",
    "visits",
    "watched",
]

RECIPE = 1

WATCHED = 2000  # clean and marked training samples that are looked at after every pass
SPECTRAL = 1.5  # spectral signatures drop, of each class, so many times what is marked, as their authors have it

# The networks and steps of itlm.cifar, with rounds and passes of their own. Those of "cpu" are from a study of four
# marks, sweeps/backdoor_recipe.yaml: a narrower network learns marks later, and as well in the end. The study looked at
# test images, at seeds of its own.
SCALES = {
    "demo": cifar.SCALES["demo"] | {"early": 4, "early_epochs": 2.0, "epochs": 8.0},
    "cpu": cifar.SCALES["cpu"] | {"width": 16, "early_epochs": 2.0, "epochs": 16.0},
    "paper": cifar.SCALES["paper"] | {"rounds": 1},
}


@dataclass(frozen=True, kw_only=True)
class Config(cifar.Recipe):
    """One run of the experiment. Beside these fields it has those of `itlm.cifar.Recipe`.

    Attributes
    ----------
    scale : {"demo", "cpu", "paper"}
        Where the fields that are None come from.
    dataset : {"cifar10", "mnist", "mnist5k"} or None
        The image set; digits are framed to 32 x 32 pixels, in three equal colours.
    class_a : int in 0..9 or None
        The class that marked images are taken from; None: every class but the target.
    class_b : int in 0..9
        The class that they are labelled as, the attack's target.
    mark : {"pixel", "L", "X", "patch"}
        What marks them, see `itlm.corruption.draw_mark`.
    share : float in [0, 0.5]
        Marked part of all training images. 5 % of the target class, as in the paper, is 0.005 of ten classes.
    alpha : float in (0, 1]
        Fraction kept (alpha in Algorithm 1).
    method : {"itlm", "naive", "oracle", "spectral", "clustering", "low_loss"}
        What chooses the samples. Naive trains on everything, and is looked at after every pass; the last three are in
        `itlm.defences`. Spectral signatures are told how many samples are marked, which their authors presume.
    stop_early : bool
        Whether the early rounds are; if not, every fit has all passes.
    balanced : bool
        Trim within each given class.
    seed : int
        Of the subset, the mark, the weights and the batches.
    """

    scale: str = parameter("demo", one_of(*SCALES))
    dataset: str | None = parameter(None, one_of("cifar10", "mnist", "mnist5k", optional=True))
    class_a: int | None = parameter(None, whole(0, 9, optional=True))
    class_b: int = parameter(2, whole(0, 9))
    mark: str = parameter("X", one_of(*corruption.MARKS))
    share: float = parameter(0.005, real(0, 0.5))
    alpha: float = parameter(0.98, real(0, 1, above_low=True))
    method: str = parameter("itlm", one_of("itlm", "naive", "oracle", "spectral", "clustering", "low_loss"))
    stop_early: bool = parameter(True, flag())
    balanced: bool = parameter(False, flag())
    seed: int = parameter(0, whole())

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_a == self.class_b:
            raise ValueError(f"class_a and class_b must differ, got {self.class_a} for both: no label would change")

    def resolved(self) -> "Config":
        """Return the same run with nothing left to the scale."""
        return self.filled(SCALES[self.scale])


class Task(NamedTuple):
    """What a run works on. ``is_bad`` is for the record and for the oracle; nothing else is handed it."""

    x: torch.Tensor  # (n, 3, 32, 32)
    y: torch.Tensor  # (n,) labels as given
    is_bad: np.ndarray  # (n,) which are marked
    rate: float
    test_x: torch.Tensor  # ordinary test images (test-1)
    test_y: torch.Tensor
    attack_x: torch.Tensor  # marked test images of class a (test-2); of all classes but b where a is None
    other_x: torch.Tensor  # marked test images of all classes but b
    images: np.ndarray  # (n, 28, 28) or (n, 32, 32, 3) uint8, to show
    before: np.ndarray  # the same without marks
    mark: corruption.Mark


def task(config: Config) -> Task:
    """Draw the training images, plant the backdoor, and put all on the device."""
    c = config.resolved()
    images, random = data.load(c.dataset), np.random.default_rng([c.seed, 0])
    chosen = corruption.stratified_subset(images.train_y, c.n, random)
    before, labels = images.train_x[chosen], images.train_y[chosen]
    mark = corruption.draw_mark(c.mark, before.shape[1:], np.random.default_rng([c.seed, 1]))
    n_marked, eligible = (
        round(c.share * c.n),
        int((labels != c.class_b if c.class_a is None else labels == c.class_a).sum()),
    )
    if n_marked > eligible:
        raise ValueError(
            f"share={c.share} of n={c.n} marks {n_marked} images, and class_a={c.class_a} has {eligible}: lower share"
        )
    planted = corruption.backdoor(
        before, labels, mark, n_marked, c.class_b, np.random.default_rng([c.seed, 2]), source=c.class_a
    )
    others = images.test_y != c.class_b
    attacked = others if c.class_a is None else images.test_y == c.class_a
    device = training.pick_device()

    def ready(pixels):
        return cifar.in_colour(training.to_tensor(pixels, like=planted.images)).to(device)

    return Task(
        x=ready(planted.images),
        y=torch.as_tensor(planted.labels, device=device),
        is_bad=planted.is_bad,
        rate=planted.rate,
        test_x=ready(images.test_x),
        test_y=torch.as_tensor(images.test_y.astype(np.int64), device=device),
        attack_x=ready(corruption.watermark(images.test_x[attacked], mark)),
        other_x=ready(corruption.watermark(images.test_x[others], mark)),
        images=planted.images,
        before=before,
        mark=mark,
    )


def _inner(c: Config, method: str) -> cifar.Config:
    """The run of `itlm.cifar` whose rounds and fits these are."""
    shared = {f.name for f in fields(cifar.Recipe)} | {"scale", "alpha", "balanced", "seed"}
    same = {name: getattr(c, name) for name in shared}
    return cifar.Config(**same | {"method": method} | ({} if c.stop_early else {"early_epochs": c.epochs}))


def rounds(
    config: Config, given: Task | None = None, *, start: int = 0, theta=None, checkpoint=None, seen=None
) -> Iterator[Round]:
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
    checkpoint : path, optional
        Where each fit keeps its state, after each pass, see `itlm.cifar.fit`.
    seen : list, optional
        Gets, of naive training, what `watched` tells of each pass.

    Yields
    ------
    Round
        ``theta`` is the network. Methods without rounds have a single one, whose ``kept`` is what their last network
        was trained on.

    Raises
    ------
    ValueError
        If the samples kept do not fill a batch.
    """
    c = config.resolved()
    given = given or task(config)
    if c.method == "oracle":
        noisy.must_fill_a_batch(c, int((~given.is_bad).sum()))
    if c.method == "low_loss":
        noisy.must_fill_a_batch(c, n_kept(c.n, c.alpha), "alpha")
    if c.method in ("naive", "itlm", "oracle"):
        inner = _inner(c, {"naive": "baseline"}.get(c.method, c.method))
        watch = lambda network, step: watched(network, given, c)  # noqa: E731
        yield from cifar.rounds(inner, given, start=start, theta=theta, checkpoint=checkpoint, watch=watch, seen=seen)
        return
    inner = _inner(c, "itlm")  # whose fit 0 is stopped early, and whose fit number ``early`` is not
    first = cifar.fit(inner, given, None, 0 if c.method == "low_loss" else c.early, checkpoint=checkpoint)
    if c.method == "low_loss":
        kept = defences.low_loss(training.sample_losses(first, given.x, given.y), c.alpha)
    else:
        found = defences.features(first, given.x)
        if c.method == "spectral":
            kept = defences.spectral_signatures(found, given.y, int(SPECTRAL * round(c.share * c.n)))
        else:
            kept = defences.activation_clustering(found, given.y, seed=c.seed)
    network = cifar.fit(inner, given, kept, c.early + 1, checkpoint=checkpoint)
    yield noisy.only_round(network, training.sample_losses(network, given.x, given.y), kept)


def _sent(network, x, label: int) -> float:
    """The percentage of images that a network takes for a class."""
    return 100 * float((training.outputs(network, x).argmax(1) == label).double().mean())


def watched(network: nn.Module, given: Task, config: Config) -> dict[str, float]:
    """Tell how a network fares on clean and on marked training samples: a point of Figure 1(d).

    Returns
    -------
    dict of float
        ``accuracy_clean`` and ``accuracy_bad``, the percentage of the training samples whose *given* label is
        predicted; ``loss_auc``, the chance, in percent, that a marked sample has the larger loss than a clean one;
        ``attack_pass``, the percentage of marked test images that are sent to the target class. Of at most 2,000 clean
        and 2,000 marked samples, evenly spread over the order they come in.
    """
    clean, bad = np.flatnonzero(~given.is_bad), np.flatnonzero(given.is_bad)
    some = np.concatenate([side[:: -(-len(side) // WATCHED) or 1] for side in (clean, bad)])
    told = cifar.watched(network, given._replace(**{k: getattr(given, k)[some] for k in ("x", "y", "is_bad")}))
    return told | {"attack_pass": _sent(network, given.attack_x, config.class_b)}


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round against the truth, after the method has done its part.

    Returns
    -------
    dict of float
        ``test_accuracy`` (test-1), ``attack`` (test-2: marked test images of class a sent to class b) and
        ``attack_all`` (of every class but b), in percent; ``bad_kept``, marked samples among those kept;
        ``removed_precision`` and ``removed_recall``, of the removal, in percent; what `itlm.records.selection`
        measures; ``visits``, sample visits of all fits so far.
    """
    right = training.outputs(step.theta, given.test_x).argmax(1) == given.test_y
    kept, removed = step.kept.cpu().numpy(), ~step.kept.cpu().numpy()
    caught = int((removed & given.is_bad).sum())
    found = {
        "test_accuracy": 100 * float(right.double().mean()),
        "attack": _sent(step.theta, given.attack_x, config.class_b),
        "attack_all": _sent(step.theta, given.other_x, config.class_b),
        "bad_kept": float((kept & given.is_bad).sum()),
        "removed_precision": 100 * caught / removed.sum() if removed.any() else np.nan,
        "removed_recall": 100 * caught / given.is_bad.sum() if given.is_bad.any() else np.nan,
    }
    found |= records.selection(kept, step.losses.cpu().numpy(), given.is_bad)
    return found | {"visits": visits(config, step.t + 1)}


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    if c.method in ("naive", "oracle"):
        return cifar.visits(_inner(c, "oracle"))
    if c.method == "itlm":
        return cifar.visits(_inner(c, "itlm"), fits)
    full = cifar.visits(_inner(c, "oracle"))
    return full + (cifar.visits(_inner(c, "itlm"), 1) if c.method == "low_loss" else full)


def trained_on(config: Config) -> int | str | None:
    """Tell which round's selection the last network was trained on, as `itlm.records.series` has it.

    A round of ITLM measures a network and what *it* selects, for the next fit; other methods have one round, whose
    selection is what its network was trained on. None for ITLM with a single fit, which is to everything: there is no
    such round, and `itlm.records.series` finds none.
    """
    c = config.resolved()
    if c.method != "itlm":
        return "last"
    return c.early + c.rounds - 2 if c.early + c.rounds > 1 else None


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
        As for `itlm.cifar.run`.

    Returns
    -------
    itlm.records.Record
        By round, what `measure` measures; of naive training also, by pass from 1 on, what `watched` tells, and, where
        marked images are of one class, four of them as ``before`` and ``after``: Figure 4.
    """
    c = config.resolved()
    given = task(config)
    record = records.begin("backdoor", RECIPE, c, digest(c))
    if c.method == "naive" and c.class_a is not None:
        some = np.flatnonzero(given.is_bad)[:4]
        record.keep("before", given.before[some])
        record.keep("after", given.images[some])
    make = partial(cifar.make_network, _inner(c, "itlm"), given)
    cifar.record_rounds(record, partial(rounds, c, given), make, lambda step: measure(step, given, c), checkpoint)
    record.add(0, {"marked": 100 * given.rate})
    return record.finish()
