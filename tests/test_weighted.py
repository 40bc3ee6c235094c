"""Trimming by weighted mass: whole weights are repeated samples, others add up, faults by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from itlm import n_kept, trim
from itlm.weighted import kept_mass, total_weight, trim_mass

ALPHAS = st.floats(0.05, 1)
SAMPLES = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, n, elements=st.integers(-5, 5)),  # few values: many ties
        hnp.arrays(np.float64, n, elements=st.integers(1, 4)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 2)),
    )
)


def repeated(mask, weights):
    """How many of a sample's repetitions are kept, from the mask of all repetitions."""
    owner = np.repeat(np.arange(len(weights)), weights.astype(int))
    return np.bincount(owner, mask, len(weights))


def without_gaps(groups):
    return np.unique(groups, return_inverse=True)[1]


# whole weights


@given(SAMPLES, ALPHAS)
def test_whole_weights_equal_repetition(samples, alpha):
    losses, weights, _ = samples
    if int(alpha * weights.sum()) >= 1:
        mass = trim_mass(losses, weights, alpha)
        assert (mass == repeated(trim(np.repeat(losses, weights.astype(int)), alpha), weights)).all()
        assert mass.sum() == n_kept(int(weights.sum()), alpha) and mass.dtype == np.float64


@given(SAMPLES, ALPHAS)
def test_whole_weights_equal_repetition_within_groups_too(samples, alpha):
    losses, weights, groups = samples
    groups, times = without_gaps(groups), weights.astype(int)
    if int(alpha * weights.sum()) >= 1:
        mass = trim_mass(losses, weights, alpha, groups=groups)
        each = trim(np.repeat(losses, times), alpha, groups=np.repeat(groups, times))
        assert (mass == repeated(each, weights)).all()


@given(SAMPLES, ALPHAS)
def test_weights_of_one_are_plain_trimming(samples, alpha):
    losses, weights, groups = samples
    if int(alpha * len(losses)) >= 1:
        ones, groups = np.ones_like(weights), without_gaps(groups)
        assert (trim_mass(losses, ones, alpha) == trim(losses, alpha)).all()
        assert (trim_mass(losses, ones, alpha, groups=groups) == trim(losses, alpha, groups=groups)).all()


# any weights


@given(SAMPLES, ALPHAS, st.floats(0.1, 0.9))
def test_a_mass_is_kept_whole_dropped_or_at_the_threshold_in_part(samples, alpha, scale):
    losses, weights, _ = samples
    weights = scale * weights + 0.01
    mass, total = trim_mass(losses, weights, alpha), weights.sum()
    assert mass.sum() == pytest.approx(alpha * total if isinstance(total_weight(weights), float) else mass.sum())
    assert (mass >= 0).all() and (mass <= weights).all()
    in_part = (mass > 0) & (mass < weights)
    assert in_part.sum() <= 1
    kept, dropped = losses[mass == weights], losses[mass == 0]
    if len(kept) and len(dropped):
        assert kept.max() <= dropped.min()
    for edge in losses[in_part]:
        assert kept.max(initial=-np.inf) <= edge <= dropped.min(initial=np.inf)


def test_each_group_keeps_its_share_of_the_mass():
    random = np.random.default_rng(0)
    losses, weights, groups = random.random(90), random.random(90) + 0.1, np.arange(90) % 3
    mass = trim_mass(losses + 5 * groups, weights, 0.6, groups=groups)
    assert np.allclose(np.bincount(groups, mass), 0.6 * np.bincount(groups, weights))


def test_ties_go_to_the_lower_index():
    assert trim_mass(np.zeros(4), np.array([2.0, 1.0, 2.0, 1.0]), 0.5).tolist() == [2, 1, 0, 0]


# totals


