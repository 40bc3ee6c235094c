"""The networks of the experiments, as plain torch modules, initialised reproducibly."""

from collections.abc import Callable

import torch
from torch import nn

from ..parameters import one_of

__all__ = [
    "GAN", "Discriminator", "Generator", "LeNet", "SmallNet", "WideResNet", "initialised", "pick_device", "whitening",
]  # fmt: skip


NORMALISATIONS = one_of("batch", "none")
INITIAL = one_of("torch", "normal")


def initialised(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Make a network by ``make()``, with initial weights that depend on ``seed`` alone.

    torch's global generator is seeded for the call, and restored afterwards.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed the GPUs' generators
        return make()


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``"auto"`` is the GPU if there is one, else the CPU."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


class LeNet(nn.Sequential):
    """The two-layer CNN of the paper's MNIST experiments, as in its authors' code.

    The layers are conv 20@5x5, activation, max-pool 2, conv 50@5x5, activation, max-pool 2, dense 500, activation,
    dense. Shapes: input (n, 1, 28, 28), output (n, n_classes).

    Parameters
    ----------
    n_classes : int, default 10
        Number of outputs.
    activation : {"tanh", "relu"}
        The authors use tanh.
    bounded : bool, default True
        Pass the logits through tanh, as the authors do. The cross-entropy of ten classes is then between 0.80 and 4.21,
        so no single sample can dominate the loss.
    initial : {"torch", "normal"}
        Initial weights: torch's, or the authors', from N(0, 0.02^2) with biases 0.
    channels : tuple of three int
        Widths of the two convolutions and of the dense layer.
    """

    def __init__(self, n_classes=10, *, activation="tanh", bounded=True, initial="torch", channels=(20, 50, 500)):
        curves = {"tanh": nn.Tanh, "relu": nn.ReLU}
        curve = curves[one_of(*curves).check("activation", activation)]
        a, b, c = channels
        layers = [
            nn.Conv2d(1, a, 5),  # (n, a, 24, 24)
            curve(),
            nn.MaxPool2d(2),  # (n, a, 12, 12)
            nn.Conv2d(a, b, 5),  # (n, b, 8, 8)
            curve(),
            nn.MaxPool2d(2),  # (n, b, 4, 4)
            nn.Flatten(),
            nn.Linear(16 * b, c),
            curve(),
            nn.Linear(c, n_classes),
        ]
        super().__init__(*layers, *([nn.Tanh()] if bounded else []))
        if INITIAL.check("initial", initial) == "normal":
            self.apply(_normal)


class WideResNet(nn.Module):
    """Wide residual network, pre-activated, as in Zagoruyko & Komodakis 2016; WRN-16-10 is the paper's CIFAR network.

    There is no dropout, as in the authors' code. Weights are initialised as in He et al. 2015, fan out. Shapes: input
    (n, 3, 32, 32), output (n, n_classes).

    Parameters
    ----------
    n_classes : int, default 10
        Number of outputs.
    depth : int, default 16
        Number of layers with weights, without shortcuts: 6 k + 4 for k blocks in each of 3 groups, else ValueError.
    width : int, default 10
        Channels of the groups are 16, 32 and 64 times this.
    """

    def __init__(self, n_classes=10, *, depth=16, width=10):
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth must be 10, 16, 22, 28, ... (6 k + 4), got {depth}")
        channels = [16, 16 * width, 32 * width, 64 * width]
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)  # (n, 16, 32, 32)
        self.groups = nn.Sequential(
            *(
                _WideBlock(a if i == 0 else b, b, stride if i == 0 else 1)
                for a, b, stride in zip(channels, channels[1:], (1, 2, 2), strict=False)
                for i in range(blocks)
            )
        )  # (n, 64 width, 8, 8)
        self.norm = nn.BatchNorm2d(channels[-1])
        self.dense = nn.Linear(channels[-1], n_classes)
        self.apply(_he)

    def forward(self, x):
        """Classify images: (n, 3, 32, 32) to logits (n, n_classes)."""
        x = nn.functional.relu(self.norm(self.groups(self.stem(x))))
        return self.dense(x.mean((2, 3)))


