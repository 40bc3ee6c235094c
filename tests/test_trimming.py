"""Algorithm 1: known truth, properties, NumPy against torch, faults."""

import subprocess
import sys
from decimal import ROUND_FLOOR, localcontext
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from itlm import Round, iterate, n_kept, trim
from itlm.weighted import trim_mass

ALPHAS = st.floats(0.001, 1)
LOSSES = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int64]),
    st.integers(1, 60),
    elements=st.integers(-5, 5),  # few values: many ties
)


def keeps_something(losses, alpha):
    return int(alpha * len(losses)) >= 1


# n_kept


@pytest.mark.parametrize(
    ("n", "alpha", "k"),
    [
        (100, 0.29, 29),
        (3000, 0.6 - 0.05, 1650),
        (3, 1 / 3, 1),
        (300, 2 / 3, 200),
        (10, 1, 10),
        (10, 0.999, 9),
        (7, 0.5, 3),
        (10**9, 1 - 1e-9, 10**9 - 1),
        (100, np.float32(0.29), 29),
        (np.int64(50), np.float64(0.1), 5),
        (10**13, 0.3, 3 * 10**12),
        (10**13, 0.9999999999, 10**13 - 10**3),
        (10**13, 2 / 3, 6666666666666),
        (10**15 + 1, 0.7, 7 * 10**14),
        (10**13, 0.6 - 0.05, 55 * 10**11),
        (1000, sum([0.001] * 550), 550),
        (3, Fraction(1, 3), 1),
        (3, Fraction(2, 3) - Fraction(1, 10**9), 1),
    ],
)
def test_n_kept_is_the_floor_of_the_decimal_meant(n, alpha, k):
    assert n_kept(n, alpha) == k


@given(st.integers(1, 10**18), st.decimals(0, 1, places=10).filter(bool))
def test_n_kept_of_a_short_decimal_is_exact_for_any_n(n, alpha):
    with localcontext(prec=60):
        k = int((n * alpha).to_integral_value(ROUND_FLOOR))
    if k:
        assert n_kept(n, float(alpha)) == k


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_n_kept_of_k_over_n_is_k(n, share):
    k = max(1, int(share * n))
    assert n_kept(n, k / n) == k


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(-8, 8))
def test_an_alpha_that_was_computed_may_be_off_by_its_rounding(n, k, steps):
    alpha = min(k, n) / n
    for _ in range(abs(steps)):
        alpha = np.nextafter(alpha, np.sign(steps))
    if alpha <= 1:
        assert n_kept(n, alpha) == min(k, n)


@pytest.mark.parametrize("alpha", [0, -0.1, 1.0001, float("nan"), float("inf"), "0.5", None, True, [0.5]])
def test_alpha_outside_its_range_is_named(alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\], got"):
        n_kept(10, alpha)


def test_keeping_nothing_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"alpha=0.05 keeps floor\(0.05 \* 10\) = 0 samples; use .* at least 1/10"):
        trim(np.arange(10.0), 0.05)


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_a_bad_n_is_named(n):
    with pytest.raises(ValueError, match="n must be a positive integer"):
        n_kept(n, 0.5)


# trim


def test_planted_outliers_give_the_exact_mask():
    random = np.random.default_rng(0)
    losses = random.random(1000)
    outliers = random.choice(1000, 200, replace=False)
    losses[outliers] += 1
    kept = trim(losses, 0.8)
    assert kept.dtype == bool
    assert sorted(np.flatnonzero(~kept)) == sorted(outliers)


def test_alpha_one_keeps_all():
    assert trim(np.array([3.0, 1.0, 2.0]), 1).all()


def test_ties_go_to_the_lower_index():
    assert trim(np.array([1.0, 0.0, 1.0, 1.0]), 0.5).tolist() == [True, True, False, False]


