"""The comparison of rankings of suspects."""

import numpy as np
import pytest

from itlm.deep import images
from itlm.experiments import label_noise, suspects, tasks
from itlm.experiments.suspects import Config, run, scores, task

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(**fields):
    return {name: value for _, name, value in run(Config(**fields)).rows}


@pytest.mark.parametrize("method", ["report", "loss", "cross_validated", "cleanlab"])
def test_every_ranking_puts_wrong_labels_first(method):
    if method == "cleanlab":
        pytest.importorskip("cleanlab")
    found = numbers(method=method)
    assert found["truth"] == 0.2 and found["average_precision"] > 95 and found["first_100"] >= 97
    assert ("precision" in found) == (method == "report")


def test_the_report_predicts_how_many_of_the_dropped_are_wrong():
    found = numbers()
    assert abs(found["precision"] - found["precision_true"]) < 0.1 and found["upper"] > 0.2
    assert 7 < found["fits"] < 10


@pytest.mark.parametrize("method", ["report", "cross_validated"])
def test_the_truth_reaches_no_ranking(method):
    config = Config(method=method, dataset="cancer")
    given = task(config)
    blind = given._replace(is_wrong=~given.is_wrong, test_y=np.roll(given.test_y, 1))
    (a, found, _), (b, again, _) = scores(config, given), scores(config, blind)
    assert np.array_equal(a, b) and found == again


@pytest.fixture
def few(monkeypatch):
    """Put digits in the place of MNIST, whose second test image people found to be labelled wrongly."""
    digits = images.load("mnist5k")
    votes = np.full(2000, 255, np.uint8)
    votes[[0, 1]] = 5, 1
    monkeypatch.setattr(label_noise, "_images", lambda name: digits)
    monkeypatch.setattr(images, "judged", lambda name: votes)
    monkeypatch.setattr(images, "digest", lambda name: name)
    for name in ("mnist", "mnist_test"):
        monkeypatch.setitem(tasks.EPOCHS, name, 2.0)


def test_confirmed_errors_of_a_test_set_are_counted(few):
    config = Config(dataset="mnist_test", noise="published", method="loss")
    given = task(config)
    assert given.X.shape == (2000, 1, 28, 28) and np.flatnonzero(given.is_wrong).tolist() == [1]
    found = numbers(dataset="mnist_test", noise="published", method="loss")
    assert found["truth"] == 1 / 2000 and found["first_1000"] >= found["first_100"] >= 0
    assert numbers(dataset="mnist", method="margins")["average_precision"] > 40


def test_what_does_not_fit_together_is_named():
    with pytest.raises(ValueError, match="noise='published' is for dataset mnist_test or cifar10_test, got 'digits'"):
        Config(noise="published")
    with pytest.raises(ValueError, match="noise='uniform' is for dataset digits or .*, got 'mnist_test'"):
        Config(dataset="mnist_test")
    with pytest.raises(ValueError, match="has a share of its own, got share=0.1: leave share out"):
        Config(dataset="cifar10", noise="worse", share=0.1)
    with pytest.raises(ValueError, match="method='margins' needs a network's epochs, got dataset='digits'"):
        Config(method="margins")
    assert suspects.Config(dataset="cifar10_test", noise="published").resolved().share == 0
