"""Synthetic data: Figure 2, and what the paper leaves to its appendix.

    record = run(Config(n=4000, sigma=1.0, seed=3))

One run draws one data set and fits it by every way that Figure 2 compares, all from the same start, least squares on
everything:

* ITLM-1, the full update each round;
* ITLM-2, one gradient step each round (M = 1), at most 100 rounds;
* the oracle, which fits the clean samples alone.

The paper states d = 100, n = 1000, Gaussian features and the mean of 100 runs. That theta* has length 1, the noise, the
law of the bad outputs, the fraction kept and the step size are choices of ours, and fields here.

Source: Shen & Sanghavi, ICML 2019, Section 6.1.
"""

from dataclasses import dataclass, replace

import numpy as np

from . import linear, methods, records
from .config import Config as Checked
from .config import flag, one_of, parameter, real, whole
from .trimming import iterate, trim

__all__ = ["RECIPE", "Config", "digest", "gradient_rounds", "full_rounds", "run", "task", "visits"]

RECIPE = 1


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """One data set, every fit.

    Attributes
    ----------
    outputs : {"random", "mixture", "sign_flip", "shifted", "all_scales", "leverage", "oblivious"}
        What the bad outputs are, see `itlm.linear.simulate`.
    link : {"identity", "leaky", "wavy"}
        omega.
    clean : float in (0, 1]
        Fraction of clean samples (alpha* in the paper).
    alpha : float in (0, 1] or None
        Fraction kept; None: 5 points less than is clean, as in the paper's other experiments.
    sigma : float, 0 or more
        Standard deviation of the noise, in units of theta*'s length.
    spread : float, 0 or more
        Standard deviation of random outputs, in the same unit.
    n, d : int
        Samples and features.
    step : float, above 0
        Step size of ITLM-2 (eta).
    rounds : int, at least 1
        At most, of ITLM-1 and ITLM-2.
    peers : bool
        Fit by consistent robust regression, adaptive thresholding and one-step reweighting too.
    seed : int
        Of the data.
    """

    outputs: str = parameter("random", one_of(*linear.OUTPUTS))
    link: str = parameter("identity", one_of(*linear.LINKS))
    clean: float = parameter(0.8, real(0, 1, above_low=True))
    alpha: float | None = parameter(None, real(0, 1, above_low=True, optional=True))
    sigma: float = parameter(0.01, real(0, 1e6))
    spread: float = parameter(1.0, real(0, 1e6))
    n: int = parameter(1000, whole(2, 10**8))
    d: int = parameter(100, whole(1, 10000))
    step: float = parameter(0.5, real(0, 10, above_low=True))
    rounds: int = parameter(100, whole(1, 10**6))
    peers: bool = parameter(False, flag())
    seed: int = parameter(0, whole())

    def resolved(self) -> "Config":
        """Return a copy in which the fraction kept is a number."""
        return self if self.alpha is not None else replace(self, alpha=round(max(self.clean - 0.05, 0.01), 6))


def task(config: Config) -> linear.Simulation:
    """Draw the data."""
    return linear.simulate(
        config.n, config.d, config.clean, config.sigma, config.outputs, config.link, config.seed, spread=config.spread
    )


def full_rounds(X, y, theta, alpha: float, rounds: int, link: str = "identity"):
    """Run ITLM-1: the full update each round, until the kept set repeats.

    Parameters
    ----------
    X : array, shape (n, d)
        Features.
    y : array, shape (n,)
        Outputs.
    theta : array, shape (d,)
        theta_0.
    alpha : float in (0, 1]
        Fraction kept.
    rounds : int
        At most.
    link : {"identity", "leaky", "wavy"}
        omega.

    Returns
    -------
    theta : array, shape (d,)
    rounds : int
        How many updates it took.
    """
    if link == "identity":
        fit = linear.least_trimmed_squares(X, y, alpha, start=theta, max_iter=rounds)
        return fit.coef, fit.n_iter
    omega = linear.LINKS[link].value
    *_, last = iterate(
        lambda theta: (omega(X @ theta) - y) ** 2,
        lambda theta, kept, t: linear.full_update(X, y, theta, kept, link),
        theta,
        alpha,
        rounds,
        stop_at_fixed_point=True,
    )
    return last.theta, last.t