@given(LOSSES, ALPHAS)
def test_keeps_exactly_n_kept_of_the_smallest_ties_by_index(losses, alpha):
    if keeps_something(losses, alpha):
        kept = trim(losses, alpha)
        expected = np.zeros(len(losses), bool)
        expected[np.argsort(losses, kind="stable")[: n_kept(len(losses), alpha)]] = True
        assert (kept == expected).all()


@given(st.permutations(range(30)), ALPHAS)
def test_permuting_the_samples_permutes_the_mask(order, alpha):
    losses = np.random.default_rng(0).random(30)
    if keeps_something(losses, alpha):
        assert (trim(losses[order], alpha) == trim(losses, alpha)[order]).all()


@given(LOSSES, ALPHAS, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scaling_the_losses_leaves_the_mask(losses, alpha, scale):
    losses = losses.astype(float)
    if keeps_something(losses, alpha):
        assert (trim(scale * losses, alpha) == trim(losses, alpha)).all()


@settings(deadline=None)
@given(LOSSES, ALPHAS, st.data())
def test_numpy_and_torch_agree_bit_for_bit(losses, alpha, data):
    torch = pytest.importorskip("torch")
    if keeps_something(losses, alpha):
        groups = data.draw(st.none() | hnp.arrays(np.int64, len(losses), elements=st.integers(0, 3)))
        ours = trim(torch.from_numpy(losses), alpha, groups=groups)
        assert ours.dtype == torch.bool
        assert (ours.numpy() == trim(losses, alpha, groups=groups)).all()


def test_torch_stays_on_its_device_and_keeps_no_graph():
    torch = pytest.importorskip("torch")
    losses = torch.arange(6.0, dtype=torch.bfloat16, requires_grad=True)
    kept = trim(losses, 0.5)
    assert kept.device == losses.device and not kept.requires_grad
    meta = torch.zeros(3, device="meta")
    with pytest.raises((NotImplementedError, RuntimeError)):  # a copy to the CPU would not have failed
        trim(meta, 0.5)


# groups


@given(LOSSES, ALPHAS, st.data())
def test_groups_get_their_share_by_largest_remainder(losses, alpha, data):
    n = len(losses)
    if not keeps_something(losses, alpha):
        return
    groups = data.draw(hnp.arrays(np.int64, n, elements=st.integers(-2, 3)))
    kept, k = trim(losses, alpha, groups=groups), n_kept(n, alpha)
    labels = np.unique(groups)
    assert kept.sum() == k
    for g in labels:
        inside = groups == g
        share, quota = kept[inside].sum(), k * inside.sum() / n
        if k >= len(labels):
            assert share >= 1
            assert share < quota + 1 or share == 1
        else:
            assert abs(share - quota) < 1
        if share:  # within the group it is plain trimming
            assert sorted(losses[inside][kept[inside]]) == sorted(losses[inside])[:share]


def test_groups_of_any_kind_serve_tensors_and_arrays_alike():
    torch = pytest.importorskip("torch")
    losses, labels = np.arange(8.0), np.array([0, 1] * 4)
    kept = trim(losses, 0.5, groups=labels)
    kinds = [labels.tolist(), pd.Series(labels), labels[::-1][::-1], labels.astype(">i4"), labels.astype(bool)]
    for groups in [*kinds, torch.tensor(labels), torch.tensor(labels, dtype=torch.int8)]:
        assert (trim(losses, 0.5, groups=groups) == kept).all()
        assert (trim(torch.tensor(losses), 0.5, groups=groups).numpy() == kept).all()
    assert (trim(torch.tensor(losses[::-1].copy()), 0.5, groups=labels[::-1]).numpy() == kept[::-1]).all()


@given(LOSSES, ALPHAS, st.data())
def test_groups_may_be_named_by_text_or_be_categories(losses, alpha, data):
    if not keeps_something(losses, alpha):
        return
    numbers = data.draw(hnp.arrays(np.int64, len(losses), elements=st.integers(0, 3)))
    names = np.array(["ant", "bee", "cat", "dog"])[numbers]  # in the order of their numbers
    kept = trim(losses, alpha, groups=numbers)
    for groups in (names, names.astype(object), names.tolist(), pd.Series(names), pd.Categorical(names)):
        assert (trim(losses, alpha, groups=groups) == kept).all()


def test_tensors_may_have_groups_of_text_and_of_types_that_torch_cannot_sort():
    torch = pytest.importorskip("torch")
    losses, labels = torch.arange(6.0), np.array([2, 0, 2, 0, 2, 1])
    kept = trim(losses, 0.5, groups=labels)
    for groups in (np.array(["a", "b", "c"])[labels], labels.astype(np.uint64)):
        assert torch.equal(trim(losses, 0.5, groups=groups), kept)
    for name in ("uint16", "uint32", "uint64"):
        assert torch.equal(trim(losses, 0.5, groups=torch.tensor(labels).to(getattr(torch, name))), kept)
        assert (trim(losses.numpy(), 0.5, groups=torch.tensor(labels).to(getattr(torch, name))) == kept.numpy()).all()


def test_equal_groups_get_equal_shares_whatever_their_losses():
    losses = np.r_[np.zeros(50), np.ones(50)]
    assert trim(losses, 0.6, groups=np.repeat([0, 1], 50)).reshape(2, 50).sum(1).tolist() == [30, 30]


def test_a_rare_group_keeps_a_sample():
    groups = np.r_[np.zeros(99, int), 7]
    losses = np.r_[np.zeros(99), 100.0]
    assert not trim(losses, 0.5)[99]
    assert trim(losses, 0.5, groups=groups)[99]


# bad input


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([0.0, np.nan, 1.0, np.nan], r"losses has 2 NaN of 4 \(at 1, 3\)"),
        ([np.nan] * 9, r"9 NaN of 9 \(at 0, 1, 2, 3, 4, \.\.\.\)"),
        ([0.0, np.inf, np.inf, 1.0], r"losses has 2 infinite values of 4, so that keeping 3 would keep 1"),
        ([[1.0, 2.0]], r"losses must have shape \(n,\), got \(1, 2\)"),
        (3.0, r"losses must have shape \(n,\), got \(\)"),
        ([], "there is nothing to trim"),
        ([True, False], "losses must be real numbers, got dtype bool"),
        ([1j, 2j], "got dtype complex128"),
        (["a", "b"], "losses must be real numbers"),
    ],
)
def test_bad_losses_are_named(losses, message):
    with pytest.raises(ValueError, match=message):
        trim(np.array(losses), 0.75)


