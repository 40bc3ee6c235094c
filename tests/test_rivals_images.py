"""Scores that one may try in place of a discriminator's, against what they are by definition."""

import numpy as np
import pytest
import torch

from itlm.rivals.images import HEURISTICS, distance_from_mean, pca_residual, rebuilding_error

pytestmark = pytest.mark.usefixtures("one_thread")


def low_rank(n=300, pixels=60, rank=5, seed=0):
    """Images in few dimensions, of which the last 30 leave them."""
    random = np.random.default_rng(seed)
    flat = random.standard_normal((n, rank)) @ random.standard_normal((rank, pixels)) / np.sqrt(rank)
    flat[-30:] += random.standard_normal((30, pixels))
    return torch.as_tensor(flat, dtype=torch.float32)


def test_the_distance_is_that_from_the_mean_image():
    flat = low_rank()
    expected = ((flat.numpy() - flat.numpy().mean(0)) ** 2).sum(1)
    assert np.allclose(distance_from_mean(flat, 0), expected, rtol=1e-5)


def test_the_residual_is_what_the_first_components_leave():
    flat = low_rank()
    centred = flat.double().numpy() - flat.double().numpy().mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:5]  # the low rank, so that there is a gap after them
    expected = (centred**2).sum(1) - ((centred @ axes.T) ** 2).sum(1)
    assert np.allclose(pca_residual(flat, 0, components=5), expected, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("name", ["pca", "autoencoder"])
def test_what_leaves_the_others_dimensions_has_the_largest_scores(name):
    scores = {"pca": pca_residual, "autoencoder": rebuilding_error}[name](
        low_rank(), 0, **{"pca": {"components": 5}, "autoencoder": {"epochs": 60, "batch": 50}}[name]
    )
    assert set(scores.argsort(descending=True)[:30].tolist()) == set(range(270, 300))


@pytest.mark.parametrize("name", HEURISTICS)
def test_the_seed_decides_the_scores_and_no_global_generator_is_touched(name):
    flat = low_rank()
    before = torch.get_rng_state()
    first, again = (HEURISTICS[name](flat, 3) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (300,) and not first.requires_grad
    assert torch.equal(torch.get_rng_state(), before)
