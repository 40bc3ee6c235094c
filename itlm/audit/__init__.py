"""What a user's own data need: how much is wrong, and which samples.

share = error_share(X, y, fit, losses, "uniform")     how much; `choose_fraction` gives the fraction to keep
`itlm.audit.report.Report`, `itlm.audit.recorder.Recorder`     which samples, of a model or of a training loop
``python -m itlm.audit my.csv --target label --out report/``   both, on the command line
"""

from .fraction import ErrorShare, choose_fraction, compare, error_share
from .planting import Planted, class_to_class, confusable, foreign, plant, shifted, systematic, uniform, wrong_unit

__all__ = [
    "ErrorShare", "Planted", "choose_fraction", "class_to_class", "compare", "confusable", "error_share", "foreign",
    "plant", "shifted", "systematic", "uniform", "wrong_unit",
]  # fmt: skip
