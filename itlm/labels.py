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
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from . import checkpoints, data, networks, noisy, peers, records, training
from .config import Config as Checked
from .config import alpha_of, flag, one_of, parameter, real, whole
from .noisy import Task
from .trimming import Round, iterate, n_kept

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
        Samples of a common class for each of a rare one; rare are `itlm.noisy.RARE`.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.choose != "last" and self.method in peers.METHODS:
            raise ValueError(
                f"choose={self.choose!r} is for the paper's methods, method={self.method!r} takes its last pass"
            )
        if self.choose == "noisy_validation" and (self.early or self.equal == "epochs"):
            raise ValueError(
                "choose='noisy_validation' needs equal='steps' and early=0: how many samples a fit sees, and so how "
                f"long it is, is not known beforehand; got equal={self.equal!r}, early={self.early}"
            )

    def resolved(self) -> "Config":
        """Return the same run with nothing left to the scale."""
        return self.filled(SCALES[self.scale] | {"alpha": alpha_of(self.clean)})


def task(config: Config) -> Task:
    """Draw the training images, spoil their labels, and put all on the device."""
    c = config.resolved()
    return noisy.draw(c.dataset, c.n, c.noise, c.clean, c.seed, imbalance=c.imbalance)


def rounds(config: Config, given: Task | None = None, *, start: int = 0, theta=None) -> Iterator[Round]:
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
        if c.rounds:
            noisy.must_fill_a_batch(c, n_kept(c.n, c.alpha), "alpha")
        theta = fit(None, 0) if theta is None else theta
        update = lambda theta, kept, t: fit(kept, t + 1, theta)  # noqa: E731
        for step in iterate(losses, update, theta, c.alpha, c.rounds, start=start, groups=groups):
            noisy.warn_of_emptied_classes(given.y, step)
            yield step
        return
    if c.method in peers.METHODS:
        seed = training.derived_seed(c.seed, 0)
        schedule = _schedule(c, 0, len(given.y))
        network, kept = peers.METHODS[c.method](make, given.x, given.y, c.alpha, schedule, seed, c.method)
    else:
        kept = noisy.yardstick(c.method, given, c.alpha)
        noisy.must_fill_a_batch(c, int(kept.sum()), "clean" if c.method == "oracle" else "alpha")
        network = fit(kept, 0)
    yield noisy.only_round(network, losses(network), kept)


def _schedule(c: Config, t: int, seen: int) -> training.Schedule:
    """How fit number t of a run goes, which sees so many samples."""
    rest = {"batch": c.batch, "lr": c.lr, "momentum": c.momentum}
    if c.method != "itlm" or (t >= c.early and c.equal == "steps"):
        return training.Schedule(epochs=c.epochs, **rest)
    name = "early_epochs" if t < c.early else "epochs"
    return training.Schedule(steps=training.filled_steps(getattr(c, name), seen, c.batch, name), **rest)


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

    def _look(self, network, step):
        right = training.outputs(network, self.x).argmax(1) == self.y
        if (accuracy := float(right.double().mean())) > self.highest:
            self.highest, self.state = accuracy, {k: v.clone() for k, v in network.state_dict().items()}

    def put_back(self, network):
        if self.state is not None:
            network.load_state_dict(self.state)
        return network


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round against the truth, after the method has done its part.

    Returns
    -------
    dict of float
        What `itlm.noisy.against_truth` measures, and ``visits``, sample visits of all fits so far.
    """
    rare = noisy.RARE if config.imbalance > 1 else ()
    return noisy.against_truth(step, given, rare) | {"visits": visits(config, step.t + 1)}


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    if c.method != "itlm":
        return float(peers.FITS.get(c.method, 1) * _schedule(c, 0, c.n).n_steps(c.n) * c.batch)
    seen = [c.n, *[n_kept(c.n, c.alpha)] * c.rounds]
    return float(
        sum(_schedule(c, t, seen[t]).n_steps(c.n) * c.batch for t in range(len(seen) if fits is None else fits))
    )


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
        A file that holds the last finished round. A run that was killed goes on from it and, on a CPU, gives
        the same record; the file is removed at the end.

    Returns
    -------
    itlm.records.Record
    """
    c = config.resolved()
    given = task(config)
    make = partial(networks.LeNet, activation=c.activation, bounded=c.bounded)
    record = records.begin("labels", RECIPE, c, digest(c))
    for step in checkpoints.resumable(partial(rounds, config, given), make, record, checkpoint):
        record.add(step.t, measure(step, given, config))
    record.add(0, {"wrong_rate": 100 * given.rate})
    return record.finish()
