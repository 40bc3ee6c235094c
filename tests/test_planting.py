"""Planted errors: where they are, what they change, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from itlm.audit import class_to_class, confusable, foreign, plant, shifted, uniform, wrong_unit

N, CLASSES = 200, 5


@pytest.fixture
def data():
    random = np.random.default_rng(0)
    return random.normal(size=(N, 3)), random.integers(CLASSES, size=N)


KINDS = {
    "uniform": "uniform",
    "class to class": class_to_class({0: 1, 1: {2: 0.2, 3: 0.1}}),
    "confusable": confusable(np.random.default_rng(1).dirichlet(np.ones(CLASSES), N)),
    "permuted": "permuted",
    "shifted": shifted(3.0, scale=2.0),
    "wrong unit": wrong_unit(10.0),
    "foreign": foreign(np.full((N, 3), 9.0)),
    "mine": lambda X, y, rows, random: (-X[rows], None),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("n", [1, 7, None])
def test_planted_samples_differ_the_others_do_not_and_the_seed_decides(data, kind, n):
    X, y = data[0], data[1] + (1 if kind is KINDS["wrong unit"] else 0)  # ten times 0 would be no error
    X_before, y_before = X.copy(), y.copy()
    among = np.random.default_rng(2).random(N) < 0.7
    found, again, other = (plant(X, y, kind, n, among=among, random_state=seed) for seed in (5, 5, 6))
    assert (X == X_before).all() and (y == y_before).all()
    ids = found.ids
    assert len(np.unique(ids)) == len(ids) and (np.diff(ids) > 0).all() and among[ids].all()
    assert n is None or len(ids) == n
    changed = (found.X != X).any(axis=1) | (found.y != y)
    assert np.flatnonzero(changed).tolist() == ids.tolist()
    assert (again.ids == ids).all() and (again.X == found.X).all() and (again.y == found.y).all()
    assert n is None or n == 1 or (other.ids != ids).any()


@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.integers(1, 60), st.integers(0, 99))
def test_uniform_errors_hit_every_class_in_proportion_to_its_size(labels, n, seed):
    y, n = np.array(labels), min(n, len(labels))
    if len(np.unique(y)) < 2:
        return
    found = plant(np.zeros((len(y), 1)), y, "uniform", n, random_state=seed)
    hit = np.bincount(y[found.ids], minlength=4)
    assert (abs(hit - n * np.bincount(y, minlength=4) / len(y)) <= 2).all() and hit.sum() == n
    assert set(found.y) <= set(y)


def test_uniform_errors_are_uniform_over_the_other_classes():
    y = np.zeros(30_000, int)
    found = plant(np.zeros((len(y), 1)), y, uniform(range(4)), random_state=0)
    assert np.bincount(found.y, minlength=4)[0] == 0
    assert (abs(np.bincount(found.y)[1:] - 10_000) < 400).all()


def test_class_to_class_follows_its_rates():
    y = np.repeat([0, 1, 2], 4000)
    rates = np.array([[9.0, 0.2, 0.1], [0.0, 9.0, 0.1], [0.0, 0.0, 9.0]])
    found = plant(np.zeros((len(y), 1)), y, class_to_class(rates), 4000, random_state=0)
    moves = np.zeros((3, 3))
    np.add.at(moves, (y[found.ids], found.y[found.ids]), 1)
    assert (abs(moves - 10_000 * np.array([[0, 0.2, 0.1], [0, 0, 0.1], [0, 0, 0]])) < 100).all()
    assert len(plant(np.zeros((len(y), 1)), y, class_to_class(rates)).ids) == 4000 + 4000 // 3  # class 0 is used up


def test_confusable_errors_follow_the_probabilities():
    y, chances = np.zeros(20_000, int), np.tile([0.7, 0.2, 0.1], (20_000, 1))
    found = plant(np.zeros((len(y), 1)), y, confusable(chances), random_state=0)
    assert abs((found.y == 1).mean() - 2 / 3) < 0.02 and not (found.y == 0).any()


def test_outputs_are_permuted_shifted_and_scaled(data):
    X, y = data[0], np.random.default_rng(3).normal(size=N)
    assert set(plant(X, y, "permuted", 50).y) <= set(y)
    moved = plant(X, y, shifted(4.0, scale=0.5), 50)
    assert np.allclose(abs(moved.y - y)[moved.ids], 2.0)
    assert 0 < (moved.y > y).sum() < 50  # up and down
    by_mad = plant(X, y, shifted(1.0), 50)
    assert np.allclose(abs(by_mad.y - y)[by_mad.ids], 1.4826 * np.median(abs(y - np.median(y))))
    scaled = plant(X, y, "wrong_unit", 50)
    assert np.allclose(scaled.y[scaled.ids], 10 * y[scaled.ids])


@pytest.mark.parametrize("container", ["frame", "tensor", "sparse", "text"])
def test_containers_stay_what_they_are(data, container):
    X, y = data
    make = {
        "frame": lambda: (pd.DataFrame(X, columns=list("abc")), pd.Series(y)),
        "tensor": lambda: tuple(map(pytest.importorskip("torch").tensor, (X, y))),
        "sparse": lambda: (sparse.csr_matrix(X), y),
        "text": lambda: (X, np.array(list("pqrst"))[y]),
    }
    X, y = make[container]()
    found = plant(X, y, "uniform", 9, random_state=0)
    assert type(found.y) is type(y) and found.y.dtype == y.dtype and int((found.y != y).sum()) == 9
    if container != "text":
        new = foreign(X[:20] * 0 if container != "frame" else X.iloc[:20] * 0)
        found = plant(X, y, new, 9, random_state=0)
        assert type(found.X) is type(X) and found.X.shape == X.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "unifrom"}, "kind must be one of 'uniform', 'permuted', 'wrong_unit' or a function, got 'unifrom'"),
        ({"n": 0}, "n must be between 1 and the 200 samples that can get an error, got 0"),
        ({"n": 201}, "n must be between 1 and the 200 samples that can get an error, got 201"),
        ({"kind": class_to_class({7: 1})}, "n must be between 1 and the 0 samples that can get an error, got None"),
        ({"kind": lambda X, y, rows, random: (None, y[rows])}, "kind left 200 of 200 samples unchanged, the first is"),
        ({"kind": lambda X, y, rows, random: (None, None)}, "kind left 200 of 200 samples unchanged"),
        ({"kind": lambda X, y, rows, random: (None, y[:3])}, r"must return y of shape \(200,\) .* got \(3,\)"),
        ({"kind": lambda X, y, rows, random: (X[rows, :2], None)}, r"must return X of shape \(200, 3\)"),
        ({"kind": foreign(np.zeros((5, 3)))}, "foreign has 5 samples, fewer than the 200 errors: bring more"),
        ({"among": np.arange(5)}, r"among must be a bool mask of shape \(200,\), got int64 of shape \(5,\)"),
        ({"y": np.zeros(N, int)}, "uniform errors need at least two classes, got 1: give classes"),
        ({"y": np.zeros(7, int)}, "X and y must have the same length, got 200 and 7"),
        ({"kind": shifted(), "y": np.zeros(N)}, "scale must be above 0, got 0.0: give the scale"),
        ({"kind": "permuted", "y": np.zeros(N)}, "kind left 200 of 200 samples unchanged"),
    ],
)
def test_what_cannot_be_planted_is_named(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        plant(**({"X": data[0], "y": data[1], "kind": "uniform"} | arguments))


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (np.zeros((2, 3)), r"rates must have shape \(n_classes, n_classes\), got \(2, 3\)"),
        ({0: {1: -0.5}}, "rates must be at least 0, and above 0 for one change"),
        ({0: 0}, "rates must be at least 0, and above 0 for one change"),
        (np.eye(3), "rates must be at least 0, and above 0 for one change"),
    ],
)
def test_rates_that_change_nothing_are_named(rates, message):
    with pytest.raises(ValueError, match=message):
        class_to_class(rates)
