"""From images to what networks take, and back: standardised, in [-1, 1], in colour, mirrored and shifted."""

import numpy as np
import pytest
import torch
from torch import nn

from itlm.deep.inputs import augmented, from_tanh, in_colour, to_tanh, to_tensor


def test_augmented_images_are_shifted_by_up_to_four_pixels_and_mirrored_half_of_the_time():
    n, shape = 1500, (3, 9, 11)
    x = torch.arange(n * 3 * 9 * 11, dtype=torch.float64).view(n, *shape)  # no two pixels are alike
    draw = lambda: augmented(x, "shift", torch.Generator().manual_seed(0))  # noqa: E731
    shifted = draw()
    assert shifted.shape == x.shape and shifted.dtype == x.dtype
    assert torch.equal(shifted, draw())
    padded = nn.functional.pad(x, (4, 4, 4, 4), mode="reflect")
    found = torch.zeros(n, 9, 9, 2, dtype=torch.bool)
    for down in range(9):
        for right in range(9):
            for mirrored in range(2):
                variant = padded[:, :, down : down + 9, right : right + 11]
                variant = variant.flip(-1) if mirrored else variant
                found[:, down, right, mirrored] = (shifted == variant).flatten(1).all(1)
    assert (found.flatten(1).sum(1) == 1).all()  # each is one variant of its own image
    assert torch.equal(shifted[found[:, 4, 4, 0]], x[found[:, 4, 4, 0]]) and found[:, 4, 4, 0].any()
    for axes, expected in (((2, 3), n / 9), ((1, 3), n / 9), ((1, 2), n / 2)):
        assert (found.sum((0, *axes)) - expected).abs().max() < 4 * expected**0.5


def test_mirroring_alone_shifts_nothing():
    x = torch.arange(500 * 12.0).view(500, 1, 3, 4)
    found = augmented(x, "mirror", torch.Generator().manual_seed(0))
    as_is, mirrored = ((found == y).all((1, 2, 3)) for y in (x, x.flip(-1)))
    assert (as_is ^ mirrored).all() and 200 < as_is.sum() < 300
    assert augmented(x, "none", None) is x


@pytest.mark.parametrize(("shape", "channels"), [((50, 8, 6), 1), ((50, 8, 6, 3), 3)])
def test_inputs_have_mean_zero_and_deviation_one_in_each_channel(shape, channels):
    images = np.random.default_rng(0).integers(0, 200, shape, np.uint8)
    x = to_tensor(images)
    assert x.shape == (50, channels, 8, 6) and x.dtype == torch.float32 and x.is_contiguous()
    assert x.mean((0, 2, 3)).abs().max() < 1e-5 and (x.std((0, 2, 3)) - 1).abs().max() < 1e-5
    brighter = to_tensor(images + 50, like=images)
    scale = images.reshape(50, 48, channels).std((0, 1), ddof=1)
    assert np.allclose((brighter - x).mean((0, 2, 3)), 50 / scale, atol=1e-4)


def test_images_that_are_their_own_measure_are_converted_once(monkeypatch):
    converted, tensor = [], torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda pixels: converted.append(pixels) or tensor(pixels))
    images = np.random.default_rng(0).integers(0, 200, (50, 8, 6), np.uint8)
    alone, beside = to_tensor(images), to_tensor(images, like=images)
    assert len(converted) == 1 + 2 and torch.equal(alone, beside)


def test_images_of_one_grey_are_zero_not_nan():
    assert (to_tensor(np.full((4, 5, 5), 7, np.uint8)) == 0).all()


@pytest.mark.parametrize("convert", [to_tensor, to_tanh, lambda x: to_tensor((255 * x).astype(np.uint8), like=x)])
def test_images_that_are_no_bytes_are_named(convert):
    with pytest.raises(ValueError, match=r"(images|like) must be uint8, in 0\.\.255, got dtype float64: convert it"):
        convert(np.full((4, 5, 5), 0.5))


# in colour, and in [-1, 1]


def test_digits_are_framed_and_coloured():
    x = torch.arange(784.0).reshape(1, 1, 28, 28)
    framed = in_colour(x)
    assert framed.shape == (1, 3, 32, 32) and torch.equal(framed[:, 1:2, 2:-2, 2:-2], x)
    assert framed[0, 0, 0].tolist() == [0.0] * 32 and in_colour(framed) is framed


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 3)])
def test_what_a_generator_makes_turns_back_into_the_images(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    x = to_tanh(images)
    assert x.shape == (5, 1 if len(shape) == 3 else 3, 8, 8) and x.dtype == torch.float32
    assert -1 <= x.min() and x.max() <= 1 and x[0, 0, 0, 0] == pytest.approx(images.flat[0] / 127.5 - 1)
    back = from_tanh(x)
    assert back.dtype == np.uint8 and back.shape == shape and (back == images).all()
