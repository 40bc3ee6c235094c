"""The theory: closed forms against numbers, bounds on random instances, what is asked where nothing exists."""

import numpy as np
import pytest
from scipy import integrate, stats

from itlm import theory
from itlm.experiments.one_step import aside
from itlm.least_squares import least_trimmed_squares
from itlm.linear import LINKS, OUTPUTS, largest_step, simulate


def instance(seed, outputs="random", n=200, d=5, clean=0.8, sigma=0.3, distance=0.5, link="identity"):
    data = simulate(n, d, clean, sigma, outputs, link, seed)
    return data, aside(data.theta, distance, seed)


def test_central_square_keeps_its_digits_at_both_ends():
    for a in (1e-6, 0.99e-4, 1.01e-4):
        q = stats.norm.ppf(0.5 + a / 2)
        assert theory.central_square(a) == pytest.approx(2 * stats.norm.pdf(0) * q**3 / 3, rel=1e-3)
    assert theory.central_square(0) == 0 and theory.central_square(np.nextafter(1, 0)) == 1
    assert theory.outer_square(1e-16) == 0


@pytest.mark.parametrize("a", [0.05, 0.3, 0.7, 0.95, 1.0])
def test_central_square_is_the_integral_it_stands_for(a):
    q = stats.norm.ppf(0.5 + a / 2)
    integral = integrate.quad(lambda z: z * z * stats.norm.pdf(z), -min(q, 40), min(q, 40))[0]
    assert theory.central_square(a) == pytest.approx(integral, abs=1e-9)
    assert theory.outer_square(1 - a) == pytest.approx(1 - integral, abs=1e-9)


def test_eigenvalues_of_all_subsets_lie_in_their_brackets():
    from itertools import combinations

    for seed in range(5):
        X = np.random.default_rng(seed).standard_normal((12, 2))
        for k in (1, 3, 9, 12):
            values = [np.linalg.eigvalsh(X[list(s)].T @ X[list(s)]) for s in combinations(range(12), k)]
            exact = min(v[0] for v in values), max(v[-1] for v in values)
            for bracket, value in zip(
                (theory.smallest_eigenvalue(X, k), theory.largest_eigenvalue(X, k)), exact, strict=True
            ):
                assert bracket.low <= value + 1e-9 and value <= bracket.high + 1e-9
            assert theory.largest_eigenvalue(X, k).low == pytest.approx(exact[1])  # the search finds these


def test_eigenvalues_tend_to_the_closed_forms():
    X = np.random.default_rng(0).standard_normal((20_000, 3))
    assert theory.smallest_eigenvalue(X, 16_000).high / 20_000 == pytest.approx(theory.central_square(0.8), rel=0.03)
    assert theory.largest_eigenvalue(X, 4000).low / 20_000 == pytest.approx(theory.outer_square(0.2), rel=0.03)


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_the_identity_is_exact_and_the_bound_holds(outputs):
    for seed in range(20):
        data, theta = instance(seed, outputs, distance=10.0 ** (seed % 5 - 3))
        step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad, 0.75)
        kept = np.sort(np.abs(data.y - data.X @ theta))[149]
        assert np.array_equal(step.kept, np.abs(data.y - data.X @ theta) <= kept)
        assert np.allclose(step.theta, np.linalg.lstsq(data.X[step.kept], data.y[step.kept], rcond=None)[0])
        assert step.gap <= 1e-10 * max(1, step.distance)
        assert step.error <= theory.lemma_5(step, root_2=False) * (1 + 1e-9) <= theory.lemma_5(step) * (1 + 1e-9)


@pytest.mark.parametrize("link", LINKS)
def test_the_gradient_step_keeps_its_bound_up_to_the_largest_step(link):
    for seed in range(20):
        data, theta = instance(seed, link=link, distance=0.1 + seed % 3, outputs=OUTPUTS[seed % len(OUTPUTS)])
        kept = theory.selection(data.X, data.y, theta, 0.75, link)
        for size in (0.1 * largest_step(data.X, kept, link), largest_step(data.X, kept, link)):
            step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad, 0.75, link=link, step=size)
            assert step.gap <= 1e-10
            assert step.error <= theory.lemma_6(step, size, link=link) * (1 + 1e-9)


