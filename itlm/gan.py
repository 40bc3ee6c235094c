"""GANs from mixed data: Figure 1(c), Figure 3 and Table 3 of the paper, as an experiment.

Some of the images come from a set that they should not come from. A DC-GAN is trained on everything
(Round 0), its discriminator's loss ranks the real images, the fraction alpha that looks most real is kept,
a new DC-GAN is trained on those, and so on.

    config = Config(alpha=0.65)
    for step in rounds(config): ...       to watch
    record = run(config)                  to record

Source: Shen & Sanghavi, ICML 2019, Section 6.3; Radford, Metz & Chintala 2015 for the networks and Adam's
settings. The paper does not state sizes, steps or how the discriminator is scored: those are ours; what
of them was chosen by a study (``sweeps/gan_study.yaml``) is said at `PAIRS`.
"""

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import relu, softplus
from tqdm import tqdm

from . import checkpoints, corruption, data, judging, networks, noisy, records, training
from .config import Config as Checked
from .config import alpha_of, flag, one_of, parameter, real, whole
from .trimming import Round, iterate, n_kept, trim

__all__ = [
    "HEURISTICS",
    "LOSSES",
    "PAIRS",
    "RECIPE",
    "SCALES",
    "Collapsed",
    "Config",
    "Loss",
    "Task",
    "digest",
    "fit",
    "images",
    "judge",
    "latents",
    "measure",
    "rounds",
    "run",
    "sample_losses",
    "task",
    "trace",
    "visits",
]

RECIPE = 1  # raise it when a change of the code changes what a run computes: old rows are then run again

# What a scale means. The paper states no sizes: those at "paper" are ours.
SCALES = {
    "demo": {"pair": "mnist5k-textures", "n": 2000, "epochs": 8.0, "rounds": 5, "width": 16, "batch": 64},
    "cpu": {"pair": "mnist-fashion_mnist", "n": 6000, "epochs": 4.0, "rounds": 5, "width": 32, "batch": 64},
    "paper": {"pair": "mnist-fashion_mnist", "n": 60000, "epochs": 10.0, "rounds": 5, "width": 64, "batch": 128},
}

# The clean set first. Normalisation and, where scoring at the end fails, the moment of scoring were chosen by the
# AUC of Round 0 at seeds that no result uses (sweeps/gan_study.yaml for MNIST, gan_scoring.yaml for the others).
PAIRS = {
    "mnist5k-textures": {"size": 28, "normalisation": "batch", "score_at": 0.1},
    "mnist-fashion_mnist": {"size": 28, "normalisation": "none", "score_at": 1.0},
    "celeba-cifar10": {"size": 32, "normalisation": "batch", "score_at": 0.012},
}

SHOWN = (0, 1, 3, 5)  # rounds whose images Figure 3 shows: runs with seed 0 keep some

LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)  # of Adam, for both networks
PENALTY = 10.0  # weight of WGAN-GP's gradient penalty


class Loss(NamedTuple):
    """A GAN's loss, as functions of the discriminator's outputs, which are large where an image looks real.

    Attributes
    ----------
    real, fake : callable, (n,) -> (n,)
        The discriminator's loss on real and on generated images.
    generator : callable, (n,) -> (n,)
        The generator's loss on generated images.
    surrogate : callable, (n,) -> (n,)
        What trimming sorts: the discriminator's loss on real images, **low where an image looks real**.
        Strictly falling in the output, so that it ranks every image: hinge's own max(0, 1 - D) is 0 for all
        images past the margin, and least squares' (1 - D)^2 rises again past 1, so both take 1 - D.
    middle : float
        The output that says neither; NaN where there is none.
    """

    real: Callable
    fake: Callable
    generator: Callable
    surrogate: Callable
    middle: float


LOSSES = {
    # -log D, -log(1 - D) and, for the generator, -log D: the paper's, with D = sigmoid(output).
    "dcgan": Loss(lambda d: softplus(-d), softplus, lambda d: softplus(-d), lambda d: softplus(-d), 0.0),
    "hinge": Loss(lambda d: relu(1 - d), lambda d: relu(1 + d), lambda d: -d, lambda d: 1 - d, 0.0),
    "least_squares": Loss(
        lambda d: (1 - d) ** 2 / 2, lambda d: d**2 / 2, lambda d: (1 - d) ** 2 / 2, lambda d: 1 - d, 0.5
    ),
    "wgan_gp": Loss(lambda d: -d, lambda d: d, lambda d: -d, lambda d: -d, math.nan),  # and the penalty
}


