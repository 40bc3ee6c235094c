"""Images with label noise, and the samples that the baselines train on. Shared by `labels` and `cifar`."""

from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch

from ..audit import systematic
from ..deep import corruption, images, people
from ..deep.inputs import to_tensor
from ..deep.networks import pick_device
from ..trimming import trim
from . import rounds as engine

__all__ = ["RARE", "Task", "centroid_distances", "draw", "forget", "fraction_of", "published", "yardstick"]

RARE = (7, 8, 9)  # classes that an imbalance makes rare


class Task(NamedTuple):
    """A run's data. Only the record and the oracle use ``is_bad``."""

    x: torch.Tensor  # (n, 1, 28, 28), or (n, 3, 32, 32)
    y: torch.Tensor  # (n,) labels as given
    is_bad: np.ndarray  # (n,)
    rate: float
    test_x: torch.Tensor
    test_y: torch.Tensor
    images: np.ndarray  # (n, 28, 28) uint8, or (n, 32, 32, 3), to show
    noisy_test_y: torch.Tensor  # test labels with the same noise, only for choose="noisy_test"


@cache
def _images(name: str) -> images.Images:
    return images.load(name)


forget = _images.cache_clear  # frees the image sets that this process has read


def draw(
    dataset: str,
    n: int,
    noise: str,
    clean: float,
    seed: int,
    *,
    held_out: int = 0,
    imbalance: float = 1.0,
    standardised: bool = True,
) -> Task:
    """Draw a task from a labelled image set.

    Parameters
    ----------
    dataset, n : str, int
        Labelled image set of `itlm.deep.images.load`, and number of training images.
    noise : {"systematic", "random", "confusable"}, or a name of `itlm.deep.people.HUMAN`
        Kind of label noise, see `itlm.deep.corruption`; or, for cifar10, labels that people gave. The test labels have
        no such noise.
    clean : float in [0, 1]
        Fraction of clean samples (alpha* in the paper). Not used for people's labels.
    seed : int
        Seeds the subset and the label noise.
    held_out : int
        If above 0, test on this number of other training images, with true labels. A recipe must be chosen without
        the test images.
    imbalance : float, at least 1
        Samples of a common class for each sample of a rare class; `RARE` lists the rare classes.
    standardised : bool
        As for `itlm.deep.inputs.to_tensor`.

    Raises
    ------
    ValueError
        If there are fewer images than requested, including the held-out images.
    """
    data = _images(dataset)
    random = np.random.default_rng([seed, 0])
    chosen = _subset(data.train_y, n, imbalance, random)
    if held_out:
        others = np.setdiff1d(np.arange(len(data.train_y)), chosen)
        if held_out > len(others):
            raise ValueError(
                f"n={n} leaves {len(others)} of the {len(data.train_y)} training images, fewer than the {held_out} "
                f"that are held out: {'lower n' if held_out < len(data.train_y) else 'take another dataset'}"
            )
        others = others[corruption.stratified_subset(data.train_y[others], held_out, np.random.default_rng([seed, 1]))]
        data = data._replace(test_x=data.train_x[others], test_y=data.train_y[others])
    if noise in people.HUMAN:
        noisy, test_labels = _human(dataset, noise, chosen), data.test_y
    else:
        noisy = _spoilt(noise, data.train_y[chosen], data.train_x[chosen], clean, random)
        test_labels = _spoilt(noise, data.test_y, data.test_x, clean, np.random.default_rng([seed, 2])).labels
    device, scaled = pick_device(), partial(to_tensor, standardised=standardised)
    return Task(
        x=scaled(data.train_x[chosen]).to(device),
        y=torch.as_tensor(noisy.labels, device=device),
        is_bad=noisy.is_bad,
        rate=noisy.rate,
        test_x=scaled(data.test_x, like=data.train_x[chosen]).to(device),
        test_y=torch.as_tensor(data.test_y.astype(np.int64), device=device),
        images=data.train_x[chosen],
        noisy_test_y=torch.as_tensor(test_labels.astype(np.int64), device=device),
    )