def test_beyond_the_largest_step_the_bound_fails():
    data, theta = instance(0, clean=1.0, sigma=0.01)
    kept = theory.selection(data.X, data.y, theta, 0.75)
    size = 2 * largest_step(data.X, kept)
    step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad, 0.75, step=size)
    assert step.error > theory.lemma_6(step, size)


def test_the_population_step_is_what_many_samples_do():
    n, clean, alpha, sigma, spread = 400_000, 0.7, 0.65, 0.5, 0.8
    data = simulate(n, 2, clean, sigma, "random", seed=1, spread=spread)
    for rho in (0.7, 0.95):
        step = theory.take_step(data.X, data.y, rho * data.theta, data.theta, data.is_bad, alpha)
        assert step.theta @ data.theta == pytest.approx(
            theory.population_step(rho, alpha, clean, sigma, spread), abs=0.006
        )


def test_without_bad_samples_the_population_contracts_by_the_closed_form():
    for ratio in (0.1, 1.0, 5.0):
        after = theory.population_step(1 - 0.2 * ratio, 0.8, 1.0, 0.2)
        assert (1 - after) / (0.2 * ratio) == pytest.approx(theory.clean_contraction(0.8, ratio), rel=1e-6)
    assert theory.clean_contraction(1.0, 1.0) == 0 == theory.population_limit(0.8, 1.0, 0.5)


@pytest.mark.parametrize("alpha", [1e-7, 1e-12])
def test_the_population_can_keep_next_to_nothing(alpha):
    assert theory.population_step(0.5, alpha, 0.8, 0.1) == pytest.approx(0.5)
    few = [theory.population_loss(0.5, part, 0.8, 0.1) / part**3 for part in (alpha, 1e-3)]
    assert few[0] == pytest.approx(few[1], rel=1e-3)  # as T does, which is about pi a^3 / 6


def test_random_outputs_leave_an_error_that_grows_with_the_noise():
    left = [theory.population_limit(0.65, 0.7, sigma) for sigma in (0.01, 0.1, 0.5, 1.0)]
    assert left == sorted(left) and left[0] < 1e-4 < 0.02 < left[2]


def test_identification_holds_for_oblivious_errors_and_fails_for_random_outputs():
    along = np.linspace(0.5, 1.2, 71)
    least = {
        kind: along[np.argmin([theory.population_loss(rho, 0.65, 0.7, 1.0, outputs=kind) for rho in along])]
        for kind in ("oblivious", "random")
    }
    assert least["oblivious"] == pytest.approx(1.0) and least["random"] < 0.95
    assert theory.population_limit(0.65, 0.7, 1.0, outputs="oblivious") < 1e-6
    assert 1 - least["random"] == pytest.approx(theory.population_limit(0.65, 0.7, 1.0), abs=0.01)


def test_the_exact_estimator_is_what_the_solver_finds():
    for seed in range(10):
        data = simulate(14, 2, 0.8, 0.5, "random", seed=seed)
        theta, objective = theory.exact_trimmed_squares(data.X, data.y, 0.75)
        found = least_trimmed_squares(data.X, data.y, 0.75)
        assert found.objective == pytest.approx(objective) and np.allclose(found.coef, theta)


def test_certified_corruption_solves_its_equation():
    for level in (0.5, 1.0):
        for both in (True, False):
            b = theory.certified_corruption(level, both_terms=both)
            factor = np.sqrt(2) * (2 if both else 1)
            assert factor * theory.outer_square(b) / theory.central_square(1 - b) == pytest.approx(level)
            assert b < theory.certified_corruption(level, both_terms=both, root_2=False)


