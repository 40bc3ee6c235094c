"""Corrupt data in known ways, and return the truth about which samples are corrupted beside the data.

The truth goes into the record of a run. No function of the method receives it.
"""

from numbers import Integral
from typing import NamedTuple

import numpy as np

from ..parameters import whole
from ..trimming import unmasked

__all__ = [
    "Mixture", "NoisyLabels", "check_random", "confusable_labels", "imbalanced_subset", "integers", "mixture_of_sets",
    "pixels", "random_labels", "resized", "stratified_subset", "systematic_labels",
]  # fmt: skip


class NoisyLabels(NamedTuple):
    """Labels, some of them wrong.

    Attributes
    ----------
    labels : array of int, shape (n,)
        The labels as given to the method.
    is_bad : array of bool, shape (n,)
        The truth: which labels are wrong.
    rate : float
        The fraction of labels that are wrong, counted in ``is_bad``. It may differ from the fraction requested.
    """

    labels: np.ndarray
    is_bad: np.ndarray
    rate: float


class Mixture(NamedTuple):
    """Images of two sets, in random order.

    Attributes
    ----------
    images : array of uint8, shape (n, height, width) or (n, height, width, channels)
        Drawn without replacement.
    is_bad, rate
        As for `NoisyLabels`: images from the bad set count as bad.
    """

    images: np.ndarray
    is_bad: np.ndarray
    rate: float


def random_labels(labels, clean: float, n_classes: int, random: np.random.Generator) -> NoisyLabels:
    """Draw some samples' labels uniformly from the *wrong* ones (the paper's random errors); return `NoisyLabels`.

    Some authors draw from *all* labels, including the true one. With ten classes, their "40 %" is then 36 % wrong.

    Parameters
    ----------
    labels : array of int, shape (n,)
        True labels in 0, ..., n_classes - 1.
    clean : float in [0, 1]
        Fraction of each class that keeps its label (alpha* in the paper). A class of m samples gets exactly
        m - round(clean m) wrong labels.
    n_classes : int, at least 2
        Number of classes.
    random : numpy.random.Generator
        Draws the samples and their labels.

    Raises
    ------
    ValueError
        If labels are not integers of shape (n,) in 0, ..., n_classes - 1, clean or n_classes is out of range, or random
        is not a generator.
    """
    labels = _check(labels, clean, n_classes)
    is_bad = _choose(labels, clean, n_classes, random)
    shift = random.integers(1, n_classes, size=len(labels))  # never 0, which would be the true label
    return _noisy(labels, np.where(is_bad, (labels + shift) % n_classes, labels))


def systematic_labels(labels, clean: float, n_classes: int, random: np.random.Generator, *, to=None) -> NoisyLabels:
    """Move some samples of each class into one other class (the paper's systematic errors); return `NoisyLabels`.

    Parameters
    ----------
    labels, clean, n_classes, random
        As for `random_labels`.
    to : sequence of int, length n_classes, optional
        The new class, by true class a; by default (a + 1) mod n_classes. A class mapped to itself stays clean.

    Raises
    ------
    ValueError
        As for `random_labels`, and for a map of the wrong length or to classes that do not exist.
    """
    labels = _check(labels, clean, n_classes)
    to = (np.arange(n_classes) + 1) % n_classes if to is None else np.asarray(to)
    if to.shape != (n_classes,) or to.dtype.kind not in "iu" or to.min() < 0 or to.max() >= n_classes:
        raise ValueError(f"to must give one class in 0..{n_classes - 1} for each of {n_classes} classes, got {to!r}")
    is_bad = _choose(labels, clean, n_classes, random)
    return _noisy(labels, np.where(is_bad, to[labels], labels))


