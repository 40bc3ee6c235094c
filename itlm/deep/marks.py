"""Backdoor attacks: draw a mark, put it on images, plant a backdoor.

As in `itlm.deep.corruption`, the truth is returned beside the corrupted data. Source: Tran, Li & Madry 2018, whom the
paper follows. The paper names the marks, but not their positions and colours.
"""

from typing import NamedTuple

import numpy as np

from ..parameters import one_of, whole
from .corruption import check_random, integers, pixels

__all__ = ["MARKS", "Backdoor", "Mark", "backdoor", "draw_mark", "watermark"]

# Each mark's pixels, as steps down and right from its middle.
MARKS = {
    "pixel": ((0, 0),),
    "L": ((0, 0), (1, 0), (1, 1)),
    "X": ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)),
    "patch": tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)),
}


class Mark(NamedTuple):
    """A watermark: some pixels of one colour.

    Attributes
    ----------
    rows, columns : array of int, shape (pixels,)
        Positions of the pixels.
    colour : array of uint8, shape (channels,)
        One number for grey images, three for colour images.
    """

    rows: np.ndarray
    columns: np.ndarray
    colour: np.ndarray


class Backdoor(NamedTuple):
    """Images of which some carry a mark and the label of another class.

    Attributes
    ----------
    images : array of uint8, shape (n, height, width) or (n, height, width, 3)
        Same length as the input; marked images replace their originals.
    labels, is_bad, rate
        As for `itlm.deep.corruption.NoisyLabels`; marked images are bad.
    """

    images: np.ndarray
    labels: np.ndarray
    is_bad: np.ndarray
    rate: float


def draw_mark(name: str, shape: tuple, random: np.random.Generator, *, at: tuple | None = None, colour=None) -> Mark:
    """Draw the position and the colour of a mark, as in Tran, Li & Madry 2018; return a `Mark`.

    Parameters
    ----------
    name : {"pixel", "L", "X", "patch"}
        One pixel; three; five, as a diagonal cross; or nine, as a square. See `MARKS`.
    shape : tuple of int
        Shape of an image: (height, width) or (height, width, 3).
    random : numpy.random.Generator
        Draws position and colour if they are not given.
    at : (row, column), optional
        The mark's middle. By default any position at which the mark fits.
    colour : int, or three int, in 0..255, optional
        By default a random colour; white on grey images.

    Raises
    ------
    ValueError
        For an unknown mark, a mark that does not fit, or a colour that the image cannot have. Also if random is not a
        generator.
    """
    check_random(random)
    one_of(*MARKS).check("name", name)
    steps, size, channels = np.array(MARKS[name]), np.array(shape[:2]), 1 if len(shape) == 2 else shape[2]
    low, high = -steps.min(0), size - steps.max(0)  # bounds of the middle
    if (low >= high).any():
        least = np.ptp(steps, axis=0) + 1
        raise ValueError(
            f"mark {name!r} does not fit into an image of {size[0]} x {size[1]} pixels: shape must be at least "
            f"{least[0]} x {least[1]}"
        )
    middle = np.array([random.integers(*ends) for ends in zip(low, high, strict=True)] if at is None else at)
    if middle.shape != (2,) or middle.dtype.kind not in "iu":
        raise ValueError(f"at must be two integers, row and column, got {at}")
    if (middle < low).any() or (middle >= high).any():
        raise ValueError(
            f"at={at} puts a mark {name!r} outside the image of {size[0]} x {size[1]} pixels: row must be in "
            f"{low[0]}..{high[0] - 1}, column in {low[1]}..{high[1] - 1}"
        )
    if colour is None:
        colour = random.integers(0, 256, 3) if channels == 3 else 255
    colour = np.atleast_1d(colour)
    if colour.shape != (channels,):
        kind = "grey images have one number" if channels == 1 else "colour images have three"
        raise ValueError(f"colour must have {channels} value(s), got {colour.tolist()}: {kind}")
    if colour.dtype.kind not in "iu" or (colour < 0).any() or (colour > 255).any():
        raise ValueError(f"colour must be integers in 0..255, got {colour.tolist()}")
    return Mark(*(middle + steps).T, colour.astype(np.uint8))


def watermark(images, mark: Mark) -> np.ndarray:
    """Put a mark on every image; return new images.

    Parameters
    ----------
    images : array of uint8, shape (n, height, width) or (n, height, width, 3)
        Not changed.
    mark : Mark
        From `draw_mark`.

    Raises
    ------
    ValueError
        If images are not uint8, or the mark does not fit: drawn for larger images, or for another number of channels.
    """
    marked = pixels("images", images).copy()
    size, channels = marked.shape[1:3], 1 if marked.ndim == 3 else marked.shape[3]
    for name, at, side in zip(("rows", "columns"), mark, size, strict=False):
        if at.min() < 0 or at.max() >= side:
            raise ValueError(f"mark has {name} {at.tolist()}, the images have 0..{side - 1}: draw it for their shape")
    if len(mark.colour) != channels:
        raise ValueError(f"mark has {len(mark.colour)} colour value(s), the images {channels}: draw it for their shape")
    marked[:, mark.rows, mark.columns] = mark.colour if marked.ndim == 4 else mark.colour[0]
    return marked


def backdoor(
    images, labels, mark: Mark, n_marked: int, target: int, random: np.random.Generator, *, source: int | None = None
) -> Backdoor:
    """Plant a backdoor: mark some images and label them as the target class; return a `Backdoor`.

    Parameters
    ----------
    images, mark
        As for `watermark`.
    labels : array of int, shape (n,)
        True labels.
    n_marked : int, at least 0
        Number of images marked. The paper marks 5 % of the target class, 250 images of CIFAR-10.
    target : int, at least 0
        The label of marked images (b in the paper's pairs "a to b").
    random : numpy.random.Generator
        Draws the images to mark.
    source : int, at least 0, optional
        The true class of marked images (a). By default any class except the target.

    Raises
    ------
    ValueError
        If source and target are the same, or n_marked exceeds the number of eligible images. Also if images are not
        uint8, labels, n_marked, target or source not integers, or random is not a generator.
    """
    check_random(random)
    images, labels = pixels("images", images), integers(labels)
    if len(images) != len(labels):
        raise ValueError(f"labels must have one label for each of the {len(images)} images, got {len(labels)}")
    n_marked, target = whole().check("n_marked", n_marked), whole().check("target", target)
    source = whole(optional=True).check("source", source)
    if source == target:
        raise ValueError(f"source and target must differ, got {source} for both: the label would not change")
    eligible = np.flatnonzero(labels != target if source is None else labels == source)
    if not 0 <= n_marked <= len(eligible):
        whose = "outside the target class" if source is None else f"of class {source}"
        raise ValueError(f"n_marked must be in 0..{len(eligible)}, the images {whose}, got {n_marked}")
    chosen = np.sort(random.choice(eligible, n_marked, replace=False))
    marked, given, is_bad = images.copy(), labels.copy(), np.zeros(len(labels), bool)
    marked[chosen], given[chosen], is_bad[chosen] = watermark(marked[chosen], mark), target, True
    return Backdoor(marked, given, is_bad, float(is_bad.mean()))
