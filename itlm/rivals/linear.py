"""Other authors' methods for corrupted outputs in linear models, in short versions with their sources.

Some converge to the same points as trimming. Baselines from libraries, such as Huber's, are in
`itlm.experiments.regressors`.
"""

import numpy as np

from ..least_squares import least_trimmed_squares
from ..least_squares.rows import checked
from ..parameters import whole

__all__ = ["adaptive_thresholding", "alternating_minimization", "consistent_regression", "one_by_one"]


def consistent_regression(X, y, alpha: float, *, rounds: int = 500) -> np.ndarray:
    """Fit by CRR: estimate the outputs' errors by hard thresholding, subtract them, fit all; return theta, shape (d,).

    If the rounds converge, theta is the least squares fit of the samples of smallest residual: a fixed point of
    Algorithm 1. Source: Bhatia, Jain, Kamalaruban and Kar, NeurIPS 2017. They show that CRR is consistent if the errors
    do not depend on the features and the noise is Gaussian.

    Parameters
    ----------
    X : array, shape (n, d)
        Features: an array or a data frame with independent columns.
    y : array, shape (n,)
        Outputs.
    alpha : float in (0, 1]
        Fraction assumed clean; the other ``n - floor(alpha n)`` samples may have any error.
    rounds : int, at least 1
        Maximum number of rounds.

    Raises
    ------
    ValueError
        If ``rounds`` is below 1, alpha is out of range or assumes no clean sample, X or y has the wrong shape or
        numbers that are not finite, there are fewer samples than features, or the columns of X are dependent.
    """
    whole(1).check("rounds", rounds)
    X, y, h = _samples(X, y, alpha)
    gram, errors, theta = X.T @ X, np.zeros(len(y)), None
    for _ in range(rounds):
        before, theta = theta, np.linalg.solve(gram, X.T @ (y - errors))
        if before is not None and np.linalg.norm(theta - before) <= 1e-10 * np.linalg.norm(theta):
            break
        r = y - X @ theta
        errors = np.where(np.abs(r) > np.partition(np.abs(r), h - 1)[h - 1], r, 0.0)
    return theta


def adaptive_thresholding(X, y, *, rounds: int = 100, seed: int = 0) -> np.ndarray:
    """Fit by hard thresholding with a random threshold that follows the residuals; return theta, shape (d,).

    Source: after the idea of Suggala, Bhatia, Ravikumar and Jain, COLT 2019, with a simpler schedule. Each round drops
    the samples beyond 2 to 3 robust scales, the median absolute residual over 0.6745. Their schedule narrows an
    interval by the constants of a proof.

    Parameters
    ----------
    X, y
        As for `consistent_regression`.
    rounds : int, at least 1
        Number of rounds. Theta is the mean over their last half, since a random threshold never converges.
    seed : int
        Seeds the thresholds.

    Raises
    ------
    ValueError
        If ``rounds`` is below 1, or `consistent_regression` refuses X or y. If a round's kept samples have dependent
        columns, the error may be ``numpy.linalg.LinAlgError``, a subclass.
    """
    whole(1).check("rounds", rounds)
    X, y, _ = _samples(X, y)
    random, theta, late = np.random.default_rng(seed), np.linalg.lstsq(X, y, rcond=None)[0], []
    for t in range(rounds):
        r = np.abs(y - X @ theta)
        kept = r <= random.uniform(2, 3) * np.median(r) / 0.6745
        rows = X * kept[:, None]
        theta = np.linalg.solve(rows.T @ X, rows.T @ y)
        if t >= rounds // 2:
            late.append(theta)
    return np.mean(late, axis=0)


