"""Conversion of uint8 images to network inputs, and back."""

import torch
from torch import nn

from .corruption import pixels

__all__ = ["AUGMENT", "augmented", "from_tanh", "in_colour", "to_tanh", "to_tensor"]

AUGMENT = ("none", "mirror", "shift")


def to_tensor(images, like=None, *, standardised: bool = True) -> torch.Tensor:
    """Scale uint8 images to mean 0 and standard deviation 1 per channel: float32, (n, channels, height, width).

    Parameters
    ----------
    images : array of uint8, shape (n, height, width) or (n, height, width, channels)
        Grey or colour images.
    like : array of uint8, optional
        Images whose mean and standard deviation are used, such as the training images for the test images.
    standardised : bool, default True
        False scales pixels to [0, 1] instead.

    Raises
    ------
    ValueError
        If images are not uint8, or have another number of dimensions.
    """

    def scaled(name, images):
        x = torch.tensor(pixels(name, images)).float().div_(255)
        return (x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)).contiguous()

    x = scaled("images", images)
    if not standardised:
        return x
    reference = x if like is None else scaled("like", like)
    dims = (0, 2, 3)
    return (x - reference.mean(dims, keepdim=True)) / reference.std(dims, keepdim=True).clamp_min(1e-6)


def to_tanh(images) -> torch.Tensor:
    """Scale uint8 images, (n, size, size) or (n, size, size, 3), to [-1, 1], the range of the generator's tanh.

    The result is a float32 tensor, shape (n, channels, size, size). Images of another dtype raise ValueError.
    """
    x = torch.tensor(pixels("images", images)).float().div_(127.5).sub_(1)
    x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)  # the faster layout, as in `itlm.deep.training.fit`


def from_tanh(x):
    """Turn a generator's images into uint8 images: the inverse of `to_tanh`."""
    pixels = x.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def in_colour(x):
    """Pad grey images of 28 x 28 pixels to 32 x 32, in three equal channels; leave colour images unchanged."""
    return x if x.shape[1] == 3 else nn.functional.pad(x, (2, 2, 2, 2), value=float(x.min())).expand(-1, 3, -1, -1)


def augmented(x: torch.Tensor, how: str, generator: torch.Generator) -> torch.Tensor:
    """Mirror and shift images at random, as `Schedule` describes; the result has the shape of ``x``.

    Parameters
    ----------
    x : tensor, shape (n, channels, height, width)
        Images, not changed.
    how : {"none", "mirror", "shift"}
        The augmentation.
    generator : torch.Generator
        Random numbers, on the images' device.
    """
    if how == "none":
        return x
    n, _, height, width = x.shape
    most = 4 if how == "shift" else 0
    padded = nn.functional.pad(x, (most,) * 4, mode="reflect")
    draw = lambda high, size: torch.randint(high, size, generator=generator, device=x.device)  # noqa: E731
    rows = draw(2 * most + 1, (n, 1, 1)) + torch.arange(height, device=x.device)[:, None]  # (n, height, 1)
    columns = torch.arange(width, device=x.device).expand(n, 1, width)
    columns = torch.where(draw(2, (n, 1, 1)).bool(), columns, columns.flip(-1))
    columns = columns + draw(2 * most + 1, (n, 1, 1))  # (n, 1, width)
    sample = torch.arange(n, device=x.device)[:, None, None]
    return padded[sample, :, rows, columns].permute(0, 3, 1, 2)
