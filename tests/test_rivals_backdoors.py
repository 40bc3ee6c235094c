"""Other authors' defences against backdoors, on features with a known answer."""

import numpy as np
import pytest
import torch
from torch import nn

from itlm.deep.networks import SmallNet
from itlm.rivals import backdoors as rivals

pytestmark = pytest.mark.usefixtures("one_thread")


def planted(seed=0, n=400, bad=20):
    """Features of two classes; in class 1 some samples lie apart, in one direction."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    found, is_bad = random.normal(size=(n, 16)), np.zeros(n, bool)
    is_bad[random.choice(np.flatnonzero(y == 1), bad, replace=False)] = True
    found[is_bad, :4] += 6
    return torch.as_tensor(found).float(), torch.as_tensor(y), is_bad


def test_spectral_signatures_drop_what_lies_farthest_along_the_main_direction():
    found, y, is_bad = planted()
    kept = rivals.spectral_signatures(found, y, 30).numpy()
    assert not (kept & is_bad).any() and [int(kept[y.numpy() == c].sum()) for c in (0, 1)] == [170, 170]
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    assert np.array_equal(rivals.spectral_signatures(found[order], y[order], 30).numpy(), kept[order])


def test_clustering_drops_a_small_cluster_and_leaves_a_class_that_falls_into_halves():
    found, y, is_bad = planted()
    kept = rivals.activation_clustering(found, y).numpy()
    assert np.array_equal(kept, ~is_bad)
    assert rivals.activation_clustering(found[~is_bad], y[~is_bad]).all()


def test_a_class_too_small_to_cluster_is_left_alone():
    assert rivals.activation_clustering(torch.randn(2, 4), torch.tensor([0, 1])).all()


def test_the_low_loss_filter_is_trimming_turned_round():
    losses = torch.rand(50, generator=torch.Generator().manual_seed(0))
    kept = rivals.low_loss(losses, 0.9)
    assert kept.sum() == 45 and losses[~kept].max() < losses[kept].min()


def test_features_are_what_the_last_layer_sees():
    network, x = SmallNet(width=4).eval(), torch.randn(7, 3, 32, 32)
    found = rivals.features(network, x, batch=3)
    assert found.shape == (7, 16)
    with torch.no_grad():
        assert torch.allclose(network[-1](found), network(x), atol=1e-5)
    assert not network[-1]._forward_pre_hooks
    with pytest.raises(ValueError, match="network has no linear layer"):
        rivals.features(nn.Conv2d(3, 1, 1), x)
