"""Other authors' methods for wrong labels, in short: the nearest relatives of ITLM for classifiers.

Each method is a function (make_network, x, y, alpha, schedule, seed, note) -> network, kept, and fits by
`itlm.deep.training.fit`. A method that chooses within a batch is a loss with a memory.

Source: self-paced learning as in Kumar, Packer & Koller 2010, with the threshold of Jiang et al. 2018 (MentorNet PD);
Co-teaching, Han et al. 2018; generalized cross entropy, Zhang & Sabuncu 2018; confident learning, Northcutt, Jiang &
Chuang 2021, through the package cleanlab.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ..deep import training
from ..errors import Missing
from ..parameters import real
from ..trimming import trim

__all__ = ["FITS", "METHODS", "co_teaching", "confident", "generalized", "self_paced"]

BURN_IN = 0.2  # first part of the steps: all samples count or, in Co-teaching, a share that falls from 1 to alpha
FOLDS = 5  # of the cross-validation in confident learning


def _each(output, y):
    """Return the cross-entropy of each sample: (n,)."""
    return nn.functional.cross_entropy(output, y, reduction="none")


class GeneralizedCrossEntropy:
    """``(1 - p^q) / q``, p the probability of the given label: cross-entropy near q = 0, the absolute error at q = 1.

    The exponent q is in (0, 1]; the authors use 0.7.
    """

    def __init__(self, q: float = 0.7):
        self.q = real(0, 1, above_low=True).check("q", q)

    def __call__(self, output, y, reduction="mean"):
        p = output.float().softmax(1).gather(1, y[:, None]).squeeze(1).clamp_min(1e-7)
        losses = (1 - p**self.q) / self.q
        return losses if reduction == "none" else losses.mean()


class SelfPaced:
    """Cross-entropy of the samples below a threshold, which follows the alpha-quantile of the batches' losses.

    Parameters
    ----------
    alpha : float in (0, 1]
        The quantile.
    steps : int
        Number of steps of the fit; in the first part ``BURN_IN`` of them every sample counts.
    memory : float in [0, 1)
        Weight of the past in the moving average; 0.9 in MentorNet's code.
    """

    def __init__(self, alpha: float, steps: int, memory: float = 0.9):
        self.alpha, self.steps, self.memory, self.step, self.threshold = alpha, steps, memory, 0, None

    def __call__(self, output, y, reduction="mean"):
        losses = _each(output, y)
        if reduction == "none":
            return losses
        now = float(losses.detach().float().quantile(self.alpha))
        self.threshold = now if self.threshold is None else self.memory * self.threshold + (1 - self.memory) * now
        self.step += 1
        if self.step <= BURN_IN * self.steps:
            return losses.mean()
        counted = losses.detach() <= self.threshold
        return (losses * counted).sum() / counted.sum().clamp_min(1)


class Pair(nn.Module):
    """Two networks that see the same images: outputs (n, 2, n_classes)."""

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        """Return both networks' logits."""
        return torch.stack([self.first(x), self.second(x)], 1)


class CoTeaching:
    """Each network of a `Pair` learns from the samples of a batch whose losses are smallest in the other network.

    Parameters
    ----------
    alpha : float in (0, 1]
        Final fraction of a batch that is kept. The fraction falls linearly from 1 over the first part ``BURN_IN`` of
        the steps.
    steps : int
        As for `SelfPaced`.
    """

    def __init__(self, alpha: float, steps: int):
        self.alpha, self.steps, self.step = alpha, steps, 0

    def __call__(self, output, y, reduction="mean"):
        first, second = _each(output[:, 0], y), _each(output[:, 1], y)
        if reduction == "none":
            return first
        self.step += 1
        share = 1 - (1 - self.alpha) * min(1.0, self.step / max(1.0, BURN_IN * self.steps))
        n = max(1, round(share * len(y)))
        easy = [losses.detach().topk(n, largest=False).indices for losses in (first, second)]
        return first[easy[1]].mean() + second[easy[0]].mean()


