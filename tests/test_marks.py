"""Backdoor marks: where they lie, what they change, and the truth beside them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itlm.deep.marks import MARKS, backdoor, draw_mark, watermark

SEEDS = st.integers(0, 2**32)


def rng(seed=0):
    return np.random.default_rng(seed)


GREY, COLOUR = (12, 14), (12, 14, 3)


def drawn(shape, n=60, seed=0):
    return rng(seed).integers(0, 100, (n, *shape), np.uint8), np.arange(n) % 10


@pytest.mark.parametrize(("name", "pixels"), [("pixel", 1), ("L", 3), ("X", 5), ("patch", 9)])
@pytest.mark.parametrize("shape", [GREY, COLOUR])
@given(seed=SEEDS)
def test_a_mark_changes_its_pixels_and_no_others(name, pixels, shape, seed):
    mark = draw_mark(name, shape, rng(seed))
    assert len(set(zip(mark.rows.tolist(), mark.columns.tolist(), strict=True))) == pixels == len(MARKS[name])
    images = np.zeros((3, *shape), np.uint8)
    painted = (watermark(images, mark) != watermark(images + 255, mark)).reshape(3, *GREY, -1).all(-1)
    assert (~painted).sum() == 3 * pixels and not images.any()
    assert (watermark(images, mark)[:, mark.rows, mark.columns] == mark.colour).all()


def test_a_place_and_a_colour_may_be_given():
    mark = draw_mark("X", COLOUR, rng(), at=(1, 12), colour=(255, 0, 7))
    assert sorted(zip(mark.rows.tolist(), mark.columns.tolist(), strict=True)) == [
        (0, 11), (0, 13), (1, 12), (2, 11), (2, 13)]  # fmt: skip
    assert mark.colour.tolist() == [255, 0, 7]


@pytest.mark.parametrize("source", [3, None])
def test_a_backdoor_moves_marked_images_into_the_target_class(source):
    images, labels = drawn(COLOUR)
    mark = draw_mark("L", COLOUR, rng(), colour=(255, 255, 255))
    planted = backdoor(images, labels, mark, 5, 8, rng(1), source=source)
    bad = planted.is_bad
    assert bad.sum() == 5 and planted.rate == 5 / 60 and len(planted.images) == 60
    assert (planted.labels[bad] == 8).all() and (planted.labels[~bad] == labels[~bad]).all()
    assert (labels[bad] == 3).all() if source == 3 else not (labels[bad] == 8).any()
    assert (planted.images[bad] == watermark(images[bad], mark)).all() and (planted.images[~bad] == images[~bad]).all()
    again = backdoor(images, labels, mark, 5, 8, rng(1), source=source)
    assert (again.is_bad == bad).all() and (images == drawn(COLOUR)[0]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_mark("O", GREY, rng()), "name must be one of 'pixel', 'L', 'X', 'patch', got 'O'"),
        (lambda: draw_mark("X", (2, 5), rng()), "mark 'X' does not fit into .* 2 x 5 pixels: .* at least 3 x 3"),
        (lambda: draw_mark("X", GREY, rng(), at=(3.5, 4)), r"at must be two integers, .* got \(3.5, 4\)"),
        (lambda: draw_mark("X", GREY, rng(), at=3), "at must be two integers, row and column, got 3"),
        (
            lambda: draw_mark("X", GREY, rng(), at=(0, 5)),
            r"at=\(0, 5\) puts a mark 'X' outside .* row must be in 1..10",
        ),
        (lambda: draw_mark("L", GREY, rng(), at=(3, 13)), r"at=\(3, 13\) puts a mark 'L' outside .* column in 0..12"),
        (
            lambda: draw_mark("L", GREY, rng(), colour=(1, 2, 3)),
            r"colour must have 1 value\(s\), got \[1, 2, 3\]: grey",
        ),
        (lambda: draw_mark("L", COLOUR, rng(), colour=9), r"colour must have 3 value\(s\), got \[9\]: colour images"),
        (lambda: draw_mark("L", GREY, rng(), colour=256), r"colour must be integers in 0..255, got \[256\]"),
        (
            lambda: watermark(drawn((5, 12))[0], draw_mark("X", GREY, rng(), at=(8, 8))),
            r"rows \[8, 7, 7, 9, 9\], .* 0..4",
        ),
        (
            lambda: watermark(drawn(GREY)[0], draw_mark("X", COLOUR, rng())),
            r"mark has 3 colour value\(s\), the images 1",
        ),
        (
            lambda: draw_mark("X", GREY, 3),
            "random must be a numpy.random.Generator, got 3: give numpy.random.default_rng",
        ),
        (lambda: planting(4, 5, 1, random=3), "random must be a numpy.random.Generator, got 3"),
        (lambda: planting(4, "5", 1), "target must be an integer of at least 0, got '5'"),
        (lambda: planting("4", 5, 1), "source must be an integer of at least 0 or None, got '4'"),
        (lambda: planting(4, 5, 1.0), "n_marked must be an integer of at least 0, got 1.0"),
        (lambda: planting(4, 5, 1, labels=np.arange(60) % 10 / 2), "labels must be integers of shape .* dtype float64"),
        (lambda: planting(4, 5, 1, labels=np.arange(59) % 10), "labels must have one label for .* 60 images, got 59"),
        (
            lambda: planting(4, 5, 1, images=drawn(GREY)[0] / 255),
            r"images must be uint8, in 0\.\.255, got dtype float64",
        ),
        (lambda: watermark(drawn(GREY)[0] / 255, draw_mark("X", GREY, rng())), "images must be uint8, .* by .255 "),
        (lambda: planting(4, 4, 1), "source and target must differ, got 4 for both"),
        (lambda: planting(4, 5, 7), "n_marked must be in 0..6, the images of class 4, got 7"),
        (lambda: planting(None, 5, 55), "n_marked must be in 0..54, the images outside the target class, got 55"),
    ],
)
def test_a_backdoor_that_cannot_be_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def planting(source, target, n_marked, random=None, images=None, labels=None):
    images, labels = (drawn(GREY)[i] if x is None else x for i, x in enumerate((images, labels)))
    mark, random = draw_mark("X", GREY, rng()), rng() if random is None else random
    return backdoor(images, labels, mark, n_marked, target, random, source=source)
