"""Other authors' defences against backdoors, in short: find unusual samples by the features of a trained network.

Each defence takes the features or losses of all training samples and returns a mask of those kept, bool (n,).

Source: spectral signatures, Tran, Li & Madry 2018; activation clustering, Chen et al. 2018; isolation by low loss, the
first stage of anti-backdoor learning, Li et al. 2021. Their method also keeps small losses from falling further, and
unlearns the isolated samples; here they are dropped and a new network is trained. The Adversarial Robustness Toolbox
(1.20.1) has the first two methods, but its spectral score is not centred. Its analysis of cluster sizes fails if no
cluster of a class is small.
"""

import numpy as np
import torch
from torch import nn

from ..trimming import trim

__all__ = ["activation_clustering", "features", "low_loss", "spectral_signatures"]


@torch.no_grad()
def features(network: nn.Module, x: torch.Tensor, *, batch: int = 1000) -> torch.Tensor:
    """Return the inputs of a network's last linear layer: (n, features), on the CPU.

    Parameters
    ----------
    network : torch.nn.Module
        In eval mode, with at least one linear layer, else ValueError.
    x : tensor, shape (n, channels, height, width)
        Inputs, on the network's device.
    batch : int
        Number of samples in one forward pass.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(f"network has no linear layer, whose inputs are the features: got {type(network).__name__}")
    seen = []
    handle = layers[-1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].float().cpu()))
    try:
        for part in x.split(batch):
            network(part)
    finally:
        handle.remove()
    return torch.cat(seen)


def spectral_signatures(found, y, dropped: int) -> torch.Tensor:
    """Drop the samples that lie farthest from their class's mean along its first principal direction.

    Parameters
    ----------
    found : tensor, shape (n, features)
        From `features`.
    y : tensor of int, shape (n,)
        Labels as given.
    dropped : int
        Number of samples dropped in each class, at most half of the class. The authors use 1.5 times the number that
        may be corrupted.
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
    """Drop the smaller of two clusters of each class, if that cluster is small.

    The clusters are found on ten principal components. The authors use independent components, which are rotated
    principal components of unit variance. Rotation does not change k-means, and unit variances make it miss small
    clusters more often.

    Parameters
    ----------
    found, y
        As for `spectral_signatures`.
    smallest : float in (0, 0.5]
        A cluster with a smaller share of its class is dropped. The default is the threshold of the Adversarial
        Robustness Toolbox, 35 %: a class of only clean samples splits into halves.
    seed : int
        Seeds the components and the clusters.
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
    """Drop the samples of smallest loss, since a strong mark makes samples easy: ITLM reversed.

    Parameters
    ----------
    losses : tensor, shape (n,)
        Losses after a few epochs.
    alpha : float in (0, 1]
        Fraction kept.
    """
    return trim(-losses, alpha)
