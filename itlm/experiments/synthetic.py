"""Synthetic data: Figure 2, and the settings that the paper leaves to its appendix.

    record = run(Config(n=4000, sigma=1.0, seed=3))

One run draws one data set and fits it with every method of Figure 2, all started from least squares on all samples:

* ITLM-1, the full update each round;
* ITLM-2, one gradient step each round (M = 1), at most 100 rounds;
* the oracle, which fits the clean samples only.

The paper states d = 100, n = 1000, Gaussian features and the mean of 100 runs. We choose theta* of length 1. The noise,
the law of the bad outputs, the fraction kept and the step size are also our choices, and fields of `Config`.

Source: Shen & Sanghavi, ICML 2019, Section 6.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .. import linear
from ..least_squares import least_trimmed_squares
from ..parameters import Parameters, alpha_of, flag, one_of, parameter, real, whole
from ..records.record import Record, begin
from ..rivals import linear as rivals
from ..trimming import Round, iterate, trim
from .protocol import digest_of_simulation as digest
from .protocol import visits_of_simulation as visits

__all__ = ["RECIPE", "Config", "digest", "rounds", "run", "task", "visits"]

RECIPE = 2


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One data set, to which every method is fitted."""

    outputs: str = parameter("random", one_of(*linear.OUTPUTS), "bad outputs", more="See `itlm.linear.simulate`.")
    link: str = parameter("identity", one_of(*linear.LINKS), "link function (omega)")
    clean: float = parameter(0.8, real(0, 1, above_low=True), "fraction of clean samples (alpha* in the paper)")
    alpha: float | None = parameter(
        None, real(0, 1, above_low=True), "fraction kept (alpha in Algorithm 1)", none="five points below clean"
    )
    sigma: float = parameter(0.01, real(0, 1e6), "standard deviation of the noise, in units of theta*'s length")
    spread: float = parameter(1.0, real(0, 1e6), "spread of random outputs, in units of theta*'s length")
    n: int = parameter(1000, whole(2, 10**8), "samples")
    d: int = parameter(100, whole(1, 10_000), "features")
    step: float = parameter(0.5, real(0, 10, above_low=True), "step size of ITLM-2 (eta)")
    rounds: int = parameter(100, whole(1, 10**6), "largest number of rounds of ITLM-1 and ITLM-2")
    peers: bool = parameter(
        False, flag(), "whether to fit other methods too",
        more="Consistent robust regression, adaptive thresholding and one-step reweighting.",
    )  # fmt: skip
    seed: int = parameter(0, whole(), "seed of the data")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.peers and self.link != "identity":
            raise ValueError(f"peers=True needs link='identity', got {self.link!r}: the peers are linear")

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        return self.filled({"alpha": alpha_of(self.clean)})


def task(config: Config) -> linear.Simulation:
    """Draw the data."""
    return linear.simulate(
        config.n, config.d, config.clean, config.sigma, config.outputs, config.link, config.seed, spread=config.spread
    )


def rounds(
    X, y, theta, alpha: float, most: int, *, link: str = "identity", step: float | None = None
) -> Iterator[Round]:
    """Run Algorithm 1 for squared loss, round by round.

    Parameters
    ----------
    X, y : array, shape (n, d) and (n,)
        Features and outputs.
    theta : array, shape (d,)
        Start (theta_0).
    alpha, most : float in (0, 1], int
        Fraction kept, and largest number of rounds (T).
    link : {"identity", "leaky", "wavy"}
        Link function (omega).
    step : float, above 0, optional
        Step size (eta) of ITLM-2, which stops when a step no longer moves theta. None: ITLM-1, the full update, which
        stops when the kept set repeats.
    """
    omega, before = linear.LINKS[link].value, None

    def losses(theta):
        return (omega(X @ theta) - y) ** 2

    def update(theta, kept, t):
        if step is None:
            return linear.full_update(X, y, theta, kept, link)
        return linear.gradient_step(X, y, theta, kept, step, link)

    for now in iterate(losses, update, theta, alpha, most, stop_at_fixed_point=step is None):
        yield now
        if before is not None and np.linalg.norm(now.theta - before) <= 1e-9 * np.linalg.norm(now.theta):
            break
        before = now.theta


def _full(X, y, start, config):
    """Return ITLM-1's result and number of updates; linear models use the solver, whose steps are the same."""
    if config.link == "identity":
        fit = least_trimmed_squares(X, y, config.alpha, start=start, max_iter=config.rounds)
        return fit.coef, fit.n_iter - fit.converged  # the last step only confirms
    *_, last = rounds(X, y, start, config.alpha, config.rounds, link=config.link)
    return last.theta, last.t


def run(config: Config, *, checkpoint=None) -> Record:
    """Draw the data, fit every method, and return the record.

    ``error_full`` (ITLM-1), ``error_gradient`` (ITLM-2), ``error_oracle``, ``error_all`` (least squares on all samples)
    and, for peers, ``error_crr``, ``error_adaptive`` and ``error_reweighted`` are distances from theta*.
    ``rounds_full`` and ``rounds_gradient`` count the updates. ``loss_gap`` is the absolute difference between the mean
    losses of all samples at ITLM-1's theta and at theta* (Lemma 3). ``bad_kept`` is the percentage of bad samples among
    those that ITLM-1 keeps at the end. A run is short, so ``checkpoint`` is unused.
    """
    config = config.resolved()
    X, y, truth, is_bad, _ = task(config)
    record = begin("synthetic", RECIPE, config, digest(config))
    omega, everything = linear.LINKS[config.link].value, np.ones(config.n, bool)
    zero = np.zeros(config.d)
    start = linear.full_update(X, y, zero, everything, config.link)
    full, took = _full(X, y, start, config)
    *_, last = rounds(X, y, start, config.alpha, config.rounds, link=config.link, step=config.step)
    fits = {"full": full, "gradient": last.theta, "all": start}
    fits["oracle"] = linear.full_update(X, y, zero, ~is_bad, config.link)
    if config.peers:
        from ..estimators import TrimmedRegressor

        reweighted = TrimmedRegressor(config.alpha, fit_intercept=False, random_state=config.seed).fit(X, y)
        fits["crr"] = rivals.consistent_regression(X, y, config.alpha)
        fits["adaptive"] = rivals.adaptive_thresholding(X, y, seed=config.seed)
        fits["reweighted"] = reweighted.coef_
    record.add(0, {f"error_{name}": float(np.linalg.norm(theta - truth)) for name, theta in fits.items()})
    losses = (omega(X @ full) - y) ** 2
    kept = trim(losses, config.alpha)
    gap = losses.mean() - ((omega(X @ truth) - y) ** 2).mean()
    record.add(0, {"loss_gap": abs(float(gap)), "bad_kept": 100 * float(is_bad[kept].mean())})
    record.add(0, {"rounds_full": took, "rounds_gradient": last.t})
    record.add(0, {"visits": visits(config), "bad_rate": 100 * float(is_bad.mean())})
    return record.finish()