def test_bad_tensors_are_named():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"losses has 1 NaN of 3 \(at 2\)"):
        trim(torch.tensor([1.0, 2.0, torch.nan]), 0.5)
    with pytest.raises(ValueError, match="got dtype torch.bool"):
        trim(torch.tensor([True, False]), 0.5)
    with pytest.raises(ValueError, match="groups must be integer labels, got dtype torch.float32"):
        trim(torch.zeros(2), 0.5, groups=torch.zeros(2))


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"])
def test_what_torch_cannot_sort_is_named(kind):
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=f"losses must be real numbers, got dtype torch.{kind}; convert it"):
        trim(torch.ones(4).to(getattr(torch, kind)), 0.5)


def test_a_sparse_tensor_is_named():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"losses must be dense, got .*torch.sparse_coo; give losses.to_dense\(\)"):
        trim(torch.ones(4).to_sparse(), 0.5)


def test_a_mask_is_not_lost_in_silence():
    masked = np.ma.array([9.0, 1, 2, 3], mask=[0, 1, 0, 1])
    with pytest.raises(ValueError, match="losses has 2 masked values of 4: drop these samples from all arrays"):
        trim(masked, 0.5)
    with pytest.raises(ValueError, match="groups has 2 masked values of 4"):
        trim(np.zeros(4), 0.5, groups=masked.astype(int))
    with pytest.raises(ValueError, match="losses has 2 masked values of 4"):
        list(iterate(lambda theta: masked, lambda theta, kept, t: theta, 0, 0.5, 1))
    assert trim(np.ma.array([9.0, 1, 2, 3]), 0.5).tolist() == [False, True, True, False]  # nothing is masked