class _WideBlock(nn.Module):
    """Batch norm, ReLU, convolution, twice; if the shape changes, the shortcut is a convolution of 1 pixel."""

    def __init__(self, a, b, stride):
        super().__init__()
        self.norm_1, self.norm_2 = nn.BatchNorm2d(a), nn.BatchNorm2d(b)
        self.conv_1 = nn.Conv2d(a, b, 3, stride=stride, padding=1, bias=False)
        self.conv_2 = nn.Conv2d(b, b, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(a, b, 1, stride=stride, bias=False) if a != b or stride != 1 else None

    def forward(self, x):
        active = nn.functional.relu(self.norm_1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return shortcut + self.conv_2(nn.functional.relu(self.norm_2(self.conv_1(active))))


class SmallNet(nn.Sequential):
    """A small CIFAR network for CPUs: five convolutions, the first with a stride, one shortcut.

    Shapes: input (n, 3, 32, 32), output (n, n_classes).

    Parameters
    ----------
    n_classes : int, default 10
        Number of outputs.
    width : int, default 24
        Channels of the first convolutions; the later ones have two and four times as many.
    stem : {1, 2}
        Stride of the first convolution; 2 cuts the cost of all later layers to a quarter.
    normalisation : {"batch", "none"}
        Normalisation after each convolution.
    filters : tensor, shape (27, 3, 3, 3), optional
        `whitening` filters as a first layer that is not trained; the first convolution then mixes their outputs.
    """

    def __init__(self, n_classes=10, *, width=24, stem=2, normalisation="batch", filters=None):
        plain = NORMALISATIONS.check("normalisation", normalisation) == "none"

        def conv(a, b, size=3, stride=1):
            norm = [] if plain else [nn.BatchNorm2d(b)]
            return nn.Sequential(nn.Conv2d(a, b, size, stride, padding=size // 2, bias=plain), *norm, nn.ReLU())

        first = [conv(3, width, stride=stem)] if filters is None else [_Frozen(filters, stem), conv(27, width, 1)]
        super().__init__(
            *first,  # (n, width, 32 / stem, 32 / stem)
            conv(width, width),
            conv(width, 2 * width),
            nn.MaxPool2d(2),
            conv(2 * width, 4 * width),
            nn.MaxPool2d(2),
            _Residual(conv(4 * width, 4 * width)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, n_classes),
        )
        self.apply(_he)


class _Frozen(nn.Module):
    """A convolution that is not trained."""

    def __init__(self, filters, stride):
        super().__init__()
        self.stride = stride
        self.register_buffer("filters", filters)

    def forward(self, x):
        return nn.functional.conv2d(x, self.filters.to(x.dtype), stride=self.stride, padding=1)


def whitening(x, *, floor=1e-2):
    """Compute filters that make image patches uncorrelated, of equal variance: float32, (9 channels, channels, 3, 3).

    They are the principal axes of the 3 x 3 patches, each divided by the root of its variance plus ``floor``. A network
    that begins with them need not learn that neighbouring pixels are alike (Coates & Ng 2012).

    Parameters
    ----------
    x : tensor of float, shape (n, channels, height, width)
        Images from which patches are taken; some hundred are enough.
    floor : float
        Limits the scale of axes whose variance is nearly 0.
    """
    patches = nn.functional.unfold(x.contiguous(), 3).movedim(1, 2).flatten(0, 1).double()  # (patches, 9 channels)
    variances, axes = torch.linalg.eigh(torch.cov(patches.T))
    return (axes / (variances + floor).sqrt()).T.reshape(-1, x.shape[1], 3, 3).float()


class _Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


def _he(layer) -> None:
    """Initialise one layer for ReLU: convolutions by He et al. 2015, fan out; biases 0."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _normal(layer) -> None:
    """Initialise one layer: weights from N(0, 0.02^2), those of batch norm from N(1, 0.02^2), biases 0."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


# DC-GAN (Radford, Metz & Chintala 2015): strided convolutions, no pooling, no hidden dense layer.

LATENT = 100  # length of a latent vector
# Side of the smallest feature map, and the maps' channels in units of ``width``, by the images' side.
_STAGES = {28: (7, (2, 1)), 32: (4, (4, 2, 1)), 64: (4, (8, 4, 2, 1))}
SIZES = tuple(_STAGES)  # sides in pixels of the images that GANs can make


class Generator(nn.Sequential):
    """DC-GAN's generator: transposed convolutions that double the side, batch norm, ReLU; tanh at the end.

    Shapes: input (n, 100), output (n, channels, size, size) in [-1, 1].

    Parameters
    ----------
    size : {28, 32, 64}
        Side of the images, in pixels.
    channels : {1, 3}
        Grey or colour.
    width : int
        Channels of the largest feature map; the number doubles with each smaller map. At 64 pixels, Radford et al. use
        128 and the usual PyTorch example 64.
    """

    def __init__(self, size=28, channels=1, width=64):
        side, stages = _stages(size)
        layers = [nn.Unflatten(1, (LATENT, 1, 1)), nn.ConvTranspose2d(LATENT, stages[0] * width, side, bias=False)]
        for a, b in zip(stages, stages[1:], strict=False):
            layers += [nn.BatchNorm2d(a * width), nn.ReLU()]
            layers += [nn.ConvTranspose2d(a * width, b * width, 4, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)]
        super().__init__(*layers, nn.Tanh())
        self.apply(_normal)


class Discriminator(nn.Sequential):
    """DC-GAN's discriminator: the generator mirrored, with leaky ReLU of slope 0.2.

    Shapes: input (n, channels, size, size), output (n,): logits, large if an image looks real.

    Parameters
    ----------
    size, channels, width
        As for `Generator`.
    normalisation : {"none", "batch"}
        Batch norm after every convolution except the first and the last, as in Radford et al.; or none.
    """

    def __init__(self, size=28, channels=1, width=64, normalisation="batch"):
        side, stages = _stages(size)
        plain = NORMALISATIONS.check("normalisation", normalisation) == "none"
        stages = stages[::-1]
        layers = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for a, b in zip(stages, stages[1:], strict=False):
            layers += [nn.Conv2d(a * width, b * width, 4, stride=2, padding=1, bias=plain)]
            layers += [] if plain else [nn.BatchNorm2d(b * width)]
            layers += [nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(stages[-1] * width, 1, side), nn.Flatten(0))
        self.apply(_normal)


class GAN(nn.Module):
    """A generator and a discriminator in one module: theta of Algorithm 1, with one ``state_dict``.

    The parameters are as for `Generator` and `Discriminator`.
    """

    def __init__(self, size=28, channels=1, width=64, normalisation="batch"):
        super().__init__()
        self.generator = Generator(size, channels, width)
        self.discriminator = Discriminator(size, channels, width, normalisation)

    def forward(self, latents):
        """Generate images: (n, 100) to (n, channels, size, size) in [-1, 1]."""
        return self.generator(latents)


def _stages(size):
    if size not in _STAGES:
        raise ValueError(f"size must be one of {', '.join(map(str, _STAGES))} pixels, got {size}")
    return _STAGES[size]
