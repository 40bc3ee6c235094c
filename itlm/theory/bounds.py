"""Bounds on one step, with every term measured on given data: Definition 4, Lemmas 5 and 6.

    step = take_step(X, y, theta, truth, is_bad, alpha)     every term of Lemma 5, measured on one data set
    step.error, lemma_5(step)                               the next error, and its bound by the lemma

The lemmas' constants are extremes over all subsets of the samples, which cannot be computed; `smallest_eigenvalue` and
`largest_eigenvalue` bracket them. A lemma can also be tested with the eigenvalues of the kept samples. These are at
least psi^- and at most psi^+, so they give the tighter bound.

Source: Shen & Sanghavi, ICML 2019, Section 5, as the paper states it; Section 3 for `exact_trimmed_squares`.
"""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ..linear import LINKS, gradient_step
from ..parameters import real, whole
from ..trimming import n_kept, trim

__all__ = [
    "Bracket", "Step", "exact_trimmed_squares", "largest_eigenvalue", "lemma_5", "lemma_6", "selection",
    "smallest_eigenvalue", "take_step",
]  # fmt: skip


def exact_trimmed_squares(X, y, alpha: float) -> tuple[np.ndarray, float]:
    """Compute the trimmed-loss estimator for squared loss by fitting every subset of floor(alpha n) samples.

    Return theta, shape (d,), and the sum of the kept samples' squared residuals.

    Parameters
    ----------
    X, y : arrays, shapes (n, d) and (n,)
        Features, of which every subset must determine a fit, and outputs.
    alpha : float in (0, 1]
        Fraction kept.

    Raises
    ------
    ValueError
        If fewer samples are kept than there are features, or there are more than a million subsets.
    """
    X, y = np.asarray(X), np.asarray(y)
    n, d = X.shape
    h = n_kept(n, alpha)
    if h < d:
        raise ValueError(f"alpha={alpha} keeps {h} samples, fewer than the {d} features: alpha n >= d is needed")
    if math.comb(n, h) > 10**6:
        raise ValueError(f"{n} samples have {math.comb(n, h):.2g} subsets of {h}: enumerate at most a million")
    subsets = np.array(list(combinations(range(n), h)))
    rows, outputs = X[subsets], y[subsets]  # (subsets, h, d), (subsets, h)
    turned = rows.swapaxes(1, 2)
    thetas = np.linalg.solve(turned @ rows, turned @ outputs[:, :, None])[:, :, 0]
    objectives = ((outputs - (rows @ thetas[:, :, None])[:, :, 0]) ** 2).sum(1)
    best = int(objectives.argmin())
    return thetas[best], float(objectives[best])


class Bracket(NamedTuple):
    """An interval that certainly contains a number too costly to compute."""

    low: float
    high: float


def smallest_eigenvalue(X, k: int, *, starts: int = 20, seed: int = 0) -> Bracket:
    """Bracket psi^-(k), the smallest eigenvalue of ``Phi' W Phi`` over all choices W of k samples (Definition 4).

    ``high``, from a search, is attained by some subset: psi^- is at most ``high``, so ``high`` certifies nothing.
    ``low`` is certain: the smallest eigenvalue of all samples less the most that n - k samples can remove, or 0.

    Parameters
    ----------
    X : array, shape (n, d)
        Features (Phi).
    k : int in [1, n]
        Number of chosen samples.
    starts : int
        Number of random directions that the search begins from.
    seed : int
        Seeds the directions.

    Raises
    ------
    ValueError
        If X is not finite or has the wrong shape, or k is out of range.
    """
    X = _features(X, k)
    n = len(X)
    values = np.linalg.eigvalsh(X.T @ X)
    taken = largest_eigenvalue(X, n - k, starts=starts, seed=seed).high if k < n else 0.0
    return Bracket(max(0.0, float(values[0]) - taken), _search(X, k, starts, seed, largest=False))


def largest_eigenvalue(X, k: int, *, starts: int = 20, seed: int = 0) -> Bracket:
    """Bracket psi^+(k), the largest eigenvalue of ``Phi' W Phi`` over all choices W of k samples (Definition 4).

    ``low``, from a search, is attained by some subset: psi^+ is at least ``low``. ``high`` is certain. It is the
    smallest of three bounds: the largest eigenvalue of all samples, the sum of the k largest squared lengths, and the
    largest sum of k absolute inner products with one sample (Gershgorin's circles; up to 5,000 samples). Parameters and
    errors are those of `smallest_eigenvalue`.
    """
    X = _features(X, k)
    lengths = np.sort((X**2).sum(1))[::-1]
    bounds = [float(np.linalg.eigvalsh(X.T @ X)[-1]), float(lengths[:k].sum())]
    if len(X) <= 5000:
        products = np.abs(X @ X.T)
        bounds.append(float(np.partition(products, len(X) - k, axis=1)[:, len(X) - k :].sum(1).max()))
    return Bracket(_search(X, k, starts, seed, largest=True), min(bounds))