def generalized(make_network: Callable, x, y, alpha: float, schedule, seed: int, note: str = "gce"):
    """Fit to all samples by generalized cross entropy, which no wrong label can dominate; nothing is dropped.

    The gradient is that of cross-entropy times p^q. With C classes, p^q is C^-q at the start, so the step size is
    multiplied by C^q. The first steps are then as long as those of the other methods.

    Parameters
    ----------
    make_network, x, y, schedule, seed, note
        As for `itlm.deep.training.fit`.
    alpha : float
        Not used.

    Returns
    -------
    network : torch.nn.Module
        In eval mode.
    kept : tensor of bool, shape (n,)
        The samples that the method trusts.
    """
    loss, n_classes = GeneralizedCrossEntropy(), int(y.max()) + 1
    schedule = replace(schedule, lr=schedule.lr * n_classes**loss.q)
    network = training.fit(make_network, x, y, None, schedule, seed=seed, loss=loss, note=note).network
    return network, torch.ones(len(y), dtype=torch.bool)


def self_paced(make_network: Callable, x, y, alpha: float, schedule, seed: int, note: str = "self-paced"):
    """Fit by self-paced learning: in each batch, only samples with a loss below a moving quantile count.

    Parameters and results are as for `generalized`; ``alpha`` is the quantile. The samples at or below the last
    threshold are kept.
    """
    loss = SelfPaced(alpha, schedule.n_steps(len(x)))
    network = training.fit(make_network, x, y, None, schedule, seed=seed, loss=loss, note=note).network
    losses = training.sample_losses(network, x, y)
    return network, losses <= (np.inf if loss.threshold is None else loss.threshold)


def co_teaching(make_network: Callable, x, y, alpha: float, schedule, seed: int, note: str = "co-teaching"):
    """Fit two networks by Co-teaching, at twice the cost of one fit, and return the first.

    Parameters and results are as for `generalized`; ``alpha`` is the final fraction of a batch kept. The method keeps
    the fraction alpha of all samples that has the smallest losses in the first network.
    """
    loss = CoTeaching(alpha, schedule.n_steps(len(x)))
    pair = training.fit(
        lambda: Pair(make_network(), make_network()), x, y, None, schedule, seed=seed, loss=loss, note=note
    ).network
    return pair.first, trim(training.sample_losses(pair.first, x, y), alpha)


def confident(make_network: Callable, x, y, alpha: float, schedule, seed: int, note: str = "confident"):
    """Drop the label errors that cleanlab finds by cross-validated probabilities, and fit the rest: six fits in all.

    Parameters and results are as for `generalized`; ``alpha`` is not used, since the method estimates the number of
    wrong labels.

    Raises
    ------
    itlm.errors.Missing
        If cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        raise Missing("cleanlab is not installed: pip install cleanlab") from None
    order = torch.as_tensor(np.random.default_rng([seed, 2]).permutation(len(y)))
    probabilities = None
    for number, fold in enumerate(order.chunk(FOLDS)):
        kept = torch.ones(len(y), dtype=torch.bool)
        kept[fold] = False
        network = training.fit(make_network, x, y, kept, schedule, seed=seed, note=f"{note}, fold {number}").network
        out = training.outputs(network, x[fold.to(x.device)]).softmax(1).cpu().numpy()
        if probabilities is None:
            probabilities = np.empty((len(y), out.shape[1]))
        probabilities[fold.numpy()] = out
    wrong = find_label_issues(y.cpu().numpy(), probabilities, n_jobs=1)
    kept = torch.as_tensor(~wrong)
    return training.fit(make_network, x, y, kept, schedule, seed=seed, note=note).network, kept


FITS = {"gce": 1, "self_paced": 1, "co_teaching": 2, "confident": FOLDS + 1}  # fits that each method costs
METHODS = {"gce": generalized, "self_paced": self_paced, "co_teaching": co_teaching, "confident": confident}
