"""Least trimmed squares against known truths: proved optima, another program's starts, symmetries, faults."""

import itertools
import shutil
import subprocess
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from itlm import iterate
from itlm.least_squares import least_trimmed_squares
from itlm.linear import OUTPUTS, simulate


def least_squares(X, y):
    return np.linalg.lstsq(X, y, rcond=None)[0]


def algorithm_1(X, y, alpha, start, rounds=200):
    """The rounds of the method, from the core alone."""
    return list(
        iterate(
            lambda theta: (y - X @ theta) ** 2,
            lambda theta, kept, t: least_squares(X[kept], y[kept]),
            start, alpha, rounds, stop_at_fixed_point=True,
        )
    )  # fmt: skip


# known truths


def test_the_solver_finds_the_proved_optimum_of_small_sets():
    for seed in range(10):
        random = np.random.default_rng(seed)
        X, y = random.standard_normal((12, 2)), random.standard_normal(12)
        sets = (list(chosen) for chosen in itertools.combinations(range(12), 8))
        best = min(np.linalg.lstsq(X[chosen], y[chosen], rcond=None)[1][0] for chosen in sets)
        assert abs(least_trimmed_squares(X, y, 8 / 12).objective / best - 1) < 1e-9


CLASSICS = ("hbk", "wood", "delivery", "salinity", "coleman", "aircraft", "education", "pulpfiber")  # in robustbase


@pytest.mark.skipif(not shutil.which("Rscript"), reason="R is not installed")
def test_the_objective_is_never_above_that_of_robustbases_500_starts(tmp_path):
    script = """
        if (!requireNamespace("robustbase", quietly = TRUE)) quit(status = 3)
        for (name in strsplit("%s", " ")[[1]]) {
          data(list = name, package = "robustbase"); Z <- get(name); Z <- as.matrix(Z[, sapply(Z, is.numeric)])
          X <- Z[, -ncol(Z), drop = FALSE]; y <- Z[, ncol(Z)]; set.seed(1)
          fit <- robustbase::ltsReg(X, y, mcd = FALSE, nsamp = 500)
          coef <- fit$raw.coefficients
          kept <- sort((y - coef[1] - X %%*%% coef[-1])^2)[1:fit$quan]
          write.table(Z, paste0(name, ".csv"), sep = ",", row.names = FALSE, col.names = FALSE)
          cat(name, fit$quan, format(sum(kept), digits = 17), "\n")
        }"""
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", script % " ".join(CLASSICS)], cwd=tmp_path, capture_output=True, text=True
    )
    if done.returncode == 3:
        pytest.skip("R's robustbase is not installed")
    assert not done.returncode, done.stderr
    compared = [line.split() for line in done.stdout.splitlines()]
    assert len(compared) == len(CLASSICS)
    for name, h, objective in compared:
        Z = np.loadtxt(tmp_path / f"{name}.csv", delimiter=",")
        alpha = min(1.0, (int(h) + 0.5) / len(Z))
        ours = least_trimmed_squares(Z[:, :-1], Z[:, -1], alpha, fit_intercept=True)
        assert ours.kept.sum() == int(h)
        assert ours.objective <= float(objective) * (1 + 1e-9), name


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_the_fused_solver_takes_algorithm_1s_steps(outputs):
    data = simulate(20000, 6, 0.75, 0.1, outputs, seed=3)
    start = least_squares(data.X, data.y)
    plain = algorithm_1(data.X, data.y, 0.7, start)
    fit = least_trimmed_squares(data.X, data.y, 0.7, start=start)
    assert fit.converged and (fit.kept == plain[-1].kept).all()
    assert np.allclose(fit.coef, plain[-1].theta, rtol=1e-9, atol=1e-12)
    assert np.allclose(fit.path, [step.objective for step in plain], rtol=1e-9)
    assert (np.diff(fit.path) <= 1e-9 * fit.path[0]).all()


def test_torrents_iterates_are_ours():
    data = simulate(500, 5, 0.8, 0.1, "sign_flip", seed=1)
    kept, thetas = np.ones(500, bool), []
    for _ in range(6):  # TORRENT-FC (Bhatia, Jain & Kar 2015): fully corrective, hard thresholding
        thetas.append(least_squares(data.X[kept], data.y[kept]))
        kept = np.zeros(500, bool)
        kept[np.argsort(np.abs(data.y - data.X @ thetas[-1]))[:375]] = True
    ours = algorithm_1(data.X, data.y, 0.75, thetas[0], rounds=5)
    assert all(np.allclose(step.theta, theta) for step, theta in zip(ours, thetas, strict=False))


