"""GANs from mixed data: Figure 1(c), Figure 3 and Table 3.

Some of the training images come from an outlier set. A DC-GAN is trained on all images (Round 0), and its
discriminator's losses rank them. The fraction alpha with the smallest losses is kept. The next round trains a new
DC-GAN on the kept images.

    config = Config(alpha=0.65)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.3. The paper omits sizes, steps and how the discriminator scores, so
these are our choices; `PAIRS` lists those that a study made (``sweeps/gan_study.yaml``).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from ..deep import checkpoints, corruption, images, networks, training
from ..deep import gan as dcgan
from ..deep.inputs import to_tanh
from ..deep.networks import pick_device
from ..errors import Collapsed
from ..parameters import Parameters, alpha_of, flag, one_of, parameter, real, whole
from ..records.record import ROOM, Record, begin
from ..rivals.images import HEURISTICS
from ..trimming import Round, iterate, n_kept, trim
from . import gan_quality, measures
from .rounds import must_fill_a_batch, single

__all__ = [
    "PAIRS", "RECIPE", "SCALES", "Config", "Task", "digest", "fit", "judge", "measure", "rounds", "run", "task",
    "trace", "visits",
]  # fmt: skip

RECIPE = 1

# The paper states no sizes, so the sizes at "paper" are our choice.
SCALES = {
    "demo": {"pair": "mnist5k-textures", "n": 2000, "epochs": 8.0, "rounds": 5, "width": 16, "batch": 64},
    "cpu": {"pair": "mnist-fashion_mnist", "n": 6000, "epochs": 4.0, "rounds": 5, "width": 32, "batch": 64},
    "paper": {"pair": "mnist-fashion_mnist", "n": 60000, "epochs": 10.0, "rounds": 5, "width": 64, "batch": 128},
}

# The clean set is named first. Normalisation and, if scoring at the end fails, score_at were chosen by the AUC of
# Round 0, at seeds that no result uses (sweeps/gan_study.yaml for MNIST, gan_scoring.yaml for the other pairs).
PAIRS = {
    "mnist5k-textures": {"size": 28, "normalisation": "batch", "score_at": 0.1},
    "mnist-fashion_mnist": {"size": 28, "normalisation": "none", "score_at": 1.0},
    "celeba-cifar10": {"size": 32, "normalisation": "batch", "score_at": 0.012},
}

SHOWN = (0, 1, 3, 5)  # rounds shown in Figure 3, for which runs with seed 0 keep images


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One run of the experiment."""

    scale: str = parameter(
        "demo", one_of(*SCALES), "data and budget",
        more="Demo: digits and textures that ship with the dependencies. Cpu: MNIST, reduced. Paper: for a GPU.",
    )  # fmt: skip
    pair: str | None = parameter(None, one_of(*PAIRS), "clean and bad set")
    clean: float = parameter(0.7, real(0, 1, above_low=True), "fraction of clean images (alpha* in the paper)")
    alpha: float | None = parameter(
        None, real(0, 1, above_low=True), "fraction kept (alpha in Algorithm 1)", none="five points below clean"
    )
    method: str = parameter(
        "itlm", one_of("itlm", "oracle", *HEURISTICS), "selection rule",
        more="ITLM's Round 0 is the baseline. Each other method keeps, in one round, the clean images, or the images "
        "nearest to the mean image, best rebuilt from 20 principal components, or best rebuilt by an autoencoder.",
    )  # fmt: skip
    loss: str = parameter(
        "dcgan", one_of(*dcgan.LOSSES), "loss of the GAN",
        more="See `itlm.deep.gan.LOSSES`. WGAN-GP has one discriminator step per generator step, like the others.",
    )  # fmt: skip
    normalisation: str | None = parameter(
        None, one_of("none", "batch"), "normalisation of the discriminator", none="set by the pair",
        more="The generator always has batch norm.",
    )  # fmt: skip
    statistics: str = parameter(
        "real", one_of(*dcgan.STATISTICS), "statistics that batch norm scores with",
        more="Real: those of the real training images after the fit. Running: the fit's running averages, which mix "
        "real and generated images. Batch: those of each scored batch.",
    )  # fmt: skip
    score_at: float | None = parameter(
        None, real(0, 1, above_low=True), "fraction of a fit after which the discriminator scores",
        none="set by the pair", more="The generator's fit continues. 1 scores at the end.",
    )  # fmt: skip
    reinitialise: bool = parameter(
        True, flag(), "whether each round starts from new weights",
        more="If False, a fit starts from the weights of the previous round, which needs ``score_at`` 1.",
    )  # fmt: skip
    trace: bool = parameter(
        False, flag(), "whether to record the first fit epoch by epoch in place of rounds",
        more="Each epoch's discriminator then makes a selection, which is measured.",
    )  # fmt: skip
    seed: int = parameter(0, whole(), "seed of the images, the weights, the batches and the latent vectors")
    n: int | None = parameter(None, whole(100, 200_000), "training images")
    size: int | None = parameter(None, whole(28, 64), "side of the images, 28, 32 or 64 pixels", none="set by the pair")
    width: int | None = parameter(None, whole(1, 512), "channels of the largest feature map")
    epochs: float | None = parameter(
        None, real(0, 1000, above_low=True), "epochs over all n images in each fit",
        more="They fix the number of steps, however many images are kept.",
    )  # fmt: skip
    rounds: int | None = parameter(None, whole(0, 50), "updates (T in Algorithm 1)")
    batch: int | None = parameter(None, whole(2, 10_000), "real images a step")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in (None, *networks.SIZES):
            raise ValueError(f"size must be one of {', '.join(map(str, networks.SIZES))} or None, got {self.size}")
        if self.loss == "wgan_gp" and self.normalisation == "batch":
            raise ValueError("wgan_gp needs normalisation='none', got 'batch': its penalty treats each image alone")
        if self.statistics != "real" and self.loss == "wgan_gp":
            raise ValueError(
                f"statistics={self.statistics!r} needs batch norm, which loss='wgan_gp' cannot have: its penalty "
                "treats each image alone; take statistics='real' or another loss"
            )
        pair = self.pair or SCALES[self.scale]["pair"]
        if self.statistics != "real" and (self.normalisation or PAIRS[pair]["normalisation"]) == "none":
            got = "'none'" if self.normalisation else f"None, which is 'none' for pair={pair!r}"
            raise ValueError(
                f"statistics={self.statistics!r} needs normalisation='batch', got {got}: only batch norm has statistics"
            )
        if not self.reinitialise and (self.score_at or 1) < 1:
            raise ValueError(f"reinitialise=False needs score_at=1, got {self.score_at}: each fit continues the last")
        if self.trace and self.method != "itlm":
            raise ValueError(f"trace=True needs method='itlm', got {self.method!r}")
        if self.trace and (self.epochs or 1) < 1:
            raise ValueError(f"trace=True needs epochs of at least 1, got {self.epochs}: it measures after every epoch")

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        scale = SCALES[self.scale]
        pair = self.pair or scale["pair"]
        preset = scale | PAIRS[pair] | {"pair": pair, "alpha": alpha_of(self.clean)}
        if pair == "celeba-cifar10":
            preset |= {"paper": {"size": 64}, "cpu": {"epochs": 8.0}}.get(self.scale, {})  # faces need more steps
        if self.loss == "wgan_gp":
            preset["normalisation"] = "none"
        if not self.reinitialise:
            preset["score_at"] = 1.0
        return self.filled(preset)

    def recipe(self) -> dcgan.Recipe:
        """Return the recipe of the GANs of a resolved run."""
        names = ("size", "width", "normalisation", "loss", "statistics", "score_at", "epochs", "batch")
        return dcgan.Recipe(**{name: getattr(self, name) for name in names})


