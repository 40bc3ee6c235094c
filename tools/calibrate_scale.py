"""Simulate how far residuals on clean Gaussian data shrink, fit the constants of the scale, check the scale.

    python tools/calibrate_scale.py fit      the constants in itlm/least_squares/scale.py (20 minutes)
    python tools/calibrate_scale.py check    mean of scale_ / sigma (10 minutes)

Each fit is divided by what the true coefficients give on the same noise, whose expectation is known well: a few
samples then tell the shrinkage to a percent.
"""

import sys

import numpy as np
from scipy.optimize import least_squares

from itlm import n_kept
from itlm.estimators import TrimmedRegressor
from itlm.least_squares import least_trimmed_squares, scale
from itlm.least_squares.scale import CUT

CONSTANTS = ("SMALL_P", "CURVE", "FINAL_FIT", "FINAL_TRIM")


def draw(n: int, p: int, seed: int):
    """Features with an intercept's ones, and pure noise: shapes (n, p) and (n,)."""
    random = np.random.default_rng([n, p, seed])
    return np.column_stack([random.standard_normal((n, p - 1)), np.ones(n)]), random.standard_normal(n)


def root_mean_square(r, chosen) -> float:
    """Of the chosen residuals."""
    return float(np.sqrt((r[chosen] ** 2).mean()))


def shrinkage(n: int, p: int, alpha: float):
    """Root mean square of kept residuals, and of those that remain after rejection: means and relative errors."""
    h, repeats = n_kept(n, alpha), int(np.clip(4000 / n, 3, 60))
    noise = np.random.default_rng(1).standard_normal((max(50, 3_000_000 // n), n)) ** 2
    true_raw = np.sqrt(np.partition(noise, h - 1, axis=1)[:, :h].mean(1)).mean()
    true_final = np.sqrt(np.nanmean(np.where(noise <= CUT**2, noise, np.nan), axis=1)).mean()
    coefs, raw, final = [], [], []
    for seed in range(repeats):
        X, y = draw(n, p, seed)
        fit = least_trimmed_squares(X, y, (h + 0.5) / n if h < n else 1.0, random_state=seed)
        coefs.append(fit.coef)
        raw.append((np.sqrt(fit.objective / h), root_mean_square(y, np.argsort(y**2)[:h])))
    raw = np.array(raw)
    ratio = raw[:, 0] / raw[:, 1]
    scales = raw[:, 0] / (true_raw * ratio.mean())
    for seed in range(repeats):
        X, y = draw(n, p, seed)
        chosen = np.abs(y - X @ coefs[seed]) <= CUT * scales[seed]
        theta = np.linalg.lstsq(X[chosen], y[chosen], rcond=None)[0]
        final.append(root_mean_square(y - X @ theta, chosen) / root_mean_square(y, np.abs(y) <= CUT))
    return [
        (true * np.mean(found), np.std(found) / np.sqrt(repeats) / np.mean(found))
        for true, found in ((true_raw, ratio), (true_final, final))
    ]


def fit() -> None:
    """Fit the constants where n is at least 8 p, and say how far off the formulas are where it is at least 10 p."""
    cells = [
        (p * k, p, alpha)
        for p in (2, 5, 10, 20, 50, 100)
        for k in (8, 10, 20, 50, 150)
        for alpha in (0.5, 0.6, 0.7, 0.8, 0.9, 0.97)
        if 20 <= p * k <= 8000
    ]
    found = [shrinkage(*cell) for cell in cells]
    mean, error = np.array(found).transpose(2, 1, 0)  # (2, cells): raw, final

    def misfits(values):
        for name, value in zip(CONSTANTS, values, strict=True):
            setattr(scale, name, value)
        formulas = [
            [function(n_kept(n, alpha), n, p) for n, p, alpha in cells]
            for function in (scale.raw_shrinkage, scale.final_shrinkage)
        ]
        return np.log(np.array(formulas) / mean)

    weights = 1 / np.hypot(error, 0.005)
    best = least_squares(lambda values: (weights * misfits(values)).ravel(), [getattr(scale, c) for c in CONSTANTS])
    print(*(f"{name} {value:.3g}" for name, value in zip(CONSTANTS, best.x, strict=True)))
    large = np.array([n >= 10 * p for n, p, _ in cells])
    for name, off in zip(("raw", "final"), misfits(best.x)[:, large], strict=True):
        print(f"{name}: off by {np.sqrt((off**2).mean()):.1%} (root mean square), {np.abs(off).max():.1%} at most")


def check() -> None:
    """Print the mean of raw_scale_ and scale_ over sigma, with the standard error of the latter."""
    print(f"{'n':>6} {'p':>4} {'support':>8} {'raw':>7} {'final':>7} {'error':>7} {'rejected':>9}")
    for n in (50, 100, 1000, 10000):
        for p in (2, 5, 20, 100):
            for support in (0.5, 0.65, 0.75, 0.9):
                if n < 2 * p:
                    continue
                rows = []
                for seed in range(int(np.clip(30000 / n, 4, 200))):
                    X, y = draw(n, p, 1000 + seed)
                    fitted = TrimmedRegressor(support, random_state=seed).fit(X[:, :-1], y)
                    rows.append((fitted.raw_scale_, fitted.scale_, 1 - fitted.inlier_mask_.mean()))
                raw, final, rejected = np.mean(rows, axis=0)
                error = np.std(rows, axis=0)[1] / np.sqrt(len(rows))
                print(f"{n:6} {p:4} {support:8} {raw:7.3f} {final:7.3f} {error:7.3f} {rejected:9.3f}", flush=True)


if __name__ == "__main__":
    {"fit": fit, "check": check}[sys.argv[1] if len(sys.argv) == 2 else "check"]()
