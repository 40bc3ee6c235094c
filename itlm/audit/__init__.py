"""What a user's own data need: planted errors, and the share of wrong samples with a bound.

share = error_share(X, y, fit, losses, "uniform")      how much is wrong?
alpha = choose_fraction(X, y, fit, losses, "uniform")  the fraction to keep
"""

from .fraction import ErrorShare, choose_fraction, compare, error_share
from .planting import Planted, class_to_class, confusable, foreign, plant, shifted, systematic, uniform, wrong_unit

__all__ = [
    "ErrorShare", "Planted", "choose_fraction", "class_to_class", "compare", "confusable", "error_share", "foreign",
    "plant", "shifted", "systematic", "uniform", "wrong_unit",
]  # fmt: skip