def test_the_basin_asks_for_less_noise_where_less_is_kept():
    assert theory.basin(0.6, 1.0, 2.0, 0.5) == 2.0  # C = 1: no condition on the noise
    assert theory.basin(0.4, 0.5, 2.0, 0.5) < theory.basin(0.4, 0.5, 2.0, 0.1) < 2.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda X, y, t, bad: theory.take_step(X, y, t, t, bad, 0.01), "alpha n >= d is needed"),
        (lambda X, y, t, bad: theory.take_step(X, y, t, t, bad, 0.5, link="wavy"), "Lemma 5 is about full updates"),
        (lambda X, y, t, bad: theory.take_step(X, y, t, t, bad, 0.5, step=0.0), "step must be a number above 0"),
        (lambda X, y, t, bad: theory.smallest_eigenvalue(X, 0), r"k must be an integer in \[1, 200\], got 0"),
        (lambda X, y, t, bad: theory.largest_eigenvalue(X, 3.0), r"k must be an integer in \[1, 200\], got 3.0"),
        (lambda X, y, t, bad: theory.largest_eigenvalue(X[:, 0], 1), "shape"),
        (lambda X, y, t, bad: theory.exact_trimmed_squares(X, y, 0.01), "alpha n >= d is needed"),
        (lambda X, y, t, bad: theory.exact_trimmed_squares(X, y, 0.5), "enumerate at most a million"),
        (lambda X, y, t, bad: theory.population_step(0.5, 0.5, 0.8, 1.0, outputs="mixture"), "have no closed form"),
        (
            lambda X, y, t, bad: theory.population_step(0.5, 0.5, 1.2, 1.0),
            r"clean must be a number in \(0, 1\], got 1.2",
        ),
        (lambda X, y, t, bad: theory.basin(1.0, 1.0, 1.0, 0.1), r"alpha must be in \(0, 1\)"),
        (lambda X, y, t, bad: theory.central_square(1.2), r"a must be a number in \[0, 1\], got 1.2"),
        (lambda X, y, t, bad: theory.clean_contraction(0.0, 1.0), r"alpha must be a number in \(0, 1\], got 0.0"),
        (lambda X, y, t, bad: theory.selection(X, y, t, 0.5, "logit"), "link must be one of identity, leaky, wavy"),
        (lambda X, y, t, bad: theory.population_step(0.5, 0.5, 0.8, 0.0), "sigma must be above 0"),
        (lambda X, y, t, bad: theory.certified_corruption(0.0), r"level must be a number in \[1e-06, 100\], got 0.0"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(call, said):
    data, theta = instance(0)
    with pytest.raises(ValueError, match=said):
        call(data.X, data.y, theta, data.is_bad)


def test_a_link_without_bounds_has_no_lemma_6(monkeypatch):
    data, theta = instance(0)
    step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad, 0.75, step=0.1)
    monkeypatch.setitem(LINKS, "flat", LINKS["identity"]._replace(low=0.0))
    with pytest.raises(ValueError, match="Lemma 6 needs 0 < a and b finite"):
        theory.lemma_6(step, 0.1, link="flat")


def test_whole_numbers_are_numbers():
    X, ones = np.arange(12).reshape(6, 2) ** 2, np.ones(2, int)
    step = theory.take_step(X, X @ ones, ones, 2 * ones, np.zeros(6), 0.75, step=0.1)
    assert np.array_equal(step.theta, ones) and step.gap < 1e-9


def test_the_truth_may_be_given_as_numbers():
    data, theta = instance(0)
    step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad.astype(int), 0.75)
    assert step.gap < 1e-12 and step.n_bad == (step.kept & data.is_bad).sum()


def test_without_kept_bad_samples_their_terms_are_zero():
    data, theta = instance(0, clean=1.0)
    step = theory.take_step(data.X, data.y, theta, data.theta, data.is_bad, 0.75)
    assert step.gamma == step.phi == step.n_bad == 0
