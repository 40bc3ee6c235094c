"""The comparison of estimates of the share of wrong labels."""

import numpy as np
import pytest

from itlm.deep import images
from itlm.experiments import alpha, label_noise, tasks
from itlm.experiments.alpha import Config, estimate, run, task
from itlm.rivals import shares

pytestmark = pytest.mark.usefixtures("one_thread")


def numbers(**fields):
    return {name: value for _, name, value in run(Config(**fields)).rows}


@pytest.mark.parametrize("data", alpha.TABLES)
@pytest.mark.parametrize("noise", ["uniform", "systematic", "confusable"])
def test_a_task_has_the_share_of_wrong_labels_that_was_asked_for(data, noise):
    clean, given, again = (task(Config(dataset=data, noise=noise, share=share, seed=1)) for share in (0, 0.25, 0.25))
    assert (given.X == clean.X).all() and (given.y == again.y).all()
    assert ((given.y != clean.y) == given.is_wrong).all() and given.is_wrong.mean() == 0.25
    assert not clean.is_wrong.any() and len(given.test_y) > 150


@pytest.mark.parametrize("method", ["planted", "confident", "gaussian", "variational"])
def test_the_truth_reaches_no_estimate(method):
    if method == "confident":
        pytest.importorskip("cleanlab")
    config = Config(method=method, share=0.2)
    given = task(config)
    blind = given._replace(is_wrong=~given.is_wrong, test_y=np.roll(given.test_y, 1))
    assert estimate(config, given) == estimate(config, blind)


def test_planted_errors_find_the_share_and_what_follows_is_recorded():
    found = numbers(share=0.2)
    assert abs(found["estimate"] - 0.2) < 0.05 and found["upper"] >= 0.2 and found["verdict"] == 0
    assert found["truth"] == 0.2 and found["alpha"] == 1 - found["upper"] and found["fits"] == 5
    assert (
        found["accuracy_chosen"] > found["accuracy_all"] and abs(found["accuracy_chosen"] - found["accuracy_known"]) < 3
    )


@pytest.mark.parametrize("method", ["incv", "gaussian", "gaussian_test", "beta", "variational"])
def test_the_others_give_a_share(method):
    found = numbers(share=0.2, method=method)
    assert 0.05 < found["estimate"] < 0.6 and np.isclose(found["alpha"], 0.95 - found["estimate"])
    assert "upper" not in found


@pytest.fixture
def colour(monkeypatch):
    """Put digits in the place of CIFAR-10, and wrong labels in that of people's."""
    digits = images.load("mnist5k")
    is_wrong = np.random.default_rng(0).random(3000) < 0.2
    worse = np.where(is_wrong, (digits.train_y + 1) % 10, digits.train_y).astype(np.uint8)
    monkeypatch.setattr(label_noise, "_images", lambda name: digits)
    monkeypatch.setattr(images, "human_labels", lambda name: worse)
    monkeypatch.setattr(images, "digest", lambda name: name)
    monkeypatch.setitem(tasks.IMAGES, "cifar10", 600)
    monkeypatch.setitem(tasks.EPOCHS, "cifar10", 4.0)
    monkeypatch.setitem(alpha.ROUNDS, "cifar10", 1)


def test_labels_that_people_gave_are_estimated_from_two_kinds_of_errors(colour):
    config = Config(dataset="cifar10", noise="worse").resolved()
    assert config.share == 0.4021 and config.feared == "several"
    given = task(config)
    assert given.X.shape == (600, 3, 32, 32) and abs(given.is_wrong.mean() - 0.2) < 0.05
    found = numbers(dataset="cifar10", noise="worse")  # the networks are too small to tell
    assert found["upper"] > found["truth"] == given.is_wrong.mean() and found["accuracy_all"] > 10
    assert 0 < numbers(dataset="cifar10", noise="worse", method="margins")["estimate"] < 1


def test_people_labelled_one_set():
    with pytest.raises(ValueError, match="noise='worse' is of dataset cifar10 and has a share of its own, got"):
        Config(noise="worse")
    with pytest.raises(ValueError, match="got 'cifar10' and share=0.3: .* leave share out"):
        Config(dataset="cifar10", noise="worse", share=0.3)
    with pytest.raises(ValueError, match="noise='worse' are labels of dataset cifar10, got 'mnist5k'"):
        label_noise.draw("mnist5k", 100, "worse", 1.0, 0)


def test_a_method_that_the_data_do_not_allow_is_named():
    with pytest.raises(ValueError, match="method='margins' is for dataset mnist5k or mnist or cifar10, got 'digits'"):
        Config(method="margins")
    with pytest.raises(ValueError, match="method='variational' is for dataset digits or cancer, got 'mnist5k'"):
        Config(method="variational", dataset="mnist5k")


# the estimates themselves, where the truth is known


@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_incv_inverts_the_chance_of_agreement(n_classes, rate):
    random = np.random.default_rng(0)
    truth = random.integers(n_classes, size=200_000)

    def wrong():
        other = (truth + random.integers(1, n_classes, len(truth))) % n_classes
        return np.where(random.random(len(truth)) < rate, other, truth)

    assert abs(shares.agreement(wrong(), wrong(), n_classes) - rate) < 0.01


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_mixtures_find_components_that_are_what_they_assume(share):
    random = np.random.default_rng(0)
    wrong = random.random(4000) < share
    normal = np.where(wrong, random.normal(5, 0.5, 4000), random.normal(0, 0.5, 4000))
    assert abs(shares.gaussian_mixture(normal) - wrong.mean()) < 0.01
    assert shares.gaussian_mixture(random.normal(size=4000), test=True) == 0
    skewed = np.where(wrong, random.beta(9, 2, 4000), random.beta(2, 9, 4000))
    found = shares.beta_mixture(np.r_[0, skewed, 1])
    assert abs(found - wrong.mean()) < (0.03 if share > 0.2 else 0.1)  # its moments, as published, favour equal parts


def test_margins_below_those_of_the_threshold_samples_count():
    assert shares.margins(np.arange(10), np.array([2.5, 3.5]), quantile=0.9999) == 0.4