@pytest.mark.parametrize("groups", [[7, 7, 9, 9], ["a", "a", "b", "b"]])
def test_an_infinite_loss_that_would_be_kept_is_named_with_its_group(groups):
    message = f"losses has 1 infinite values of 2 in group {groups[2]!r}, so that keeping 2 would keep 1"
    for losses in (np.array([0, 1, np.inf, 0]), tensor([0, 1, np.inf, 0])):
        with pytest.raises(ValueError, match=message):
            trim(losses, 1, groups=groups)


def tensor(values):
    """A tensor, or an array where there is no torch."""
    torch = sys.modules.get("torch")
    return np.array(values) if torch is None else torch.tensor(values)


def test_infinity_is_large_and_only_refused_when_kept():
    assert trim(np.array([np.inf, 0.0, 1.0]), 2 / 3).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(3, int), r"groups must have shape \(4,\), one label for each sample, got \(3,\)"),
        (np.zeros(4), "groups must be integer labels, got dtype float64"),
        (["a", "b", None, "a"], "groups must be integer labels, got dtype object; .* no label missing"),
        (pd.Categorical(["a", "b", None, "a"]), "groups must be integer labels, got dtype object"),
        (np.array([1, "a", 2, 2], dtype=object), "groups must be integer labels, got dtype object"),
        (np.zeros(4, "datetime64[s]"), "groups must be integer labels, got dtype datetime64"),
    ],
)
def test_bad_groups_are_named(groups, message):
    with pytest.raises(ValueError, match=message):
        trim(np.zeros(4), 0.5, groups=groups)


# iterate


def line(n=200, bad=0.3, seed=0):
    """A regression with planted outliers: losses, update, theta_0 fitted to all, the truth."""
    random = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), random.standard_normal((n, 2))])
    y = X @ [1.0, 2.0, -1.0] + 0.01 * random.standard_normal(n)
    is_bad = np.arange(n) < bad * n
    y[is_bad] += random.choice([-1, 1], is_bad.sum()) * random.uniform(5, 20, is_bad.sum())
    fit = lambda kept: np.linalg.lstsq(X[kept], y[kept], rcond=None)[0]  # noqa: E731
    return lambda theta: (y - X @ theta) ** 2, lambda theta, kept, t: fit(kept), fit(slice(None)), is_bad


def test_iterate_finds_the_planted_outliers():
    losses, update, theta, is_bad = line()
    *_, last = iterate(losses, update, theta, 0.7, 20)
    assert (last.kept == ~is_bad).all()
    assert np.allclose(last.theta, [1, 2, -1], atol=0.01)


@given(st.integers(0, 50), st.floats(0.3, 1))
@settings(deadline=None, max_examples=30)
def test_the_trimmed_objective_never_rises_under_exact_updates(seed, alpha):
    losses, update, theta, _ = line(60, 0.4, seed)
    objectives = [step.objective for step in iterate(losses, update, theta, alpha, 15)]
    assert (np.diff(objectives) <= 1e-9 * objectives[0]).all()


def test_t_updates_give_t_plus_one_rounds_and_theta_is_before_its_update():
    losses, update, theta, _ = line()
    history = list(iterate(losses, update, theta, 0.7, 4))
    assert [step.t for step in history] == [0, 1, 2, 3, 4]
    assert history[0].theta is theta
    for before, after in zip(history, history[1:], strict=False):
        assert (before.losses == losses(before.theta)).all()
        assert (before.kept == trim(before.losses, 0.7)).all()
        assert (after.theta == update(None, before.kept, before.t)).all()
        assert after.n_entered == (after.kept & ~before.kept).sum()
        assert after.n_left == (before.kept & ~after.kept).sum()
    assert (history[0].n_entered, history[0].n_left) == (0, 60)
    assert history[0].changed and not history[-1].changed


