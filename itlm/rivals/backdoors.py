"""What others do about backdoors, in short: look at a trained network's features for samples that do not belong.

Each takes the features of all training samples and their labels as given, and returns a mask of what it trusts.

Source: spectral signatures, Tran, Li & Madry 2018; activation clustering, Chen et al. 2018; isolation by low loss,
after the first stage of anti-backdoor learning, Li et al. 2021, which also keeps small losses from falling further
and, where these drop samples and train anew, unlearns them. The Adversarial Robustness Toolbox (1.20.1) has the first
two; but its spectral score leaves out the centring, and its analysis of cluster sizes fails where no cluster of a class
is small.
"""

import numpy as np
import torch
from torch import nn

from ..trimming import trim

__all__ = ["activation_clustering", "features", "low_loss", "spectral_signatures"]


@torch.no_grad()
def features(network: nn.Module, x: torch.Tensor, *, batch: int = 1000) -> torch.Tensor:
    """Give what a network's last linear layer sees: (n, features), on the CPU.

    Parameters
    ----------
    network : torch.nn.Module
        In eval mode.
    x : tensor, shape (n, channels, height, width)
        Inputs, on the network's device.
    batch : int
        Samples a forward pass.

    Raises
    ------
    ValueError
        If the network has no linear layer.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(f"network has no linear layer whose inputs could be looked at: {type(network).__name__}")
    seen = []
    handle = layers[-1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].float().cpu()))
    try:
        for part in x.split(batch):
            network(part)
    finally:
        handle.remove()
    return torch.cat(seen)


def spectral_signatures(found, y, dropped: int) -> torch.Tensor:
    """Trust all but the samples that lie farthest out along their class's main direction.

    Parameters
    ----------
    found : tensor, shape (n, features)
        From `features`.
    y : tensor of int, shape (n,)
        Labels as given.
    dropped : int
        How many of each class, but never more than half of it: 1.5 times the number that may be bad, as the authors
        have it.

    Returns
    -------
    tensor of bool, shape (n,)
    """
    kept, y = torch.ones(len(y), dtype=torch.bool), y.cpu()
    for label in y.unique():
        mine = (y == label).nonzero().squeeze(1)
        centred = found[mine].double() - found[mine].double().mean(0)
        direction = torch.linalg.svd(centred, full_matrices=False).Vh[0]
        farthest = (centred @ direction).abs().argsort(descending=True, stable=True)
        kept[mine[farthest[: min(dropped, len(mine) // 2)]]] = False
    return kept


def activation_clustering(found, y, *, smallest: float = 0.35, seed: int = 0) -> torch.Tensor:
    """Trust all but the smaller of two clusters of a class, where it is small.

    Parameters
    ----------
    found, y
        As for `spectral_signatures`.
    smallest : float in (0, 0.5]
        A cluster with a smaller part of its class than this is dropped: 35 %, the threshold of the Adversarial
        Robustness Toolbox, for a class of only clean samples falls into halves.
    seed : int
        Of the clustering.

    Returns
    -------
    tensor of bool, shape (n,)

    Notes
    -----
    On ten principal components. The authors take independent ones, which are principal components of unit variance,
    turned: k-means does not see that they are turned, and with equal variances it misses small clusters more often.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    kept, y = np.ones(len(y), bool), y.cpu().numpy()
    for label in np.unique(y):
        mine = np.flatnonzero(y == label)
        if len(mine) < 3:
            continue
        few = min(10, found.shape[1], len(mine))
        low = PCA(few, random_state=seed).fit_transform(found[mine].double().numpy())
        cluster = KMeans(2, n_init=10, random_state=seed).fit_predict(low)
        small = int(cluster.mean() < 0.5)
        if (cluster == small).mean() < smallest:
            kept[mine[cluster == small]] = False
    return torch.as_tensor(kept)


def low_loss(losses, alpha: float) -> torch.Tensor:
    """Trust all but the samples of smallest loss, which a strong mark makes the easiest: ITLM turned round.

    Parameters
    ----------
    losses : tensor, shape (n,)
        After a few passes.
    alpha : float in (0, 1]
        Fraction kept.

    Returns
    -------
    tensor of bool, shape (n,)
    """
    return trim(-losses, alpha)
