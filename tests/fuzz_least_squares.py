"""Fuzz least trimmed squares: odd tables, odd units, repeated samples; every fit must be a least squares fit.

    python tests/fuzz_least_squares.py                    two minutes
    python tests/fuzz_least_squares.py --seconds 3600     longer
    python tests/fuzz_least_squares.py --seed 17          one problem again

A problem is a seed. Each is checked against what must hold: the fit ends, at a fixed point; the objective never rises;
the fit is as good on the samples it keeps as a reference that scales every column; whole weights equal repetition.
"""

import sys
import time

import fuzzing
import numpy as np

from itlm.least_squares import least_trimmed_squares


def feature(random, n, kind):
    """Draw one column, or the columns of a category: (n, columns)."""
    if kind == "normal":
        return random.standard_normal((n, 1))
    if kind == "level":  # a full set of dummies, perhaps with rare levels
        levels = random.integers(2, 5)
        return np.eye(levels)[np.minimum(random.geometric(0.5, n) - 1, levels - 1)]
    if kind == "integer":
        return random.integers(-2, 3, (n, 1)).astype(float)
    if kind == "wide":
        return np.exp(4 * random.standard_normal((n, 1)))
    if kind == "constant":
        return np.full((n, 1), random.choice([0.0, 1.0, 1e6]))
    if kind == "time":  # nanoseconds
        return 1.7e18 + random.integers(0, 10 ** random.integers(10, 17), (n, 1)).astype(float)
    return random.uniform(1, 10, (n, 1)) * 10.0 ** random.integers(-15, 15)  # "unit"


KINDS = ("normal", "level", "integer", "wide", "constant", "time", "unit")


def problem(seed: int):
    """Draw a problem: X, y, and the arguments of the fit."""
    random = np.random.default_rng(seed)
    n = int(random.integers(4, 90))
    X = np.hstack([feature(random, n, random.choice(KINDS)) for _ in range(random.integers(1, 4))])
    if random.random() < 0.3:  # a column that depends on others
        X = np.column_stack([X, X @ random.integers(-1, 2, X.shape[1])])
    spread = X.std(0)
    y = (X - X.mean(0)) @ (random.standard_normal(X.shape[1]) / np.where(spread > 0, spread, 1))
    y += random.choice([0.0, 0.1, 1.0]) * random.standard_normal(n)
    bad = random.random(n) < random.choice([0.0, 0.1, 0.3])
    y[bad] += random.choice([5.0, -50.0, 1e4]) * random.random(bad.sum())
    if random.random() < 0.1:
        y = np.round(y)
    if random.random() < 0.3:  # as in a bootstrap
        again = random.integers(0, n, n)
        X, y = X[again], y[again]
    weights = random.choice([None, "whole", "real"])
    if weights is not None:
        weights = random.integers(0, 4, n).astype(float) if weights == "whole" else random.random(n) + 0.01
        weights = None if not weights.any() else weights
    alpha = float(random.choice([0.5, 0.75, 0.9, 1.0, random.uniform(0.5, 1)]))
    return X, y * 10.0 ** random.integers(-6, 7), {
        "alpha": alpha, "weights": weights, "fit_intercept": bool(random.random() < 0.6), "random_state": seed,
    }  # fmt: skip


def reference(X, y, mass, ones: bool) -> float:
    """Return the sum of squares of a least squares fit on columns about their means, of equal length."""
    root = np.sqrt(mass)
    if ones:
        X, y = X - mass @ X / mass.sum(), y - mass @ y / mass.sum()
    X, y = X * root[:, None], y * root
    length = np.linalg.norm(X, axis=0)
    X = X[:, length > 0] / length[length > 0]
    return float(((y - X @ np.linalg.lstsq(X, y, rcond=1e-11)[0]) ** 2).sum())


def determined(X, ones: bool) -> bool:
    """Return whether no combination of columns is within rounding of 0, unless it is 0."""
    X = X - X.mean(0) if ones else X
    length = np.linalg.norm(X, axis=0)
    size = np.linalg.svd(X[:, length > 0] / length[length > 0], compute_uv=False)
    return bool((size > 1e-8 * size.max(initial=0.0)).all())


def faults(seed: int) -> list[str]:
    """Say what is wrong with the fit of a problem."""
    X, y, options = problem(seed)
    began = time.perf_counter()
    try:
        fit = least_trimmed_squares(X, y, **options)
    except ValueError as error:
        return [] if "keeps" in str(error) and "samples" in str(error) else [f"ValueError: {error}"]
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    found, ones, weights = [], options["fit_intercept"], options["weights"]
    if (took := time.perf_counter() - began) > 5:
        found.append(f"took {took:.1f} s")
    total = float(((y - np.median(y) * ones)[fit.kept] ** 2).sum())
    rounding = 1e-12 * total + 1e-9 * fit.objective
    if not fit.converged:
        found.append("no fixed point")
    rises = np.diff(fit.path).max(initial=0.0)
    if rises > rounding + 1e-9 * max(fit.path):
        found.append(f"the objective rises by {rises:.3g}: {fit.path}")
    if weights is None:
        best = reference(X[fit.kept], y[fit.kept], np.ones(fit.kept.sum()), ones)
        size = np.abs(X) @ np.abs(fit.coef[: X.shape[1]])
        noise = fit.kept.sum() * (1e-13 * size[fit.kept].max()) ** 2  # what the numbers themselves can resolve
        if fit.objective > best * (1 + 1e-6) + rounding + noise:
            found.append(f"objective {fit.objective:.6g}, least squares on the kept {best:.6g}, of {total:.3g}")
    if weights is not None and (weights == np.round(weights)).all() and determined(X[weights > 0], ones):
        repeated = weights.astype(int)
        other = least_trimmed_squares(np.repeat(X, repeated, 0), np.repeat(y, repeated), **options | {"weights": None})
        if not np.isclose(other.objective, fit.objective, rtol=1e-6, atol=rounding):
            found.append(f"weights {fit.objective:.6g}, repetition {other.objective:.6g}")
    return found


if __name__ == "__main__":
    sys.exit(fuzzing.main(faults, __doc__.splitlines()[0]))
