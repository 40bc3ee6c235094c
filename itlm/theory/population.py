"""One step with infinitely many samples and Gaussian features, in closed form, and what Lemma 5 certifies.

`central_square` (T) and `outer_square` (U) are the limits of psi^-/n and psi^+/n. `population_step` is the step itself.
These functions, and the numbers for the theorems' threshold, are ours.
"""

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from ..least_squares.scale import kept_square
from ..parameters import real

__all__ = [
    "basin", "central_square", "certified_corruption", "clean_contraction", "outer_square", "population_limit",
    "population_loss", "population_step",
]  # fmt: skip

PART = real(0, 1, above_low=True)


def central_square(a: float) -> float:
    """Compute T(a) = E[z^2 1{z^2 <= q}], z Gaussian and q the a-quantile of z^2 (not divided by a).

    ``psi^-(a n) / n`` tends to T(a). T(1) = 1.

    Parameters
    ----------
    a : float in [0, 1]
        The fraction of smallest z^2.

    Raises
    ------
    ValueError
        If ``a`` is out of range.
    """
    real(0, 1).check("a", a)
    if a < 1e-4:
        return math.pi * a**3 / 6  # the first term; the difference below would lose all digits
    return kept_square(a)


def outer_square(b: float) -> float:
    """Compute U(b) = 1 - T(1 - b), the part of E[z^2] from the fraction b of largest z^2.

    ``psi^+(b n) / n`` tends to U(b). The parameter, its range and errors are those of `central_square`.
    """
    return 1.0 - central_square(1.0 - b)


def clean_contraction(alpha: float, ratio: float) -> float:
    """Compute the factor by which one full update shrinks the error if no sample is bad.

    The factor is ``(alpha - T) / (alpha + ratio^2 T)``. The noise sum of Lemma 5 does not average out, because the kept
    set depends on the noise. Near the truth the factor is 1 - T(alpha)/alpha; far away it tends to 0.

    Parameters
    ----------
    alpha : float in (0, 1]
        Fraction kept.
    ratio : float, 0 or more
        ``||theta_t - theta*|| / sigma``.

    Raises
    ------
    ValueError
        If alpha is out of range.
    """
    PART.check("alpha", alpha)
    kept = central_square(alpha)
    return (alpha - kept) / (alpha + ratio**2 * kept)


def _population(rho, alpha, clean, sigma, spread, outputs):
    """Return (weight, s, cov, kept part, T of it) of clean and bad samples.

    Their residuals are N(0, s^2), with covariance cov with the feature along theta*.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}: without noise the residuals at the truth are all 0")
    for name, value in (("alpha", alpha), ("clean", clean)):
        PART.check(name, value)
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
        few = min(1e-6, alpha) * min(scales)  # less than alpha is below, since the density of |z| is under 1
        threshold = math.exp(brentq(too_many, math.log(few), math.log(20 * max(scales))))
        parts = [2 * ndtr(threshold / s) - 1 for s in scales]
    return [(w, s, cov, a, central_square(a)) for (w, s, cov), a in zip(groups, parts, strict=True)]


def population_loss(
    rho: float, alpha: float, clean: float, sigma: float, spread: float = 1.0, outputs: str = "random"
) -> float:
    """Compute the trimmed loss of infinitely many samples at ``rho theta*``: F in Lemma 3's identification condition.

    F is ``E[f 1{f <= q}]``, q the alpha-quantile of the loss f. Parameters and errors are those of `population_step`.
    """
    return sum(w * s**2 * square for w, s, _, _, square in _population(rho, alpha, clean, sigma, spread, outputs))


def population_step(
    rho: float, alpha: float, clean: float, sigma: float, spread: float = 1.0, outputs: str = "random"
) -> float:
    """Take one full update with infinitely many samples: return rho of theta_{t+1}.

    Features are N(0, I), and theta_t = rho theta* is on the line through 0 and theta*. The fit to all samples is on
    this line, and every update stays on it.

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
        Law of the bad outputs, as in `itlm.linear.simulate`.

    Raises
    ------
    ValueError
        If alpha or clean is out of range, for other outputs, or if sigma is not above 0: at rho = 1 all clean residuals
        would be 0.
    """
    pull = curvature = 0.0
    for weight, s, cov, kept, square in _population(rho, alpha, clean, sigma, spread, outputs):
        pull += weight * cov * square
        curvature += weight * (kept - (cov / s) ** 2 * (kept - square))
    return rho + pull / curvature


def population_limit(alpha: float, clean: float, sigma: float, spread: float = 1.0, outputs: str = "random") -> float:
    """Iterate `population_step` from least squares on all samples; return the error that no sample size removes.

    The error is ``||theta_T - theta*||`` as T grows. Parameters and errors are those of `population_step`.
    """
    rho = population_step(1.0, 1.0, clean, sigma, spread, outputs)  # alpha = 1: least squares
    for _ in range(10_000):
        before, rho = rho, population_step(rho, alpha, clean, sigma, spread, outputs)
        if abs(rho - before) < 1e-12:
            break
    return abs(1 - rho)


def certified_corruption(level: float, *, both_terms: bool = True, root_2: bool = True) -> float:
    """Compute the largest 1 - alpha*, in (0, 1), for which Lemma 5 certifies a contraction: a number for c_th.

    The case has Gaussian features, n/d to infinity, no noise, alpha = alpha*, and the worst kept set: every bad sample.

    Parameters
    ----------
    level : float in [1e-6, 100]
        Factor to certify: 1 for any contraction, 1/2 for Theorem 7's.
    both_terms : bool
        Count phi_t too. It is also proportional to the distance, at most gamma_t times the distance.
    root_2 : bool
        Keep the paper's root of 2.
    """
    real(1e-6, 100).check("level", level)
    factor = (2 if both_terms else 1) * (math.sqrt(2) if root_2 else 1.0)
    return float(brentq(lambda b: factor * outer_square(b) / central_square(1 - b) - level, 1e-12, 0.9))


def basin(alpha: float, c: float, distances, sigma: float) -> np.ndarray:
    """Compute how near to a component Theorem 8's remark requires the start of a mixed regression.

    The array is ``C distances - sqrt(1 - C^2) sigma`` with ``C = min(c alpha / (1 - alpha), 1)``. A start nearer than
    this to its component is covered; below 0, no start is.

    Parameters
    ----------
    alpha : float in (0, 1)
        Fraction kept.
    c : float, above 0
        The remark's constant c3, whose value the paper does not give.
    distances : array
        Distances from the start to the nearest other component.
    sigma : float, 0 or more
        Standard deviation of the noise.
    """
    if not (0 < alpha < 1 and c > 0):
        raise ValueError(f"alpha must be in (0, 1) and c above 0, got alpha={alpha}, c={c}")
    C = min(c * alpha / (1 - alpha), 1.0)
    return C * np.asarray(distances, dtype=float) - math.sqrt(1 - C * C) * sigma