def confusable_labels(labels, images, clean: float, n_classes: int) -> NoisyLabels:
    """Mislabel the images that look most like another class, so errors depend on the image; return `NoisyLabels`.

    In each class of m samples, the m - round(clean m) images of largest margin get the label of the closest class. This
    is the class whose mean image is closest to the mean image of their own class. The margin is the squared distance to
    the own mean image, minus the squared distance to that of the closest class. Nothing is random.

    Parameters
    ----------
    labels, clean, n_classes
        As for `random_labels`.
    images : array, shape (n, height, width) or (n, height, width, channels)
        The images that the labels belong to.

    Raises
    ------
    ValueError
        As for `random_labels`, and for a class without samples.
    """
    labels = _check(labels, clean, n_classes)
    sizes = np.bincount(labels, minlength=n_classes)
    if not sizes.all():
        raise ValueError(f"labels has no sample of class {int(sizes.argmin())}: every class needs a mean image")
    flat = np.asarray(images, dtype=np.float32).reshape(len(labels), -1)
    means = np.stack([flat[labels == c].mean(0) for c in range(n_classes)])  # (classes, pixels)
    apart = ((means[:, None] - means) ** 2).sum(2)
    np.fill_diagonal(apart, np.inf)
    other = apart.argmin(1)  # (classes,)
    margin = ((flat - means[labels]) ** 2).sum(1) - ((flat - means[other[labels]]) ** 2).sum(1)
    given = labels.copy()
    for c in range(n_classes):
        mine = np.flatnonzero(labels == c)
        worst = mine[np.argsort(-margin[mine], kind="stable")[: len(mine) - round(clean * len(mine))]]
        given[worst] = other[c]
    return _noisy(labels, given)


def mixture_of_sets(
    clean_images, bad_images, n: int, clean: float, random: np.random.Generator, *, size: int | None = None
) -> Mixture:
    """Mix images of a clean set with images of a bad set, in random order; return a `Mixture`.

    Parameters
    ----------
    clean_images, bad_images : array of uint8, shape (m, height, width) or (m, height, width, channels)
        The two sets; m may differ.
    n : int, at least 1
        Total number of images drawn.
    clean : float in [0, 1]
        Fraction drawn from the clean set (alpha* in the paper): round(clean n) images.
    random : numpy.random.Generator
        Draws the images and their order.
    size : int, at least 1, optional
        Side in pixels of the images returned; those of another size go through `resized`. None keeps their size.

    Raises
    ------
    ValueError
        If clean or n is out of range, images are not uint8, a set has too few images, or their channels or, without
        ``size``, shapes differ. Also if random is not a generator.
    """
    check_random(random)
    n = whole(1).check("n", n)
    clean_images, bad_images = pixels("clean_images", clean_images), pixels("bad_images", bad_images)
    if not 0 <= clean <= 1:
        raise ValueError(f"clean must be in [0, 1], got {clean}: it is the fraction of images from the clean set")
    shapes = [np.shape(images)[1:] for images in (clean_images, bad_images)]
    if shapes[0][2:] != shapes[1][2:] or (size is None and shapes[0] != shapes[1]):
        raise ValueError(
            f"the clean images have shape {shapes[0]}, the bad ones {shapes[1]}: give size= to resize them, or convert "
            "grey and colour first"
        )
    n_clean = round(clean * n)
    drawn = []
    for name, images, k in (("clean", clean_images, n_clean), ("bad", bad_images, n - n_clean)):
        if k > len(images):
            raise ValueError(f"n={n} at clean={clean} needs {k} {name} images, there are {len(images)}: lower n")
        chosen = images[np.sort(random.choice(len(images), size=k, replace=False))]
        drawn.append(chosen if size is None else resized(chosen, size))
    order = random.permutation(n)
    is_bad = order >= n_clean
    return Mixture(np.concatenate(drawn)[order], is_bad, float(is_bad.mean()))


def resized(images, size: int) -> np.ndarray:
    """Resize uint8 images to squares of ``size`` pixels a side, by Lanczos resampling if their shape differs."""
    images, size = pixels("images", images), whole(1).check("size", size)
    if images.shape[1:3] == (size, size) or len(images) == 0:
        return images.reshape(len(images), size, size, *images.shape[3:])
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(i).resize((size, size), Image.Resampling.LANCZOS)) for i in images])


