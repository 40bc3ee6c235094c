"""What infinitely many samples with Gaussian features do, in closed form, and what the lemmas certify there.

`central_square` (T) and `outer_square` (U) are the limits of psi^-/n and psi^+/n, and `population_step` is the step
itself. These, and the numbers for the theorems' threshold, are ours.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from ..least_squares.scale import kept_square

__all__ = [
    "basin", "central_square", "certified_corruption", "clean_contraction", "outer_square", "population_limit",
    "population_loss", "population_step",
]  # fmt: skip


def central_square(a: float) -> float:
    """Compute T(a) = E[z^2 1{z^2 <= q}], z Gaussian and q the a-quantile of z^2 (not divided by a).

    ``psi^-(a n) / n`` tends to it. T(1) = 1.

    Parameters
    ----------
    a : float in [0, 1]
        The part.

    Raises
    ------
    ValueError
        If ``a`` is out of range.
    """
    if not 0 <= a <= 1:
        raise ValueError(f"a must be in [0, 1], got {a}")
    if a < 1e-4:
        return math.pi * a**3 / 6  # its first term: the difference below would have no digits left
    return kept_square(a)


def outer_square(b: float) -> float:
    """Compute U(b) = 1 - T(1 - b): z^2 where only its largest part b counts; ``psi^+(b n) / n`` tends to it.

    The parameter, its range and errors are those of `central_square`.
    """
    return 1.0 - central_square(1.0 - b)


def clean_contraction(alpha: float, ratio: float) -> float:
    """Compute the factor by which one full update shrinks the error when no sample is bad.

    Parameters
    ----------
    alpha : float in (0, 1]
        Fraction kept.
    ratio : float, 0 or more
        ``||theta_t - theta*|| / sigma``.

    Returns
    -------
    float
        ``(alpha - T) / (alpha + ratio^2 T)``: the noise sum of Lemma 5, over the kept, does not average out, since the
        kept set depends on the noise. Near the truth it is 1 - T(alpha)/alpha; far away the update is exact.

    Raises
    ------
    ValueError
        If alpha is out of range.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], got {alpha}")
    kept = central_square(alpha)
    return (alpha - kept) / (alpha + ratio**2 * kept)