def test_a_clean_gaussian_step_contracts_as_the_theory_has_it():
    alpha, random = 0.8, np.random.default_rng(0)
    z = np.sqrt(stats.chi2.ppf(alpha, 1))
    T = alpha - 2 * z * stats.norm.pdf(z)  # E z^2 over the smallest alpha-part of z^2
    X, noise = random.standard_normal((400_000, 2)), random.standard_normal(400_000)
    move = np.array([0.05, 0.0])
    ends = [least_trimmed_squares(X, noise, alpha, start=sign * move, max_iter=1).coef for sign in (1, -1)]
    assert abs((ends[0] - ends[1])[0] / 0.1 - (1 - T / alpha)) < 0.01


def test_numbers_that_cancel_leave_nothing_behind():
    random = np.random.default_rng(0)
    X, truth = random.standard_normal((500, 3)), np.array([1.0, -2.0, 3.0])
    y = X @ truth + 0.01 * random.standard_normal(500)
    X[:50] *= 1e9  # a lever that the first steps keep, and the last must not feel
    fit = least_trimmed_squares(X, y, 0.85, start=np.zeros(3))
    assert np.allclose(fit.coef, least_squares(X[fit.kept], y[fit.kept]), rtol=1e-9)
    assert np.allclose(least_trimmed_squares(X, y, 0.85).coef, truth, atol=0.01)


@given(st.integers(0, 1000), st.sampled_from([1, 3]), st.booleans())
@settings(max_examples=15, deadline=None)
def test_more_than_h_samples_on_a_plane_are_fitted_exactly(seed, d, ones):
    random = np.random.default_rng(seed)
    X, truth = random.standard_normal((40, d)), random.standard_normal(d)
    y = X @ truth + 2.5 * ones
    y[:8] += 10 * random.standard_normal(8)
    fit = least_trimmed_squares(X, y, 0.6, fit_intercept=ones)
    assert np.allclose(fit.coef[:d], truth, atol=1e-9) and fit.converged and fit.threshold < 1e-9
    assert not fit.kept[:8].any() and fit.kept.sum() == 24


@pytest.mark.parametrize("size", [1e20, -1e59, 1e100])
@pytest.mark.parametrize("n, d", [(50, 3), (6000, 4)])
def test_gross_outliers_are_outliers_like_any_other(n, d, size, tmp_path):
    data = simulate(n, d, 1.0, 0.1)
    X, y = data.X.copy(), data.y.copy()
    X[-1, 0] = y[0] = size
    fit = least_trimmed_squares(X, y, 0.8, fit_intercept=True)
    assert np.linalg.norm(fit.coef[:d] - data.theta) < 0.1 and fit.converged and not fit.kept[[0, -1]].any()
    np.save(tmp_path / "X.npy", X)
    mapped = least_trimmed_squares(np.load(tmp_path / "X.npy", mmap_mode="r"), y, 0.8, fit_intercept=True)
    assert (mapped.kept == fit.kept).all() and np.allclose(mapped.coef, fit.coef, rtol=1e-9)


# properties


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_equivariance(seed):
    random = np.random.default_rng(seed)
    data = simulate(300, 3, 0.8, 0.2, "sign_flip", seed=seed)
    X, y = data.X, data.y
    A, b, c = random.standard_normal((3, 3)), random.standard_normal(3), 3.7
    plain = least_trimmed_squares(X, y, 0.75, n_starts=1)
    for moved, back in (
        (least_trimmed_squares(X, y + X @ b, 0.75, n_starts=1), lambda coef: coef - b),
        (least_trimmed_squares(X, c * y, 0.75, n_starts=1), lambda coef: coef / c),
        (least_trimmed_squares(X @ A, y, 0.75, n_starts=1), lambda coef: A @ coef),
    ):
        assert (moved.kept == plain.kept).all()
        assert np.allclose(back(moved.coef), plain.coef, rtol=1e-9, atol=1e-9 * np.linalg.cond(A))


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=6, deadline=None)
def test_whole_weights_equal_repetition(seed, ones):
    random = np.random.default_rng(seed)
    X, y = random.standard_normal((30, 2)), random.standard_normal(30)
    weights = random.integers(0, 4, 30)
    weighted = least_trimmed_squares(X, y, 0.7, weights=weights, fit_intercept=ones)
    times = np.repeat(np.arange(30), weights)
    repeated = least_trimmed_squares(X[times], y[times], 0.7, fit_intercept=ones)
    assert np.isclose(weighted.objective, repeated.objective, rtol=1e-9)
    assert np.allclose(weighted.coef, repeated.coef)


def test_an_intercept_is_a_column_of_ones():
    data = simulate(400, 3, 0.8, 0.1, seed=5)
    y = data.y + 4
    with_ones = np.column_stack([data.X, np.ones(400)])
    start = least_squares(with_ones, y)
    ours = least_trimmed_squares(data.X, y, 0.75, fit_intercept=True, start=start)
    assert np.allclose(ours.coef, least_trimmed_squares(with_ones, y, 0.75, start=start).coef, rtol=1e-9)
    assert abs(ours.coef[-1] - 4) < 0.05