class Task(NamedTuple):
    """A run's data. Only the record and the oracle use ``is_bad``."""

    x: torch.Tensor  # (n, channels, size, size) in [-1, 1]
    is_bad: np.ndarray  # (n,)
    rate: float
    notice: str  # which images were resized; empty if none


def task(config: Config) -> Task:
    """Mix the two sets, resize the images to one size, and move them to the device."""
    c = config.resolved()
    names = c.pair.split("-")
    sets = [images.load(name).train_x for name in names]
    mixed = corruption.mixture_of_sets(*sets, c.n, c.clean, np.random.default_rng([c.seed, 0]), size=c.size)
    changed = [
        f"{name} from {s.shape[1]}x{s.shape[2]}" for name, s in zip(names, sets, strict=True) if s.shape[1] != c.size
    ]
    notice = f"{' and '.join(changed)} resized to {c.size}x{c.size}" if changed else ""
    return Task(to_tanh(mixed.images).to(pick_device()), mixed.is_bad, mixed.rate, notice)


def rounds(config: Config, given: Task | None = None, *, start: int = 0, theta=None) -> Iterator[Round]:
    """Run the method, yielding each round as it comes.

    Parameters
    ----------
    config, given : Config, Task
        The run, and its data if already drawn.
    start, theta : int, itlm.deep.networks.GAN
        Round to resume from, and the GAN that the round begins with.

    Yields
    ------
    Round
        ``theta`` is the GAN, with the discriminator that scored. Other methods than ITLM have a single round. Its
        ``kept`` trained their GAN, and its ``losses`` chose ``kept``; the oracle's losses are from its trained GAN.

    Raises
    ------
    itlm.errors.Collapsed
        If a discriminator does not rank the images.
    itlm.errors.Diverged
        If a training loss is not finite.
    ValueError
        If alpha n images (for the oracle, clean n) do not fill a batch.
    """
    c = config.resolved()
    kept, by = (round(c.clean * c.n), "clean") if c.method == "oracle" else (n_kept(c.n, c.alpha), "alpha")
    must_fill_a_batch(kept, c.n, c.batch, by, getattr(c, by))
    given = given or task(c)
    losses = partial(dcgan.sample_losses, x=given.x, recipe=c.recipe())
    if c.method == "itlm":
        theta = fit(c, given.x, None, 0) if theta is None else theta
        update = lambda theta, kept, t: fit(c, given.x, kept, t + 1, theta)  # noqa: E731
        for step in iterate(losses, update, theta, c.alpha, c.rounds, start=start):
            _must_rank(step)
            yield step
        return
    if c.method == "oracle":
        kept = torch.as_tensor(~given.is_bad, device=given.x.device)
        theta = fit(c, given.x, kept, 0)
        scores = losses(theta)
    else:
        scores = HEURISTICS[c.method](given.x.flatten(1), training.derived_seed(c.seed, 0))
        kept = trim(scores, c.alpha)
        theta = fit(c, given.x, kept, 0)
    yield single(theta, scores, kept)