class Collapsed(RuntimeError):
    """A discriminator gives many images the same loss: it ranks nothing, and keeping some would be arbitrary."""


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """One run of the experiment. None means: as the scale, or the pair, has it.

    Attributes
    ----------
    scale : {"demo", "cpu", "paper"}
        Where the fields below that are None come from.
    pair : {"mnist5k-textures", "mnist-fashion_mnist", "celeba-cifar10"} or None
        The clean and the bad image set.
    clean : float in (0, 1]
        Fraction of the images that are from the clean set (alpha* in the paper).
    alpha : float in (0, 1] or None
        Fraction kept (alpha in Algorithm 1). None: five points less than clean, as in the paper.
    method : {"itlm", "oracle", "mean", "pca", "autoencoder"}
        What chooses the images. ITLM's Round 0 is the baseline. The others have one round: the clean images
        alone; or those nearest to the mean image, best rebuilt from 20 principal components, best rebuilt
        by an autoencoder.
    loss : {"dcgan", "hinge", "least_squares", "wgan_gp"}
        See `LOSSES`. WGAN-GP takes one discriminator step per generator step, like the others.
    normalisation : {"none", "batch"} or None
        Of the discriminator. The generator always has batch norm.
    statistics : {"real", "running", "batch"}
        What batch norm scores with: statistics of the real training images, taken after the fit; the running
        ones of the fit, which mix real and generated images; or those of each scored batch.
    score_at : float in (0, 1] or None
        The part of a fit after which the discriminator is set aside for scoring; the fit goes on, for the
        generator. 1 scores at the end.
    reinitialise : bool
        Begin each fit from new weights; otherwise from the round before, which needs ``score_at`` 1.
    trace : bool
        Record the first fit pass by pass in place of rounds: ITLM's selection, had the discriminator been set
        aside then.
    seed : int
        Of the images, the weights, the batches and the latent vectors.
    n, size, width, epochs, rounds, batch
        Training images; their side in pixels; channels of the largest feature map; passes over all n in every
        fit (the same steps whatever is kept); updates (T); real images a step.
    """

    scale: str = parameter("demo", one_of(*SCALES))
    pair: str | None = parameter(None, one_of(*PAIRS, optional=True))
    clean: float = parameter(0.7, real(0, 1, above_low=True))
    alpha: float | None = parameter(None, real(0, 1, above_low=True, optional=True))
    method: str = parameter("itlm", one_of("itlm", "oracle", "mean", "pca", "autoencoder"))
    loss: str = parameter("dcgan", one_of(*LOSSES))
    normalisation: str | None = parameter(None, one_of("none", "batch", optional=True))
    statistics: str = parameter("real", one_of("real", "running", "batch"))
    score_at: float | None = parameter(None, real(0, 1, above_low=True, optional=True))
    reinitialise: bool = parameter(True, flag())
    trace: bool = parameter(False, flag())
    seed: int = parameter(0, whole())
    n: int | None = parameter(None, whole(100, 200000, optional=True))
    size: int | None = parameter(None, whole(28, 64, optional=True))
    width: int | None = parameter(None, whole(1, 512, optional=True))
    epochs: float | None = parameter(None, real(0, 1000, above_low=True, optional=True))
    rounds: int | None = parameter(None, whole(0, 50, optional=True))
    batch: int | None = parameter(None, whole(2, 10000, optional=True))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in (None, *networks.SIZES):
            raise ValueError(f"size must be one of {', '.join(map(str, networks.SIZES))} or None, got {self.size}")
        if self.loss == "wgan_gp" and self.normalisation == "batch":
            raise ValueError("wgan_gp needs normalisation='none', got 'batch': its penalty is of each image alone")
        if self.statistics != "real" and self.loss == "wgan_gp":
            raise ValueError(
                f"statistics={self.statistics!r} needs batch norm, which loss='wgan_gp' cannot have: its penalty is of "
                "each image alone; take statistics='real' or another loss"
            )
        pair = self.pair or SCALES[self.scale]["pair"]
        if self.statistics != "real" and (self.normalisation or PAIRS[pair]["normalisation"]) == "none":
            got = "'none'" if self.normalisation else f"None, which is 'none' for pair={pair!r}"
            raise ValueError(
                f"statistics={self.statistics!r} needs normalisation='batch', got {got}: without it there are none"
            )
        if not self.reinitialise and (self.score_at or 1) < 1:
            raise ValueError(f"reinitialise=False needs score_at=1, got {self.score_at}: the fit goes on from its end")
        if self.trace and self.method != "itlm":
            raise ValueError(f"trace=True needs method='itlm', got {self.method!r}")
        if self.trace and (self.epochs or 1) < 1:
            raise ValueError(f"trace=True needs epochs of at least 1, got {self.epochs}: it looks after every pass")

    def resolved(self) -> "Config":
        """Return the same run with nothing left to the scale or the pair."""
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

    def schedule(self) -> training.Schedule:
        """Return the steps of one fit; of a resolved configuration."""
        return training.Schedule(epochs=self.epochs, batch=self.batch, lr=LEARNING_RATE)