def _subset(labels, n, imbalance, random) -> np.ndarray:
    """Choose n training images, in the classes' proportions or with fewer of the rare classes."""
    if imbalance == 1:
        return corruption.stratified_subset(labels, n, random)
    share = float(np.isin(labels, RARE).mean())
    many = min(len(labels), int(n / (1 - share + share / imbalance)) + 20)
    drawn = corruption.stratified_subset(labels, many, random)
    thinned = drawn[corruption.imbalanced_subset(labels[drawn], RARE, imbalance, random)]
    common = np.flatnonzero(~np.isin(labels[thinned], RARE))
    if len(thinned) < n:
        raise ValueError(f"n={n} with imbalance={imbalance:g} needs more images than there are; lower n")
    return np.delete(thinned, random.choice(common, len(thinned) - n, replace=False))


def published(dataset: str) -> Task:
    """Return the test images of a set with the labels that were published; ``is_bad`` are the confirmed errors.

    Most other errors, if any, are unknown. Train images and labels serve as the test set.

    Parameters
    ----------
    dataset : {"mnist", "cifar10"}
        The set.
    """
    data, device = _images(dataset), pick_device()
    is_bad = np.asarray(images.judged(dataset)) < 3
    some = slice(None, None, len(data.train_y) // len(data.test_y))
    y, test_y = (
        torch.as_tensor(labels.astype(np.int64), device=device) for labels in (data.test_y, data.train_y[some])
    )
    return Task(
        x=to_tensor(data.test_x).to(device), y=y, is_bad=is_bad, rate=float(is_bad.mean()),
        test_x=to_tensor(data.train_x[some], like=data.test_x).to(device), test_y=test_y, images=data.test_x,
        noisy_test_y=test_y,
    )  # fmt: skip


def _human(dataset, noise, rows) -> corruption.NoisyLabels:
    if dataset != "cifar10":
        raise ValueError(f"noise={noise!r} are labels of dataset cifar10, got {dataset!r}")
    labels = images.human_labels(noise)[rows].astype(np.int64)
    is_bad = labels != _images(dataset).train_y[rows]
    return corruption.NoisyLabels(labels, is_bad, float(is_bad.mean()))


def _spoilt(noise, labels, images, clean, random) -> corruption.NoisyLabels:
    if noise == "confusable":
        return corruption.confusable_labels(labels, images, clean, 10)
    return {"random": corruption.random_labels, "systematic": corruption.systematic_labels}[noise](
        labels, clean, 10, random
    )


def fraction_of(c, s: engine.Settings, given: Task) -> float:
    """Return the fraction that ITLM keeps in a resolved run: ``c.alpha``, or estimated by `engine.share_of`.

    The estimate counts errors of the kind of ``c.noise``; uniform ones unless it is systematic.
    """
    if c.fraction == "given":
        return c.alpha
    return engine.share_of(s, given, systematic(10) if c.noise == "systematic" else "uniform").fraction()


def yardstick(method: str, given: Task, alpha: float) -> torch.Tensor:
    """Return the mask, shape (n,), of the samples that a baseline without rounds trains on.

    ``"baseline"`` keeps all samples and ``"oracle"`` the clean samples. ``"centroid"`` keeps the fraction alpha of each
    given class that is nearest to the class's mean image.

    Raises
    ------
    ValueError
        If the oracle has no clean samples.
    """
    if method == "baseline":
        return torch.ones(len(given.y), dtype=torch.bool)
    if method == "oracle":
        if given.is_bad.all():
            raise ValueError("the oracle has no clean sample to train on: raise clean")
        return torch.as_tensor(~given.is_bad)
    return trim(centroid_distances(given.x, given.y), alpha, groups=given.y)


def centroid_distances(x, y) -> torch.Tensor:
    """Return each image's squared distance to the mean image of its given class, in units of x squared, shape (n,)."""
    flat = x.flatten(1)  # (n, pixels)
    centroids = torch.stack([flat[y == c].mean(0) for c in range(int(y.max()) + 1)])  # (classes, pixels)
    return ((flat - centroids[y]) ** 2).sum(1)
