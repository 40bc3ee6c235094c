"""Training a DC-GAN and scoring by its discriminator: losses, statistics, starts, faults."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from itlm.deep import gan, networks
from itlm.deep.corruption import mixture_of_sets
from itlm.deep.gan import LOSSES
from itlm.deep.images import load
from itlm.deep.inputs import to_tanh
from itlm.errors import Diverged

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = gan.Recipe(
    size=28, width=4, normalisation="batch", loss="dcgan", statistics="real", score_at=0.1, epochs=1, batch=20
)


def mixed(n=200):
    """Digits and textures."""
    sets = (load(name).train_x for name in ("mnist5k", "textures"))
    return to_tanh(mixture_of_sets(*sets, n, 0.7, np.random.default_rng(0)).images)


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("name", LOSSES)
def test_the_surrogate_is_low_where_an_image_looks_real_and_ranks_every_output(name):
    outputs = torch.linspace(-4, 4, 50, dtype=torch.float64)
    assert (LOSSES[name].surrogate(outputs).diff() < 0).all()


def test_the_papers_loss_is_minus_log_d():
    outputs = torch.randn(20, dtype=torch.float64)
    D = outputs.sigmoid()
    loss = LOSSES["dcgan"]
    assert torch.allclose(loss.real(outputs), -D.log()) and torch.allclose(loss.surrogate(outputs), -D.log())
    assert torch.allclose(loss.fake(outputs), -(1 - D).log()) and torch.allclose(loss.generator(outputs), -D.log())


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains(name):
    normalisation = "none" if name == "wgan_gp" else "batch"
    theta = gan.fit(replace(TINY, loss=name, normalisation=normalisation), mixed(), None, seed=0)
    assert all(torch.isfinite(p).all() for p in theta.parameters())


def test_scoring_statistics_are_those_of_the_real_images():
    x = mixed()
    theta = gan.fit(replace(TINY, statistics="real", score_at=1.0), x, None, seed=0)
    norm = next(layer for layer in theta.discriminator if isinstance(layer, nn.BatchNorm2d))
    seen = []
    norm.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    theta.discriminator(x[:200])
    assert torch.allclose(norm.running_mean, seen[0].mean((0, 2, 3)), atol=1e-3)


def test_latents_are_the_same_at_every_call():
    assert torch.equal(gan.latents(), gan.latents()) and gan.latents().shape == (32, 100)


def test_broken_images_diverge_and_the_epoch_is_named():
    x = mixed()
    x[::2] = torch.nan
    with pytest.raises(Diverged, match=r"in epoch 1 over the kept images \(step 10 of 10, gan 3\)"):
        gan.fit(TINY, x, None, seed=0, note="gan 3")


def test_the_seed_decides_a_fit_and_what_is_not_kept_has_no_influence():
    x, kept = mixed(), torch.arange(200) % 3 > 0
    first, again, other = (gan.fit(TINY, x, kept, seed=seed) for seed in (1, 1, 2))
    assert same(first, again) and not same(first, other) and not first.training
    blind = x.clone()
    blind[~kept] = torch.nan
    assert same(first, gan.fit(TINY, blind, kept, seed=1))


def test_a_fit_may_start_from_another_gan_and_leaves_it_alone():
    x = mixed()
    start = gan.fit(TINY, x, None, seed=0)
    before = [p.detach().clone() for p in start.parameters()]
    on, new = gan.fit(TINY, x, None, seed=5, start=start), gan.fit(TINY, x, None, seed=5)
    assert not same(on, new) and not same(on, start)
    assert all(torch.equal(p, q) for p, q in zip(start.parameters(), before, strict=True))


def test_watching_sees_every_epoch_and_changes_nothing():
    seen, recipe, x = [], replace(TINY, epochs=3), mixed()
    kept = torch.arange(200) < 130  # 6 steps an epoch
    watched = gan.fit(recipe, x, kept, seed=0, watch=lambda theta, step: seen.append((step, theta.training)))
    assert seen == [(step, True) for step in (6, 12, 18, 24, 30)]
    assert same(watched, gan.fit(recipe, x, kept, seed=0))


@pytest.mark.parametrize("statistics", gan.STATISTICS)
def test_every_image_is_scored_by_the_surrogate_of_the_discriminators_output(statistics):
    recipe, x = replace(TINY, statistics=statistics), mixed()
    theta = gan.fit(recipe, x, None, seed=0)
    out = gan.outputs(theta.discriminator, x, recipe)
    losses = gan.sample_losses(theta, x, recipe)
    assert losses.shape == (200,) and torch.equal(losses, LOSSES["dcgan"].surrogate(out)) and not losses.requires_grad
    assert not theta.discriminator.training  # put back after scores by the statistics of each batch


def test_images_to_show_are_bytes_and_those_of_the_same_vectors():
    theta, z = networks.initialised(lambda: networks.GAN(28, 1, 4, "batch"), 0).eval(), gan.latents(7, seed=3)
    pictures = gan.images(theta, z)
    assert pictures.shape == (7, 28, 28) and pictures.dtype == np.uint8
    assert np.allclose(pictures, (gan.generated(theta, z)[:, 0].numpy() + 1) * 127.5, atol=0.51)