def alternating_minimization(X, y, k: int, *, starts: int = 1, rounds: int = 100, seed: int = 0) -> np.ndarray:
    """Fit a mixture of regressions: assign each sample to the component that fits it best, fit each component, repeat.

    Source: Yi, Caramanis and Sanghavi, ICML 2014, for two components; k as in k-means. The components are returned,
    shape (k, d). A component with fewer samples than features keeps its previous value.

    Parameters
    ----------
    X, y
        As for `consistent_regression`.
    k : int, at least 1
        Number of components.
    starts : int, at least 1
        Number of random starts, each of k fits to as many samples as there are features. The result of smallest loss is
        returned.
    rounds : int, at least 1
        Maximum number of rounds from each start.
    seed : int
        Seeds the starts.

    Raises
    ------
    ValueError
        If a count is below 1, or `consistent_regression` refuses X or y. If a component's samples have dependent
        columns, the error may be ``numpy.linalg.LinAlgError``, a subclass.
    """
    for name, count in (("k", k), ("starts", starts), ("rounds", rounds)):
        whole(1).check(name, count)
    X, y, _ = _samples(X, y)
    random, ends = np.random.default_rng(seed), []
    for _ in range(starts):
        thetas, owner = np.array([_elemental(X, y, random) for _ in range(k)]), None
        for _ in range(rounds):
            squares = (y[:, None] - X @ thetas.T) ** 2  # (n, k)
            before, owner = owner, squares.argmin(1)
            if before is not None and np.array_equal(owner, before):
                break
            for j in range(k):
                rows = X[owner == j]
                if len(rows) >= X.shape[1]:
                    thetas[j] = np.linalg.solve(rows.T @ rows, rows.T @ y[owner == j])
        ends.append((((y[:, None] - X @ thetas.T) ** 2).min(1).sum(), thetas))
    return min(ends, key=lambda end: end[0])[1]


def one_by_one(X, y, k: int, *, starts: int = 1, seed: int = 0) -> np.ndarray:
    """Fit a mixture of regressions by ITLM: find a component, set its samples aside, find the next.

    Each fit keeps four fifths of an equal share of the remaining samples. Then the samples within 3 robust scales are
    set aside, and the component is fitted to them once more. The result has shape (k, d), in the order found.

    Parameters
    ----------
    X, y, k, starts, seed
        As for `alternating_minimization`, with ``starts`` starts for each component. Columns of X may be dependent;
        solutions then have minimum norm.

    Raises
    ------
    ValueError
        If a count is below 1, X or y has the wrong shape or numbers that are not finite, there are fewer samples than
        features, or so few that a component would keep none.
    """
    for name, count in (("k", k), ("starts", starts)):
        whole(1).check(name, count)
    X, y, _ = _samples(X, y, dependent=True)
    rounding = 1e-9 * np.median(np.abs(y))  # allowed rounding error of residuals, for data without noise
    random, left, found = np.random.default_rng(seed), np.ones(len(y), bool), []
    for j in range(k):
        pool = left if left.sum() >= 2 * X.shape[1] else np.ones(len(y), bool)  # too few remain: use all samples
        rows, outputs = X[pool], y[pool]
        fits = [
            least_trimmed_squares(rows, outputs, 0.8 / (k - j), start=_elemental(rows, outputs, random))
            for _ in range(starts)
        ]
        best = min(fits, key=lambda fit: fit.objective)
        cut = 3 * np.median(np.abs(outputs - rows @ best.coef)[best.kept]) / 0.6745
        mine = np.abs(y - X @ best.coef) <= max(cut, rounding)
        found.append(np.linalg.lstsq(X[mine & pool], y[mine & pool], rcond=None)[0])
        left &= ~mine
    return np.array(found)


def _samples(X, y, alpha: float = 1.0, *, dependent: bool = False):
    """Return the checked samples as numbers, X (n, d) and y (n,), and the number that alpha keeps."""
    rows, _ = checked(X, y, alpha, None, False)
    X = rows.at(slice(None))
    n, d = X.shape
    if n < d:
        raise ValueError(f"X has {n} samples for {d} features: give at least as many")
    if not dependent:
        lengths = np.linalg.norm(X, axis=0)
        alike = X / np.where(lengths > 0, lengths, 1)
        rank = np.linalg.matrix_rank(alike.T @ alike, hermitian=True)
        if rank < d:
            raise ValueError(f"X has {d} columns of rank {rank}: leave out those that depend on others")
    return X, rows.y, rows.h


def _elemental(X, y, random) -> np.ndarray:
    """Return the fit to as many random samples as there are features."""
    few = random.choice(len(y), X.shape[1], replace=False)
    return np.linalg.lstsq(X[few], y[few], rcond=None)[0]
