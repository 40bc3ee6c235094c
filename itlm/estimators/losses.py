"""Losses by which samples are ranked, and the predictions of any model that they are computed from."""

import numpy as np
from scipy.special import xlogy

from ..least_squares.rows import DIGIT, ROUNDING

__all__ = ["LOSSES", "METHODS", "is_nothing", "losses_of", "worst_class"]

METHODS = {"log": "predict_proba", "hinge": "decision_function"}  # what the losses of classifiers need


def _deviations(y, prediction):
    """Compute absolute residuals, (n, outputs); residuals within rounding are 0, so they rank no samples."""
    y, prediction = y.reshape(len(y), -1), prediction.reshape(len(y), -1)
    size, centre = np.abs(y - prediction), np.median(y, axis=0)
    rounding = ROUNDING * (np.abs(y - centre) + np.abs(prediction - centre)) + DIGIT * np.abs(prediction)
    return np.where((size <= rounding) & np.isfinite(size), 0.0, size)


def _squared(y, prediction):
    return (_deviations(y, prediction) ** 2).sum(1)


def _absolute(y, prediction):
    return _deviations(y, prediction).sum(1)


def _poisson(y, prediction):
    for name, values, bad, remedy in (
        ("y", y, y < 0, "counts are 0 or more"),
        ("the prediction", prediction, prediction <= 0, "use an estimator with positive means, like PoissonRegressor"),
    ):
        if bad.any():
            raise ValueError(f"loss='poisson': {name} has {values[bad][0]} ({bad.sum()} such values); {remedy}")
    y, prediction = y.reshape(len(y), -1), prediction.reshape(len(y), -1)
    return 2 * (xlogy(y, y / prediction) - y + prediction).sum(1)


LOSSES = {"squared": _squared, "absolute": _absolute, "poisson": _poisson}
# Losses below this share of a constant model's losses count as zero: solvers stop short of an exact fit.
LEFT = {"squared": 1e-12, "absolute": 1e-6}


def is_nothing(losses, y, name) -> bool:
    """Return whether losses count as zero: they are 0, or below ``LEFT`` of a constant model's losses."""
    most = 0.0
    if isinstance(name, str) and name in LEFT:
        most = LEFT[name] * LOSSES[name](y, np.broadcast_to(np.median(y, axis=0), y.shape)).sum()
    return losses.sum() <= most


def losses_of(model, X, y, loss, classes=None) -> np.ndarray:
    """Compute the loss of each sample under a fitted model, (n,).

    Parameters
    ----------
    model : estimator
        A fitted model.
    X, y
        The samples; y has shape (n,) or (n, n_outputs).
    loss : {"squared", "absolute", "poisson", "log", "hinge"} or callable
        As for `TrimmedEstimator`, without "auto".
    classes : (array of labels, array of int of shape (n,)) or None
        For classifiers: the sorted labels of y, and the number of each sample's label among them.

    Raises
    ------
    ValueError
        If the model's predictions or classes do not have the shape, type or range that the loss needs.
    """
    n = len(y)
    if loss == "log":
        column, k = _columns(model, classes)
        chances = _real(model, "predict_proba", X, [(n, k)])
        own, eps = chances[np.arange(n), column], np.finfo(chances.dtype).eps
        if ((own < -10 * eps) | (own > 1 + 1000 * eps)).any():
            raise ValueError(
                f"predict_proba of {_name(model)} must return probabilities, in [0, 1], got {own.min():.3g} to "
                f"{own.max():.3g}"
            )
        return -np.log(np.maximum(own, eps))
    if loss == "hinge":
        return _hinge(model, X, n, *_columns(model, classes))
    if classes is None:
        shapes = [y.shape, (n,), (n, 1)] if y.size == n else [y.shape]
        prediction = _real(model, "predict", X, shapes).reshape(y.shape)
    elif hasattr(model, "predict_proba"):
        prediction = _real(model, "predict_proba", X, [(n, len(classes[0]))])
    else:
        prediction = _read(model, "predict", X, [(n,), (n, 1)]).reshape(n)
    if not callable(loss):
        return LOSSES[loss](y, prediction)
    losses = np.asarray(loss(y, prediction))
    if losses.shape != (n,):
        raise ValueError(f"loss must return shape ({n},), one value a sample, got {losses.shape}")
    return losses


def worst_class(losses, groups, classes) -> str:
    """Return which class has the largest share of infinite losses, if trimming is within classes; else nothing."""
    if groups is None or not (infinite := losses == np.inf).any():
        return ""
    found, sizes = np.bincount(groups, infinite), np.bincount(groups)
    worst = np.argmax(found / sizes)
    return f" (trimming is within each class: {found[worst]:g} of {sizes[worst]} samples of class {classes[0][worst]})"


def _hinge(model, X, n, column, k):
    """Sum max(0, 1 - s f) over the decision values f of each class against the others; s is 1 or -1."""
    shapes = [(n,), (n, 1)] if k <= 2 else [(n, k)]
    shape = [v for name, v in model.get_params().items() if name.split("__")[-1] == "decision_function_shape"]
    if k > 2 and "ovo" in shape:
        raise ValueError("loss='hinge' needs one decision value a class; set decision_function_shape='ovr'")
    f = _real(model, "decision_function", X, shapes).reshape(n, -1)
    own = column[:, None] == (np.arange(k) if k > 2 else k - 1)
    return np.maximum(0, 1 - np.where(own, f, -f)).sum(1)


def _columns(model, classes):
    """Return the column of each sample's label in predictions by class, (n,), and the number of columns."""
    labels, codes = classes
    if not hasattr(model, "classes_"):
        raise ValueError(
            f"{_name(model)} has no classes_ after fit, so the columns of its predictions have no labels; let its fit "
            "set classes_ to the labels in the order of the columns"
        )
    order = {label: i for i, label in enumerate(np.asarray(model.classes_).tolist())}
    columns = [order.get(label) for label in labels.tolist()]
    if None in columns:
        raise ValueError(
            f"classes_ of {_name(model)} lacks the label {labels[columns.index(None)]} of y: it has {[*order]!s:.60}; "
            "let its fit set classes_ to the labels as given"
        )
    return np.array(columns)[codes], len(order)


def _read(model, method, X, shapes) -> np.ndarray:
    """Return what a method of a model predicts as an array; refuse other shapes."""
    values = getattr(model, method)(X)
    values = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)  # tensors have detach
    if values.shape not in shapes:
        wanted = " or ".join(map(str, dict.fromkeys(shapes)))
        raise ValueError(f"{method} of {_name(model)} must return shape {wanted}, got {values.shape}")
    return values


def _real(model, method, X, shapes) -> np.ndarray:
    values = _read(model, method, X, shapes)
    if values.dtype.kind == "f":
        return values
    try:
        if values.dtype.kind not in "iubO":
            raise TypeError
        return values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{method} of {_name(model)} must return real numbers, got dtype {values.dtype}") from None


def _name(model) -> str:
    return type(model).__name__
