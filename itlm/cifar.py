"""Label errors on CIFAR-10: Tables 1 and 2 and Figure 1(a, b) of the paper, as an experiment.

The method is that of `itlm.labels`. What differs is that a network large enough for these images ends by fitting the
wrong labels too, so that the first rounds are stopped early, as the paper has it: Rounds 0 to ``early - 1`` are fitted
for ``early_epochs`` passes over what they keep, the later ones in full. Plain training on everything is a method of
its own.

    config = Config(noise="systematic", clean=0.6)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.2; the schedule of ``scale="paper"`` is that of the authors' code.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import nn

from . import data, networks, noisy, records, training
from .config import Config as Checked
from .config import alpha_of, flag, one_of, parameter, real, whole
from .trimming import Round, iterate, n_kept

__all__ = [
    "RECIPE",
    "SCALES",
    "Config",
    "digest",
    "make_network",
    "measure",
    "rounds",
    "run",
    "task",
    "trace",
    "visits",
]

RECIPE = 1

# No set of labelled colour images ships with the dependencies, so that there is no demo. The values of "cpu" are
# provisional until a study on baseline and oracle has chosen them.
SCALES = {
    "cpu": {"network": "small", "width": 32, "stem": 2, "normalisation": "batch", "whiten": False, "n": 25_000,
            "early": 3, "early_epochs": 10.0, "epochs": 40.0, "rounds": 1,
            "batch": 100, "lr": 0.1, "momentum": 0.9, "shape": "one_cycle", "augment": False, "half": True},
    "paper": {"network": "wide", "width": 10, "stem": 1, "normalisation": "batch", "whiten": False, "n": 50_000,
              "early": 4, "early_epochs": 20.0, "epochs": 80.0, "rounds": 4,
              "batch": 256, "lr": 0.1, "momentum": 0.0, "shape": "drop", "augment": True, "half": True},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """One run of the experiment. None means: as the scale has it.

    Attributes
    ----------
    scale : {"cpu", "paper"}
        Where the fields below that are None come from.
    dataset : {"cifar10"}
        The image set.
    noise : {"systematic", "random"}
        The kind of label errors.
    clean : float in [0, 1]
        Fraction of right labels (alpha* in the paper).
    alpha : float in (0, 1] or None
        Fraction kept (alpha in Algorithm 1). None: five points less than clean, as in the paper.
    method : {"itlm", "baseline", "oracle", "centroid"}
        What chooses the samples. The baseline trains on everything, in full. The paper's "1-step" column is ITLM with
        ``early=1, rounds=1``.
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
    bounded : bool
        Whether the logits pass through tanh, as in the authors' network for digits.
    balanced : bool
        Trim within each given class, so that none can vanish.
    validate : bool
        Test on 5,000 other training images: for choosing a recipe, by baseline and oracle alone.
    trace : bool
        Look at the first fit after every pass, as in Figure 1, and do nothing else.
    seed : int
        Of the subset, the errors, the weights and the batches.
    n, early, early_epochs, epochs, rounds, batch, lr, momentum, shape, augment, half
        Training images; rounds stopped early, and passes over the kept samples in each; passes over all n in every
        other fit (the same steps whatever is kept), and how many of these follow; samples a step; step size, momentum,
        and shape of the step size over a fit, see `itlm.training.Schedule`; shifts and mirror images; half
        precision on a CPU too.
    """

    scale: str = parameter("cpu", one_of(*SCALES))
    dataset: str = parameter("cifar10", one_of("cifar10"))
    noise: str = parameter("systematic", one_of("systematic", "random"))
    clean: float = parameter(0.6, real(0, 1))
    alpha: float | None = parameter(None, real(0, 1, above_low=True, optional=True))
    method: str = parameter("itlm", one_of("itlm", "baseline", "oracle", "centroid"))
    network: str | None = parameter(None, one_of("small", "wide", optional=True))
    width: int | None = parameter(None, whole(1, 1000, optional=True))
    stem: int | None = parameter(None, whole(1, 2, optional=True))
    normalisation: str | None = parameter(None, one_of("batch", "none", optional=True))
    whiten: bool | None = parameter(None, flag(optional=True))
    bounded: bool = parameter(False, flag())
    balanced: bool = parameter(False, flag())
    validate: bool = parameter(False, flag())
    trace: bool = parameter(False, flag())
    seed: int = parameter(0, whole())
    n: int | None = parameter(None, whole(100, 50_000, optional=True))
    early: int | None = parameter(None, whole(1, 50, optional=True))
    early_epochs: float | None = parameter(None, real(0, 1000, above_low=True, optional=True))
    epochs: float | None = parameter(None, real(0, 1000, above_low=True, optional=True))
    rounds: int | None = parameter(None, whole(0, 50, optional=True))
    batch: int | None = parameter(None, whole(1, 10_000, optional=True))
    lr: float | None = parameter(None, real(0, 10, above_low=True, optional=True))
    momentum: float | None = parameter(None, real(0, 0.99, optional=True))
    shape: str | None = parameter(None, one_of("constant", "drop", "one_cycle", optional=True))
    augment: bool | None = parameter(None, flag(optional=True))
    half: bool | None = parameter(None, flag(optional=True))

    def resolved(self) -> "Config":
        """Return the same run with nothing left to the scale."""
        return self.filled(SCALES[self.scale] | {"alpha": alpha_of(self.clean)})


def task(config: Config) -> noisy.Task:
    """Draw the training images, spoil their labels, and put all on the device."""
    c = config.resolved()
    return noisy.draw(c.dataset, c.n, c.noise, c.clean, c.seed, held_out=5000 if c.validate else 0)


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
    rest |= {"augment": c.augment, "half": c.half}
    if c.trace or c.method != "itlm" or t >= c.early:
        return training.Schedule(epochs=c.epochs, **rest)
    kept = c.n if t == 0 else n_kept(c.n, c.alpha)
    return training.Schedule(steps=max(1, int(c.early_epochs * kept / c.batch)), **rest)


def rounds(
    config: Config, given: noisy.Task | None = None, *, start: int = 0, theta=None, checkpoint=None
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
        A file that holds the state of the fit under way, after each pass.

    Yields
    ------
    Round
        ``theta`` is the network. Methods without rounds have a single one, whose ``kept`` is what their network was
        trained on.
    """
    c = config.resolved()
    given = given or task(config)

    def fit(kept, t):
        return training.fit(
            partial(make_network, c, given),
            given.x,
            given.y,
            kept,
            _schedule(c, t),
            seed=training.derived_seed(c.seed, t),
            checkpoint=checkpoint,
            note=f"{c.method} {t}",
        )

    def losses(network):
        return training.sample_losses(network, given.x, given.y)

    if c.method != "itlm":
        kept = noisy.yardstick(c.method, given, c.alpha)
        network = fit(kept, 0)
        yield noisy.only_round(network, losses(network), kept)
        return
    theta = fit(None, 0) if theta is None else theta
    update = lambda theta, kept, t: fit(kept, t + 1)  # noqa: E731
    groups = given.y if c.balanced else None
    for step in iterate(losses, update, theta, c.alpha, c.early - 1 + c.rounds, start=start, groups=groups):
        noisy.warn_of_emptied_classes(given.y, step)
        yield step