def test_zero_rounds_give_the_baseline_alone():
    losses, update, theta, _ = line()
    (only,) = iterate(losses, update, theta, 0.7, 0)
    assert only.t == 0 and only.theta is theta


def test_resuming_equals_never_having_stopped():
    losses, update, theta, _ = line()
    whole = list(iterate(losses, update, theta, 0.7, 6))
    resumed = list(iterate(losses, update, whole[2].theta, 0.7, 6, start=2))
    assert [step.t for step in resumed] == [2, 3, 4, 5, 6]
    for a, b in zip(whole[2:], resumed, strict=True):
        assert (a.theta == b.theta).all() and (a.kept == b.kept).all() and a.objective == b.objective
    assert resumed[0].n_left is None and resumed[0].changed is None
    assert [(s.n_entered, s.n_left) for s in whole[3:]] == [(s.n_entered, s.n_left) for s in resumed[1:]]


def test_it_stops_at_a_fixed_point_if_asked():
    losses, update, theta, _ = line()
    history = list(iterate(losses, update, theta, 0.7, 100, stop_at_fixed_point=True))
    assert len(history) < 20
    assert not history[-1].changed and all(step.changed for step in history[:-1])


def test_a_fixed_point_is_none_while_alpha_still_changes():
    rounds = iterate(lambda theta: np.arange(4.0), lambda theta, kept, t: theta, 0, [1, 1, 0.5, 0.5, 0.5], 4,
                     stop_at_fixed_point=True)  # fmt: skip
    assert [int(step.kept.sum()) for step in rounds] == [4, 4, 2, 2]


def test_alpha_may_be_a_schedule():
    losses, update, theta, _ = line()
    kept = [int(step.kept.sum()) for step in iterate(losses, update, theta, [0.9, 0.8, 0.7], 2)]
    assert kept == [180, 160, 140]


def test_a_generator_runs_no_further_than_asked():
    calls = []
    losses = lambda theta: calls.append(theta) or np.arange(4.0)  # noqa: E731
    steps = iterate(losses, lambda theta, kept, t: theta + 1, 0, 0.5, 100)
    assert next(steps).t == 0 and calls == [0]


def test_groups_hold_in_every_round():
    losses, update, theta, _ = line()
    groups = np.arange(200) % 4
    for step in iterate(losses, update, theta, 0.7, 3, groups=groups):
        assert np.bincount(groups[step.kept]).tolist() == [35] * 4


def reusing(make):
    """Losses from one buffer, an update that overwrites the selection, and a select that returns one buffer."""
    buffer, chosen = make([0.0] * 6), make([False] * 6)

    def losses(theta):
        buffer[:] = make([float((i + theta) % 6) for i in range(6)])
        return buffer

    def update(theta, kept, t):
        kept[:] = False
        return theta + 1

    def select(losses, alpha):
        chosen[:] = trim(losses, alpha)
        losses[:] = -1.0
        return chosen

    return losses, update, select


@pytest.mark.parametrize("chooses", [False, True])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_what_the_callers_functions_do_to_their_arrays_rewrites_no_round(kind, chooses):
    make = np.array if kind == "numpy" else pytest.importorskip("torch").tensor
    losses, update, select = reusing(make)
    steps = []
    for step in iterate(losses, update, 0, 0.5, 5, select=select if chooses else None):
        steps.append(step)
        if step.t == 3:
            step.kept[:] = False  # by the one who reads it: the run goes on as it would have
    for step in steps:
        expected = [(i + step.t) % 6 for i in range(6)]
        assert step.losses.tolist() == expected and step.objective == 3
        assert step.kept.tolist() == [loss < 3 and step.t != 3 for loss in expected]
        assert (step.n_entered, step.n_left) == ((0, 3) if step.t == 0 else (1, 1))