def fit(c: Config, x, kept, t: int, theta=None, *, watch=None) -> networks.GAN:
    """Run fit number t with `itlm.deep.gan.fit`, seeded by (seed, t).

    The configuration is resolved. If its ``reinitialise`` is False, the fit starts from theta, the previous GAN.
    """
    start, seed = None if c.reinitialise else theta, training.derived_seed(c.seed, t)
    return dcgan.fit(c.recipe(), x, kept, seed=seed, start=start, watch=watch, note=f"gan {t}")


def _must_rank(step: Round) -> None:
    """Raise if ties decide the selection: if more than 5 % of the images are at the threshold."""
    n, k = len(step.losses), int(step.kept.sum())
    threshold = step.losses[step.kept].max()
    tied = float(((step.losses - threshold).abs() <= 1e-6 * threshold.abs()).double().mean())
    if k < n and tied > 0.05:
        raise Collapsed(
            f"round {step.t}: the discriminator gives {100 * tied:.0f} % of the {n} images the same loss, "
            f"{float(threshold):.6g}, and cannot choose {k}. Try another seed, loss or normalisation, or fewer epochs"
        )


def judge(c: Config) -> gan_quality.Judge:
    """Return the classifier that judges the generated images of a resolved run."""
    return gan_quality.train_judge(*c.pair.split("-"), c.size)


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round by `itlm.experiments.measures.selection`, and count ``visits``, sample visits so far.

    `itlm.experiments.gan_quality.worth` measures 2,000 images that the round's GAN generates.
    """
    return {
        **gan_quality.worth(judge(config.resolved()), dcgan.generated(step.theta, dcgan.latents(2000, seed=1))),
        "visits": visits(config, step.t + 1),
        **measures.selection(step.kept.cpu().numpy(), step.losses.cpu().numpy(), given.is_bad),
    }


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    fits = fits or (c.rounds + 1 if c.method == "itlm" and not c.trace else 1)
    return float(fits * c.recipe().schedule().n_steps(c.n) * c.batch)


def digest(config: Config) -> str:
    """Return the digest of the two image sets that a run uses."""
    return hashlib.sha256("".join(map(images.digest, config.resolved().pair.split("-"))).encode()).hexdigest()


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and return the record of what `measure` measures, by round.

    Parameters
    ----------
    config : Config
        The run. With ``config.trace`` the record has epochs instead of rounds, see `trace`.
    checkpoint : path, optional
        File for the last finished round. A killed run resumes from the file and, on a CPU, gives the same record; a
        trace starts again. The file is removed at the end.
    """
    c = config.resolved()
    given = task(c)
    record = begin("gan", RECIPE, c, digest(c))
    if c.trace:
        for epoch, numbers in trace(c, given):
            record.add(epoch, numbers)
        record.add(0, {"visits": visits(c)})
    else:
        make = partial(dcgan.make, c.recipe(), given.x.shape[1])
        for step in checkpoints.resumable(partial(rounds, c, given), make, record, checkpoint):
            record.add(step.t, measure(step, given, c))
            if c.seed == 0 and step.t in SHOWN:
                room = ROOM // (len(SHOWN) * given.x[0].numel())
                record.keep(f"round_{step.t}", dcgan.images(step.theta, dcgan.latents()[:room]))
        record.add(0, {"judge_accuracy": judge(c).accuracy})
    record.add(0, {"bad_rate": 100 * given.rate})
    return record.finish()


