"""Least trimmed squares: Algorithm 1 for squared loss, from many starts, fast.

`solver` takes the concentration steps, and `starts` finds where they begin. `rows` holds the samples and their normal
equations. `exact` recognises data on a plane, and `scale` corrects the estimate of the noise.
"""

from .solver import TrimmedFit, least_trimmed_squares

__all__ = ["TrimmedFit", "least_trimmed_squares"]