def _population(rho, alpha, clean, sigma, spread, outputs):
    """Clean and bad samples as (weight, s, cov, kept part, T of it).

    Residuals are N(0, s^2), with covariance cov with the feature along theta*.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}: without noise the residuals at the truth are all 0")
    for name, value in (("alpha", alpha), ("clean", clean)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} must be in (0, 1], got {value}")
    if outputs not in ("random", "oblivious"):
        raise ValueError(f"outputs must be 'random' or 'oblivious', got {outputs!r}: others have no closed form here")
    groups = [(clean, math.hypot(sigma, 1 - rho), 1 - rho)]
    if clean < 1 and outputs == "random":
        groups.append((1 - clean, math.sqrt(sigma**2 + spread**2 + rho**2), -rho))
    elif clean < 1:
        groups.append((1 - clean, math.sqrt(sigma**2 + 9 * spread**2 + (1 - rho) ** 2), 1 - rho))

    def too_many(log_threshold):
        return sum(w * (2 * ndtr(math.exp(log_threshold) / s) - 1) for w, s, _ in groups) - alpha

    if alpha == 1:
        parts = [1.0 for _ in groups]
    else:
        scales = [s for _, s, _ in groups]
        few = min(1e-6, alpha) * min(scales)  # fewer than alpha are below: the density of |z| is under 1
        threshold = math.exp(brentq(too_many, math.log(few), math.log(20 * max(scales))))
        parts = [2 * ndtr(threshold / s) - 1 for s in scales]
    return [(w, s, cov, a, central_square(a)) for (w, s, cov), a in zip(groups, parts, strict=True)]


def population_loss(
    rho: float, alpha: float, clean: float, sigma: float, spread: float = 1.0, outputs: str = "random"
) -> float:
    """Compute the trimmed loss of infinitely many samples at ``rho theta*``: F in Lemma 3's identification condition.

    The parameters and errors are those of `population_step`.

    Returns
    -------
    float
        ``E[f 1{f <= q}]``, q the alpha-quantile of the loss f.
    """
    return sum(w * s**2 * square for w, s, _, _, square in _population(rho, alpha, clean, sigma, spread, outputs))


def population_step(
    rho: float, alpha: float, clean: float, sigma: float, spread: float = 1.0, outputs: str = "random"
) -> float:
    """Take one full update with infinitely many samples.

    Features are N(0, I), and theta_t = rho theta* is on the line through 0 and theta*, where least squares on
    everything begins and every update stays.

    Parameters
    ----------
    rho : float
        theta_t as a multiple of theta*, whose length is 1.
    alpha, clean : float in (0, 1]
        Fractions kept and clean (alpha* in the paper).
    sigma : float, above 0
        Standard deviation of the noise.
    spread : float, 0 or more
        As in `itlm.linear.simulate`.
    outputs : {"random", "oblivious"}
        The law of bad outputs, as in `itlm.linear.simulate`.

    Returns
    -------
    float
        rho of theta_{t+1}.

    Raises
    ------
    ValueError
        If sigma is not above 0, since then the residuals of clean samples are all 0 at rho = 1; for other outputs.
    """
    pull = curvature = 0.0
    for weight, s, cov, kept, square in _population(rho, alpha, clean, sigma, spread, outputs):
        pull += weight * cov * square
        curvature += weight * (kept - (cov / s) ** 2 * (kept - square))
    return rho + pull / curvature


def population_limit(alpha: float, clean: float, sigma: float, spread: float = 1.0, outputs: str = "random") -> float:
    """Follow `population_step` from least squares on everything to its end: the error that no sample size removes.

    The parameters and errors are those of `population_step`.

    Returns
    -------
    float
        ``||theta_T - theta*||`` as T grows.
    """
    rho = population_step(1.0, 1.0, clean, sigma, spread, outputs)  # alpha = 1: least squares
    for _ in range(10_000):
        before, rho = rho, population_step(rho, alpha, clean, sigma, spread, outputs)
        if abs(rho - before) < 1e-12:
            break
    return abs(1 - rho)


def certified_corruption(level: float, *, both_terms: bool = True, root_2: bool = True) -> float:
    """Compute the largest share of bad samples for which Lemma 5 certifies a contraction: a number for c_th.

    Gaussian features, n/d without limit, no noise, alpha = alpha*, and the worst kept set: every bad sample.

    Parameters
    ----------
    level : float in [1e-6, 100]
        Factor to certify: 1 for any contraction, 1/2 for Theorem 7's.
    both_terms : bool
        Count phi_t too, which is proportional to the distance as well: at most gamma_t times it.
    root_2 : bool
        Keep the print's root of 2.

    Returns
    -------
    float
        1 - alpha*, in (0, 1).
    """
    if not 1e-6 <= level <= 100:
        raise ValueError(f"level must be in [1e-6, 100], got {level}")
    factor = (2 if both_terms else 1) * (math.sqrt(2) if root_2 else 1.0)
    return float(brentq(lambda b: factor * outer_square(b) / central_square(1 - b) - level, 1e-12, 0.9))


def basin(alpha: float, c: float, distances, sigma: float) -> np.ndarray:
    """Compute how near to a component Theorem 8's remark wants the start of a mixed regression.

    Parameters
    ----------
    alpha : float in (0, 1)
        Fraction kept.
    c : float, above 0
        The remark's constant c3, which has no number.
    distances : array
        From the start to the nearest other component.
    sigma : float, 0 or more
        Standard deviation of the noise.

    Returns
    -------
    array
        ``C distances - sqrt(1 - C^2) sigma`` with ``C = min(c alpha / (1 - alpha), 1)``: a start nearer than this to
        its component is covered; below 0 where none is.
    """
    if not (0 < alpha < 1 and c > 0):
        raise ValueError(f"alpha must be in (0, 1) and c above 0, got alpha={alpha}, c={c}")
    C = min(c * alpha / (1 - alpha), 1.0)
    return C * np.asarray(distances, dtype=float) - math.sqrt(1 - C * C) * sigma
