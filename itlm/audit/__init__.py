"""What a user's own data need: how much is wrong, and which samples.

share = error_share(X, y, fit, losses, "uniform")      how much is wrong?
alpha = choose_fraction(X, y, fit, losses, "uniform")  the fraction to keep
report = Report.from_estimator(model, X, y)            which samples, with a page, a table and warnings
recorder = Recorder(n, "losses/")                      the same for a training loop

On the command line: ``python -m itlm.audit my.csv --target label --out report/``.
"""

from .fraction import ErrorShare, choose_fraction, compare, error_share
from .inspection import inspected, inspected_by
from .planting import Planted, class_to_class, confusable, foreign, plant, shifted, systematic, uniform, wrong_unit
from .recorder import Recorder
from .report import Report

__all__ = [
    "ErrorShare", "Planted", "Recorder", "Report", "choose_fraction", "class_to_class", "compare", "confusable",
    "error_share", "foreign", "inspected", "inspected_by", "plant", "shifted", "systematic", "uniform", "wrong_unit",
]  # fmt: skip
