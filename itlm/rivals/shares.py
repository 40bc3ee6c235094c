"""Other ways to estimate what share of the labels is wrong, to compare with `itlm.audit.error_share`.

They use a classifier's predictions, out of fold unless stated, and return an estimate without a bound.

Sources: Northcutt et al. 2021 (confident joint), Chen et al. 2019 (INCV), Li et al. 2020 (Gaussian mixture), Arazo et
al. 2019 (beta mixture), Pleiss et al. 2020 (AUM), Karakulev et al. 2024 (RLVI).
"""

import warnings

import numpy as np

from ..errors import Missing

__all__ = ["agreement", "beta_mixture", "confident_joint", "gaussian_mixture", "margins", "variational"]


def confident_joint(y, probabilities) -> float:
    """Return the share off the diagonal of cleanlab's estimated joint distribution of given and true labels.

    Parameters
    ----------
    y : array of int, shape (n,)
        Labels as given, 0, 1, ...
    probabilities : array, shape (n, n_classes)
        Predicted probabilities, out of fold.

    Raises
    ------
    itlm.errors.Missing
        Without cleanlab, which is in the extra "compare".
    """
    try:
        from cleanlab.count import estimate_joint
    except ImportError:
        raise Missing("the confident joint needs cleanlab: pip install 'itlm[compare]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of cleanlab, about classes without a confident sample
        return float(1 - np.trace(estimate_joint(labels=np.asarray(y), pred_probs=np.asarray(probabilities))))


def agreement(y, predicted, n_classes: int, *, symmetric: bool = True) -> float:
    """Return INCV's estimate, from how often predictions agree with the given labels.

    A model fitted to labels with error rate eps is taken to predict with that rate. So predictions agree with given
    labels with the chance (1 - eps)^2 + eps^2 / (n_classes - 1) for symmetric noise, and (1 - eps)^2 + eps^2 if each
    class has one other (INCV, equations 3 and 4). The solution below its turning point is returned.

    Parameters
    ----------
    y, predicted : array of int, shape (n,)
        Labels as given, and predictions out of fold.
    n_classes : int, at least 2
        Number of classes.
    symmetric : bool
        Whether the noise is symmetric.
    """
    same, others = float(np.mean(np.asarray(y) == predicted)), n_classes - 1 if symmetric else 1
    a, b, c = 1 + 1 / others, -2.0, 1 - same
    root = np.sqrt(max(b * b - 4 * a * c, 0.0))
    return float(np.clip((-b - root) / (2 * a), 0, 1))


def gaussian_mixture(losses, *, test: bool = False) -> float:
    """Return the weight of the larger component of a two-component Gaussian mixture of the losses (DivideMix).

    Parameters
    ----------
    losses : array, shape (n,)
        Losses, out of fold; scaled to [0, 1] here, as DivideMix does.
    test : bool
        Return 0 if one component has the smaller Bayesian information criterion.
    """
    from sklearn.mixture import GaussianMixture

    scaled = _scaled(losses)[:, None]
    two = GaussianMixture(2, max_iter=200, tol=1e-4, reg_covar=5e-4, random_state=0).fit(scaled)
    if test and GaussianMixture(1, reg_covar=5e-4).fit(scaled).bic(scaled) <= two.bic(scaled):
        return 0.0
    return float(two.weights_[np.argmax(two.means_)])


def beta_mixture(losses, *, rounds: int = 500) -> float:
    """Return the weight of the larger component of a two-component beta mixture of the losses (Arazo et al. 2019).

    The mixture is fitted by ``rounds`` of expectation maximisation; its components get their parameters from weighted
    moments, as in the authors' paper. ``losses``, shape (n,), are scaled to (0, 1) here.
    """
    from scipy.stats import beta

    scaled = np.clip(_scaled(losses), 1e-4, 1 - 1e-4)
    weights, shapes = np.array([0.5, 0.5]), [(1.0, 2.0), (2.0, 1.0)]
    for _ in range(rounds):
        chances = np.array([w * beta.pdf(scaled, *shape) for w, shape in zip(weights, shapes, strict=True)]) + 1e-12
        chances /= chances.sum(axis=0)
        weights, shapes = chances.mean(axis=1), [_moments(scaled, mass) for mass in chances]
    return float(weights[np.argmax([a / (a + b) for a, b in shapes])])


def _moments(values, mass) -> tuple[float, float]:
    """Return the parameters of the beta distribution with the weighted mean and variance of the values."""
    mean = float(mass @ values / mass.sum())
    variance = max(float(mass @ (values - mean) ** 2 / mass.sum()), 1e-6)
    common = max(mean * (1 - mean) / variance - 1, 1e-2)
    return mean * common, (1 - mean) * common


def _scaled(losses) -> np.ndarray:
    losses = np.asarray(losses, float)
    return (losses - losses.min()) / max(np.ptp(losses), 1e-12)


def margins(given, threshold, *, quantile: float = 0.99) -> float:
    """Return the share of samples whose margin is below that of nearly all threshold samples (AUM).

    Parameters
    ----------
    given : array, shape (n,)
        Each sample's margin: logit of the given label minus the largest other, averaged over the epochs of training.
    threshold : array, shape (m,)
        Margins of the threshold samples: samples that were assigned to a class that does not exist.
    quantile : float in (0, 1)
        Quantile of ``threshold`` that counts as wrong.
    """
    return float((np.asarray(given) <= np.quantile(threshold, quantile)).mean())


def variational(fit, losses, n: int, *, rounds: int = 10) -> float:
    """Return RLVI's estimate: one minus the mean weight of the samples.

    Weighted fits alternate with the samples' chances of being clean, as in the authors' code for label noise:
    ``pi_i = c exp(-l_i) / (1 - c + c exp(-l_i))``, with c the mean of pi, iterated 40 times from 0.95 and scaled to a
    largest value of 1. Losses of a scale above 1 are divided by it.

    Parameters
    ----------
    fit : callable, (weights) -> model
        Fits a model to all samples with these weights.
    losses : callable, (model) -> array, shape (n,)
        Losses of all samples.
    n, rounds : int
        Number of samples, and of weighted fits.
    """
    weights = np.ones(n)
    for _ in range(rounds):
        found = np.asarray(losses(fit(weights)), float)
        found = found / max(2 * np.sqrt(found.mean() * np.median(found)), 1.0)
        mean = 0.95
        for _ in range(40):
            chances = mean * np.exp(-found) / (1 - mean + mean * np.exp(-found))
            mean = min(float(chances.mean()), 1 - 1e-9)
        weights = chances / chances.max()
    return float(1 - weights.mean())