def trace(config: Config, given: noisy.Task | None = None) -> list[dict[str, float]]:
    """Fit once, to everything, and tell after every pass how clean and bad samples fare: Figure 1.

    Parameters
    ----------
    config, given
        As for `rounds`.

    Returns
    -------
    list of dict of float
        For each pass: ``accuracy_clean`` and ``accuracy_bad``, the percentage of the training samples whose *given*
        label is predicted; ``auc``, the chance, in percent, that a bad sample has the larger loss; ``test_accuracy``.
    """
    c = config.resolved()
    given = given or task(config)
    found = []

    def watch(network, step):
        out = training.outputs(network, given.x)
        right = (out.argmax(1) == given.y).cpu().numpy()
        losses = nn.functional.cross_entropy(out, given.y, reduction="none").cpu().numpy()
        tested = training.outputs(network, given.test_x).argmax(1) == given.test_y
        sides = {"clean": right[~given.is_bad], "bad": right[given.is_bad]}
        found.append(
            {f"accuracy_{side}": 100 * float(those.mean()) for side, those in sides.items() if len(those)}
            | {"auc": records.selection(np.ones(len(right), bool), losses, given.is_bad)["auc"]}
            | {"test_accuracy": 100 * float(tested.double().mean())}
        )

    schedule, seed = _schedule(replace(c, trace=True), 0), training.derived_seed(c.seed, 0)
    make = partial(make_network, c, given)
    training.fit(make, given.x, given.y, None, schedule, seed=seed, watch=watch, note="trace")
    return found


def measure(step: Round, given: noisy.Task, config: Config) -> dict[str, float]:
    """Measure a round against the truth: `itlm.noisy.against_truth`, and the sample visits so far."""
    return noisy.against_truth(step, given) | {"visits": visits(config, step.t + 1)}


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    if fits is None:
        fits = c.early + c.rounds if c.method == "itlm" and not c.trace else 1
    return float(sum(_schedule(c, t).n_steps(c.n) * c.batch for t in range(fits)))


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
        A file that holds the last finished round; beside it, with ``.fit`` appended, the fit under way. A run that was
        killed goes on from them and gives the same record; the files are removed at the end.

    Returns
    -------
    itlm.records.Record
        By round, what `measure` measures; of a trace, by pass, what `trace` tells.
    """
    c = config.resolved()
    given = task(config)
    record = records.begin("cifar", RECIPE, c, digest(c))
    if c.trace:
        for t, numbers in enumerate(trace(c, given), 1):
            record.add(t, numbers)
        record.add(0, {"visits": visits(c)})
    else:
        begun = None if checkpoint is None else f"{checkpoint}.fit"
        follow = partial(rounds, c, given, checkpoint=begun)
        for step in training.resumable(follow, partial(make_network, c, given), record, checkpoint):
            record.add(step.t, measure(step, given, c))
    record.add(0, {"wrong_rate": 100 * given.rate})
    return record.finish()
