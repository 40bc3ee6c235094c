"""Measures of a network, a selection or a round against the truth, only for the record."""

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from ..deep import training
from ..trimming import Round

__all__ = ["accuracy", "against_truth", "clean_and_bad", "selection"]


def selection(kept, losses, is_bad) -> dict[str, float]:
    """Compare a selection with the truth.

    Parameters
    ----------
    kept, is_bad : array of bool, shape (n,)
        Which samples are kept, and which are corrupted.
    losses : array of float, shape (n,)
        Losses of all samples; infinity is allowed.

    Returns
    -------
    dict of float
        ``precision``, the percentage of kept samples that are clean. ``recall``, the percentage of clean samples that
        are kept. ``auc``, the probability that a corrupted sample has a larger loss than a clean sample, in percent.
        ``auc`` is NaN if all samples are clean or all are corrupted.
    """
    clean, finite = ~is_bad, np.minimum(losses, np.finfo(np.float64).max)
    return {
        "precision": 100 * float(clean[kept].mean()),
        "recall": 100 * float((kept & clean).sum() / clean.sum()) if clean.any() else np.nan,
        "auc": 100 * float(roc_auc_score(is_bad, finite)) if is_bad.any() and clean.any() else np.nan,
    }


def accuracy(network, x, y) -> float:
    """Return the percentage of images x whose predicted class is y; y is labels of shape (n,), or one class."""
    return 100 * float((training.outputs(network, x).argmax(1) == y).double().mean())


def clean_and_bad(network, given, some) -> dict[str, float]:
    """Measure a network on clean and on corrupted training samples, for a point of Figure 1.

    Parameters
    ----------
    network, given : torch.nn.Module in eval mode, object with ``x``, ``y`` (labels as given) and ``is_bad``
        The network, and the run's data.
    some : slice or array of int
        The samples to measure.

    Returns
    -------
    dict of float
        ``accuracy_clean`` and ``accuracy_bad``, the percentages of samples whose *given* label is predicted; and
        ``loss_auc``, the ``auc`` of `selection`.
    """
    y, is_bad = given.y[some], given.is_bad[some]
    out = training.outputs(network, given.x[some])
    right = (out.argmax(1) == y).cpu().numpy()
    losses = torch.nn.functional.cross_entropy(out, y, reduction="none").cpu().numpy()
    sides = {"clean": right[~is_bad], "bad": right[is_bad]}
    found = {f"accuracy_{side}": 100 * float(those.mean()) for side, those in sides.items() if len(those)}
    return found | {"loss_auc": selection(np.ones(len(y), bool), losses, is_bad)["auc"]}


def against_truth(step: Round, given, rare: tuple = ()) -> dict[str, float]:
    """Compare a round of a label-noise run with the truth.

    Parameters
    ----------
    step, given : itlm.Round, itlm.experiments.label_noise.Task
        The round, whose theta is the network, and the run's data.
    rare : tuple of int
        Classes to measure separately.

    Returns
    -------
    dict of float
        The numbers of `selection`; ``test_accuracy``, percent; and ``classes_kept``, the number of given classes among
        the kept samples. For rare classes also ``accuracy_rare`` on their test images and ``recall_rare``, the kept
        percentage of their clean training samples.
    """
    right = training.outputs(step.theta, given.test_x).argmax(1) == given.test_y
    right, kept, y = right.cpu().numpy(), step.kept.cpu().numpy(), given.y.cpu().numpy()
    found = {
        "test_accuracy": 100 * float(right.mean()),
        "classes_kept": float(len(np.unique(y[kept]))),
        **selection(kept, step.losses.cpu().numpy(), given.is_bad),
    }
    if rare:
        found["accuracy_rare"] = 100 * float(right[np.isin(given.test_y.cpu().numpy(), rare)].mean())
        found["recall_rare"] = 100 * float(kept[np.isin(y, rare) & ~given.is_bad].mean())
    return found
