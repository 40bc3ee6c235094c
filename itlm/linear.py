"""The paper's linear and generalised linear models: simulated data, gradient steps and full updates.

Source: Shen & Sanghavi, ICML 2019, model (1) and (2), Lemma 6 and Section 6.1. Laws that the paper does not
state are ours, and said in `simulate`. The solver is `itlm.least_squares`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .parameters import whole
from .trimming import n_kept

__all__ = [
    "LINKS",
    "OUTPUTS",
    "Link",
    "Simulation",
    "full_update",
    "gradient_step",
    "largest_step",
    "simulate",
]


# Simulated data


class Link(NamedTuple):
    """A link function omega and its derivative, which lies in [low, high] (a and b in Lemma 6)."""

    value: Callable
    slope: Callable
    low: float
    high: float


class _Links(dict):
    """Links by name; asked for another, it says which there are."""

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
    X : array, shape (n, d)
        Features.
    y : array, shape (n,)
        Outputs.
    theta : array, shape (d,)
        The parameter of the clean samples (theta*).
    is_bad : array of bool, shape (n,)
        The truth.
    components : array, shape (k, d)
        Every component's parameter, ``theta`` first; one row unless the outputs are a mixture.
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
    """Draw data from the paper's model (1): some outputs are bad, the features never are, but for leverage.

    Features are N(0, I), theta* is uniform on the unit sphere, floor(alpha_star n) samples, at random places,
    are clean: ``y = omega(x' theta*) + e`` with e from N(0, sigma^2). The other outputs are r + e, where r is

    * ``"random"``: N(0, spread^2), independent of the features;
    * ``"mixture"``: ``omega(x' theta_j)``, the bad samples dealt evenly to the further components, whose
      parameters are uniform on the unit sphere too: model (2);
    * ``"sign_flip"``: ``omega(-x' theta*)``;
    * ``"shifted"``: ``omega(x' theta*) + 5``, a parallel plane;
    * ``"all_scales"``: ``omega(x' theta*) + s sign(x' v)``, log10 s uniform in [-4, 1], v a unit vector: bad
      at every distance from the truth, and always in the same direction;
    * ``"leverage"``: ``-10``, at features moved to ``10 v + x / 10``: few samples with a long lever;
    * ``"oblivious"``: ``omega(x' theta*) + s`` with s from N(0, 9 spread^2), independent of the features: it is the
      *error* that does not depend on them, as in model (1) the output does not;
    * ``"coin"``: plus or minus ``spread``, with equal chance: random outputs of another law.

    Parameters
    ----------
    n, d : int
        Samples and features, at least 1.
    alpha_star : float in (0, 1]
        Fraction that is clean (alpha* in the paper).
    sigma : float, 0 or more
        Standard deviation of the noise e.
    outputs : {"random", "mixture", "sign_flip", "shifted", "all_scales", "leverage", "oblivious", "coin"}
        The law of bad outputs. sign_flip, shifted, all_scales and oblivious are among the paper's "arbitrary" ones;
        leverage, which moves features, is outside its model.
    link : {"identity", "leaky", "wavy"}
        omega: u; max(u, u/2); u + sin(u)/2.
    seed : int
        Of everything drawn.
    components : int, default 2
        For a mixture, its components, at least 2.
    spread : float, 0 or more
        For random, coin and oblivious outputs, their spread in units of theta*'s length.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        If a parameter is out of its range, or no sample would be clean.
    """
    omega = LINKS[link].value
    if outputs not in OUTPUTS:
        raise ValueError(f"outputs must be one of {', '.join(OUTPUTS)}, got {outputs!r}")
    for name, value, least in (("n", n, 1), ("d", d, 1), ("components", components, 2)):
        whole(least).check(name, value)
    for name, value in (("sigma", sigma), ("spread", spread)):
        if not value >= 0:
            raise ValueError(f"{name} must be 0 or more, got {value}")
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


# Gradient steps


def gradient_step(X, y, theta, kept, step: float, link: str = "identity") -> np.ndarray:
    """Take one gradient step on the kept samples: Algorithm 2 with M = 1 and a batch of all of them.

    Parameters
    ----------
    X : array, shape (n, d)
        Features.
    y : array, shape (n,)
        Outputs.
    theta : array, shape (d,)
        Where to begin.
    kept : array of bool, shape (n,)
        The samples that count (S).
    step : float
        Step size (eta), the factor 2 of the square's derivative absorbed in it as in Lemma 6.
    link : {"identity", "leaky", "wavy"}
        omega.

    Returns
    -------
    array, shape (d,)
        ``theta - eta mean of (omega(u) - y) omega'(u) x`` over the kept, ``u = x' theta``.

    Raises
    ------
    ValueError
        If the link is unknown.
    """
    omega = LINKS[link]
    u = X @ theta  # (n,): of all, since copying the kept rows takes longer
    return theta - step / np.count_nonzero(kept) * (X.T @ (kept * (omega.value(u) - y) * omega.slope(u)))


def full_update(X, y, theta, kept, link: str = "identity", *, steps: int = 100) -> np.ndarray:
    """Fit the kept samples: Algorithm 2 with many steps, here those of Gauss and Newton, halved where they overshoot.

    Parameters
    ----------
    X, y, theta, kept, link
        As for `gradient_step`.
    steps : int
        At most.

    Returns
    -------
    array, shape (d,)
        Where the gradient of the kept samples' squared loss vanishes; for the identity link, least squares.

    Raises
    ------
    ValueError
        If the link is unknown, or fewer samples are kept than there are features: the fit is not determined.
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
            return theta + towards  # least squares, whatever rounding makes of the objective
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

    Parameters
    ----------
    X : array, shape (n, d)
        Features.
    kept : array of bool, shape (n,)
        S, of size h.
    link : {"identity", "leaky", "wavy"}
        omega, whose derivative lies in [a, b].

    Returns
    -------
    float
        ``2 h / (a^2 sigma_min + b^2 sigma_max)``, sigma the eigenvalues of the Gram matrix of the kept samples. (The
        print states no condition; for its bound with psi^- it would be the same with psi^- and psi^+.)

    Raises
    ------
    ValueError
        If the link is unknown.
    """
    omega, rows = LINKS[link], X[kept]
    values = np.linalg.eigvalsh(rows.T @ rows)
    return float(2 * len(rows) / (omega.low**2 * values[0] + omega.high**2 * values[-1]))