def test_robust_starts_resist_levers_that_catch_least_squares():
    data = simulate(1000, 5, 0.8, 0.1, "leverage", seed=1)
    caught = least_trimmed_squares(data.X, data.y, 0.75, n_starts=1)
    free = least_trimmed_squares(data.X, data.y, 0.75)
    assert np.linalg.norm(caught.coef - data.theta) > 0.5 and caught.kept[data.is_bad].any()
    assert np.linalg.norm(free.coef - data.theta) < 0.05 and not free.kept[data.is_bad].any()


def test_fewer_samples_than_coefficients_give_the_smallest_solution():
    random = np.random.default_rng(0)
    X, y = random.standard_normal((8, 20)), random.standard_normal(8)
    fit = least_trimmed_squares(X, y, 0.75)
    assert fit.objective < 1e-20 and np.allclose(fit.coef, np.linalg.pinv(X[fit.kept]) @ y[fit.kept])


def test_dependent_columns_are_no_obstacle():
    data = simulate(500, 3, 0.8, 0.1, seed=1)
    X = np.column_stack([data.X, data.X[:, 0], np.zeros(500)])
    fit, plain = least_trimmed_squares(X, data.y, 0.75), least_trimmed_squares(data.X, data.y, 0.75)
    assert np.isclose(fit.objective, plain.objective, rtol=1e-6) and fit.coef[4] == 0
    assert np.isclose(fit.coef[0], fit.coef[3]) and np.isclose(fit.coef[0] + fit.coef[3], plain.coef[0], rtol=1e-3)


# many samples