def stratified_subset(labels, n: int, random: np.random.Generator) -> np.ndarray:
    """Choose n samples with the classes in their original proportions, by largest remainder: ascending indices, (n,).

    ValueError is raised for an n below 1 or above the number of samples, or if random is not a generator.
    """
    check_random(random)
    labels = unmasked("labels", labels)
    if not isinstance(n, Integral) or not 1 <= n <= len(labels):
        raise ValueError(f"n must be between 1 and the {len(labels)} samples there are, got {n}")
    classes, sizes = np.unique(labels, return_counts=True)
    shares = n * sizes // len(labels)
    shares[np.argsort(-(n * sizes % len(labels)), kind="stable")[: n - shares.sum()]] += 1
    return _draw(labels, dict(zip(classes, shares, strict=True)), random)


def imbalanced_subset(labels, rare, ratio: float, random: np.random.Generator) -> np.ndarray:
    """Thin out some classes to one sample in ``ratio``, and return the indices that stay: an array of int, ascending.

    Parameters
    ----------
    labels : array of int, shape (n,)
        True labels.
    rare : sequence of int
        The classes to thin out.
    ratio : float, at least 1
        A class of m samples keeps round(m / ratio), and at least one.
    random : numpy.random.Generator
        Draws the samples that stay.

    Raises
    ------
    ValueError
        For a class that labels lack, a ratio below 1, or if random is not a generator.
    """
    check_random(random)
    labels = unmasked("labels", labels)
    classes, sizes = np.unique(labels, return_counts=True)
    missing = sorted(set(np.asarray(rare).tolist()) - set(classes.tolist()))
    if missing:
        raise ValueError(f"rare has classes {missing}, which labels lacks; it has {classes.tolist()}")
    if not ratio >= 1:
        raise ValueError(f"ratio must be at least 1, got {ratio}: 10 keeps one sample in ten")
    thinned = np.where(np.isin(classes, rare), np.maximum(1, np.round(sizes / ratio)), sizes).astype(int)
    return _draw(labels, dict(zip(classes, thinned, strict=True)), random)


def check_random(random) -> None:
    """Raise ValueError unless random is a NumPy generator."""
    if not isinstance(random, np.random.Generator):
        raise ValueError(
            f"random must be a numpy.random.Generator, got {random!r}: give numpy.random.default_rng(seed)"
        )


def pixels(name: str, images) -> np.ndarray:
    """Return images as an array of uint8, shape (n, height, width) or (n, height, width, channels); else ValueError."""
    images = unmasked(name, images)
    if images.dtype != np.uint8:
        raise ValueError(
            f"{name} must be uint8, in 0..255, got dtype {images.dtype}: convert it, for images in [0, 1] by "
            f"(255 * {name}).round().astype(numpy.uint8)"
        )
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{name} must have shape (n, height, width) or (n, height, width, channels), got {images.shape}"
        )
    return images


def integers(labels) -> np.ndarray:
    """Return labels as int64, shape (n,); raise ValueError for another dtype or shape."""
    labels = unmasked("labels", labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers of shape (n,), got dtype {labels.dtype}, shape {labels.shape}")
    return labels.astype(np.int64)  # before any arithmetic: uint8 would wrap around


def _check(labels, clean, n_classes) -> np.ndarray:
    labels, n_classes = integers(labels), whole().check("n_classes", n_classes)
    outside = (labels < 0) | (labels >= n_classes)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"labels must be in 0..{n_classes - 1}, got {labels[first]} at index {first} and {outside.sum() - 1} more"
        )
    if not 0 <= clean <= 1:
        raise ValueError(f"clean must be in [0, 1], got {clean}: it is the fraction of labels that stay right")
    if n_classes < 2:
        raise ValueError(f"n_classes must be at least 2, got {n_classes}: with one class no label can be wrong")
    return labels


def _choose(labels, clean, n_classes, random) -> np.ndarray:
    check_random(random)
    sizes = np.bincount(labels, minlength=n_classes)
    bad = sizes - np.round(clean * sizes).astype(int)
    mask = np.zeros(len(labels), bool)
    mask[_draw(labels, dict(enumerate(bad)), random)] = True
    return mask


def _draw(labels, counts: dict, random) -> np.ndarray:
    """Return the indices of counts[c] random samples of each class c, ascending."""
    drawn = [random.choice(np.flatnonzero(labels == c), size=k, replace=False) for c, k in counts.items() if k]
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, int)


def _noisy(true, given) -> NoisyLabels:
    is_bad = given != true
    return NoisyLabels(given, is_bad, float(is_bad.mean()))
