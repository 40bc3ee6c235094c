"""A backdoor attack on an image set, and measures of its success and its removal. Used by `backdoor`."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..deep import corruption, images, marks
from ..deep.inputs import in_colour, to_tensor
from ..deep.networks import pick_device
from ..trimming import Round
from . import measures

__all__ = ["Task", "against_truth", "draw", "watched"]

WATCHED = 2000  # largest number of clean, and of marked, training samples measured after every epoch


class Task(NamedTuple):
    """A run's data. Only the record and the oracle use ``is_bad``."""

    x: torch.Tensor  # (n, 3, 32, 32)
    y: torch.Tensor  # (n,) labels as given
    is_bad: np.ndarray  # (n,) True if marked
    rate: float
    test_x: torch.Tensor  # ordinary test images
    test_y: torch.Tensor
    attack_x: torch.Tensor  # marked test images of class a, or of all classes except b if a is None
    other_x: torch.Tensor  # marked test images of all classes except b
    images: np.ndarray  # (n, 28, 28) or (n, 32, 32, 3) uint8, for figures
    before: np.ndarray  # the same images without marks
    mark: marks.Mark
    target: int  # class b


def draw(
    dataset: str, n: int, shape: str, share: float, seed: int, *, source: int | None = None, target: int = 2
) -> Task:
    """Draw training images, plant a backdoor, and move all data to the device.

    Parameters
    ----------
    dataset, n : str, int
        Labelled image set of `itlm.deep.images.load`, and number of training images.
    shape : str
        Shape of the mark, one of `itlm.deep.marks.MARKS`.
    share : float in [0, 1]
        Marked fraction of the training images.
    seed : int
        Seeds the subset and the mark.
    source, target : int
        Class that marked images are from (None: every class except the target), and the class they are labelled as.

    Raises
    ------
    ValueError
        If the class has fewer images than must be marked.
    """
    data, random = images.load(dataset), np.random.default_rng([seed, 0])
    chosen = corruption.stratified_subset(data.train_y, n, random)
    before, labels = data.train_x[chosen], data.train_y[chosen]
    mark = marks.draw_mark(shape, before.shape[1:], np.random.default_rng([seed, 1]))
    n_marked, eligible = round(share * n), labels != target if source is None else labels == source
    if n_marked > eligible.sum():
        raise ValueError(
            f"share={share} of n={n} marks {n_marked} images, and class_a={source} has {eligible.sum()}: lower share"
        )
    random = np.random.default_rng([seed, 2])
    planted = marks.backdoor(before, labels, mark, n_marked, target, random, source=source)
    others = data.test_y != target
    attacked = others if source is None else data.test_y == source
    device = pick_device()

    def ready(pixels):
        return in_colour(to_tensor(pixels, like=planted.images)).to(device)

    return Task(
        x=ready(planted.images),
        y=torch.as_tensor(planted.labels, device=device),
        is_bad=planted.is_bad,
        rate=planted.rate,
        test_x=ready(data.test_x),
        test_y=torch.as_tensor(data.test_y.astype(np.int64), device=device),
        attack_x=ready(marks.watermark(data.test_x[attacked], mark)),
        other_x=ready(marks.watermark(data.test_x[others], mark)),
        images=planted.images,
        before=before,
        mark=mark,
        target=target,
    )


def watched(network: nn.Module, given: Task) -> dict[str, float]:
    """Measure a network on training samples, and the attack success rate, for a point of Figure 1(d).

    Returns
    -------
    dict of float
        The numbers of `itlm.experiments.measures.clean_and_bad` for at most 2,000 clean and 2,000 marked training
        samples, evenly spaced; and ``attack_pass``, the percentage of marked test images assigned to the target class.
    """
    clean, bad = np.flatnonzero(~given.is_bad), np.flatnonzero(given.is_bad)
    some = np.concatenate([side[:: -(-len(side) // WATCHED) or 1] for side in (clean, bad)])
    attack = measures.accuracy(network, given.attack_x, given.target)
    return measures.clean_and_bad(network, given, some) | {"attack_pass": attack}


def against_truth(step: Round, given: Task) -> dict[str, float]:
    """Measure a finished round against the truth.

    Returns
    -------
    dict of float
        ``test_accuracy`` (the paper's test-1), percent; ``attack`` (test-2), the percentage of marked test images of
        class a assigned to class b; ``attack_all``, the same for all classes except b; ``bad_kept``, the number of
        marked samples kept; ``removed_precision`` and ``removed_recall`` of the dropped samples, percent; and the
        numbers of `itlm.experiments.measures.selection`.
    """
    kept, removed = step.kept.cpu().numpy(), ~step.kept.cpu().numpy()
    caught = int((removed & given.is_bad).sum())
    found = {
        "test_accuracy": measures.accuracy(step.theta, given.test_x, given.test_y),
        "attack": measures.accuracy(step.theta, given.attack_x, given.target),
        "attack_all": measures.accuracy(step.theta, given.other_x, given.target),
        "bad_kept": float((kept & given.is_bad).sum()),
        "removed_precision": 100 * caught / removed.sum() if removed.any() else np.nan,
        "removed_recall": 100 * caught / given.is_bad.sum() if given.is_bad.any() else np.nan,
    }
    return found | measures.selection(kept, step.losses.cpu().numpy(), given.is_bad)
