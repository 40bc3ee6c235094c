"""Images with wrong labels: what is held out, what yardsticks choose, what is remembered."""

import numpy as np
import pytest
import torch
from runs import colours

from itlm import trim
from itlm.deep import images
from itlm.deep.inputs import to_tensor
from itlm.experiments import label_noise

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    """Made-up images in place of CIFAR-10."""
    few = colours()
    monkeypatch.setattr(label_noise, "_images", lambda name: few)


def drawn(**changes):
    return label_noise.draw(**{"dataset": "cifar10", "n": 200, "noise": "random", "clean": 0.7, "seed": 0} | changes)


def test_a_recipe_is_chosen_without_the_test_images(monkeypatch):
    full = label_noise._images("cifar10")
    monkeypatch.setattr(label_noise, "_images", lambda name: full._replace(test_x=None, test_y=None))
    given = label_noise.draw("cifar10", 200, "random", 0.7, 0, held_out=50)
    seen = {image.tobytes() for image in given.images}
    assert len(given.test_y) == 50 and torch.bincount(given.test_y).tolist() == [5] * 10
    known = {image.tobytes(): int(label) for image, label in zip(full.train_x, full.train_y, strict=True)}
    back = to_tensor(full.train_x, like=given.images)
    for x, y in zip(given.test_x, given.test_y, strict=True):
        original = full.train_x[int((back - x).abs().sum((1, 2, 3)).argmin())].tobytes()
        assert original not in seen and known[original] == int(y)


def test_held_out_images_change_no_training_image():
    plain, other = drawn(), drawn(held_out=50)
    assert (plain.images == other.images).all() and torch.equal(plain.y, other.y)
    assert (plain.is_bad == other.is_bad).all()


@pytest.mark.parametrize(
    ("held_out", "remedy"), [(150, "lower n"), (300, "take another dataset"), (5000, "take another dataset")]
)
def test_more_held_out_images_than_are_left_are_named_with_the_remedy(held_out, remedy):
    said = f"n=200 leaves 100 of the 300 training images, fewer than the {held_out} that are held out: {remedy}"
    with pytest.raises(ValueError, match=said):
        drawn(held_out=held_out)


@pytest.mark.parametrize("noise", ["random", "systematic", "confusable"])
def test_the_noisy_test_labels_are_corrupted_alike_and_the_others_are_right(noise):
    given = drawn(noise=noise)
    assert given.test_y.tolist() == [i % 10 for i in range(100)]
    assert (given.noisy_test_y != given.test_y).double().mean() == pytest.approx(0.3)
    assert given.rate == given.is_bad.mean() == pytest.approx(0.3)


def test_yardsticks_take_all_samples_the_clean_ones_or_those_near_their_class():
    given = drawn()
    assert label_noise.yardstick("baseline", given, 0.5).all()
    assert (label_noise.yardstick("oracle", given, 0.5).numpy() == ~given.is_bad).all()
    near = trim(label_noise.centroid_distances(given.x, given.y), 0.5, groups=given.y)
    assert torch.equal(label_noise.yardstick("centroid", given, 0.5), near) and near.sum() == 100
    with pytest.raises(ValueError, match="the oracle has no clean sample to train on: raise clean"):
        label_noise.yardstick("oracle", given._replace(is_bad=np.ones(200, bool)), 0.5)


def test_an_image_set_is_read_once_a_process_until_it_is_forgotten(monkeypatch):
    monkeypatch.undo()  # the made-up images
    read, load = [], images.load
    monkeypatch.setattr(images, "load", lambda name: read.append(name) or load(name))
    label_noise.forget()
    for _ in range(2):
        drawn(dataset="mnist5k")
    assert read == ["mnist5k"]
    label_noise.forget()
    drawn(dataset="mnist5k")
    assert read == ["mnist5k"] * 2
    label_noise.forget()
