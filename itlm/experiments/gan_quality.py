"""The quality of generated images, by a classifier of held-out images and a distance in the classifier's features.

The classifier is only for the record; no method sees the classifier or its training images.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..deep import corruption, images, training
from ..deep.inputs import to_tanh
from ..deep.networks import pick_device

__all__ = ["Judge", "frechet", "train_judge", "worth"]


class Judge(NamedTuple):
    """A classifier of held-out images of a clean set and an outlier set.

    Attributes
    ----------
    network : torch.nn.Module
        Classifier with the classes of the clean set, then of the outlier set. A set without labels is one class.
    n_clean : int
        Number of the clean set's classes.
    accuracy : float
        Percentage of further held-out images assigned to the right set, the mean over both sets.
    reference : array, shape (m, 32)
        Features of held-out clean images that are not training images of the classifier.
    """

    network: nn.Module
    n_clean: int
    accuracy: float
    reference: np.ndarray


@cache
def train_judge(clean: str, bad: str, size: int) -> Judge:
    """Train the classifier; each process trains once for each pair and size.

    Parameters
    ----------
    clean, bad : str
        Names of the two sets, as for `itlm.deep.images.load`. At most 4,000 test images of each set are used, half to
        train and half to test the classifier.
    size : int
        Side of the images, pixels.
    """
    device, x, y, n_classes = pick_device(), [], [], []
    for name in (clean, bad):
        held_out = images.load(name)
        some = np.random.default_rng(0).permutation(len(held_out.test_x))[:4000]
        labels = np.zeros(len(some), int) if held_out.test_y is None else held_out.test_y[some].astype(int)
        x.append(to_tanh(corruption.resized(held_out.test_x[some], size)).to(device))
        y.append(torch.as_tensor(labels + sum(n_classes), device=device))
        n_classes.append(int(labels.max()) + 1)

    def make():
        return nn.Sequential(
            nn.Conv2d(x[0].shape[1], 16, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv2d(16, 32, 5, stride=2, padding=2), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * (size // 4) ** 2, 32), nn.ReLU(), nn.Linear(32, sum(n_classes)),
        )  # fmt: skip

    halves = [len(a) // 2 for a in x]
    first = [torch.cat([a[:half] for a, half in zip(both, halves, strict=True)]) for both in (x, y)]
    schedule = training.Schedule(steps=300, batch=50, lr=0.05, shape="one_cycle", momentum=0.9)
    network = training.fit(make, *first, None, schedule, seed=0, note="judge").network
    with torch.no_grad():
        right = [
            float(((network(a[half:]).argmax(1) >= n_classes[0]) == is_bad).double().mean())
            for a, half, is_bad in zip(x, halves, (False, True), strict=True)
        ]
        reference = network[:-1](x[0][halves[0] :]).double().cpu().numpy()
    return Judge(network, n_classes[0], 50 * sum(right), reference)


@torch.no_grad()
def worth(judge: Judge, x) -> dict[str, float]:
    """Measure the quality of generated images x in [-1, 1], shape (n, channels, size, size).

    Returns
    -------
    dict of float
        ``bad_looking``, the percentage of images assigned to the outlier set. ``frechet``, the `frechet` distance of
        their features from those of held-out clean images. ``classes_generated``, the effective number (exponential of
        the entropy) of clean classes: 0 if no image looks clean, NaN if the clean set has one class.
    """
    features = torch.cat([judge.network[:-1](part) for part in x.split(500)])
    classes = judge.network[-1](features).argmax(1).cpu().numpy()
    counts = np.bincount(classes[classes < judge.n_clean])
    share = counts[counts > 0] / max(1, counts.sum())
    effective = float(np.exp(-(share * np.log(share)).sum())) if len(share) else 0.0
    return {
        "bad_looking": 100 * float((classes >= judge.n_clean).mean()),
        "frechet": frechet(features.double().cpu().numpy(), judge.reference),
        "classes_generated": effective if judge.n_clean > 1 else np.nan,
    }


def frechet(a, b) -> float:
    """Return the Fréchet distance ||mean_a - mean_b||^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2)).

    Parameters
    ----------
    a, b : array of float, shape (n, features)
        Two sets of features, each modelled as a Gaussian; n may differ.
    """
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross)
