"""Robust regression: common estimators compared on the same simulated data.

    record = run(Config(method="itlm", outputs="leverage", seed=3))

Every method gets the same samples and fits an intercept and slopes; the time is that of the fit only. Limits on the
work are the authors' defaults, and all methods with a fraction kept use ``support``. `METHODS` lists the settings.

Source: `itlm.linear.simulate` for the data. robustbase (Maechler et al.) runs in R; robpy, ltsfit and statsmodels are
Python packages. A method that is not installed raises `itlm.errors.Missing`.
"""

import contextlib
import io
import logging
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import linear
from ..errors import Missing
from ..parameters import Parameters, one_of, parameter, real, whole
from ..records.record import Record, begin
from .protocol import digest_of_simulation as digest
from .protocol import visits_of_simulation as visits

__all__ = ["METHODS", "RECIPE", "Config", "Method", "Task", "digest", "run", "task", "visits"]

RECIPE = 1
OUTPUTS = (*linear.OUTPUTS, "heavy", "one_sided", "two_sided")
FAR = 4.0  # standard deviations of the noise by which one- and two-sided outliers are off


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One fit."""

    method: str = parameter("itlm", one_of("itlm", "auto", "one_start", "raw", "lts", "lts_mcd", "robpy", "ltsfit",
                                           "huber", "ransac", "theil_sen", "rlm", "ols", "oracle"),
                            "regressor", more="See `METHODS`.")  # fmt: skip
    outputs: str = parameter(
        "random", one_of(*OUTPUTS), "outputs",
        more="See `itlm.linear.simulate`. Heavy: no bad samples, but noise from Student's t with 2 degrees of freedom. "
        "One_sided and two_sided: bad outputs are four standard deviations of the noise too high, or off either way.",
    )  # fmt: skip
    clean: float = parameter(0.8, real(0, 1, above_low=True), "fraction of clean samples (alpha* in the paper)")
    support: float = parameter(0.75, real(0, 1, above_low=True), "fraction kept by trimming methods (alpha)")
    sigma: float = parameter(0.1, real(0, 1e6), "standard deviation of the noise, in units of theta*'s length")
    n: int = parameter(1000, whole(3, 10**8), "samples")
    d: int = parameter(20, whole(1, 10_000), "features")
    seed: int = parameter(0, whole(), "seed of the data and of the method")

    def resolved(self) -> "Config":
        """Return the configuration itself, because no field depends on a scale."""
        return self


class Task(NamedTuple):
    """A run's data. Only the record and the oracle use ``is_bad``."""

    X: np.ndarray  # (n, d)
    y: np.ndarray  # (n,)
    theta: np.ndarray  # (d,) the truth
    is_bad: np.ndarray  # (n,)


def task(config: Config) -> Task:
    """Draw the data."""
    heavy, off = config.outputs == "heavy", config.outputs in ("one_sided", "two_sided")
    law, clean = ("random" if heavy or off else config.outputs), 1.0 if heavy else config.clean
    data = linear.simulate(config.n, config.d, clean, 0.0 if heavy else config.sigma, law, seed=config.seed)
    y = data.y
    if heavy:
        y = y + config.sigma * np.random.default_rng([config.seed, 1]).standard_t(2, config.n)
    if off:
        random, bad = np.random.default_rng([config.seed, 2]), data.is_bad
        side = 1.0 if config.outputs == "one_sided" else random.choice([-1.0, 1.0], bad.sum())
        y = y.copy()
        y[bad] = data.X[bad] @ data.theta + config.sigma * (random.standard_normal(bad.sum()) + FAR * side)
    return Task(data.X, y, data.theta, data.is_bad)


class Method(NamedTuple):
    """A regressor, with its name and settings for readers.

    ``ready()`` imports the packages and returns ``fit(X, y, config, is_bad)``. That function returns the coefficients,
    shape (d + 1,), slopes first and the intercept last, and the seconds of the fit.
    """

    name: str
    settings: str
    ready: Callable


def _timed(fit) -> Callable:
    """Add the seconds of the call to a method that returns the coefficients."""

    def timed(X, y, config, is_bad):
        began = time.perf_counter()
        coef = fit(X, y, config, is_bad)
        return coef, time.perf_counter() - began

    return timed


def _scikit(make) -> Callable:
    @_timed
    def fit(X, y, config, is_bad):
        model = make(config).fit(X, y)
        model = getattr(model, "estimator_", model) if not hasattr(model, "coef_") else model
        return np.append(model.coef_, model.intercept_)

    return fit


def _ours(**fields) -> Callable:
    from ..estimators import TrimmedRegressor

    return _scikit(
        lambda config: TrimmedRegressor(**({"support_fraction": config.support} | fields), random_state=config.seed)
    )


