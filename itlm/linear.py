"""Simulate the paper's linear and generalised linear models; take gradient steps and full updates in them.

Source: Shen & Sanghavi, ICML 2019, models (1) and (2), Lemma 6 and Section 6.1. The paper leaves some laws open;
`simulate` states ours. The solver is `itlm.least_squares`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .parameters import one_of, real, whole
from .trimming import n_kept

__all__ = ["LINKS", "OUTPUTS", "Link", "Simulation", "full_update", "gradient_step", "largest_step", "simulate"]


class Link(NamedTuple):
    """A link function omega and its derivative, which lies in [low, high] (a and b in Lemma 6)."""

    value: Callable
    slope: Callable
    low: float
    high: float


class _Links(dict):
    """Links by name; an unknown name raises an error that lists the links."""

    def __missing__(self, name):
        raise ValueError(f"link must be one of {', '.join(self)}, got {name!r}")


LINKS = _Links(
    identity=Link(lambda u: u, np.ones_like, 1.0, 1.0),
    leaky=Link(lambda u: np.where(u > 0, u, 0.5 * u), lambda u: np.where(u > 0, 1.0, 0.5), 0.5, 1.0),
    wavy=Link(lambda u: u + 0.5 * np.sin(u), lambda u: 1 + 0.5 * np.cos(u), 0.5, 1.5),
)

OUTPUTS = ("random", "mixture", "sign_flip", "shifted", "all_scales", "leverage", "oblivious", "coin")


class Simulation(NamedTuple):
    """Simulated data.

    Attributes
    ----------
    X, y : arrays, shapes (n, d) and (n,)
        Features and outputs.
    theta : array, shape (d,)
        The parameter of the clean samples (theta*).
    is_bad : array of bool, shape (n,)
        True for the bad samples.
    components : array, shape (k, d)
        The parameters of all components, ``theta`` first; one row unless the outputs are a mixture.
    """

    X: np.ndarray
    y: np.ndarray
    theta: np.ndarray
    is_bad: np.ndarray
    components: np.ndarray


def simulate(
    n: int,
    d: int,
    alpha_star: float,
    sigma: float,
    outputs: str = "random",
    link: str = "identity",
    seed: int = 0,
    *,
    components: int = 2,
    spread: float = 1.0,
) -> Simulation:
    """Draw a `Simulation` of the paper's model (1): some outputs are bad; only ``"leverage"`` has bad features.

    Features are N(0, I) and theta* is uniform on the unit sphere. At random places, floor(alpha_star n) samples are
    clean: ``y = omega(x' theta*) + e``, with e from N(0, sigma^2). The other outputs are r + e. The laws of r are

    * ``"random"``: N(0, spread^2), independent of the features;
    * ``"mixture"``: ``omega(x' theta_j)``, model (2). The bad samples are divided evenly among the components after the
      first, whose parameters are uniform on the unit sphere too;
    * ``"sign_flip"``: ``omega(-x' theta*)``;
    * ``"shifted"``: ``omega(x' theta*) + 5``, a parallel plane;
    * ``"all_scales"``: ``omega(x' theta*) + s sign(x' v)``, log10 s uniform in [-4, 1] and v a unit vector. The errors
      have every size and always the same direction;
    * ``"leverage"``: ``-10``, with the features moved to ``10 v + x / 10``: high-leverage outliers;
    * ``"oblivious"``: ``omega(x' theta*) + s``, s from N(0, 9 spread^2). The *error* is independent of the features; in
      model (1), the output is;
    * ``"coin"``: ``spread`` or ``-spread`` with equal chance, independent of the features.

    Parameters
    ----------
    n, d : int, at least 1
        Numbers of samples and features.
    alpha_star : float in (0, 1]
        Fraction of clean samples (alpha* in the paper).
    sigma : float, 0 or more
        Standard deviation of the noise e.
    outputs : {"random", "mixture", "sign_flip", "shifted", "all_scales", "leverage", "oblivious", "coin"}
        Law of the bad outputs. sign_flip, shifted, all_scales and oblivious are among the paper's "arbitrary" outputs.
        leverage moves features, so it is outside the paper's model.
    link : {"identity", "leaky", "wavy"}
        omega: u; max(u, u/2); u + sin(u)/2.
    seed : int
        Seeds every draw.
    components : int, at least 2
        Number of components of a mixture.
    spread : float, 0 or more
        Spread of random, coin and oblivious outputs, in units of theta*'s length.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or no sample would be clean.
    """
    omega = LINKS[link].value
    one_of(*OUTPUTS).check("outputs", outputs)
    for name, value, least in (("n", n, 1), ("d", d, 1), ("components", components, 2)):
        whole(least).check(name, value)
    for name, value in (("sigma", sigma), ("spread", spread)):
        real(0).check(name, value)
    try:
        n_clean = n_kept(n, alpha_star)
    except ValueError:
        raise ValueError(
            f"alpha_star must be in (0, 1], and at least 1/{n} for one clean sample of {n}, got {alpha_star!r}"
        ) from None
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    thetas = random.standard_normal((components if outputs == "mixture" else 1, d))
    thetas /= np.linalg.norm(thetas, axis=1, keepdims=True)
    bad = np.sort(random.permutation(n)[n_clean:])
    v = random.standard_normal(d)
    v /= np.linalg.norm(v)
    if outputs == "leverage":
        X[bad] = 10 * v + X[bad] / 10
    y = omega(X @ thetas[0])
    rows, m = X[bad], len(bad)
    if outputs == "random":
        y[bad] = spread * random.standard_normal(m)
    elif outputs == "mixture":
        which = 1 + random.permutation(m) % (components - 1)
        y[bad] = omega((rows * thetas[which]).sum(1))
    elif outputs == "sign_flip":
        y[bad] = omega(-rows @ thetas[0])
    elif outputs == "shifted":
        y[bad] += 5
    elif outputs == "all_scales":
        y[bad] += 10 ** random.uniform(-4, 1, m) * np.sign(rows @ v)
    elif outputs == "leverage":
        y[bad] = -10
    elif outputs == "oblivious":
        y[bad] += 3 * spread * random.standard_normal(m)
    else:
        y[bad] = spread * random.choice([-1.0, 1.0], m)
    y += sigma * random.standard_normal(n)
    is_bad = np.zeros(n, bool)
    is_bad[bad] = True
    return Simulation(X, y, thetas[0], is_bad, thetas)


def gradient_step(X, y, theta, kept, step: float, link: str = "identity") -> np.ndarray:
    """Take one gradient step on the kept samples: Algorithm 2 with M = 1 and all kept samples in one batch.

    Return ``theta - eta mean of (omega(u) - y) omega'(u) x``, shape (d,), over the kept samples, with u = x' theta.

    Parameters
    ----------
    X, y : arrays, shapes (n, d) and (n,)
        Features and outputs.
    theta : array, shape (d,)
        The parameter before the step.
    kept : array of bool, shape (n,)
        The kept samples (S).
    step : float
        Step size (eta). The factor 2 of the square's derivative is part of eta, as in Lemma 6.
    link : {"identity", "leaky", "wavy"}
        omega.

    Raises
    ------
    ValueError
        If the link is unknown.
    """
    omega = LINKS[link]
    u = X @ theta  # (n,), all samples: copying the kept rows would take longer
    return theta - step / np.count_nonzero(kept) * (X.T @ (kept * (omega.value(u) - y) * omega.slope(u)))


def full_update(X, y, theta, kept, link: str = "identity", *, steps: int = 100) -> np.ndarray:
    """Fit the kept samples by Gauss-Newton steps, halved if they overshoot: Algorithm 2 with many steps.

    Return the theta, shape (d,), at which the gradient of the kept samples' squared loss vanishes. For the identity
    link, this is least squares.

    Parameters
    ----------
    X, y, theta, kept, link
        As for `gradient_step`.
    steps : int
        Maximum number of steps.

    Raises
    ------
    ValueError
        If the link is unknown, or fewer samples are kept than there are features, which determine no fit.
    """
    omega, rows, outputs = LINKS[link], X[kept], y[kept]
    if len(rows) < rows.shape[1]:
        raise ValueError(f"kept has {len(rows)} samples for {rows.shape[1]} features: keep at least as many")

    def objective(at):
        return float(((omega.value(rows @ at) - outputs) ** 2).sum())

    before = objective(theta)
    for _ in range(steps):
        u = rows @ theta  # (h,)
        J = rows * omega.slope(u)[:, None]
        towards, part = np.linalg.solve(J.T @ J, J.T @ (outputs - omega.value(u))), 1.0
        if link == "identity":
            return theta + towards  # exact, even if rounding raises the objective
        while (now := objective(theta + part * towards)) > before and part > 1e-6:
            part /= 2
        if now > before:
            break
        theta, gain, before = theta + part * towards, before - now, now
        if gain <= 1e-12 * now:
            break
    return theta


def largest_step(X, kept, link: str = "identity") -> float:
    """Compute the step size up to which Lemma 6's contraction holds on a kept set.

    Return ``2 h / (a^2 sigma_min + b^2 sigma_max)``, with the extreme eigenvalues of the kept samples' Gram matrix. The
    paper states no condition. The condition for its bound in psi^- is the same, with psi^- and psi^+ as the
    eigenvalues.

    Parameters
    ----------
    X, kept, link
        As for `gradient_step`; h samples are kept, and omega' lies in [a, b].

    Raises
    ------
    ValueError
        If the link is unknown.
    """
    omega, rows = LINKS[link], X[kept]
    values = np.linalg.eigvalsh(rows.T @ rows)
    return float(2 * len(rows) / (omega.low**2 * values[0] + omega.high**2 * values[-1]))
