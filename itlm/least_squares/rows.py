"""The samples of a linear fit, read in blocks, and their normal equations; the estimators use them too."""

import copy
from collections.abc import Iterator

import numpy as np

from ..trimming import check_alpha, n_kept, unmasked
from ..weighted import as_floats, as_weights, total_weight

WIDE = 1e150  # squares of much larger numbers overflow; squares of columns much below 1 / WIDE vanish
ROUNDING = 1e-11  # rounding error of a residual, relative to the terms it is the difference of, about the centre
DIGIT = 8 * np.finfo(float).eps  # rounding error of the data as given, relative to their size


class Rows:
    """The samples, an array or a memory map, read in blocks; ``ones`` appends a column of ones.

    ``h`` is the number of samples kept or, if they have weights, the weight kept. With a column of ones, X and y are
    read as distances from ``centre`` (X, then y), which is near their medians: squares of large offsets would have no
    digits left for the variation. `around` and `as_given` convert coefficients to the centred data and back.
    """

    def __init__(self, X, y, weights, h, ones: bool):
        self.weights, self.h, self.ones, self.stacked = weights, h, ones, False
        self.centre = np.zeros(X.shape[1] + 1)
        if ones:
            some = slice(None, None, len(y) // 1000 + 1)
            self.centre = np.append(np.median(np.asarray(X[some], dtype=np.float64), axis=0), np.median(y[some]))
            y = y - self.centre[-1]
            if X.nbytes < 2**28 and not is_mapped(X):  # centred once, rather than block by block
                X, self.stacked = self._beside_ones(X), True
        self.X, self.y = X, y
        self.n, self.d = X.shape[0], X.shape[1] + (ones and not self.stacked)
        self.block = max(256, 2**17 // self.d)  # 1 MB, which fits in a core's cache

    def _beside_ones(self, X) -> np.ndarray:
        """Return rows about the centre, each followed by a one."""
        rows = np.empty((X.shape[0], X.shape[1] + 1))
        np.subtract(X, self.centre[:-1], out=rows[:, :-1])
        rows[:, -1] = 1
        return rows

    def around(self, theta) -> np.ndarray:
        """Convert coefficients of the data as given to coefficients about the centre."""
        if not self.ones:
            return theta
        return np.append(theta[:-1], theta[-1] + self.centre[:-1] @ theta[:-1] - self.centre[-1])

    def as_given(self, theta) -> np.ndarray:
        """Convert coefficients about the centre to coefficients of the data as given."""
        if not self.ones:
            return theta
        return np.append(theta[:-1], theta[-1] - self.centre[:-1] @ theta[:-1] + self.centre[-1])

    def blocks(self) -> Iterator[slice]:
        """Yield slices of about 1 MB that cover the samples."""
        for begin in range(0, self.n, self.block):
            yield slice(begin, min(begin + self.block, self.n))

    def at(self, which) -> np.ndarray:
        """Return some rows, (m, d): a view if nothing has to be converted."""
        rows = np.asarray(self.X[which])
        return self._beside_ones(rows) if self.ones and not self.stacked else np.asarray(rows, dtype=np.float64)

    def among(self, part: slice, chosen) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and outputs of a block's chosen samples: (m, d) and (m,)."""
        return np.compress(chosen, self.at(part), axis=0), self.y[part][chosen]

    def sample(self, size: int, random) -> "Rows":
        """Draw a random part of the samples into memory."""
        edges = np.arange(size + 1) * self.n // size  # one sample from each stretch: sorted, without repetition
        which = random.integers(edges[:-1], edges[1:])
        if self.weights is None:
            weights, h = None, max(1, round(self.h * size / self.n))
        else:
            weights = self.weights[which]
            h = self.h * weights.sum() / self.weights.sum()
        part = copy.copy(self)
        part.X, part.y, part.weights, part.h, part.n = np.asarray(self.X[which]), self.y[which], weights, h, size
        return part


def checked(X, y, alpha, weights, ones) -> tuple[Rows, np.ndarray | None]:
    """Check the input; return the samples of positive weight, and their mask if that excludes any."""
    check_alpha(alpha)
    if hasattr(X, "toarray"):
        raise ValueError("X is sparse, which is not supported: give X.toarray()")
    X, y = unmasked("X", X), as_floats("y", y)
    if X.ndim != 2 or not X.size:
        raise ValueError(f"X must have shape (n, d), both at least 1, got {X.shape}")
    if y.shape != (len(X),):
        raise ValueError(f"y must have shape ({len(X)},), one output a sample, got {y.shape}")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"X must be real numbers, got dtype {X.dtype}")
    if weights is not None:
        weights = as_weights(weights, len(y))
    check_numbers(X, y)
    counted = None if weights is None or weights.all() else weights > 0
    if counted is not None:
        X, y, weights = X[counted], y[counted], weights[counted]
    mass = len(y) if weights is None else total_weight(weights)
    h = n_kept(mass, alpha) if isinstance(mass, int) else alpha * mass
    return Rows(X, y, weights, h, ones), counted


def check_numbers(X, y) -> None:
    """Refuse numbers that are not finite, and numbers whose squares overflow or vanish."""
    with np.errstate(over="ignore", invalid="ignore"):
        for name, values in (("X", X), ("y", y)):
            for part in _parts(values):
                part = np.asarray(part, dtype=np.float64).ravel(order="K")
                if not np.dot(part, part) < np.inf:  # as fast as np.isfinite, and finds large numbers too
                    if not np.isfinite(part).all():
                        raise ValueError(f"{name} has NaN or infinity: drop or correct these samples first")
                    raise ValueError(
                        f"{name} has numbers as large as {np.abs(part).max():.3g}: drop or correct these samples, or "
                        f"give {name} in a larger unit, so that all are below {WIDE:g}"
                    )
            largest = np.abs(values[:: len(values) // 1000 + 1]).max(0)
            if ((0 < largest) & (largest < 1 / WIDE)).any():
                raise ValueError(f"{name} has a column with all numbers below {1 / WIDE:g}: give it in a smaller unit")


def _parts(values) -> Iterator[np.ndarray]:
    """Yield an array's rows in blocks of 1 MB."""
    step = max(1, 2**17 // values[0].size)
    for begin in range(0, len(values), step):
        yield values[begin : begin + step]


def is_mapped(X) -> bool:
    """Return whether an array is a memory map, or a view of one."""
    while X is not None and not isinstance(X, np.memmap):
        X = getattr(X, "base", None)
    return X is not None


def in_place(mask, counted) -> np.ndarray:
    """Return a mask over the counted samples as a mask over all samples."""
    if counted is None:
        return mask
    full = np.zeros(len(counted), bool)
    full[counted] = mask
    return full


def residuals(rows: Rows, theta) -> np.ndarray:
    """Compute the absolute residuals of all samples: (n,)."""
    r = np.empty(rows.n)
    for part in rows.blocks():
        np.abs(np.subtract(rows.y[part], rows.at(part) @ theta, out=r[part]), out=r[part])
    return r


class NormalEquations:
    """Normal equations of a changing set of samples: A = X'X, b = X'y, c = y'y over the set."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.set_to(None)

    def set_to(self, kept) -> None:
        """Start from scratch with the samples of a mask, or with no samples if it is None."""
        d = self.rows.d
        self.A, self.b, self.c = np.zeros((d, d)), np.zeros(d), 0.0
        self.largest = np.zeros(d + 1)
        if kept is not None:
            for part in self.rows.blocks():
                self.add(*self.rows.among(part, kept[part]))

    def add(self, X, y, sign=1) -> None:
        """Add samples, or remove them with sign -1."""
        self.A += sign * (X.T @ X)
        self.b += sign * (X.T @ y)
        self.c += sign * float(y @ y)
        self.largest = np.maximum(self.largest, self._sizes())

    def _sizes(self):
        return np.append(self.A.diagonal(), self.c)

    def turn(self, kept, turned) -> None:
        """Switch samples, given by index, in a mask: kept ones are dropped, dropped ones kept."""
        kept[turned] ^= True
        for which, sign in ((turned[kept[turned]], 1), (turned[~kept[turned]], -1)):
            for begin in range(0, len(which), self.rows.block):
                part = which[begin : begin + self.rows.block]
                self.add(self.rows.at(part), self.rows.y[part], sign)
        if (self._sizes() < 1e-6 * self.largest).any():  # the sums fell far below their largest values: digits are lost
            self.set_to(kept)

    def solve(self, kept) -> np.ndarray:
        """Fit least squares to the set."""
        theta = cholesky(self.A, self.b)
        if theta is None:
            theta = minimum_norm(self.rows.at(kept), self.rows.y[kept], self.rows.ones)
        return theta

    def objective(self, theta, kept) -> float:
        """Return the sum of squared residuals of the set, which is kept; from its samples if digits would cancel."""
        size = np.abs(theta)
        found = float(self.c - 2 * self.b @ theta + theta @ self.A @ theta)
        if DIGIT * float(self.c + 2 * np.abs(self.b) @ size + size @ np.abs(self.A) @ size) <= 1e-10 * found:
            return found
        found = 0.0
        for part in self.rows.blocks():
            X, y = self.rows.among(part, kept[part])
            found += float(((y - X @ theta) ** 2).sum())
        return found


def least_squares(X, y, weights, ones: bool) -> np.ndarray:
    """Fit weighted least squares to few samples; weights (n,)."""
    some = np.flatnonzero(weights)
    X, y = X.take(some, axis=0), y[some]
    if (weights[some] != 1).any():
        root = np.sqrt(weights[some])
        X, y = X * root[:, None], y * root
    theta = cholesky(X.T @ X, X.T @ y) if len(y) >= X.shape[1] else None
    return minimum_norm(X, y, ones) if theta is None else theta


def cholesky(A, b):
    """Solve normal equations; return None if they are too near to singular."""
    from scipy.linalg import lapack

    scale = np.sqrt(A.diagonal())
    if not (scale > 0).all():
        return None
    factor, failed = lapack.dpotrf(A / np.outer(scale, scale), lower=False, clean=False)
    if failed or lapack.dpocon(factor, 1.0)[0] < 1e-9:
        return None
    return lapack.dpotrs(factor, b / scale)[0] / scale


def minimum_norm(X, y, ones: bool) -> np.ndarray:
    """Fit least squares of minimum norm; the intercept, in the last column, does not count.

    The rank is decided on columns of equal length, so that no column is lost for its unit. The norm is that of the
    coefficients as given.
    """
    if ones:
        weight = X[:, -1]  # the roots of the weights, or ones
        share = weight / (weight @ weight)
        mean, middle = share @ X[:, :-1], share @ y
        theta = minimum_norm(X[:, :-1] - np.outer(weight, mean), y - weight * middle, False)
        return np.append(theta, middle - mean @ theta)
    from scipy.linalg import qr, solve_triangular

    length = np.linalg.norm(X, axis=0)
    length = np.where(length > 0, length, 1.0)
    Q, R, order = qr(X / length, mode="economic", pivoting=True)
    size, tolerance = np.abs(R.diagonal()), np.finfo(float).eps * max(X.shape)
    rank = int(np.count_nonzero(size > tolerance * size.max(initial=0.0)))
    chosen, others = order[:rank], order[rank:]
    theta, null = np.zeros(len(length)), np.zeros((len(length), len(others)))
    if not rank:
        return theta
    theta[chosen] = solve_triangular(R[:rank, :rank], Q[:, :rank].T @ y)
    null[others, range(len(others))] = 1
    null[chosen] = -solve_triangular(R[:rank, :rank], R[:rank, rank:])
    null[np.abs(null) <= tolerance] = 0  # rounding, which small units would magnify
    theta, null = theta / length, null / length[:, None]
    basic = theta.copy()
    for j in range(len(others)):  # Gram and Schmidt: each coordinate keeps its digits
        direction = null[:, j] / np.linalg.norm(null[:, j])
        null[:, j + 1 :] -= np.outer(direction, direction @ null[:, j + 1 :])
        theta -= direction * (direction @ theta)
    left, least = (((y - X @ t) ** 2).sum() for t in (theta, basic))
    return theta if left <= least * (1 + 1e-9) + 1e-24 * (y @ y) else basic
