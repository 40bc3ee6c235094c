"""Label errors on CIFAR-10: Tables 1 and 2 and Figure 1(a, b) of the paper, as an experiment.

The method is that of `itlm.labels`. What differs is that a network large enough for these images ends by fitting the
wrong labels too, so that the first rounds are stopped early, as the paper has it: Rounds 0 to ``early - 1`` are fitted
for ``early_epochs`` passes over what they keep, the later ones in full. Plain training on everything is a method of
its own.

    config = Config(noise="systematic", clean=0.6)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.2; the schedule of ``scale="paper"`` is that of the authors' code,
without its first full fit to everything.
"""

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from . import checkpoints, data, networks, noisy, peers, records, training
from .config import Config as Checked
from .config import alpha_of, flag, one_of, parameter, real, whole
from .trimming import Round, iterate, n_kept

__all__ = [
    "RECIPE",
    "SCALES",
    "Config",
    "Recipe",
    "digest",
    "fit",
    "make_network",
    "measure",
    "record_rounds",
    "rounds",
    "run",
    "task",
    "visits",
    "watched",
]

RECIPE = 1

SCORING = 1000  # above the numbers of the fits: the seeds of augmented scoring are others than theirs
WATCHED = 5000  # training samples that are looked at after every pass

# No set of labelled colour images ships with the dependencies: the demo is the same code on digits. What "cpu" has was
# chosen by the baseline and the oracle alone, on held-out training images: sweeps/cifar_recipe.yaml.
SCALES = {
    "demo": {"dataset": "mnist5k", "n": 3000,
             "network": "small", "width": 16, "stem": 2, "normalisation": "batch", "whiten": False,
             "early": 3, "early_epochs": 4.0, "epochs": 16.0, "rounds": 1, "batch": 100,
             "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "shape": "one_cycle", "augment": "none", "half": False},
    "cpu": {"dataset": "cifar10", "n": 25_000,
            "network": "small", "width": 32, "stem": 2, "normalisation": "batch", "whiten": True,
            "early": 4, "early_epochs": 8.0, "epochs": 16.0, "rounds": 1, "batch": 100,
            "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "shape": "one_cycle", "augment": "mirror", "half": True},
    "paper": {"dataset": "cifar10", "n": 50_000,
              "network": "wide", "width": 10, "stem": 1, "normalisation": "batch", "whiten": False,
              "early": 4, "early_epochs": 20.0, "epochs": 80.0, "rounds": 4, "batch": 256,
              "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "shape": "drop", "augment": "shift", "half": True},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recipe(Checked):
    """How the network of a run is made and trained, here and in `itlm.backdoor`. None means: as the scale has it.

    What is of the small network alone is refused beside the other one.

    Attributes
    ----------
    n : int or None
        Training images.
    network : {"small", "wide"} or None
        `itlm.networks.SmallNet`, or a WideResNet of 16 layers.
    width : int or None
        Of the network: channels of the small one, 10 for WideResNet-16-10.
    stem : {1, 2} or None
        Stride of the small network's first convolution.
    normalisation : {"batch", "none"} or None
        Of the small network.
    whiten : bool or None
        Begin the small network with `itlm.networks.whitening` filters of the training images.
    early, early_epochs, epochs, rounds
        Rounds stopped early, and passes over the kept samples in each; passes over all n in every other fit (the same
        steps whatever is kept), and how many of these follow.
    batch, lr, momentum, weight_decay, shape, augment, half
        Samples a step; step size, momentum, weight decay and shape of the step size over a fit, see
        `itlm.training.Schedule`; augmentation; half precision on a CPU too.
    """

    n: int | None = parameter(None, whole(100, 60_000, optional=True))
    network: str | None = parameter(None, one_of("small", "wide", optional=True))
    width: int | None = parameter(None, whole(1, 1000, optional=True))
    stem: int | None = parameter(None, whole(1, 2, optional=True))
    normalisation: str | None = parameter(None, one_of("batch", "none", optional=True))
    whiten: bool | None = parameter(None, flag(optional=True))
    early: int | None = parameter(None, whole(1, 50, optional=True))
    early_epochs: float | None = parameter(None, real(0, 1000, above_low=True, optional=True))
    epochs: float | None = parameter(None, real(0, 1000, above_low=True, optional=True))
    rounds: int | None = parameter(None, whole(0, 50, optional=True))
    batch: int | None = parameter(None, whole(1, 10_000, optional=True))
    lr: float | None = parameter(None, real(0, 10, above_low=True, optional=True))
    momentum: float | None = parameter(None, real(0, 0.99, optional=True))
    weight_decay: float | None = parameter(None, real(0, 1, optional=True))
    shape: str | None = parameter(None, one_of("constant", "drop", "one_cycle", optional=True))
    augment: str | None = parameter(None, one_of(*training.AUGMENT, optional=True))
    half: bool | None = parameter(None, flag(optional=True))

    def __post_init__(self) -> None:
        super().__post_init__()
        preset = SCALES[self.scale]  # what a resolved run has may stand, whatever its network
        for name in ("stem", "normalisation", "whiten") if (self.network or preset["network"]) == "wide" else ():
            if (value := getattr(self, name)) not in (None, preset[name]):
                raise ValueError(
                    f"{name}={value!r} is for network='small', and the network is 'wide': leave {name} out, or take "
                    "the small network"
                )


@dataclass(frozen=True, kw_only=True)
class Config(Recipe):
    """One run of the experiment. Beside these fields it has those of `Recipe`.

    Attributes
    ----------
    scale : {"demo", "cpu", "paper"}
        Where the fields that are None come from.
    dataset : {"cifar10", "mnist5k"} or None
        The image set; digits are framed to 32 x 32 pixels, in three equal colours.
    noise : {"systematic", "random"}
        The kind of label errors.
    clean : float in [0, 1]
        Fraction of right labels (alpha* in the paper).
    alpha : float in (0, 1] or None
        Fraction kept (alpha in Algorithm 1). None: five points less than clean, as in the paper.
    method : {"itlm", "baseline", "oracle", "centroid", "gce", "self_paced", "co_teaching", "confident"}
        What chooses the samples. The baseline trains on everything, in full, and is looked at after every pass. The
        paper's "1-step" column is ITLM with ``early=1, rounds=1``. The last four are other authors' methods, see
        `itlm.peers`.
    bounded : bool
        Whether the logits pass through tanh, as in the authors' network for digits.
    balanced : bool
        Trim within each given class, so that none can vanish.
    warm : bool
        Begin each fit at the weights of the one before, in place of new ones.
    equal : {"steps", "epochs"}
        What full fits to fewer samples have in common with the baseline: their steps, or their passes.
    augment_scoring : bool
        Score the samples as they are augmented, as the authors' code does.
    compiled : bool
        Train through ``torch.compile``.
    validate : bool
        Test on 5,000 other training images: for choosing a recipe, by baseline and oracle alone.
    seed : int
        Of the subset, the errors, the weights and the batches.
    """

    scale: str = parameter("demo", one_of(*SCALES))
    dataset: str | None = parameter(None, one_of("cifar10", "mnist5k", optional=True))
    noise: str = parameter("systematic", one_of("systematic", "random"))
    clean: float = parameter(0.6, real(0, 1))
    alpha: float | None = parameter(None, real(0, 1, above_low=True, optional=True))
    method: str = parameter("itlm", one_of("itlm", "baseline", "oracle", "centroid", *peers.METHODS))
    bounded: bool = parameter(False, flag())
    balanced: bool = parameter(False, flag())
    warm: bool = parameter(False, flag())
    equal: str = parameter("steps", one_of("steps", "epochs"))
    augment_scoring: bool = parameter(False, flag())
    compiled: bool = parameter(False, flag())
    validate: bool = parameter(False, flag())
    seed: int = parameter(0, whole())

    def resolved(self) -> "Config":
        """Return the same run with nothing left to the scale."""
        return self.filled(SCALES[self.scale] | {"alpha": alpha_of(self.clean)})


def task(config: Config) -> noisy.Task:
    """Draw the training images, spoil their labels, and put all on the device."""
    c = config.resolved()
    given = noisy.draw(c.dataset, c.n, c.noise, c.clean, c.seed, held_out=5000 if c.validate else 0)
    return given._replace(x=in_colour(given.x), test_x=in_colour(given.test_x))


def in_colour(x):
    """Frame grey images of 28 x 28 pixels to 32 x 32, in three equal colours; leave colour images alone."""
    return x if x.shape[1] == 3 else nn.functional.pad(x, (2, 2, 2, 2), value=float(x.min())).expand(-1, 3, -1, -1)


def make_network(config: Config, given: noisy.Task) -> nn.Module:
    """Make the network of a run on its data, with weights from torch's global generator."""
    c = config.resolved()
    if c.network == "wide":
        network = networks.WideResNet(width=c.width)
    else:
        filters = networks.whitening(given.x[:500]) if c.whiten else None
        network = networks.SmallNet(width=c.width, stem=c.stem, normalisation=c.normalisation, filters=filters)
    return nn.Sequential(network, nn.Tanh()) if c.bounded else network


def _schedule(c: Config, t: int) -> training.Schedule:
    """How fit number t of a run goes: steps, batch, step sizes."""
    rest = {"batch": c.batch, "lr": c.lr, "momentum": c.momentum, "shape": c.shape}
    rest |= {"weight_decay": c.weight_decay, "augment": c.augment, "half": c.half, "compiled": c.compiled}
    if c.method != "itlm" or (t >= c.early and c.equal == "steps"):
        return training.Schedule(epochs=c.epochs, **rest)
    kept, name = c.n if t == 0 else n_kept(c.n, c.alpha), "early_epochs" if t < c.early else "epochs"
    return training.Schedule(steps=training.filled_steps(getattr(c, name), kept, c.batch, name), **rest)


def fit(config: Config, given, kept, t: int, *, before=None, checkpoint=None, watch=None, seen=None) -> nn.Module:
    """Fit number t of a run.

    Parameters
    ----------
    config : Config
        The run, resolved.
    given : itlm.noisy.Task
        Its data; what else has ``x`` and ``y`` will do.
    kept : tensor of bool, shape (n,), or None
        The samples to fit; None for all.
    t : int
        Decides the seed, and whether the fit is stopped early.
    before : torch.nn.Module, optional
        The network of the fit before, where a warm start begins.
    checkpoint : path, optional
        As for `itlm.training.fit`, with the number of the fit appended: no fit meets the state of another.
    watch, seen
        As for `itlm.training.fit`.
    """
    c, make = config, partial(make_network, config, given)
    begin = partial(copy.deepcopy, before) if c.warm and before is not None else make
    seed, schedule = training.derived_seed(c.seed, t), _schedule(c, t)
    more = {"checkpoint": checkpoint and f"{checkpoint}{t}", "watch": watch, "seen": seen}
    return training.fit(begin, given.x, given.y, kept, schedule, seed=seed, note=f"{c.method} {t}", **more)


def rounds(
    config: Config, given: noisy.Task | None = None, *, start=0, theta=None, checkpoint=None, watch=None, seen=None
) -> Iterator[Round]:
    """Run the method, yielding each round as it comes.

    Parameters
    ----------
    config : Config
        The run.
    given : itlm.noisy.Task, optional
        Its data, if they are at hand.
    start : int, default 0
        Round to resume from, with ``theta`` the network that it begins with.
    theta : torch.nn.Module, optional
        As above.
    checkpoint : path, optional
        Where each fit keeps its state, after each pass, see `fit`. Other authors' methods keep none.
    watch : callable, (network, step) -> dict, optional
        Looks at a baseline after every pass; `watched` by default.
    seen : list, optional
        Gets what that tells.

    Yields
    ------
    Round
        ``theta`` is the network. Methods without rounds have a single one, whose ``kept`` is what their network was
        trained on or, for other authors' methods, what they trust at the end.

    Raises
    ------
    ValueError
        If the samples kept do not fill a batch.
    """
    c = config.resolved()
    given = given or task(config)
    scored = itertools.count(start)

    def losses(network):
        x = given.x
        if c.augment_scoring:
            generator = torch.Generator(x.device).manual_seed(training.derived_seed(c.seed, SCORING + next(scored)))
            x = torch.cat([training.augmented(part, c.augment, generator) for part in x.split(1000)])
        return training.sample_losses(network, x, given.y)

    if c.method in peers.METHODS:
        make, seed = partial(make_network, c, given), training.derived_seed(c.seed, 0)
        peer = peers.METHODS[c.method]
        network, kept = peer(make, given.x, given.y, c.alpha, _schedule(c, 0), seed, c.method)
        yield noisy.only_round(network, losses(network), kept)
    elif c.method != "itlm":
        kept, watching = noisy.yardstick(c.method, given, c.alpha), {}
        noisy.must_fill_a_batch(c, int(kept.sum()), {"oracle": "clean", "centroid": "alpha"}.get(c.method))
        if seen is not None and c.method == "baseline":
            watching = {"watch": watch or (lambda network, step: watched(network, given)), "seen": seen}
        network = fit(c, given, kept, 0, checkpoint=checkpoint, **watching)
        yield noisy.only_round(network, losses(network), kept)
    else:
        last = c.early - 1 + c.rounds
        if last:
            noisy.must_fill_a_batch(c, n_kept(c.n, c.alpha), "alpha")
        theta = fit(c, given, None, 0, checkpoint=checkpoint) if theta is None else theta
        update = lambda theta, kept, t: fit(c, given, kept, t + 1, before=theta, checkpoint=checkpoint)  # noqa: E731
        groups = given.y if c.balanced else None
        for step in iterate(losses, update, theta, c.alpha, last, start=start, groups=groups):
            noisy.warn_of_emptied_classes(given.y, step)
            yield step


def watched(network: nn.Module, given: noisy.Task) -> dict[str, float]:
    """Tell how a network fares on clean and on bad training samples: a point of Figure 1.

    Returns
    -------
    dict of float
        ``accuracy_clean`` and ``accuracy_bad``, the percentage of the training samples whose *given* label is
        predicted; ``loss_auc``, the chance, in percent, that a bad sample has the larger loss. Of every k-th sample,
        for at most 5,000.
    """
    some = slice(None, None, -(-len(given.y) // WATCHED))
    y, is_bad = given.y[some], given.is_bad[some]
    out = training.outputs(network, given.x[some])
    right = (out.argmax(1) == y).cpu().numpy()
    losses = nn.functional.cross_entropy(out, y, reduction="none").cpu().numpy()
    sides = {"clean": right[~is_bad], "bad": right[is_bad]}
    found = {f"accuracy_{side}": 100 * float(those.mean()) for side, those in sides.items() if len(those)}
    return found | {"loss_auc": records.selection(np.ones(len(y), bool), losses, is_bad)["auc"]}


def measure(step: Round, given: noisy.Task, config: Config) -> dict[str, float]:
    """Measure a round against the truth: `itlm.noisy.against_truth`, and the sample visits so far."""
    return noisy.against_truth(step, given) | {"visits": visits(config, step.t + 1)}


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    if fits is None:
        fits = c.early + c.rounds if c.method == "itlm" else 1
    return peers.FITS.get(c.method, 1) * float(sum(_schedule(c, t).n_steps(c.n) * c.batch for t in range(fits)))


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return data.digest(config.resolved().dataset)


def record_rounds(record, rounds, make_network, measure, checkpoint=None) -> records.Record:
    """Record a run whose rounds are those of `rounds`, going on where it was killed.

    Parameters
    ----------
    record : itlm.records.Record
        As `itlm.records.begin` makes it; its rows are added to.
    rounds : callable, (start, theta, checkpoint, seen) -> iterator of Round
        All by name.
    make_network : callable, () -> torch.nn.Module
    measure : callable, (Round) -> dict of float
        The numbers of a round. What ``rounds`` puts into ``seen`` becomes rounds 1, 2, ...
    checkpoint : path, optional
        The run's file; beside it, with ``.fit`` and a number appended, those of its fits.
    """
    seen = []
    follow = partial(rounds, checkpoint=checkpoint and f"{checkpoint}.fit", seen=seen)
    for step in checkpoints.resumable(follow, make_network, record, checkpoint):
        record.add(step.t, measure(step))
    for t, numbers in enumerate(seen, 1):
        record.add(t, numbers)
    return record


def run(config: Config, *, checkpoint=None) -> records.Record:
    """Run once, and record.

    Parameters
    ----------
    config : Config
        The run.
    checkpoint : path, optional
        A file that holds the last finished round; beside it, with ``.fit`` and a number appended, the fit under way. A
        run that was killed goes on from them (other authors' methods begin anew) and, on a CPU, gives the same record;
        the files are removed at the end.

    Returns
    -------
    itlm.records.Record
        By round, what `measure` measures; of a baseline also, by pass from 1 on, what `watched` tells.
    """
    c = config.resolved()
    given = task(config)
    record = records.begin("cifar", RECIPE, c, digest(c))
    make = partial(make_network, c, given)
    record_rounds(record, partial(rounds, c, given), make, lambda step: measure(step, given, c), checkpoint)
    record.add(0, {"wrong_rate": 100 * given.rate})
    return record.finish()
