"""Simple scores in place of a GAN's discriminator; the paper says that heuristics fail.

Each takes all images as rows (n, pixels) and a seed, and returns (n,) scores; the images of smallest score are kept.
"""

import torch
from torch import nn

from ..deep import networks, training

__all__ = ["HEURISTICS", "distance_from_mean", "pca_residual", "rebuilding_error"]


def distance_from_mean(flat, seed: int) -> torch.Tensor:
    """Score by the squared distance from the mean image; the seed is not used."""
    return ((flat - flat.mean(0)) ** 2).sum(1)


def pca_residual(flat, seed: int, components: int = 20) -> torch.Tensor:
    """Score by the squared residual after projection on the first principal components."""
    centred = flat - flat.mean(0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        axes = torch.pca_lowrank(centred, components, center=False, niter=4)[2]  # (pixels, components)
    return (centred**2).sum(1) - ((centred @ axes) ** 2).sum(1)


def rebuilding_error(flat, seed: int, epochs: float = 10, batch: int = 100) -> torch.Tensor:
    """Score by the squared error of an autoencoder with 20 hidden units, trained on all images."""
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


HEURISTICS = {"mean": distance_from_mean, "pca": pca_residual, "autoencoder": rebuilding_error}