def trace(config: Config, given: Task | None = None) -> list[tuple[int, dict[str, float]]]:
    """Measure the discriminator of the first fit, which sees all images, after every epoch.

    Returns
    -------
    list of (int, dict of float)
        The epoch, from 1, and its numbers, in percent. ``precision_by_epoch``, ``recall_by_epoch`` and ``auc_by_epoch``
        describe the selection. ``real_clean`` and ``real_bad`` are the shares of the clean and of the corrupted images
        judged real. ``auc_unseen`` is the probability that an unseen clean image has a larger loss than a clean
        training image; it is 50 unless the discriminator memorises.
    """
    c = config.resolved()
    given = given or task(c)
    recipe, loss, found = c.recipe(), dcgan.LOSSES[c.loss], []
    clean = torch.as_tensor(~given.is_bad, device=given.x.device)
    held_out = images.load(c.pair.split("-")[0]).test_x
    some = np.sort(np.random.default_rng(0).choice(len(held_out), size=1000, replace=False))
    unseen = to_tanh(corruption.resized(held_out[some], c.size)).to(given.x.device)

    def look(theta, step):
        D = dcgan.scorer(theta.discriminator, given.x, None, recipe)
        seen, other = dcgan.outputs(D, given.x, recipe), dcgan.outputs(D, unseen, recipe)
        scores = loss.surrogate(seen)
        chosen = measures.selection(trim(scores, c.alpha).cpu().numpy(), scores.cpu().numpy(), given.is_bad)
        both = loss.surrogate(torch.cat([seen[clean], other])).cpu().numpy()
        is_other = np.arange(len(both)) >= len(both) - len(other)
        real = lambda d: 100 * float((d > loss.middle).double().mean()) if loss.middle == loss.middle else np.nan  # noqa: E731
        numbers = {f"{name}_by_epoch": value for name, value in chosen.items()}
        numbers |= {"real_clean": real(seen[clean]), "real_bad": real(seen[~clean])}
        numbers["auc_unseen"] = measures.selection(np.ones(len(both), bool), both, is_other)["auc"]
        found.append((len(found) + 1, numbers))

    fit(c, given.x, None, 0, watch=look)
    return found