class Task(NamedTuple):
    """What a run works on. ``is_bad`` is for the record and for the oracle; nothing else is handed it."""

    x: torch.Tensor  # (n, channels, size, size) in [-1, 1]
    is_bad: np.ndarray  # (n,)
    rate: float
    notice: str  # what was resized; empty where nothing was


def task(config: Config) -> Task:
    """Mix the two sets, bring them to one size, and put them on the device."""
    c = config.resolved()
    names = c.pair.split("-")
    sets = [data.load(name).train_x for name in names]
    mixed = corruption.mixture_of_sets(*sets, c.n, c.clean, np.random.default_rng([c.seed, 0]), size=c.size)
    changed = [
        f"{name} from {s.shape[1]}x{s.shape[2]}" for name, s in zip(names, sets, strict=True) if s.shape[1] != c.size
    ]
    notice = f"{' and '.join(changed)} resized to {c.size}x{c.size}" if changed else ""
    return Task(networks.to_tanh(mixed.images).to(training.pick_device()), mixed.is_bad, mixed.rate, notice)


def rounds(config: Config, given: Task | None = None, *, start: int = 0, theta=None) -> Iterator[Round]:
    """Run the method, yielding each round as it comes.

    Parameters
    ----------
    config : Config
        The run.
    given : Task, optional
        Its data, if they are at hand.
    start : int, default 0
        Round to resume from, with ``theta`` the GAN that it begins with.
    theta : itlm.networks.GAN, optional
        As above.

    Yields
    ------
    Round
        ``theta`` is the GAN, its discriminator as it scored. Methods other than ITLM have a single round,
        whose ``kept`` is what their GAN was trained on and whose ``losses`` are what chose it; the oracle's are those
        of its GAN.

    Raises
    ------
    Collapsed
        When a discriminator does not rank the images.
    itlm.training.Diverged
        When a training loss is no longer finite.
    ValueError
        If alpha n images, for the oracle clean n, do not fill a batch.
    """
    c = config.resolved()
    if c.method == "oracle":
        noisy.must_fill_a_batch(c, round(c.clean * c.n), "clean")
    else:
        noisy.must_fill_a_batch(c, n_kept(c.n, c.alpha), "alpha")
    given = given or task(c)
    if c.method == "itlm":
        theta = fit(c, given.x, None, 0) if theta is None else theta
        update = lambda theta, kept, t: fit(c, given.x, kept, t + 1, theta)  # noqa: E731
        for step in iterate(partial(sample_losses, x=given.x, config=c), update, theta, c.alpha, c.rounds, start=start):
            _must_rank(step)
            yield step
        return
    if c.method == "oracle":
        kept = torch.as_tensor(~given.is_bad, device=given.x.device)
        theta = fit(c, given.x, kept, 0)
        scores = sample_losses(theta, given.x, c)
    else:
        scores = HEURISTICS[c.method](given.x.flatten(1), training.derived_seed(c.seed, 0))
        kept = trim(scores, c.alpha)
        theta = fit(c, given.x, kept, 0)
    yield noisy.only_round(theta, scores, kept)