def _features(X, k):
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or not np.isfinite(X).all():
        raise ValueError(f"X must be finite numbers of shape (n, d), got shape {X.shape}")
    whole(1, len(X)).check("k", k)
    return X


def _search(X, k, starts, seed, *, largest: bool) -> float:
    """Choose the k samples longest (or shortest) along a direction, take their extreme eigenvector, repeat."""
    at, sign = (-1, -1.0) if largest else (0, 1.0)
    directions = np.vstack(
        [np.linalg.eigh(X.T @ X)[1][:, at], np.random.default_rng(seed).normal(size=(starts, X.shape[1]))]
    )
    found = []
    for v in directions:
        before = np.inf
        while True:
            chosen = np.argpartition(sign * (X @ v) ** 2, k - 1)[:k]
            values, vectors = np.linalg.eigh(X[chosen].T @ X[chosen])
            if sign * values[at] >= before - 1e-12 * abs(before):
                break
            before, v = sign * values[at], vectors[:, at]
        found.append(sign * before)
    return float(max(found) if largest else max(0.0, min(found)))


class Step(NamedTuple):
    """One update, and every term of the lemmas' bounds on it.

    Attributes
    ----------
    kept : array of bool, shape (n,)
        The h kept samples (S_t).
    theta : array, shape (d,)
        theta_{t+1}.
    distance, error : float
        ``||theta_t - theta*||`` and ``||theta_{t+1} - theta*||``.
    smallest : float
        Smallest eigenvalue of ``A``, the Gram matrix of the kept samples: psi^-(alpha n) is at most this.
    gamma : float
        Largest eigenvalue of ``B``, the Gram matrix of the kept bad samples: at most gamma_t.
    phi : float
        phi_t (phi~_t for a gradient step): the pull of the kept bad samples.
    noise : float
        Norm of the sum of noise over the kept clean samples; the paper has ``xi`` in its place.
    xi : float
        xi_t: root of the sum of all squared lengths times log n.
    gap : float
        Distance of theta_{t+1} from the exact identity's value; only rounding, if the identity is true.
    n_bad : int
        Number of bad samples kept: the size of S_t less S*.
    """

    kept: np.ndarray
    theta: np.ndarray
    distance: float
    error: float
    smallest: float
    gamma: float
    phi: float
    noise: float
    xi: float
    gap: float
    n_bad: int


def selection(X, y, theta, alpha: float, link: str = "identity") -> np.ndarray:
    """Return the mask, (n,), of the samples that ITLM keeps at theta: those of smallest squared loss."""
    return trim((LINKS[link].value(X @ theta) - y) ** 2, alpha)


