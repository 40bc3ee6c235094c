"""Train a DC-GAN on the kept images, and score every image by its discriminator.

Source: Radford, Metz & Chintala 2015 for the networks and Adam's settings. The score, the discriminator's loss on real
images, is from Shen & Sanghavi, ICML 2019, Section 6.3.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import relu, softplus

from ..errors import Diverged
from . import networks, training
from .inputs import from_tanh
from .threads import few_threads

__all__ = [
    "LOSSES", "STATISTICS", "Loss", "Recipe", "fit", "generated", "images", "latents", "make", "outputs",
    "sample_losses", "scorer",
]  # fmt: skip

LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)  # Adam's, for both networks
PENALTY = 10.0  # weight of WGAN-GP's gradient penalty
STATISTICS = ("real", "running", "batch")


class Loss(NamedTuple):
    """A GAN's loss, as functions of the discriminator's outputs, which are large if an image looks real.

    Attributes
    ----------
    real, fake : callable, (n,) -> (n,)
        The discriminator's loss on real and on generated images.
    generator : callable, (n,) -> (n,)
        The generator's loss on generated images.
    surrogate : callable, (n,) -> (n,)
        The loss that trimming sorts: the discriminator's loss on real images, **low if an image looks real**. It
        decreases strictly in the output, so it ranks every image. Hinge's own max(0, 1 - D) is 0 for all images past
        the margin, and least squares' (1 - D)^2 rises again past 1; both therefore use 1 - D.
    middle : float
        The output between real and generated; NaN if there is none.
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
    "wgan_gp": Loss(lambda d: -d, lambda d: d, lambda d: -d, lambda d: -d, math.nan),  # plus the penalty
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings for making, training and scoring a GAN.

    Attributes
    ----------
    size, width : int
        Side of the images in pixels; channels of the largest feature map.
    normalisation : {"none", "batch"}
        Normalisation of the discriminator. The generator always has batch norm.
    loss : str
        One of `LOSSES`.
    statistics : {"real", "running", "batch"}
        Batch-norm statistics for scoring. ``"real"`` recomputes them on the kept images when the discriminator is
        copied. ``"running"`` uses the fit's running ones, which mix real and generated images. ``"batch"`` uses those
        of each scored batch.
    score_at : float in (0, 1]
        Part of a fit after which the discriminator is copied for scoring.
    epochs, batch : float, int
        Epochs over all n images, kept or not; real images a step.
    """

    size: int
    width: int
    normalisation: str
    loss: str
    statistics: str
    score_at: float
    epochs: float
    batch: int

    def schedule(self) -> training.Schedule:
        """Return the schedule of one fit."""
        return training.Schedule(epochs=self.epochs, batch=self.batch, lr=LEARNING_RATE)


def make(recipe: Recipe, channels: int) -> networks.GAN:
    """Make an untrained GAN, with weights from torch's global generator."""
    return networks.GAN(recipe.size, channels, recipe.width, recipe.normalisation)