# select


def by_mass(weights):
    """Trim by weighted mass."""
    return lambda losses, alpha: trim_mass(losses, weights, alpha)


def test_a_weighted_run_is_one_with_repeated_samples():
    random = np.random.default_rng(0)
    times = random.integers(1, 4, 120)
    X = np.column_stack([np.ones(120), random.standard_normal((120, 2))])
    y = X @ [1.0, 2.0, -1.0] + 0.1 * random.standard_normal(120)
    y[:36] += random.uniform(2, 9, 36)
    of = np.repeat(np.arange(120), times)

    def fitted(mass):
        root = np.sqrt(mass)
        return np.linalg.lstsq(X * root[:, None], y * root, rcond=None)[0]

    def repeated(theta, kept, t):
        return np.linalg.lstsq(X[of][kept], y[of][kept], rcond=None)[0]

    losses = lambda theta: (y - X @ theta) ** 2  # noqa: E731
    ours = iterate(
        losses, lambda theta, mass, t: fitted(mass), fitted(times), 0.7, 8, select=by_mass(times.astype(float))
    )
    theirs = iterate(lambda theta: losses(theta)[of], repeated, repeated(None, slice(None), 0), 0.7, 8)
    moved = 0
    for weighted, plain in zip(ours, theirs, strict=True):
        assert np.allclose(weighted.theta, plain.theta, rtol=1e-8)
        assert (weighted.kept == np.bincount(of, plain.kept)).all()
        assert weighted.objective == pytest.approx(plain.objective) and weighted.alpha == plain.alpha == 0.7
        moved += weighted.n_left
    assert moved > 40  # the rounds did something


def test_of_a_mass_it_is_counted_whose_share_rose_and_whose_fell():
    masses = iter([[2, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 2]])
    steps = list(
        iterate(
            lambda theta: np.arange(4.0),
            lambda theta, mass, t: theta,
            0,
            0.5,
            3,
            select=lambda losses, alpha: np.array(next(masses), float),
        )
    )
    assert [(step.n_entered, step.n_left) for step in steps] == [(0, 2), (1, 1), (0, 0), (1, 2)]
    assert [step.changed for step in steps] == [True, True, False, True]
    assert [step.objective for step in steps] == [1.0, 3.0, 3.0, 8.0]  # a loss counts as often as its sample is kept


def test_a_selection_of_weights_stops_at_its_fixed_point_and_resumes_like_any_other():
    losses, update, theta, _ = line()
    select, refit = by_mass(np.r_[np.full(100, 0.5), np.ones(100)]), lambda theta, mass, t: update(theta, mass > 0, t)
    whole = list(iterate(losses, refit, theta, 0.7, 100, select=select, stop_at_fixed_point=True))
    assert len(whole) < 20 and not whole[-1].changed and all(step.changed for step in whole[:-1])
    resumed = list(iterate(losses, refit, whole[1].theta, 0.7, len(whole) - 1, start=1, select=select))
    assert resumed[0].n_entered is None and resumed[0].n_left is None
    assert all((a.kept == b.kept).all() for a, b in zip(whole[1:], resumed, strict=True))


@pytest.mark.parametrize("alpha", [0.7, [0.9, 0.8, 0.7, 0.7]])
def test_a_select_that_returns_a_mask_is_trimming_and_sees_the_losses_and_alpha_of_its_round(alpha):
    losses, update, theta, _ = line()
    seen = []

    def select(losses, alpha):
        seen.append(alpha)
        return trim(losses, alpha)

    ours = list(iterate(losses, update, theta, alpha, 3, select=select))
    theirs = list(iterate(losses, update, theta, alpha, 3))
    for a, b in zip(ours, theirs, strict=True):
        assert (a.kept == b.kept).all() and a.kept.dtype == bool and (a.theta == b.theta).all()
        assert (a.n_entered, a.n_left, a.objective, repr(a)) == (b.n_entered, b.n_left, b.objective, repr(b))
    assert seen == ([0.7] * 4 if alpha == 0.7 else alpha)


