"""One round of ITLM at a controlled distance from the truth: Lemmas 5 and 6, Theorems 7 and 8.

    record = run(Config(outputs="random", distance=0.1, sigma=1e-4, seed=3))

Each run places theta_t at the given distance from theta*, in a random direction, makes one round, and measures every
term of the lemmas. The distances along a path of ITLM are unsuitable, because they depend on all earlier rounds.

Source: Shen & Sanghavi, ICML 2019, Section 5; `itlm.theory` for the terms.
"""

from dataclasses import dataclass

import numpy as np

from .. import linear, theory
from ..parameters import Parameters, alpha_of, one_of, parameter, real, whole
from ..records.record import Record, begin
from ..trimming import n_kept
from .protocol import digest_of_simulation as digest
from .protocol import visits_of_simulation as visits

__all__ = ["RECIPE", "Config", "aside", "digest", "run", "task", "visits"]

RECIPE = 1


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One round."""

    update: str = parameter(
        "full", one_of("full", "gradient"), "update",
        more="The full update of a linear model (Lemma 5), or one gradient step (Lemma 6).",
    )  # fmt: skip
    outputs: str = parameter(
        "random", one_of(*linear.OUTPUTS, "aimed"), "bad outputs",
        more="See `itlm.linear.simulate`. Aimed: an adversary who knows theta_t moves the outputs with the largest "
        "errors in the wrong direction, as far as ITLM still keeps them.",
    )  # fmt: skip
    link: str = parameter("identity", one_of(*linear.LINKS), "link function (omega)")
    clean: float = parameter(0.8, real(0, 1, above_low=True), "fraction of clean samples (alpha* in the paper)")
    alpha: float | None = parameter(
        None, real(0, 1, above_low=True), "fraction kept (alpha in Algorithm 1)", none="five points below clean"
    )
    sigma: float = parameter(0.001, real(0, 1e6), "standard deviation of the noise, in units of theta*'s length")
    distance: float = parameter(0.1, real(0, 1e6), "distance of theta_t from theta*, in units of theta*'s length")
    reach: float = parameter(1.0, real(0, 100, above_low=True), "gradient step size, divided by Lemma 6's largest")
    n: int = parameter(10_000, whole(2, 10**8), "samples")
    d: int = parameter(20, whole(1, 10_000), "features")
    seed: int = parameter(0, whole(), "seed of the data and the direction")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.update == "full" and self.link != "identity":
            raise ValueError(f"update='full' needs link='identity', got {self.link!r}: use update='gradient'")
        if self.outputs == "aimed" and self.link != "identity":
            raise ValueError(f"outputs='aimed' needs link='identity', got {self.link!r}")

    def resolved(self) -> "Config":
        """Return the same run with every field set."""
        return self.filled({"alpha": alpha_of(self.clean)})


def task(config: Config) -> tuple[linear.Simulation, np.ndarray]:
    """Draw the data, and theta_t at the distance ``config.distance`` from theta*."""
    c = config.resolved()
    clean, outputs = (1.0, "random") if c.outputs == "aimed" else (c.clean, c.outputs)
    data = linear.simulate(c.n, c.d, clean, c.sigma, outputs, c.link, c.seed)
    theta = aside(data.theta, c.distance, c.seed)
    return _aimed(data, theta, c) if c.outputs == "aimed" else data, theta


def _aimed(data, theta, config: Config) -> linear.Simulation:
    """Replace the outputs of the samples with the largest errors of theta_t by the worst outputs still kept."""
    X, n_bad = data.X, config.n - n_kept(config.n, config.clean)
    seen, is_bad = X @ (theta - data.theta), np.zeros(config.n, bool)
    is_bad[np.argsort(-np.abs(seen))[:n_bad]] = True
    n_beside = max(1, n_kept(config.n, config.alpha) - n_bad)  # clean samples kept if all bad ones are
    room = np.partition(np.abs(data.y - X @ theta)[~is_bad], n_beside - 1)[n_beside - 1]
    return data._replace(y=np.where(is_bad, X @ theta + 0.99 * room * np.sign(seen), data.y), is_bad=is_bad)


def aside(theta, distance: float, seed: int) -> np.ndarray:
    """Return a point at the given distance from theta, in a random direction."""
    direction = np.random.default_rng([seed, 1]).standard_normal(len(theta))
    return theta + distance * direction / np.linalg.norm(direction)


def run(config: Config, *, checkpoint=None) -> Record:
    """Make one round, and return the record of every term.

    The record holds ``distance``, its ``half``, ``error`` (the next distance) and ``kappa`` (error / distance).
    ``bound`` is the lemma's, with the actual sum of noise; ``gap`` is that of the exact identity. ``bad_kept`` is the
    percentage of bad samples among those kept. For full updates, ``c_needed`` is the constant with which the paper's
    noise term would cover the error. A run is short, so ``checkpoint`` is unused.
    """
    config = config.resolved()
    (X, y, truth, is_bad, _), theta = task(config)
    record = begin("one_step", RECIPE, config, digest(config))
    size = None
    if config.update == "gradient":
        kept = theory.selection(X, y, theta, config.alpha, config.link)
        size = config.reach * linear.largest_step(X, kept, config.link)
    step = theory.take_step(X, y, theta, truth, is_bad, config.alpha, link=config.link, step=size)
    found = {"distance": step.distance, "half": step.distance / 2, "error": step.error, "gap": step.gap}
    found["kappa"] = step.error / step.distance if step.distance else np.nan
    found["bad_kept"] = 100 * step.n_bad / step.kept.sum()
    if size is None:
        found["bound"] = theory.lemma_5(step)
        certain = theory.lemma_5(step, sigma=0.0)
        found["c_needed"] = (
            (step.error - certain) * step.smallest / (step.xi * config.sigma) if config.sigma else np.nan
        )
    else:
        found["bound"] = theory.lemma_6(step, size, link=config.link)
    record.add(0, found)
    record.add(0, {"visits": visits(config), "bad_rate": 100 * float(is_bad.mean())})
    return record.finish()
