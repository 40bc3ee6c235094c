"""Least trimmed squares as a scikit-learn regressor.

Source: Shen & Sanghavi, ICML 2019, Section 4; Rousseeuw & Leroy 1987 for reweighting.
"""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from ..least_squares.exact import fit_to, plane_of
from ..least_squares.outliers import EXCESS, outlier_share
from ..least_squares.rows import Rows, check_numbers, in_place, residuals
from ..least_squares.scale import CUT, final_shrinkage, raw_shrinkage
from ..least_squares.solver import concentrate, search
from ..parameters import flag, whole
from ..weighted import total_weight
from .checks import check_outputs, check_weights, mass_kept, seed_from, warn_undetermined

__all__ = ["TrimmedRegressor"]


class TrimmedRegressor(RegressorMixin, BaseEstimator):
    """Linear regression by least trimmed squares, then by least squares without the outliers.

    Minimises the sum of the h smallest squared residuals over coefficients and samples: the trimmed-loss estimator for
    squared loss. Algorithm 1 runs from several starts. Samples may be corrupted in y or in X.

    Parameters
    ----------
    support_fraction : float in (0, 1], "breakdown" or "auto", default 0.75
        Fraction kept (alpha in the paper): ``h = floor(support_fraction n)``. It should not exceed the clean fraction.
        ``"breakdown"`` keeps ``floor((n + p + 1) / 2)`` for p coefficients with the intercept, and withstands the most
        outliers. ``"auto"`` fits like ``"breakdown"``, estimates the share of outliers from the residuals by the
        iterated method of Gervini & Yohai 2002, and fits again without 1.25 times that share; this replaces
        ``reweight``. Cross-validation cannot choose the fraction: held-out data also has corrupted samples, and
        favours fits to them.
    n_starts : int, at least 1, optional
        Number of starts, as for `least_trimmed_squares`; 1 is least squares alone, which corrupted features mislead.
    reweight : bool, default True
        Refit least squares to all samples whose residual is at most 2.5 raw scales, 98.8 % of clean Gaussian data. This
        regains the efficiency that trimming costs.
    fit_intercept : bool, default True
        Fit an intercept, which does not count in minimum norms.
    max_iter : int, at least 1, default 500
        Maximum number of concentration steps from each start.
    random_state : int, RandomState or None, default None
        Seeds the subsamples and starts. With None, repeated fits may reach different local optima.

    Attributes
    ----------
    coef_ : array, shape (n_features,)
        theta, in units of y over those of X.
    intercept_ : float
        0.0 without ``fit_intercept``.
    inlier_mask_ : array of bool, shape (n,)
        The samples that ``coef_`` was fitted to; S if ``reweight`` is False.
    scale_ : float
        Estimate of the standard deviation of the clean samples' noise, in units of y. It is consistent for Gaussian
        noise and corrected for n and p. 0 if the inliers lie on one plane.
    raw_coef_, raw_intercept_, raw_inlier_mask_, raw_scale_
        The same before reweighting; ``raw_inlier_mask_`` is S, h samples.
    support_fraction_ : float
        The fraction kept: ``support_fraction``, or its value for ``"breakdown"`` or ``"auto"``.
    objective_ : float
        The trimmed loss: sum of the kept samples' squared raw residuals.
    objective_path_ : array
        The objective at each step; it never rises, except by rounding.
    n_iter_ : int
        Number of steps on all samples from the start that won.
    n_features_in_, feature_names_in_ : int, and array of shape (n_features,)
        Number of features; their names, if X has names that are all strings.

    Warns
    -----
    UserWarning
        If h is at most the number of coefficients: every selection can then be fitted exactly. If so many samples have
        the same y that a constant fits them exactly, and all others are outliers for that reason. If a column of X
        varies in all samples but is constant among the inliers: its coefficient is then undetermined.
    ConvergenceWarning
        If ``max_iter`` steps did not reach a fixed point.

    Notes
    -----
    If h samples or more lie on one plane, that plane is the fit, and the samples on the plane are the inliers.

    Residuals of kept samples are too small for two reasons. First, large residuals are cut off. Let a = h/n and let q
    be the Gaussian quantile that keeps the fraction a in (-q, q). With m = a - 2 q phi(q), the mean kept square tends
    to (m / a) sigma^2, which corrects for the cut. Second, the fit follows the samples it keeps. To first order this
    removes the share s = p / (n m), far more than p / h, as the kept set adapts to the fit. To derive s, expand the
    trimmed loss around the truth: its gradient has variance 4 m / (n a^2) and its curvature is 2 m / a. Beyond first
    order, s / (1 + 1.75 (1 - a) s) fits simulations, for n of at least 5 p and a of at least one half. The scale after
    rejection has another factor, also fitted to simulations.
    """

    def __init__(
        self,
        support_fraction=0.75,
        *,
        n_starts=None,
        reweight=True,
        fit_intercept=True,
        max_iter=500,
        random_state=None,
    ):
        self.support_fraction = support_fraction
        self.n_starts = n_starts
        self.reweight = reweight
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit to data with corrupted samples; return self.

        Parameters
        ----------
        X, y : arrays (X may be a data frame), shapes (n, n_features) and (n,)
            Features and outputs.
        sample_weight : array, shape (n,), optional
            How many samples each row represents, 0 or more; n is then the sum of the weights. Trimming is by weighted
            mass, so whole weights equal repetition (in the random starts: up to 1000 rows). If not all are whole,
            ``support_fraction`` of their sum is kept. Weights are counts: rescale weights in other units to sum to the
            number of samples.

        Raises
        ------
        ValueError
            If a parameter is out of range, nothing would be kept, or squared numbers overflow or vanish. Also if data
            or weights are not finite or of the wrong shape.
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=2)
        y = check_outputs(y)
        whole(1).check("max_iter", self.max_iter)
        whole(1, optional=True).check("n_starts", self.n_starts)
        flag().check("reweight", self.reweight)
        flag().check("fit_intercept", self.fit_intercept)
        counted, weights = check_weights(sample_weight, X)
        if counted is not None:
            X, y = X[counted], y[counted]
        n, p = len(y) if weights is None else total_weight(weights), X.shape[1] + bool(self.fit_intercept)
        h = self._kept(n, p, weights)
        check_numbers(X, y)
        rows = Rows(X, y, weights, h, bool(self.fit_intercept))
        found = search(rows, self.n_starts, self.max_iter, seed_from(self.random_state))
        self._warn_of_steps(found)
        plane = plane_of(rows, found)
        if plane is not None:
            raw, scale = plane[0], 0.0
        else:
            raw, scale = found.coef, np.sqrt(found.objective / h) / raw_shrinkage(h, n, p)
        theta, inliers = raw, found.kept
        self.raw_coef_, self.raw_intercept_ = self._split(rows.as_given(raw))
        self.raw_inlier_mask_, self.raw_scale_ = in_place(inliers, counted), float(scale)
        self.support_fraction_ = h / n
        if plane is not None and (self.reweight or self._is("auto")):
            inliers = plane[1]
        elif self._is("auto"):
            share, scale = outlier_share(rows, raw, found.objective, h, n, p)
            rows.h = max(h, mass_kept(n, max(1 - EXCESS * share, h / n)))
            again = concentrate(rows, raw, self.max_iter)
            self._warn_of_steps(again)
            theta, inliers, self.support_fraction_ = again.coef, again.kept, rows.h / n
        elif self.reweight:
            inliers = residuals(rows, raw) <= CUT * scale
            theta = fit_to(rows, inliers)
            mass = inliers if weights is None else weights * inliers
            scale = np.sqrt(mass @ residuals(rows, theta) ** 2 / mass.sum()) / final_shrinkage(h, n, p)
        self._warn_degenerate(X, y, inliers, plane is not None)
        self.coef_, self.intercept_ = self._split(rows.as_given(theta))
        self.inlier_mask_, self.scale_ = in_place(inliers, counted), float(scale)
        self.objective_, self.objective_path_, self.n_iter_ = found.objective, np.array(found.path), found.n_iter
        return self

    def predict(self, X):
        """Predict outputs, shape (m,), in units of y.

        Parameters
        ----------
        X : array or data frame, shape (m, n_features)
            Features.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not finite or does not have the features that `fit` saw.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return X @ self.coef_ + self.intercept_

    def _is(self, name) -> bool:
        """Return whether support_fraction, which may be an array by mistake, is this word."""
        return isinstance(self.support_fraction, str) and self.support_fraction == name

    def _kept(self, n, p, weights):
        """Return h, and warn if any h samples can be fitted exactly."""
        if self._is("breakdown") or self._is("auto"):
            h = min(n, (n + p + 1) // 2)
        else:
            h = mass_kept(n, self.support_fraction, ", 'breakdown' or 'auto'")
        if h <= p:
            warnings.warn(
                f"support_fraction={self.support_fraction!r} keeps {h:g} of {n:g} samples, for {p} coefficients: any "
                "selection can be fitted exactly, so trimming cannot find outliers; use more samples, fewer features "
                "or a larger support_fraction"
                + ("" if weights is None else " (sample_weight counts samples: it should sum to their number)"),
                stacklevel=3,
            )
        return h

    def _warn_of_steps(self, fit):
        """Warn if a fit ended before a fixed point."""
        if not fit.converged:
            warnings.warn(
                f"max_iter={self.max_iter} steps reach no fixed point: raise it", ConvergenceWarning, stacklevel=3
            )

    def _warn_degenerate(self, X, y, inliers, exact):
        """Warn if outliers are samples of a rare y or a rare level, rather than samples far off."""
        if exact and np.ptp(y[inliers]) == 0 and np.ptp(y) > 0:
            warnings.warn(
                f"{np.count_nonzero(y == y[inliers][0])} of {len(y)} samples have the same output, "
                f"{y[inliers][0]:g}: a constant fits these exactly, so scale_ is 0 and all others are called outliers, "
                "for that reason alone; model the repeated value apart, or use a larger support_fraction",
                stacklevel=3,
            )
        warn_undetermined(X, inliers, getattr(self, "feature_names_in_", None), bool(self.fit_intercept))

    def _split(self, theta):
        return (theta[:-1], float(theta[-1])) if self.fit_intercept else (theta, 0.0)