def test_a_select_takes_the_place_of_groups_and_may_be_of_torch():
    torch = pytest.importorskip("torch")
    losses = torch.tensor([3.0, 1.0, 2.0, 0.0])
    select = lambda losses, alpha: losses < 2.5  # noqa: E731
    steps = list(
        iterate(lambda theta: losses, lambda theta, kept, t: theta, 0, 0.5, 1, select=select, groups=[0, 1, 0, 1])
    )
    assert all(step.kept.tolist() == [False, True, True, True] and step.objective == 3.0 for step in steps)
    assert [(step.n_entered, step.n_left) for step in steps] == [(0, 1), (0, 0)]


def test_torch_in_torch_out():
    torch = pytest.importorskip("torch")
    losses = torch.tensor([3.0, 1.0, 2.0])
    (step,) = iterate(lambda theta: losses, lambda theta, kept, t: theta, None, 2 / 3, 0)
    assert step.kept.tolist() == [False, True, True] and step.objective == 3.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 1.3}, r"alpha must be in \(0, 1\], got 1.3"),
        ({"alpha": None}, r"alpha must be in \(0, 1\], got None"),
        ({"alpha": [0.5, 0.5]}, "alpha has 2 values; give 4, one for each of Round 0 to Round 3"),
        ({"alpha": [0.5, 0.5, 2, 0.5]}, r"alpha must be in \(0, 1\], got 2"),
        ({"rounds": -1}, "rounds must be an integer of at least 0, got -1"),
        ({"rounds": 1.5}, "rounds must be an integer"),
        ({"start": 4}, "start must be at most rounds=3, got 4"),
    ],
)
def test_bad_settings_fail_at_the_call(changes, message):
    settings = {"alpha": 0.5, "rounds": 3} | changes
    with pytest.raises(ValueError, match=message):
        iterate(lambda theta: np.arange(4.0), lambda theta, kept, t: theta, 0, **settings)  # not even drawn from


def test_an_update_that_returns_nothing_is_named():
    with pytest.raises(ValueError, match="update returned None in round 0: let it return the new theta"):
        list(iterate(lambda theta: np.arange(4.0), lambda theta, kept, t: None, 0, 0.5, 2))
    assert len(list(iterate(lambda theta: np.arange(4.0), lambda theta, kept, t: None, None, 0.5, 2))) == 3


def test_scoring_only_the_kept_samples_is_refused():
    sizes = iter([4, 2])
    with pytest.raises(ValueError, match="losses gave 2 values in round 1 and 4 in the round before"):
        list(iterate(lambda theta: np.arange(float(next(sizes))), lambda theta, kept, t: theta, 0, 0.5, 1))


def test_a_round_prints_on_one_line():
    assert repr(Round(2, None, None, np.arange(10) < 6, 0.7, 1.5, 3, 3)) == (
        "Round 2: 6 of 10 kept, 3 entered, 3 left, objective 1.5"
    )


def test_a_round_with_a_mass_prints_how_many_samples_are_kept_not_how_much():
    torch = pytest.importorskip("torch")
    for mass in (np.array([3.0, 0.5, 0.0]), torch.tensor([3.0, 0.5, 0.0])):
        assert repr(Round(0, None, None, mass, 0.7, 1.5, 0, 1)).startswith("Round 0: 2 of 3 kept, ")


def test_fuzzed_problems_are_sound():
    pytest.importorskip("torch")
    import fuzz_trimming

    assert not {seed: found for seed in range(200) if (found := fuzz_trimming.faults(seed))}


# the package


def test_importing_costs_numpy_alone():
    code = "import sys, itlm; print(*(m for m in ('torch', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
