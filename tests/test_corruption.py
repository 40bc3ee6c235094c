"""Label errors and subsets: exact counts, uniform errors, faults by name."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from itlm.deep.corruption import (
    confusable_labels,
    imbalanced_subset,
    mixture_of_sets,
    random_labels,
    resized,
    stratified_subset,
    systematic_labels,
)

KINDS = [random_labels, systematic_labels]
LABELS = hnp.arrays(st.sampled_from([np.uint8, np.int32, np.int64]), st.integers(1, 80), elements=st.integers(0, 9))
SEEDS = st.integers(0, 2**32)


def rng(seed=0):
    return np.random.default_rng(seed)


# errors of either kind


@pytest.mark.parametrize("spoil", KINDS)
@given(labels=LABELS, clean=st.floats(0, 1), seed=SEEDS)
def test_each_class_gets_exactly_its_number_of_errors_and_the_truth_is_told(spoil, labels, clean, seed):
    before = labels.copy()
    noisy = spoil(labels, clean, 10, rng(seed))
    assert (labels == before).all()
    assert (noisy.is_bad == (noisy.labels != labels)).all()
    assert noisy.rate == noisy.is_bad.mean()
    assert noisy.labels.dtype.kind == "i" and 0 <= noisy.labels.min() and noisy.labels.max() <= 9
    for c in np.unique(labels):
        m = (labels == c).sum()
        assert noisy.is_bad[labels == c].sum() == m - round(clean * m)


@pytest.mark.parametrize("spoil", KINDS)
def test_the_seed_decides_everything(spoil):
    labels = np.arange(300) % 10
    first, again, other = (spoil(labels, 0.6, 10, rng(seed)) for seed in (1, 1, 2))
    assert (first.labels == again.labels).all()
    assert (first.is_bad != other.is_bad).any()


@pytest.mark.parametrize("spoil", KINDS)
def test_every_sample_of_a_class_is_as_likely_to_be_spoilt(spoil):
    labels = np.repeat([0, 1], 50)
    counts = sum(spoil(labels, 0.6, 2, rng(seed)).is_bad.astype(int) for seed in range(1000))
    assert counts.sum() == 1000 * 40
    spread = (1 - 20 / 50) / (1 - 1 / 50)  # drawn without replacement, counts vary less than chi-square has it
    for part in counts.reshape(2, 50):
        assert stats.chi2.cdf(stats.chisquare(part).statistic / spread, 49) < 0.999


@pytest.mark.parametrize("spoil", KINDS)
def test_bytes_do_not_wrap_around(spoil):
    labels = np.arange(256, dtype=np.uint8)
    noisy = spoil(labels, 0, 256, rng())
    assert noisy.is_bad.all() and noisy.labels.min() >= 0 and noisy.labels.max() <= 255
    assert systematic_labels(labels, 0, 256, rng()).labels.tolist() == [*range(1, 256), 0]


@pytest.mark.parametrize("spoil", KINDS)
@pytest.mark.parametrize(("clean", "rate"), [(1, 0.0), (0, 1.0)])
def test_all_right_and_all_wrong(spoil, clean, rate):
    assert spoil(np.arange(50) % 10, clean, 10, rng()).rate == rate


@pytest.mark.parametrize("spoil", KINDS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [0, 10, 3, 11]}, r"labels must be in 0\.\.9, got 10 at index 1 and 1 more"),
        ({"labels": [0, 3, -1]}, r"labels must be in 0\.\.9, got -1 at index 2 and 0 more"),
        ({"labels": [0.0, 1.0]}, r"labels must be integers of shape \(n,\), got dtype float64"),
        ({"labels": [[0, 1]]}, r"labels must be integers .* shape \(1, 2\)"),
        ({"labels": ["a"]}, "labels must be integers"),
        ({"labels": np.ma.array([0, 1], mask=[0, 1])}, "labels has 1 masked values of 2"),
        ({"n_classes": 2.5}, "n_classes must be an integer of at least 0, got 2.5"),
        ({"clean": -0.1}, r"clean must be in \[0, 1\], got -0.1"),
        ({"clean": 60}, r"clean must be in \[0, 1\], got 60"),
        ({"clean": float("nan")}, r"clean must be in \[0, 1\], got nan"),
        ({"labels": [0, 0], "n_classes": 1}, "n_classes must be at least 2, got 1"),
    ],
)
def test_faults_are_named(spoil, changes, message):
    with pytest.raises(ValueError, match=message):
        spoil(**{"labels": [0, 1], "clean": 0.5, "n_classes": 10, "random": rng()} | changes)


# random errors


def test_random_errors_are_uniform_over_the_wrong_labels():
    labels = np.repeat(np.arange(10), 2000)
    noisy = random_labels(labels, 0.1, 10, rng())
    for c in range(10):
        given_to = np.bincount(noisy.labels[(labels == c) & noisy.is_bad], minlength=10)
        assert given_to[c] == 0 and given_to.sum() == 1800
        assert stats.chisquare(np.delete(given_to, c)).pvalue > 1e-3


def test_with_two_classes_a_random_error_is_the_other_one():
    labels = np.arange(100) % 2
    noisy = random_labels(labels, 0.7, 2, rng())
    assert (noisy.labels == np.where(noisy.is_bad, 1 - labels, labels)).all() and noisy.rate == 0.3


# systematic errors


def test_systematic_errors_become_the_next_class():
    labels = np.arange(1000) % 10
    noisy = systematic_labels(labels, 0.6, 10, rng())
    assert (noisy.labels == (labels + noisy.is_bad) % 10).all() and noisy.rate == 0.4


def test_systematic_errors_follow_a_map_and_a_class_mapped_to_itself_stays_clean():
    labels, to = np.arange(1000) % 10, np.array([0, 7, 3, 2, 4, 6, 5, 1, 8, 9])
    noisy = systematic_labels(labels, 0.5, 10, rng(), to=to.tolist())
    assert (noisy.labels == np.where(noisy.is_bad, to[labels], labels)).all()
    assert [noisy.is_bad[labels == c].sum() for c in range(10)] == [0, 50, 50, 50, 0, 50, 50, 50, 0, 0]
    assert noisy.rate == 0.3  # counted: half was asked for, four classes of ten cannot be wrong


@pytest.mark.parametrize("to", [[1, 0], list(range(1, 11)), [-1] * 10, [0.5] * 10, [], 3])
def test_a_bad_map_is_named(to):
    with pytest.raises(ValueError, match=r"to must give one class in 0\.\.9 for each of 10 classes, got"):
        systematic_labels(np.arange(10), 0.5, 10, rng(), to=to)


# subsets


@given(labels=LABELS, part=st.floats(0.001, 1), seed=SEEDS)
def test_a_stratified_subset_has_the_classes_in_proportion_by_largest_remainder(labels, part, seed):
    n = max(1, int(part * len(labels)))
    chosen = stratified_subset(labels, n, rng(seed))
    assert len(chosen) == n and (np.diff(chosen) > 0).all()
    classes, sizes = np.unique(labels, return_counts=True)
    shares = np.array([(labels[chosen] == c).sum() for c in classes])
    down, remainders = n * sizes // len(labels), n * sizes % len(labels)
    up = shares > down
    assert (shares == down + up).all()
    if up.any():
        assert remainders[up].min() >= remainders[~up].max(initial=0)


def test_where_the_proportions_allow_it_a_subset_has_them_exactly():
    labels = rng().permutation(np.repeat([3, 5, 200], [100, 200, 700]))
    chosen = stratified_subset(labels.astype(np.uint8), 50, rng(1))
    assert np.bincount(labels[chosen])[[3, 5, 200]].tolist() == [5, 10, 35]


def test_a_subset_of_everything_is_everything():
    assert stratified_subset([2, 0, 0, 1], 4, rng()).tolist() == [0, 1, 2, 3]


def test_the_seed_decides_the_subset():
    labels = np.arange(1000) % 10
    first, again, other = (stratified_subset(labels, 100, rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("n", [0, -1, 11, 2.5, "3"])
def test_a_subset_of_a_size_that_cannot_be_is_named(n):
    with pytest.raises(ValueError, match=f"n must be between 1 and the 10 samples there are, got {n}"):
        stratified_subset(np.arange(10), n, rng())


@given(labels=LABELS, rare=st.sets(st.integers(0, 9)), ratio=st.floats(1, 1000), seed=SEEDS)
def test_rare_classes_keep_one_in_ratio_and_the_others_all(labels, rare, ratio, seed):
    rare &= set(labels.tolist())
    chosen = imbalanced_subset(labels, sorted(rare), ratio, rng(seed))
    assert (np.diff(chosen) > 0).all()
    for c in np.unique(labels).tolist():
        m = (labels == c).sum()
        assert (labels[chosen] == c).sum() == (max(1, round(m / ratio)) if c in rare else m)


@pytest.mark.parametrize(
    ("rare", "ratio", "message"),
    [
        ([1, 7, 9], 10, r"rare has classes \[7, 9\], which labels lacks; it has \[0, 1\]"),
        ([1], 0.1, "ratio must be at least 1, got 0.1"),
        ([1], float("nan"), "ratio must be at least 1, got nan"),
    ],
)
def test_an_imbalance_that_cannot_be_is_named(rare, ratio, message):
    with pytest.raises(ValueError, match=message):
        imbalanced_subset([0, 1, 1], rare, ratio, rng())


def test_confusable_errors_are_the_images_nearest_to_the_nearest_class():
    random = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]])
    labels = np.repeat([0, 1, 2], 40)
    images = (centres[labels] + 0.2 * random.standard_normal((120, 2))).reshape(120, 2, 1)
    noisy = confusable_labels(labels, images, 0.75, 3)
    assert noisy.rate == pytest.approx(0.25) and noisy.is_bad.reshape(3, 40).sum(1).tolist() == [10, 10, 10]
    assert [set(noisy.labels[noisy.is_bad & (labels == c)].tolist()) for c in range(3)] == [{1}, {0}, {1}]
    means = np.stack([images[labels == c].mean(0) for c in range(3)])
    towards = ((images - means[labels]) ** 2).sum((1, 2)) - ((images - means[[1, 0, 1]][labels]) ** 2).sum((1, 2))
    for c in range(3):
        assert towards[noisy.is_bad & (labels == c)].min() > towards[~noisy.is_bad & (labels == c)].max()
    with pytest.raises(ValueError, match="labels has no sample of class 3"):
        confusable_labels(labels, images, 0.75, 4)


# images, and what draws


GREY = np.zeros((5, 4, 4), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mixture_of_sets(GREY, GREY, 0, 0.5, rng()), "n must be an integer of at least 1, got 0"),
        (lambda: mixture_of_sets(GREY, GREY, 2.0, 0.5, rng()), "n must be an integer of at least 1, got 2.0"),
        (lambda: mixture_of_sets(GREY, GREY, 4, 0.5, rng(), size=0), "size must be an integer of at least 1, got 0"),
        (
            lambda: mixture_of_sets(GREY / 255, GREY, 4, 0.5, rng()),
            r"clean_images must be uint8, in 0\.\.255, got dtype float64: convert it, .*255 \* clean_images",
        ),
        (lambda: mixture_of_sets(GREY, GREY.astype(int), 4, 0.5, rng()), "bad_images must be uint8, .* dtype int64"),
        (lambda: resized(GREY / 255, 8), "images must be uint8"),
        (lambda: resized(GREY[0], 8), r"images must have shape \(n, height, width\) or .*, got \(4, 4\)"),
    ],
)
def test_images_that_are_no_bytes_and_sizes_that_cannot_be_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("random", [3, None, np.random.RandomState(0)])
@pytest.mark.parametrize(
    "call",
    [
        lambda random: random_labels([0, 1], 0.5, 2, random),
        lambda random: systematic_labels([0, 1], 0.5, 2, random),
        lambda random: mixture_of_sets(GREY, GREY, 4, 0.5, random),
        lambda random: stratified_subset([0, 1], 1, random),
        lambda random: imbalanced_subset([0, 1], [1], 2, random),
    ],
)
def test_a_seed_in_place_of_a_generator_is_named_with_the_remedy(call, random):
    with pytest.raises(
        ValueError, match=r"random must be a numpy.random.Generator, got .*: give numpy.random.default_"
    ):
        call(random)