def take_step(X, y, theta, truth, is_bad, alpha: float, *, link: str = "identity", step: float | None = None) -> Step:
    """Take one round of Algorithm 1 for squared loss; return a `Step` with every term of Lemma 5 or 6.

    Parameters
    ----------
    X, y : arrays, shapes (n, d) and (n,)
        Features (phi) and outputs.
    theta, truth : array, shape (d,)
        theta_t and theta*.
    is_bad : array of bool, shape (n,)
        The samples outside S*.
    alpha : float in (0, 1]
        Fraction kept.
    link : {"identity", "leaky", "wavy"}
        omega.
    step : float, above 0, optional
        Take one gradient step of this size (eta, Lemma 6) in place of the full update (Lemma 5).

    Raises
    ------
    ValueError
        If ``step`` is not above 0. For a full update: if fewer samples are kept than there are features, or the link is
        not linear, which Lemma 5 excludes.

    Notes
    -----
    Let Delta = theta - theta* and u = x' theta, and sum over the kept samples. The identity for the full update is

        Delta_{t+1} = A^{-1} [ B Delta_t - sum_bad (u_t - y) x + sum_clean e x ]

    and for the gradient step, with w the ratio (omega(u_t) - omega(u*)) / (u_t - u*),

        Delta_{t+1} = (I - eta/h sum w omega'(u_t) x x') Delta_t + eta/h sum (y - omega(u*)) omega'(u_t) x.
    """
    X, y, theta, truth = (np.asarray(a, dtype=np.float64) for a in (X, y, theta, truth))
    is_bad = np.asarray(is_bad, dtype=bool)
    n, d = X.shape
    omega = LINKS[link]
    if step is None and link != "identity":
        raise ValueError(f"link={link!r}: Lemma 5 is about full updates of a linear model; give a step (Lemma 6)")
    real(0, above_low=True, optional=True).check("step", step)
    u, at_truth = X @ theta, X @ truth  # (n,)
    kept = selection(X, y, theta, alpha, link)
    rows, bad, h = X[kept], is_bad[kept], int(kept.sum())
    if step is None and h < d:
        raise ValueError(f"alpha={alpha} keeps {h} samples, fewer than the {d} features: alpha n >= d is needed")
    delta, r = theta - truth, y[kept] - omega.value(at_truth[kept])  # r: bad samples' r + e - omega(u*), clean ones' e
    A = rows.T @ rows
    B = rows[bad].T @ rows[bad]
    if step is None:
        pull = rows[bad].T @ (u[kept] - y[kept])[bad]
        noise = rows[~bad].T @ r[~bad]
        new = np.linalg.solve(A, rows.T @ y[kept])
        said = np.linalg.solve(A, B @ delta - pull + noise)
    else:
        slope = omega.slope(u[kept])
        moved = (u - at_truth)[kept]
        ratio = np.divide(omega.value(u[kept]) - omega.value(at_truth[kept]), moved, out=slope.copy(), where=moved != 0)
        pull = rows[bad].T @ (-r * slope)[bad]
        noise = rows[~bad].T @ (r * slope)[~bad]
        new = gradient_step(X, y, theta, kept, step, link)
        said = delta - step / h * (rows.T @ (ratio * slope * (rows @ delta)) + pull - noise)
    norm = np.linalg.norm
    return Step(
        kept=kept,
        theta=new,
        distance=float(norm(delta)),
        error=float(norm(new - truth)),
        smallest=float(np.linalg.eigvalsh(A)[0]),
        gamma=float(np.linalg.eigvalsh(B)[-1]) if bad.any() else 0.0,
        phi=float(norm(pull)),
        noise=float(norm(noise)),
        xi=float(np.sqrt((X**2).sum() * np.log(n))),
        gap=float(norm(new - truth - said)),
        n_bad=int(bad.sum()),
    )


def lemma_5(step: Step, *, sigma: float | None = None, c: float = 1.0, root_2: bool = True) -> float:
    """Bound the next error of a full update by Lemma 5: ``(root2 gamma_t distance + root2 phi_t + noise) / psi^-``.

    The eigenvalues are the kept samples' own, which make the bound tighter. The bound is infinite if the smallest is 0.

    Parameters
    ----------
    step : Step
        From `take_step`.
    sigma : float, optional
        Standard deviation of the noise, for the paper's noise term ``c xi_t sigma``. With None the noise term is the
        actual sum over the kept clean samples, and the bound follows from the identity.
    c : float
        The paper's constant, whose value the paper does not give.
    root_2 : bool
        Keep the paper's factors root 2. The bound follows without them too.
    """
    factor = math.sqrt(2) if root_2 else 1.0
    noise = step.noise if sigma is None else c * step.xi * sigma
    if step.smallest <= 0:
        return math.inf
    return (factor * (step.gamma * step.distance + step.phi) + noise) / step.smallest


def lemma_6(step: Step, size: float, *, link: str = "identity") -> float:
    """Bound the next error of a gradient step by Lemma 6, with the actual sum of noise.

    The bound is ``(1 - eta a^2 psi^- / h) distance + eta (phi~_t + noise) / h``, with psi^- of the kept samples.

    Parameters
    ----------
    step : Step
        From ``take_step(..., step=size)``.
    size : float
        eta. The bound holds up to `itlm.linear.largest_step` of the kept samples; the paper states no condition.
    link : {"identity", "leaky", "wavy"}
        omega, its derivative in [a, b].

    Raises
    ------
    ValueError
        If a is not above 0, or b is infinite: the lemma assumes 0 < a and b finite.
    """
    omega, h = LINKS[link], int(step.kept.sum())
    if not (omega.low > 0 and math.isfinite(omega.high)):
        raise ValueError(f"link={link!r} has omega' in [{omega.low}, {omega.high}]; Lemma 6 needs 0 < a and b finite")
    shrink = 1 - size * omega.low**2 * step.smallest / h
    return shrink * step.distance + size * (step.phi + step.noise) / h