def fit(config: Config, x, kept, t: int, theta=None, *, watch=None) -> networks.GAN:
    """Train the generator and the discriminator on the kept images, in turn, a step each.

    Parameters
    ----------
    config : Config
        Steps, loss, networks.
    x : tensor, shape (n, channels, size, size)
        All real images, on the device.
    kept : tensor of bool, shape (n,), or None
        The images to train on (S_t); None for all.
    t : int
        Number of the fit: all its randomness derives from (seed, t).
    theta : itlm.networks.GAN, optional
        Where to begin if ``config.reinitialise`` is False; left as it is.
    watch : callable, (gan, step) -> None, optional
        Called after each pass with the GAN in train mode and the number of steps taken, to look and not to
        touch.

    Returns
    -------
    itlm.networks.GAN
        In eval mode; the generator as it ended, the discriminator as it was at ``config.score_at``.

    Raises
    ------
    itlm.training.Diverged
        When a loss is no longer finite; says at which pass and step.
    ValueError
        If fewer images are kept than fill a batch, or the epochs are too few for a step.
    """
    c, device = config.resolved(), x.device
    seed, loss, schedule = training.derived_seed(c.seed, t), LOSSES[c.loss], c.schedule()
    fresh = c.reinitialise or theta is None
    theta = networks.initialised(partial(_make, c, x.shape[1]), seed) if fresh else copy.deepcopy(theta)
    theta = theta.to(device, memory_format=torch.channels_last).train()
    G, D = theta.generator, theta.discriminator
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), LEARNING_RATE, BETAS) for net in (G, D))
    generator = torch.Generator(device).manual_seed(seed)
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    half = partial(torch.autocast, device.type, torch.bfloat16, enabled=on_gpu)
    n_steps = training.steps_of(schedule, len(x))
    every = max(1, (len(x) if kept is None else int(kept.sum())) // c.batch)
    score_step = max(1, round(c.score_at * n_steps))
    total = torch.zeros((), device=device)
    steps = tqdm(
        training.batches(len(x), schedule, generator, kept), f"gan {t}", n_steps, leave=False, delay=2, **training._PACE
    )
    for step, batch in enumerate(steps, 1):
        real = x[batch]
        z = torch.randn(len(batch), networks.LATENT, generator=generator, device=device)
        with half():
            fake = G(z)
            loss_d = loss.real(D(real)).mean() + loss.fake(D(fake.detach())).mean()
        if c.loss == "wgan_gp":
            loss_d = loss_d + PENALTY * _gradient_penalty(D, real, fake.detach().float(), generator)
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()
        D.requires_grad_(False)  # its weights' gradients are not wanted here
        with half():
            loss_g = loss.generator(D(fake)).mean()
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()
        D.requires_grad_(True)
        total += loss_d.detach() + loss_g.detach()
        if step == score_step:
            scorer = _scorer(D, x, kept, c)
        if step % every == 0 or step == n_steps:  # once a pass: looking costs the GPU a wait
            if not math.isfinite(total.item()):
                raise training.Diverged(
                    f"the GAN's loss is {total.item()} in pass {math.ceil(step / every)} over the kept images "
                    f"(step {step} of {n_steps}, fit {t}); look for broken images, or try another loss or seed"
                )
            total.zero_()
            if watch and step % every == 0:
                watch(theta, step)
    theta.discriminator = scorer
    return theta.eval()


def _make(config: Config, channels: int) -> networks.GAN:
    return networks.GAN(config.size, channels, config.width, config.normalisation)


def _gradient_penalty(D, real, fake, generator):
    """Penalise gradients of D whose norm is not 1, between real and generated images (Gulrajani 2017)."""
    share = torch.rand(len(real), 1, 1, 1, generator=generator, device=real.device)
    between = torch.lerp(real, fake, share).requires_grad_()
    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


@torch.no_grad()
def _scorer(D, x, kept, c):
    """Copy a discriminator, its batch-norm statistics taken anew from the real training images if so chosen."""
    D = copy.deepcopy(D)
    norms = [layer for layer in D.modules() if isinstance(layer, nn.BatchNorm2d)]
    if norms and c.statistics == "real":
        before = norms[0].momentum
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
        for batch in (x if kept is None else x[kept]).split(c.batch):
            if len(batch) == c.batch:
                D(batch)
        for norm in norms:
            norm.momentum = before
    return D.eval()


def sample_losses(theta, x, config: Config) -> torch.Tensor:
    """Score every real image: the losses that trimming sorts, low where an image looks real.

    Parameters
    ----------
    theta : itlm.networks.GAN
        The model theta_t.
    x : tensor, shape (n, channels, size, size)
        All real images.
    config : Config
        Its ``loss`` and ``statistics``.

    Returns
    -------
    tensor of float32, shape (n,)
    """
    c = config.resolved()
    return LOSSES[c.loss].surrogate(_outputs(theta.discriminator, x, c))


@torch.no_grad()
def _outputs(D, x, c):
    """Apply a discriminator as it scores: (n,), large where an image looks real."""
    D.train(c.statistics == "batch")  # the running statistics that this moves are then never used
    try:
        return torch.cat([D(part) for part in x.split(c.batch if D.training else 500)])
    finally:
        D.eval()


def _must_rank(step: Round) -> None:
    """Refuse a selection that ties decide: more than one image in twenty at the threshold."""
    n, k = len(step.losses), int(step.kept.sum())
    threshold = step.losses[step.kept].max()
    tied = float(((step.losses - threshold).abs() <= 1e-6 * threshold.abs()).double().mean())
    if k < n and tied > 0.05:
        raise Collapsed(
            f"round {step.t}: the discriminator gives {100 * tied:.0f} % of the {n} images the same loss, "
            f"{float(threshold):.6g}, so that it does not say which {k} to keep. "
            "Try another seed, loss or normalisation, or fewer epochs"
        )


# What one may try in place of a discriminator. Each takes (n, pixels) and gives (n,), small where kept.


def _far_from_mean(flat, seed):
    return ((flat - flat.mean(0)) ** 2).sum(1)


def _pca_residual(flat, seed, components=20):
    centred = flat - flat.mean(0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        axes = torch.pca_lowrank(centred, components, center=False, niter=4)[2]  # (pixels, components)
    return (centred**2).sum(1) - ((centred @ axes) ** 2).sum(1)


def _rebuilding_error(flat, seed, epochs=10, batch=100):
    pixels, generator = flat.shape[1], torch.Generator(flat.device).manual_seed(seed)

    def make():
        return nn.Sequential(
            nn.Linear(pixels, 128), nn.ReLU(), nn.Linear(128, 20), nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, pixels)
        )

    network = networks.initialised(make, seed).to(flat.device)
    adam = torch.optim.Adam(network.parameters(), 1e-3)
    for chosen in training.batches(len(flat), training.Schedule(epochs=epochs, batch=batch), generator):
        adam.zero_grad()
        ((network(flat[chosen]) - flat[chosen]) ** 2).sum(1).mean().backward()
        adam.step()
    with torch.no_grad():
        return ((network(flat) - flat) ** 2).sum(1)


HEURISTICS = {"mean": _far_from_mean, "pca": _pca_residual, "autoencoder": _rebuilding_error}


# What the images are worth.


def latents(n: int = 32, seed: int = 0) -> torch.Tensor:
    """Draw latent vectors, the same at every call: (n, 100)."""
    return torch.randn(n, networks.LATENT, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def images(theta, latents) -> np.ndarray:
    """Generate images to show.

    Parameters
    ----------
    theta : itlm.networks.GAN
        From a `Round`.
    latents : tensor, shape (n, 100)
        Such as `latents` draws; the same ones in every round, to compare.

    Returns
    -------
    array of uint8, shape (n, size, size) or (n, size, size, 3)
    """
    return networks.from_tanh(_generated(theta, latents))


@torch.no_grad()
def _generated(theta, latents):
    device = next(theta.parameters()).device
    return torch.cat([theta.generator(part.to(device)) for part in latents.split(500)])


def judge(config: Config) -> judging.Judge:
    """Return the classifier that judges the generated images of a run."""
    c = config.resolved()
    return judging.judge(*c.pair.split("-"), c.size)


def measure(step: Round, given: Task, config: Config) -> dict[str, float]:
    """Measure a round against the truth, after the method has done its part.

    Returns
    -------
    dict of float
        What `itlm.records.selection` measures of the selection and `itlm.judging.worth` of 2,000 generated
        images; ``visits``, sample visits of all fits so far.
    """
    return {
        **judging.worth(judge(config), _generated(step.theta, latents(2000, seed=1))),
        "visits": visits(config, step.t + 1),
        **records.selection(step.kept.cpu().numpy(), step.losses.cpu().numpy(), given.is_bad),
    }


def visits(config: Config, fits: int | None = None) -> float:
    """Count the sample visits of a run, or of its first fits."""
    c = config.resolved()
    fits = fits or (c.rounds + 1 if c.method == "itlm" and not c.trace else 1)
    return float(fits * c.schedule().n_steps(c.n) * c.batch)


def digest(config: Config) -> str:
    """Return the digest of the two sets that a run uses."""
    return hashlib.sha256("".join(map(data.digest, config.resolved().pair.split("-"))).encode()).hexdigest()


def run(config: Config, *, checkpoint=None) -> records.Record:
    """Run once, and record.

    Parameters
    ----------
    config : Config
        The run. With ``trace`` the rounds of the record are passes over the images, see `trace`.
    checkpoint : path, optional
        A file that holds the last finished round. A run that was killed goes on from it and, on a CPU, gives
        the same record; the file is removed at the end. A trace begins anew.

    Returns
    -------
    itlm.records.Record
    """
    c = config.resolved()
    given = task(c)
    record = records.begin("gan", RECIPE, c, digest(c))
    if c.trace:
        for epoch, numbers in trace(c, given):
            record.add(epoch, numbers)
        record.add(0, {"visits": visits(c)})
    else:
        make = partial(_make, c, given.x.shape[1])
        for step in checkpoints.resumable(partial(rounds, c, given), make, record, checkpoint):
            record.add(step.t, measure(step, given, c))
            if c.seed == 0 and step.t in SHOWN:
                room = records.ROOM // (len(SHOWN) * given.x[0].numel())
                record.keep(f"round_{step.t}", images(step.theta, latents()[:room]))
        record.add(0, {"judge_accuracy": judge(c).accuracy})
    record.add(0, {"bad_rate": 100 * given.rate})
    return record.finish()


def trace(config: Config, given: Task | None = None) -> list[tuple[int, dict[str, float]]]:
    """Follow the first fit, which is on all images, pass by pass.

    Returns
    -------
    list of (int, dict of float)
        The pass, from 1, and what the discriminator as it then stands would do, in percent:
        ``precision_by_epoch``, ``recall_by_epoch``, ``auc_by_epoch``, of the selection; ``real_clean`` and
        ``real_bad``, how many of the clean and of the bad images it takes for real; ``auc_unseen``, the chance
        that an unseen clean image has a larger loss than a clean training image: 50 unless it memorises.
    """
    c = config.resolved()
    given = given or task(c)
    loss, clean, found = LOSSES[c.loss], torch.as_tensor(~given.is_bad, device=given.x.device), []
    held_out = data.load(c.pair.split("-")[0]).test_x
    some = np.sort(np.random.default_rng(0).choice(len(held_out), size=1000, replace=False))
    unseen = networks.to_tanh(corruption.resized(held_out[some], c.size)).to(given.x.device)

    def look(theta, step):
        D = _scorer(theta.discriminator, given.x, None, c)
        seen, other = _outputs(D, given.x, c), _outputs(D, unseen, c)
        scores = loss.surrogate(seen)
        chosen = records.selection(trim(scores, c.alpha).cpu().numpy(), scores.cpu().numpy(), given.is_bad)
        both = loss.surrogate(torch.cat([seen[clean], other])).cpu().numpy()
        is_other = np.arange(len(both)) >= len(both) - len(other)
        real = lambda d: 100 * float((d > loss.middle).double().mean()) if loss.middle == loss.middle else np.nan  # noqa: E731
        numbers = {f"{name}_by_epoch": value for name, value in chosen.items()}
        numbers |= {"real_clean": real(seen[clean]), "real_bad": real(seen[~clean])}
        numbers["auc_unseen"] = records.selection(np.ones(len(both), bool), both, is_other)["auc"]
        found.append((len(found) + 1, numbers))

    fit(c, given.x, None, 0, watch=look)
    return found
