"""What is measured against the truth: selections, networks on clean and on corrupted samples."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from itlm.experiments import measures


def test_an_infinite_loss_is_the_largest():
    losses, is_bad = np.array([0.5, np.inf, 1.0, 2.0], np.float32), np.array([False, True, False, True])
    found = measures.selection(losses < 2, losses, is_bad)
    assert (found["auc"], found["precision"], found["recall"]) == (100, 100, 100)


def test_a_selection_is_compared_with_the_truth():
    random = np.random.default_rng(0)
    losses, is_bad, kept = random.random(60), random.random(60) < 0.4, random.random(60) < 0.7
    found = measures.selection(kept, losses, is_bad)
    assert found["precision"] == pytest.approx(100 * (kept & ~is_bad).sum() / kept.sum())
    assert found["recall"] == pytest.approx(100 * (kept & ~is_bad).sum() / (~is_bad).sum())
    pairs = losses[is_bad][:, None] > losses[~is_bad]
    assert found["auc"] == pytest.approx(100 * pairs.mean())


@pytest.mark.parametrize(("is_bad", "recall"), [(np.zeros(4, bool), 50.0), (np.ones(4, bool), np.nan)])
def test_of_one_kind_alone_nothing_is_ranked(is_bad, recall):
    found = measures.selection(np.array([True, True, False, False]), np.arange(4.0), is_bad)
    assert np.isnan(found["auc"]) and found["recall"] == pytest.approx(recall, nan_ok=True)
    assert found["precision"] == 100 * (~is_bad).mean()


class Reader(nn.Module):
    """Its logits are the first pixels of an image."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x.flatten(1)[:, :3]


def given():
    """Ten images of which eight are read as their given class, one of the clean and one of the corrupted not."""
    y = torch.arange(10) % 3
    read = y.clone()
    read[[1, 8]] = (y[[1, 8]] + 1) % 3
    x = 5 * nn.functional.one_hot(read, 4).float().reshape(10, 1, 2, 2)
    return SimpleNamespace(x=x, y=y, is_bad=np.arange(10) >= 6)


def test_accuracy_is_of_labels_or_of_one_class():
    data = given()
    assert measures.accuracy(Reader(), data.x, data.y) == 80
    assert measures.accuracy(Reader(), data.x, 0) == 50  # 0, 3, 6, 9; and 8, which is read as 0, not as 2


def test_clean_and_corrupted_samples_are_measured_apart():
    data = given()
    found = measures.clean_and_bad(Reader(), data, slice(None))
    assert found["accuracy_clean"] == pytest.approx(100 * 5 / 6) and found["accuracy_bad"] == 75
    equal, larger = 3 / 4 * 5 / 6 + 1 / 4 * 1 / 6, 1 / 4 * 5 / 6  # of all pairs of a corrupted and a clean sample
    assert found["loss_auc"] == pytest.approx(100 * (larger + equal / 2))
    some = measures.clean_and_bad(Reader(), data, np.arange(6))
    assert set(some) == {"accuracy_clean", "loss_auc"} and np.isnan(some["loss_auc"])