def fit(recipe: Recipe, x, kept, *, seed: int, start=None, watch=None, note: str = "gan") -> networks.GAN:
    """Train the generator and the discriminator on the kept images, in turn, a step each.

    Return the GAN in eval mode: the generator after the last step, the discriminator copied at ``recipe.score_at``.

    Parameters
    ----------
    recipe : Recipe
        Networks, loss, steps.
    x : tensor, shape (n, channels, size, size)
        All real images, in [-1, 1], on the device.
    kept, note
        As for `itlm.deep.training.fit`.
    seed : int
        Seeds the weights, the batches and the latent vectors.
    start : itlm.deep.networks.GAN, optional
        Start from its weights, which stay unchanged. None starts from new weights.
    watch : callable, (gan, step) -> None, optional
        As for `itlm.deep.training.fit`, but with the GAN in train mode and without a result.

    Raises
    ------
    itlm.errors.Diverged
        If a loss is not finite; the message names the epoch and the step.
    ValueError
        If fewer images are kept than fill a batch, or the epochs are too few for a step.
    """
    device, loss, schedule = x.device, LOSSES[recipe.loss], recipe.schedule()
    gan = networks.initialised(partial(make, recipe, x.shape[1]), seed) if start is None else copy.deepcopy(start)
    gan = gan.to(device, memory_format=torch.channels_last).train()
    G, D = gan.generator, gan.discriminator
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), LEARNING_RATE, BETAS) for net in (G, D))
    generator = torch.Generator(device).manual_seed(seed)
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    half = partial(torch.autocast, device.type, torch.bfloat16, enabled=on_gpu)
    n_steps = training.steps_of(schedule, len(x))
    every = max(1, (len(x) if kept is None else int(kept.sum())) // recipe.batch)  # steps an epoch
    score_step = max(1, round(recipe.score_at * n_steps))
    total = torch.zeros((), device=device)
    with few_threads(D, x, recipe.batch), training.progress(n_steps, note) as bar:
        for step, batch in enumerate(training.batches(len(x), schedule, generator, kept), 1):
            real = x[batch]
            z = torch.randn(len(batch), networks.LATENT, generator=generator, device=device)
            with half():
                fake = G(z)
                loss_d = loss.real(D(real)).mean() + loss.fake(D(fake.detach())).mean()
            if recipe.loss == "wgan_gp":
                loss_d = loss_d + PENALTY * _gradient_penalty(D, real, fake.detach().float(), generator)
            adam_d.zero_grad()
            loss_d.backward()
            adam_d.step()
            D.requires_grad_(False)  # saves the gradients of its weights
            with half():
                loss_g = loss.generator(D(fake)).mean()
            adam_g.zero_grad()
            loss_g.backward()
            adam_g.step()
            D.requires_grad_(True)
            total += loss_d.detach() + loss_g.detach()
            bar.update()
            if step == score_step:
                scored_by = scorer(D, x, kept, recipe)
            if step % every == 0 or step == n_steps:  # once an epoch: reading the loss stalls the GPU
                if not math.isfinite(total.item()):
                    raise Diverged(
                        f"the GAN's loss is {total.item()} in epoch {math.ceil(step / every)} over the kept images "
                        f"(step {step} of {n_steps}, {note}); look for broken images, or try another loss or seed"
                    )
                total.zero_()
                if watch and step % every == 0:
                    watch(gan, step)
    gan.discriminator = scored_by
    return gan.eval()


def _gradient_penalty(D, real, fake, generator):
    """Penalise gradients of D whose norm is not 1, between real and generated images (Gulrajani 2017)."""
    share = torch.rand(len(real), 1, 1, 1, generator=generator, device=real.device)
    between = torch.lerp(real, fake, share).requires_grad_()
    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


@torch.no_grad()
def scorer(D, x, kept, recipe: Recipe) -> nn.Module:
    """Copy the discriminator ``D`` for scoring, in eval mode; statistics ``"real"`` are computed on ``x[kept]``."""
    D = copy.deepcopy(D)
    norms = [layer for layer in D.modules() if isinstance(layer, nn.BatchNorm2d)]
    if norms and recipe.statistics == "real":
        before = norms[0].momentum
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over the batches
        for batch in (x if kept is None else x[kept]).split(recipe.batch):
            if len(batch) == recipe.batch:
                D(batch)
        for norm in norms:
            norm.momentum = before
    return D.eval()


def sample_losses(gan, x, recipe: Recipe) -> torch.Tensor:
    """Score every real image: the losses that trimming sorts, low if an image looks real; float32, shape (n,).

    Parameters
    ----------
    gan : itlm.deep.networks.GAN
        The model theta_t.
    x, recipe
        As for `fit`; the recipe's ``loss`` and ``statistics`` are used.
    """
    return LOSSES[recipe.loss].surrogate(outputs(gan.discriminator, x, recipe))


@torch.no_grad()
def outputs(D, x, recipe: Recipe) -> torch.Tensor:
    """Return a discriminator's outputs as used for scoring: (n,), large if an image looks real."""
    D.train(recipe.statistics == "batch")  # this changes running statistics, which are then never used
    batch = recipe.batch if D.training else 500
    try:
        with few_threads(D, x, batch):
            return torch.cat([D(part) for part in x.split(batch)])
    finally:
        D.eval()


def latents(n: int = 32, seed: int = 0) -> torch.Tensor:
    """Draw latent vectors, the same for the same seed: (n, 100)."""
    return torch.randn(n, networks.LATENT, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def generated(gan, latents) -> torch.Tensor:
    """Generate images from latent vectors: (n, channels, size, size) in [-1, 1]."""
    device = next(gan.parameters()).device
    with few_threads(gan.generator, latents, 500):
        return torch.cat([gan.generator(part.to(device)) for part in latents.split(500)])


def images(gan, latents) -> np.ndarray:
    """Generate images to show, from a round's ``theta``: uint8, shape (n, size, size) or (n, size, size, 3).

    The latent vectors, shape (n, 100), may come from `latents`; use the same in every round, for comparison.
    """
    return from_tanh(generated(gan, latents))