def _robustbase(mcd: bool) -> Callable:
    """Make a method from R's ltsReg, which reads the data from a binary file."""

    def fit(X, y, config, is_bad):
        if not shutil.which("Rscript"):
            raise Missing("Rscript is not installed; install R with its package robustbase")
        with tempfile.TemporaryDirectory() as folder:
            np.column_stack([X, y]).T.astype("<f8").tofile(Path(folder) / "data")
            script = (
                "if (!requireNamespace('robustbase', quietly = TRUE)) quit(status = 3); "
                f"set.seed({config.seed}); Z <- matrix(readBin('data', 'double', {X.shape[0] * (X.shape[1] + 1)}), "
                f"{X.shape[0]}); X <- Z[, -ncol(Z), drop = FALSE]; y <- Z[, ncol(Z)]; "
                f"t <- system.time(f <- suppressWarnings(robustbase::ltsReg(X, y, alpha = {config.support!r}, "
                f"mcd = {'TRUE' if mcd else 'FALSE'})))[[3]]; cat(t, format(coef(f), digits = 17), sep = '\\n')"
            )
            done = subprocess.run(["Rscript", "--vanilla", "-e", script], cwd=folder, capture_output=True, text=True)
        if done.returncode == 3:
            raise Missing("R's package robustbase is not installed")
        if done.returncode:
            raise RuntimeError(f"ltsReg failed: {done.stderr.strip()[-500:]}")
        seconds, intercept, *slopes = map(float, done.stdout.split())
        return np.append(slopes, intercept), seconds

    return fit


def _robpy() -> Callable:
    try:
        from robpy.regression import FastLTSRegression
    except ImportError:
        raise Missing("robpy is not installed: pip install robpy") from None

    @_timed
    def fit(X, y, config, is_bad):
        model = FastLTSRegression(alpha=config.support, random_state=config.seed)
        model = model.fit(X, y, verbosity=logging.ERROR).model
        return np.append(model.coef_, model.intercept_)

    return fit


def _ltsfit() -> Callable:
    try:
        from ltsfit.ltsfit import ltsfit
    except ImportError:
        raise Missing("ltsfit is not installed: pip install ltsfit") from None

    @_timed
    def fit(X, y, config, is_bad):
        errors = np.full_like(y, config.sigma)
        with contextlib.redirect_stdout(io.StringIO()):  # ltsfit prints a long report
            fitted = ltsfit(X, y, np.zeros_like(X), errors, frac=config.support, plot=False, text=False)
        intercept, *slopes = fitted.coef
        return np.append(slopes, intercept)

    return fit


def _rlm() -> Callable:
    try:
        import statsmodels.api as sm
    except ImportError:
        raise Missing("statsmodels is not installed: pip install statsmodels") from None

    @_timed
    def fit(X, y, config, is_bad):
        intercept, *slopes = sm.RLM(y, sm.add_constant(X), M=sm.robust.norms.TukeyBiweight()).fit(maxiter=500).params
        return np.append(slopes, intercept)

    return fit


def _least_squares(X, y):
    ones = np.column_stack([X, np.ones(len(X))])
    return np.linalg.solve(ones.T @ ones, ones.T @ y)


def _sklearn(name: str, **fields) -> Callable:
    from sklearn import linear_model

    seeded = {"ransac": "RANSACRegressor", "theil_sen": "TheilSenRegressor"}

    def make(config):
        return getattr(linear_model, seeded.get(name, "HuberRegressor"))(
            **fields, **({"random_state": config.seed} if name in seeded else {})
        )

    return _scikit(make)


METHODS = {
    "itlm": Method("itlm", "TrimmedRegressor(support)", _ours),
    "auto": Method("itlm, auto", 'TrimmedRegressor("auto")', lambda: _ours(support_fraction="auto")),
    "one_start": Method("itlm, one start", "TrimmedRegressor(support, n_starts=1)", lambda: _ours(n_starts=1)),
    "raw": Method("itlm, not reweighted", "TrimmedRegressor(support, reweight=False)", lambda: _ours(reweight=False)),
    "lts": Method("robustbase", "ltsReg(alpha = support, mcd = FALSE)", lambda: _robustbase(False)),
    "lts_mcd": Method("robustbase, mcd", "ltsReg(alpha = support)", lambda: _robustbase(True)),
    "robpy": Method("robpy", "FastLTSRegression(alpha=support)", _robpy),
    "ltsfit": Method("ltsfit", "ltsfit(frac=support), given sigma", _ltsfit),
    "huber": Method("Huber", "HuberRegressor(max_iter=1000)", lambda: _sklearn("huber", max_iter=1000)),
    "ransac": Method("RANSAC", "RANSACRegressor()", lambda: _sklearn("ransac")),
    "theil_sen": Method("Theil-Sen", "TheilSenRegressor()", lambda: _sklearn("theil_sen")),
    "rlm": Method("RLM, biweight", "RLM(M=TukeyBiweight())", _rlm),
    "ols": Method("least squares", "normal equations", lambda: _timed(lambda X, y, *_: _least_squares(X, y))),
    "oracle": Method(
        "oracle", "least squares on the clean", lambda: _timed(lambda X, y, _, bad: _least_squares(X[~bad], y[~bad]))
    ),
}


def run(config: Config, *, checkpoint=None) -> Record:
    """Fit once, and return the record.

    ``error`` is the distance of the slopes from theta*, ``error_all`` that of slopes and intercept (runs recorded
    earlier lack it), and ``fit_seconds`` the time of the fit only. A fit is short, so ``checkpoint`` is unused.

    Raises
    ------
    itlm.errors.Missing
        If the method is not installed.
    """
    given = task(config)
    record = begin("regressors", RECIPE, config, digest(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages warn about imports and convergence
        fit = METHODS[config.method].ready()
        coef, seconds = fit(given.X, given.y, config, given.is_bad)
    off = coef - np.append(given.theta, 0.0)  # the outputs have no intercept
    record.add(0, {"error": float(np.linalg.norm(off[:-1])), "error_all": float(np.linalg.norm(off))})
    record.add(0, {"fit_seconds": seconds})
    record.add(0, {"visits": visits(config), "bad_rate": 100 * float(given.is_bad.mean())})
    return record.finish()