def test_a_memory_map_is_read_in_blocks_and_gives_the_same(tmp_path):
    data = simulate(200_000, 8, 0.8, 0.1, seed=1)
    np.save(tmp_path / "X.npy", data.X)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    plain = least_trimmed_squares(data.X, data.y, 0.75, n_starts=1)
    tracemalloc.start()
    mapped = least_trimmed_squares(X, data.y, 0.75, n_starts=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (mapped.kept == plain.kept).all() and np.allclose(mapped.coef, plain.coef, rtol=1e-12)
    assert peak <= 40 * 200_000 + 2**23  # 40 bytes a sample, and a few blocks


def test_a_single_precision_matrix_is_fitted_in_double():
    data = simulate(3000, 4, 0.8, 0.1)
    X = data.X.astype(np.float32)
    assert np.allclose(
        least_trimmed_squares(X, data.y, 0.75).coef, least_trimmed_squares(X.astype(float), data.y, 0.75).coef
    )


@pytest.mark.parametrize("weights", [None, np.full(400, 2.0)])
def test_large_offsets_take_no_digits(weights):
    data = simulate(400, 3, 0.8, 0.01, seed=2)
    near = least_trimmed_squares(data.X, data.y, 0.75, fit_intercept=True, weights=weights)
    far = least_trimmed_squares(data.X + 2e9, data.y + 1e9, 0.75, fit_intercept=True, weights=weights)
    assert (far.kept == near.kept).all() and np.allclose(far.coef[:-1], near.coef[:-1], atol=1e-6)
    assert np.isclose(far.objective, near.objective, rtol=1e-4) and np.allclose(far.path, near.path, rtol=1e-4)
    assert np.abs(data.y + 1e9 - (data.X + 2e9) @ far.coef[:-1] - far.coef[-1])[far.kept].max() < 2 * near.threshold
    given = least_trimmed_squares(data.X + 2e9, data.y + 1e9, 0.75, fit_intercept=True, weights=weights, start=far.coef)
    assert (given.kept == far.kept).all()


def test_few_starts_are_drawn_from_all_subsets():
    random = np.random.default_rng(0)
    for _ in range(20):
        X = random.standard_normal((30, 2))
        X = X[X[:, 0].argsort()]  # the bad samples have the smallest features: the first pairs would all hold one
        y = np.where(np.arange(30) < 12, 5 + random.standard_normal(30), X @ [1, 2] + 0.1 * random.standard_normal(30))
        best = least_trimmed_squares(X, y, 0.6).objective
        assert least_trimmed_squares(X, y, 0.6, n_starts=30).objective == pytest.approx(best)


@pytest.mark.parametrize(("n", "n_starts"), [(3000, 8), (300, 300)])
def test_starts_of_many_columns_need_little_memory(n, n_starts):
    X = np.random.default_rng(0).standard_normal((n, 150))  # 180 kB a start; all products of 3,000 rows: 540 MB
    tracemalloc.start()
    fit = least_trimmed_squares(X, X[:, 0], 0.99, n_starts=n_starts)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**26 and np.allclose(fit.coef, np.eye(150)[0])


@pytest.mark.parametrize(("n", "d", "alpha"), [(1100, 320, 0.1), (700, 600, 0.3)])
def test_where_the_chance_of_a_clean_subset_is_no_float_none_is_drawn(n, d, alpha):
    X = np.random.default_rng(0).standard_normal((n, d))
    fit = least_trimmed_squares(X, X[:, 0], alpha)
    assert fit.start != "elemental" and fit.objective < 1e-20


def test_samples_of_no_weight_are_as_if_absent():
    X = np.random.default_rng(0).standard_normal((8000, 2))
    weights = np.zeros(8000)
    weights[[3, 500, 2000, 4000, 6000, 7999]] = 1
    for seed in range(3):  # at some seeds no sample of a subsample has weight
        fit = least_trimmed_squares(X, X[:, 0], 0.75, weights=weights, random_state=seed)
        assert fit.kept.sum() == 4 and not fit.kept[weights == 0].any() and np.allclose(fit.coef, [1, 0])


# bad input

X, Y = np.arange(12.0).reshape(6, 2) ** 2, np.arange(6.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": X[:, 0]}, r"X must have shape \(n, d\), both at least 1, got \(6,\)"),
        ({"X": sparse.csr_array(X)}, r"X is sparse, which is not supported: give X.toarray\(\)"),
        ({"y": Y[:5]}, r"y must have shape \(6,\), one output a sample, got \(5,\)"),
        ({"X": np.where(X == 4, np.nan, X)}, "X has NaN or infinity: drop or correct these samples first"),
        ({"y": np.where(Y == 2, np.inf, Y)}, "y has NaN or infinity"),
        ({"X": X.astype(complex)}, "X must be real numbers, got dtype complex128"),
        ({"alpha": 0}, r"alpha must be in \(0, 1\], got 0"),
        ({"alpha": 2.0, "weights": np.full(6, 0.3)}, r"alpha must be in \(0, 1\], got 2.0"),
        ({"weights": -Y}, "weights must be finite, 0 or more and not all 0"),
        ({"weights": Y[:3]}, r"weights must have shape \(6,\), one a sample, got \(3,\)"),
        (
            {"weights": np.full(6, 1e308)},
            "weights sum to inf, outside 1e-150 to 1e\\+150: divide them by their largest",
        ),
        ({"weights": np.full(6, 1e-311)}, "weights sum to 6e-311, outside"),
        ({"weights": np.ma.masked_less(Y, 2)}, "weights has . masked values of 6"),
        ({"X": np.ma.masked_less(X, 0.5)}, "X has .* masked values of .*: drop these samples from all arrays"),
        ({"y": np.ma.masked_less(Y, 2)}, "y has . masked values of 6"),
        ({"y": Y.astype(complex)}, "y must be real numbers, got dtype complex128"),
        ({"y": Y.astype(str)}, "y must be real numbers, got dtype <U32"),
        ({"y": Y.astype("datetime64[s]")}, "y must be real numbers, got dtype datetime64"),
        ({"y": Y.astype(complex).astype(object)}, "y must be real numbers: "),
        ({"n_starts": 0}, "n_starts must be an integer of at least 1 or None, got 0"),
        ({"n_starts": 2.0}, "n_starts must be an integer of at least 1 or None, got 2.0"),
        ({"max_iter": 1.5}, "max_iter must be an integer of at least 1, got 1.5"),
        ({"start": [1.0]}, r"start must have shape \(2,\), one value a coefficient, got \(1,\)"),
        ({"start": [np.nan, 1.0]}, r"start must be finite, and .* got \[nan"),
        ({"y": np.r_[Y[:5], 1e160]}, r"y has numbers as large as 1e\+160: drop or correct .* below 1e\+150"),
        ({"X": 1e200 * X}, r"X has numbers as large as 1.21e\+202"),
        ({"y": 1e-170 * Y}, "y has a column with all numbers below 1e-150: give it in a smaller unit"),
    ],
)
def test_faults_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        least_trimmed_squares(**{"X": X, "y": Y, "alpha": 0.7, **change})


@pytest.mark.parametrize(
    "options", [{"n_starts": 1}, {"weights": np.full(300_000, 2.0), "start": np.zeros(4)}, {"fit_intercept": True}]
)
def test_broken_values_among_many_samples_are_found_too(options):
    data = simulate(300_000, 4, 1.0, 0.1)
    data.X[123_456, 2] = np.nan
    with pytest.raises(ValueError, match="X has NaN or infinity"):
        least_trimmed_squares(data.X, data.y, 0.9, **options)
