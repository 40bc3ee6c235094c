"""What the rounds of a trimmed estimator say: cycles of selections, and fits that cannot tell samples apart."""

from hashlib import blake2b

import numpy as np
from sklearn.pipeline import Pipeline

from .losses import is_nothing

__all__ = ["period", "uninformative"]

_SEPARATED = 5e-4  # if the kept samples' mean log-loss is smaller, they are separable


def period(seen, mass, path) -> int:
    """Return after how many rounds the selections repeat, in the round of smallest objective among these; else 0.

    ``seen`` is the last round of each selection, by digest, and is brought up to date. A repeated selection has a
    repeated objective too: if not, the models differ, and the next selection may be new.
    """
    digest, t = blake2b(mass.tobytes(), digest_size=16).digest(), len(path) - 1
    last, seen[digest] = seen.get(digest, t), t
    repeats = t - last > 1 and np.isclose(path[t], path[last], rtol=1e-9, atol=0)
    return t - last if repeats and path[t] <= min(path[last:]) * (1 + 1e-9) else 0


def uninformative(model, loss, fraction, flawless, losses, y, mass) -> str:
    """Return why trimming tells nothing about the samples; empty if it does.

    Parameters
    ----------
    model, loss, fraction : estimator, str or callable, float
        The last model, the name of the loss, and the fraction kept.
    flawless : bool
        Whether the fit to all samples had no loss.
    losses, y, mass : arrays, shape (n_kept,)
        Losses, outputs and mass of the kept samples.
    """
    many = _n_coefficients(model)
    if flawless:
        return (
            "estimator fits every sample without loss, corrupted ones too, so trimming cannot tell them apart; "
            "use a more strongly regularised estimator"
        )
    if loss != "log" and many >= mass.sum() and is_nothing(losses, y, loss):
        return (
            f"estimator has {many} coefficients for {mass.sum():g} kept samples, and fits these without loss, as "
            "it would any selection, so trimming cannot find outliers; use more samples, fewer features, a more "
            "strongly regularised estimator, or a larger support_fraction"
        )
    mean = mass @ losses / mass.sum()
    if loss == "log" and mean < _SEPARATED:
        why = "the kept set carries little information; use a more strongly regularised estimator"
        if many:
            why = (
                "a penalty or the solver's tolerance alone determines the size of the coefficients; regularise "
                "estimator more (such as a smaller C)"
            )
        return (
            f"the kept samples are separable: their mean log-loss is {mean:.1g}, and {why}, or a support_fraction "
            f"larger than {fraction}"
        )
    return ""


def _n_coefficients(model) -> int:
    """Return the coefficients per output of a linear model, or of a pipeline that ends in one; else 0."""
    coef = getattr(model[-1] if isinstance(model, Pipeline) else model, "coef_", None)
    return 0 if coef is None else np.shape(coef)[-1]