def test_whole_weights_are_counted_and_others_are_summed():
    assert total_weight(np.array([1.0, 2.0, 3.0])) == 6 and isinstance(total_weight(np.array([1.0, 2.0])), int)
    assert total_weight(np.array([0.5, 0.75])) == 1.25 and isinstance(total_weight(np.array([0.5, 0.5])), float)
    almost = np.full(3, 0.1 + 0.2) / 0.3  # 1 but for rounding
    assert isinstance(total_weight(almost), int) and total_weight(almost) == 3


def test_no_mass_keeps_nothing_and_all_of_it_everything():
    weights = np.array([0.5, 2.0])
    assert kept_mass(np.array([1.0, 2.0]), weights, 0).tolist() == [0, 0]
    assert kept_mass(np.array([1.0, np.inf]), weights, 0.5).tolist() == [0.5, 0]
    assert trim_mass(np.array([2.0, 1.0]), weights, 1).tolist() == [0.5, 2.0]


@given(SAMPLES, ALPHAS)
def test_a_weight_of_zero_is_no_sample_and_groups_may_have_gaps_or_names(samples, alpha):
    losses, weights, groups = samples
    weights, times = weights - 1, weights.astype(int) - 1
    if int(alpha * weights.sum()) >= 1:
        each = trim(np.repeat(losses, times), alpha, groups=np.repeat(groups, times))
        for labels in (groups, 5 * groups - 7, np.array(["a", "b", "c"])[groups]):
            assert (trim_mass(losses, weights, alpha, groups=labels) == repeated(each, weights)).all()


# faults


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1e308, 1e308], "weights sum to inf, outside 1e-150 to 1e\\+150: divide them by their largest"),
        ([0.5e-310, 0.5e-310], "weights sum to 1e-310, outside"),
        ([1.0, np.nan], "weights must be finite, 0 or more and not all 0"),
        ([1.0, -1.0], "weights must be finite"),
        ([0.0, 0.0], "weights must be finite"),
        ([1.0, 1.0, 1.0], r"weights must have shape \(2,\), one a sample, got \(3,\)"),
        (np.ma.array([1.0, 1.0], mask=[0, 1]), "weights has 1 masked values of 2"),
        ([1j, 1j], "weights must be real numbers, got dtype complex128"),
        (["1", "2"], "weights must be real numbers, got dtype <U1"),
    ],
)
def test_bad_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        trim_mass(np.array([0.0, 1.0]), weights, 0.5)


def test_an_infinite_loss_is_named_with_its_group():
    losses, weights = np.array([0.0, 1.0, np.inf]), np.array([1.0, 1.5, 1.0])
    with pytest.raises(ValueError, match="losses has 1 infinite values of 1 in group 'b', so that keeping a"):
        trim_mass(losses, weights, 0.8, groups=["a", "a", "b"])


def test_an_infinite_loss_that_would_be_kept_is_named():
    losses = np.array([np.inf, 0.0, np.inf])
    assert trim_mass(losses, np.array([1.0, 6.0, 1.0]), 0.75).tolist() == [0, 6, 0]
    said = "losses has 2 infinite values of 3, so that keeping a weight of 7 of 8 would keep some of them; lower alpha"
    with pytest.raises(ValueError, match=said):
        trim_mass(losses, np.array([1.0, 6.0, 1.0]), 0.9)


@pytest.mark.parametrize(
    ("losses", "alpha", "message"),
    [
        ([0.0, np.nan], 0.5, r"losses has 1 NaN of 2 \(at 1\)"),
        ([[0.0, 1.0]], 0.5, r"losses must have shape \(n,\), got \(1, 2\)"),
        ([0.0, 1.0], 0.0, r"alpha must be in \(0, 1\], got 0.0"),
        ([0.0, 1.0], 0.05, "= 0 samples; use alpha of at least 1/3"),
    ],
)
def test_what_trimming_refuses_is_refused_here_too(losses, alpha, message):
    with pytest.raises(ValueError, match=message):
        trim_mass(np.array(losses), np.array([1.0, 2.0]), alpha)
