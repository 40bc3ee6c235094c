"""The networks: against plain NumPy, and initial weights that derive from the seed alone."""

import numpy as np
import pytest
import torch
from torch import nn

from itlm.deep import training
from itlm.deep.networks import (
    GAN,
    LATENT,
    Discriminator,
    Generator,
    LeNet,
    SmallNet,
    WideResNet,
    initialised,
    whitening,
)

CURVES = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}


def images(n=5, seed=0):
    return torch.randn(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


def in_numpy(weights, x, curve, bounded):
    """LeNet, transcribed: in double precision, without torch."""
    W1, b1, W2, b2, W3, b3, W4, b4 = weights

    def convolved(x, W, b):
        windows = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(2, 3))  # (n, channels, h - 4, w - 4, 5, 5)
        return np.einsum("nchwij,kcij->nkhw", windows, W, optimize=True) + b[:, None, None]

    def pooled(x):
        n, channels, height, width = x.shape
        return x.reshape(n, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))

    x = pooled(curve(convolved(x, W1, b1)))
    x = pooled(curve(convolved(x, W2, b2)))
    x = curve(x.reshape(len(x), -1) @ W3.T + b3) @ W4.T + b4
    return np.tanh(x) if bounded else x


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("activation", CURVES)
def test_lenet_is_what_numpy_computes(activation, bounded, layout):
    network = initialised(lambda: LeNet(activation=activation, bounded=bounded), 0).to(memory_format=layout)
    weights = [p.detach().double().numpy() for p in network.parameters()]
    x = images()
    expected = in_numpy(weights, x.double().numpy(), CURVES[activation], bounded)
    with torch.no_grad():
        assert np.abs(network(x).numpy() - expected).max() < 1e-5


def test_lenet_has_the_papers_widths():
    assert sum(p.numel() for p in LeNet().parameters()) == 520 + 25_050 + 400_500 + 5_010
    assert LeNet(3, channels=(2, 4, 8))(images(2)).shape == (2, 3)


def test_an_unknown_activation_lists_the_known_ones():
    with pytest.raises(ValueError, match="activation must be one of .*tanh.*relu.*got 'gelu'"):
        LeNet(activation="gelu")


def cross_entropies(network):
    """Of some images, were each of them each class; shape (n, 10)."""
    with torch.no_grad():
        return -network(images()).log_softmax(1)


@pytest.mark.parametrize("bounded", [True, False])
def test_only_a_bounded_network_has_a_bounded_cross_entropy(bounded):
    network = initialised(lambda: LeNet(bounded=bounded), 0)
    network[9].weight.data *= 1000
    low, high = np.log(1 + 9 * np.exp(-2)), np.log(9 + np.exp(-2)) + 2  # ten logits of -1 or 1, all but one alike
    assert (round(low, 3), round(high, 3)) == (0.797, 4.212)
    found = cross_entropies(network)
    assert (0.796 < found.min() and found.max() < 4.213) == bounded
    if bounded:
        for sign, extreme in ((1, low), (-1, high)):
            network[9].weight.data.zero_()
            network[9].bias.data = sign * torch.tensor([1000.0] + 9 * [-1000.0])
            assert np.allclose(cross_entropies(network)[:, 0], extreme)


def test_the_seed_alone_decides_the_initial_weights():
    torch.manual_seed(1)
    first, other = initialised(LeNet, 5), initialised(LeNet, 6)
    torch.manual_seed(2)
    again = initialised(LeNet, 5)
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) and not torch.equal(a, c) for a, b, c in pairs)


def test_initialising_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    initialised(LeNet, 0)
    with pytest.raises(ZeroDivisionError):
        initialised(lambda: nn.Linear(2, 2) and 1 / 0, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_initialising_leaves_the_generators_of_gpus_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    initialised(LeNet, 7)
    assert seeded == []


def test_the_layers_fit_each_other():
    network, x, shapes = LeNet(), images(2), []
    for layer in network:
        x = layer(x)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(20, 24, 24), (20, 12, 12), (50, 8, 8), (50, 4, 4), (500,), (10,)]


# Colour networks, and what can be proved of a GPU without one


@pytest.mark.parametrize(("depth", "width", "millions"), [(16, 10, 17.1), (16, 8, 11.0), (28, 10, 36.5), (40, 4, 8.9)])
def test_wide_resnets_have_the_published_sizes(depth, width, millions):
    with torch.device("meta"):
        network = WideResNet(depth=depth, width=width)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == millions