def gradient_rounds(X, y, theta, alpha: float, rounds: int, step: float, link: str = "identity"):
    """Run ITLM-2: one gradient step each round, until a step no longer moves theta.

    The parameters and results are those of `full_rounds`; ``step`` is the step size (eta in Algorithm 2).
    """
    omega = linear.LINKS[link].value
    before = theta
    for last in iterate(
        lambda theta: (omega(X @ theta) - y) ** 2,
        lambda theta, kept, t: linear.gradient_step(X, y, theta, kept, step, link),
        theta,
        alpha,
        rounds,
    ):
        if last.t and np.linalg.norm(last.theta - before) <= 1e-9 * np.linalg.norm(last.theta):
            break
        before = last.theta
    return last.theta, last.t


def visits(config: Config) -> float:
    """Count the samples of a run: what its cost is measured in."""
    return float(config.n)


def digest(config: Config) -> str:
    """Return the digest of the data: they are simulated, and the configuration says how."""
    return "simulated"


def run(config: Config, *, checkpoint=None) -> records.Record:
    """Draw, fit in every way, and record how far each ends from the truth.

    Parameters
    ----------
    config : Config
        The run.
    checkpoint : path, optional
        Not used: a run is short.

    Returns
    -------
    itlm.records.Record
        ``error_full``, ``error_gradient``, ``error_oracle``, ``error_all`` (least squares on everything) and, for
        peers, ``error_crr``, ``error_adaptive``, ``error_reweighted``: distances from theta*. ``rounds_full`` and
        ``rounds_gradient``. ``loss_gap``: by how much the mean loss of all samples at ITLM-1's theta differs from that
        at theta*, Lemma 3's quantity. ``bad_kept``: percent of the samples ITLM-1 keeps at its end that are bad.
    """
    config = config.resolved()
    X, y, truth, is_bad, _ = task(config)
    record = records.begin("synthetic", RECIPE, config, digest(config))
    omega, everything = linear.LINKS[config.link].value, np.ones(config.n, bool)
    zero = np.zeros(config.d)
    start = linear.full_update(X, y, zero, everything, config.link)
    full, full_took = full_rounds(X, y, start, config.alpha, config.rounds, config.link)
    gradient, gradient_took = gradient_rounds(X, y, start, config.alpha, config.rounds, config.step, config.link)
    fits = {"full": full, "gradient": gradient, "all": start}
    fits["oracle"] = linear.full_update(X, y, zero, ~is_bad, config.link)
    if config.peers:
        from .estimators import TrimmedRegressor

        reweighted = TrimmedRegressor(config.alpha, fit_intercept=False, random_state=config.seed).fit(X, y)
        fits["crr"] = methods.consistent_regression(X, y, config.alpha)
        fits["adaptive"] = methods.adaptive_thresholding(X, y, seed=config.seed)
        fits["reweighted"] = reweighted.coef_
    record.add(0, {f"error_{name}": float(np.linalg.norm(theta - truth)) for name, theta in fits.items()})
    losses = (omega(X @ full) - y) ** 2
    kept = trim(losses, config.alpha)
    gap = losses.mean() - ((omega(X @ truth) - y) ** 2).mean()
    record.add(0, {"loss_gap": abs(float(gap)), "bad_kept": 100 * float(is_bad[kept].mean())})
    record.add(0, {"rounds_full": full_took, "rounds_gradient": gradient_took})
    record.add(0, {"visits": visits(config), "bad_rate": 100 * float(is_bad.mean())})
    return record.finish()
