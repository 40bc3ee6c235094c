"""The share of wrong samples, estimated from planted errors."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression

from itlm.audit import choose_fraction, compare, error_share, fraction, plant, shifted, systematic

pytestmark = pytest.mark.usefixtures("one_thread")
NEXT = systematic(10)


def mixture(share, n, seed, distance=4.0):
    """Losses of n samples, a share of them wrong, and of 300 planted errors."""
    random = np.random.default_rng(seed)
    wrong = random.random(n) < share
    return random.normal(size=n) + distance * wrong, random.normal(size=300) + distance, wrong


def digits(share, kind, seed=0):
    """The 1,797 digits of scikit-learn, a share of them with another label."""
    X, y = load_digits(return_X_y=True)
    return X / 16, plant(X, y, kind, round(share * len(y)), random_state=seed).y if share else y


def fit(X, y):
    return LogisticRegression(max_iter=200).fit(X, y)


def losses(model, X, y):
    p = model.predict_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return -np.log(np.maximum(p, 1e-12))


# compare


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.45])
def test_the_bound_covers_the_truth_and_the_estimate_is_near_it(share):
    found = [compare(*mixture(share, 1000, seed)[:2]) for seed in range(200)]
    truths = [mixture(share, 1000, seed)[2].mean() for seed in range(200)]
    covered = np.mean([one.upper >= truth for one, truth in zip(found, truths, strict=True)])
    assert covered >= 0.95
    assert np.mean([abs(one.estimate - truth) for one, truth in zip(found, truths, strict=True)]) < 0.02
    assert np.mean([one.verdict == ("a number" if share else "none found") for one in found]) >= 0.98


@given(st.floats(0.1, 5), st.integers(0, 20))
def test_only_the_order_of_the_losses_counts(scale, seed):
    clean, planted, _ = mixture(0.2, 500, seed)
    one, other = compare(clean, planted), compare(np.exp(scale * clean), np.exp(scale * planted))
    assert (one.estimate, one.upper, one.verdict) == (other.estimate, other.upper, other.verdict)


def test_a_higher_level_gives_a_higher_bound():
    clean, planted, _ = mixture(0.2, 1000, 0)
    assert compare(clean, planted, level=0.8).upper < compare(clean, planted, level=0.99).upper


def test_what_trimming_leaves_is_predicted():
    for alpha in (0.5, 0.7, 0.85, 1.0):
        clean, planted, wrong = mixture(0.3, 20_000, 1, distance=3.5)
        planted = np.random.default_rng(2).normal(size=20_000) + 3.5
        found = compare(clean, planted)
        kept = clean <= np.quantile(clean, alpha)
        in_kept, in_dropped = found.after_trimming(alpha)
        assert abs(in_kept - wrong[kept].mean()) < 0.03
        assert alpha == 1 or abs(in_dropped - wrong[~kept].mean()) < 0.05


@pytest.mark.parametrize("distance", [0.3, 0.7, 1.0, 1.5])
def test_losses_that_overlap_cannot_tell(distance):
    clean, planted, _ = mixture(0.3, 3000, 0, distance)
    found = compare(clean, planted)
    assert found.verdict == "cannot tell" and found.reasons and found.upper > 0.3
    assert "no threshold separates planted errors from clean samples" in repr(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"planted": np.zeros(5)}, "planted 5: a bound at level 0.95 needs at least 19 of each"),
        ({"losses": np.zeros(5)}, "losses has 5 samples"),
        ({"losses": np.r_[np.zeros(99), np.nan]}, "losses has 1 NaN of 100"),
        ({"level": 1.5}, r"level must be in \(0, 1\), got 1.5"),
        ({"level": 1.0}, r"level must be in \(0, 1\), got 1.0"),
    ],
)
def test_what_has_no_bound_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        compare(**({"losses": np.zeros(100), "planted": np.ones(100)} | arguments))


# error_share


@pytest.mark.parametrize("kind", ["uniform", NEXT], ids=["uniform", "systematic"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_the_share_of_wrong_digits_is_found(kind, share):
    X, y = digits(share, kind)
    found = error_share(X, y, fit, losses, kind)
    assert found.verdict == ("none found" if share == 0 else "a number")
    assert abs(found.estimate - share) < 0.03 and share <= found.upper < share + 0.07


def test_half_of_each_label_wrong_in_the_same_way_cannot_be_told():
    found = error_share(*digits(0.5, NEXT), fit, losses, NEXT)
    assert found.verdict == "cannot tell"
    assert "the samples of a given label belong to two classes in nearly equal parts" in found.reasons


def test_of_several_kinds_the_largest_bound_counts():
    X, y = digits(0.2, "uniform")
    alone = {name: error_share(X, y, fit, losses, kind) for name, kind in (("uniform", "uniform"), ("next", NEXT))}
    both = error_share(X, y, fit, losses, ["uniform", NEXT])
    assert alone["uniform"].verdict == "a number"
    assert both.upper >= max(one.upper for one in alone.values()) - 0.03 and abs(both.estimate - 0.2) < 0.05


def test_kinds_that_disagree_cannot_tell():
    random = np.random.default_rng(0)
    X = random.normal(size=(1500, 3))
    y = X.sum(axis=1) + 0.3 * random.normal(size=1500)
    near, least = shifted(5, scale=0.3), lambda X, y: LinearRegression().fit(X, y)
    dirty = plant(X, y, near, 450, random_state=1).y
    squared = lambda model, X, y: (model.predict(X) - y) ** 2  # noqa: E731
    alone = error_share(X, dirty, least, squared, near)
    assert alone.verdict == "a number" and abs(alone.estimate - 0.3) < 0.05
    both = error_share(X, dirty, least, squared, ["permuted", near])
    assert both.verdict == "cannot tell" and "the kinds disagree" in repr(both) and both.upper >= 0.3


def test_the_same_seed_gives_the_same_share_and_four_fits_are_enough():
    X, y = digits(0.2, "uniform")
    seen = []

    def counted(X, y):
        seen.append(len(y))
        return fit(X, y)

    kept = np.random.default_rng(0).random(len(y)) < 0.5
    one, again = (error_share(X, y, counted, losses, "uniform", kept=kept, random_state=3) for _ in range(2))
    assert len(seen) == 8 and max(seen) < 0.5 * len(y)
    assert (one.estimate, one.upper) == (again.estimate, again.upper) and (one.losses == again.losses).all()


def test_tensors_give_what_arrays_give():
    torch = pytest.importorskip("torch")
    X, y = digits(0.2, "uniform")
    arrays = lambda f: lambda *given: f(*(g.numpy() if isinstance(g, torch.Tensor) else g for g in given))  # noqa: E731
    one = error_share(X, y, fit, losses, "uniform")
    other = error_share(torch.tensor(X), torch.tensor(y), arrays(fit), arrays(losses), "uniform")
    assert (one.estimate, one.upper) == (other.estimate, other.upper)


def test_wrong_outputs_of_a_regression_are_found():
    random = np.random.default_rng(0)
    X = random.normal(size=(1500, 5))
    y = X.sum(axis=1) + 0.3 * random.normal(size=1500)
    for share in (0.0, 0.2):
        dirty = plant(X, y, "permuted", round(share * len(y)), random_state=1).y if share else y
        squared = lambda model, X, y: (model.predict(X) - y) ** 2  # noqa: E731
        found = error_share(X, dirty, lambda X, y: LinearRegression().fit(X, y), squared, "permuted")
        assert abs(found.estimate - share) < 0.03 and found.upper >= share, found


def test_the_fraction_is_one_less_the_bound_and_a_warning_says_when_it_is_not_known():
    X, y = digits(0.2, "uniform")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choose_fraction(X, y, fit, losses, "uniform") == 1 - error_share(X, y, fit, losses, "uniform").upper
    with pytest.warns(UserWarning, match=r"share of wrong samples is unknown \(cannot tell: .*keeping 0.5"):
        assert choose_fraction(*digits(0.5, NEXT), fit, losses, NEXT) >= fraction.START


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": lambda model, X, y: losses(model, X, y)[1:]}, "losses gave .* values for .* samples"),
        ({"losses": lambda model, X, y: losses(model, X, y) * np.nan}, "losses has .* NaN"),
        ({"rounds": 0}, "rounds must be an integer of at least 1, got 0"),
        ({"folds": 1}, "folds must be an integer of at least 2, got 1"),
        ({"kind": "unifrom"}, "kind must be one of"),
        ({"kind": []}, "kind names no kind of error"),
        (
            {"kept": np.arange(1797) < 12},
            "kept has no sample of class . outside fold 0: keep at least two of each class",
        ),
    ],
)
def test_what_an_estimate_cannot_use_is_named(changes, message):
    X, y = digits(0.1, "uniform")
    given = {"fit": fit, "losses": losses, "kind": "uniform"} | changes
    with pytest.raises(ValueError, match=message):
        error_share(X, y, **given)
