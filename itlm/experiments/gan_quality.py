"""What generated images are worth: a classifier of held-out images of both sets, and a distance in its features.

The judge is for the record alone: no method ever sees it, or the images it was trained on.
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
    """A classifier of held-out images of a clean and a bad set.

    Attributes
    ----------
    network : torch.nn.Module
        Its classes are those of the clean set, then those of the bad set. A set without labels is one class.
    n_clean : int
        Number of the clean set's classes.
    accuracy : float
        Percent of further held-out images that it puts into the right set.
    reference : array, shape (m, 32)
        Its features of held-out clean images that it was not trained on.
    """

    network: nn.Module
    n_clean: int
    accuracy: float
    reference: np.ndarray


@cache
def train_judge(clean: str, bad: str, size: int) -> Judge:
    """Train the classifier, once a process for each pair and size.

    Parameters
    ----------
    clean, bad : str
        Names of the two sets, as for `itlm.deep.images.load`. Of each, at most 4,000 of the test images are used:
        one half to train on, the other to test.
    size : int
        Side of the images, in pixels.
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
    """Judge generated images.

    Parameters
    ----------
    judge : Judge
        The classifier.
    x : tensor, shape (n, channels, size, size)
        The images, in [-1, 1].

    Returns
    -------
    dict of float
        ``bad_looking``, the percentage taken for the bad set; ``frechet``, the distance of the images'
        features from those of held-out clean images; ``classes_generated``, the effective number (exponential
        of the entropy) of clean classes among them, 0 where no image looks clean, NaN where there is only one class.
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
    """Measure the Fréchet distance between two sets of features, each taken for a Gaussian.

    Parameters
    ----------
    a, b : array of float, shape (n, features)
        n may differ.

    Returns
    -------
    float
        ||mean_a - mean_b||^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2)).
    """
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross)