def test_a_depth_that_no_wide_resnet_has_is_named():
    with pytest.raises(ValueError, match=r"depth must be 10, 16, .* got 18"):
        WideResNet(depth=18)
    with pytest.raises(ValueError, match="normalisation must be one of 'batch', 'none', got 'layer'"):
        SmallNet(normalisation="layer")


COLOUR = {
    "wide": lambda: WideResNet(depth=10, width=2),
    "small": SmallNet,
    "small, stride 1": lambda: SmallNet(stem=1, width=8),
    "small, plain": lambda: SmallNet(normalisation="none"),
    "small, whitened": lambda: SmallNet(filters=whitening(torch.randn(20, 3, 32, 32))),
}


@pytest.mark.parametrize("name", COLOUR)
def test_colour_networks_see_every_pixel_and_train_every_weight(name):
    network = initialised(COLOUR[name], 0).eval()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = network(x)
    assert out.shape == (4, 10)
    nn.functional.cross_entropy(out, torch.arange(4)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert (x.grad.abs().sum((0, 1)) > 0).float().mean() > 0.95  # a stride of 2 may leave out a border


def test_whitened_patches_are_uncorrelated_and_of_equal_variance():
    generator = torch.Generator().manual_seed(0)
    smooth = nn.functional.avg_pool2d(torch.randn(50, 3, 34, 34, generator=generator), 3, stride=1)
    filters = whitening(smooth, floor=1e-9)
    out = nn.functional.conv2d(smooth, filters).movedim(1, -1).flatten(0, 2)
    assert torch.allclose(torch.cov(out.T), torch.eye(27), atol=1e-3)


@pytest.mark.parametrize("name", COLOUR)
def test_layout_and_half_precision_change_nothing_but_digits(name):
    network = initialised(COLOUR[name], 0).eval()
    x = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = network(x)
        last = network.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = network(x).float()
    assert torch.allclose(plain, last, atol=1e-4)
    assert (plain - half).abs().max() < 0.05 * plain.abs().max()


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (LeNet, (4, 1, 28, 28)),
        (WideResNet, (4, 3, 32, 32)),
        (SmallNet, (4, 3, 32, 32)),
        (lambda: Discriminator(64, 3), (4, 3, 64, 64)),
        (lambda: Generator(64, 3), (4, 100)),
    ],
)
def test_forward_and_loss_stay_on_the_gpu(make, shape):
    """On tensors that have a device and a shape but no numbers; what is left on the CPU would be refused."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        with torch.device("cuda"):
            network, x, y = make(), torch.empty(shape), torch.zeros(4, dtype=torch.long)
        out = network(x)
        assert out.device.type == "cuda"
        if out.ndim == 2:
            assert nn.functional.cross_entropy(out, y, reduction="none").device.type == "cuda"
            assert training.outputs(network, torch.empty(shape)).device.type == "cuda"
        with pytest.raises(RuntimeError, match="same device"):
            network(torch.empty(shape))


# GANs


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_images_and_verdicts_have_their_shapes(size, channels, normalisation):
    both = GAN(size, channels, 4, normalisation)
    made = both(torch.randn(3, LATENT))
    assert made.shape == (3, channels, size, size) and made.abs().max() <= 1
    assert both.discriminator(made).shape == (3,)
    norms = [layer for layer in both.discriminator if isinstance(layer, nn.BatchNorm2d)]
    assert bool(norms) == (normalisation == "batch")


def test_weights_begin_as_radford_has_them():
    weights = initialised(lambda: GAN(28, 1, 64), 0).discriminator[2].weight.detach()
    assert abs(float(weights.mean())) < 1e-3 and abs(float(weights.std()) - 0.02) < 1e-3


def test_lenet_may_begin_as_the_authors_have_it():
    network = initialised(lambda: LeNet(initial="normal"), 0)
    for layer in (layer for layer in network if hasattr(layer, "weight")):
        assert abs(float(layer.weight.detach().std()) - 0.02) < 2e-3 and not layer.bias.any()


def test_a_size_without_stages_is_named():
    with pytest.raises(ValueError, match="size must be one of 28, 32, 64 pixels, got 30"):
        Generator(30)
