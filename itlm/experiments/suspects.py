"""Which labels are wrong? Rankings of suspects compared, on errors that are known.

    record = run(Config(dataset="digits", noise="confusable", method="report"))

Every method ranks the same samples, with the same kind of model. `itlm.audit` alone also says how many of the dropped
samples are wrong.

Not in the paper (Shen & Sanghavi, ICML 2019).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..audit.inspection import FOLDS, inspected_by, log_losses
from ..audit.report import Report
from ..parameters import Parameters, one_of, parameter, real, whole
from ..records.record import Record, begin
from . import tasks
from .tasks import HUMAN, IMAGES, KINDS, TABLES, TESTED, Task

__all__ = ["FIRST", "METHODS", "RECIPE", "Config", "digest", "run", "scores", "task", "visits"]

RECIPE = 1
FIRST = (100, 500, 1000)  # suspects among which confirmed errors are counted


@dataclass(frozen=True, kw_only=True)
class Config(Parameters):
    """One ranking."""

    dataset: str = parameter(
        "digits", one_of(*TABLES, *IMAGES, *TESTED), "data and model",
        more="As in `itlm.experiments.alpha`; mnist_test and cifar10_test are the sets' test images with the published "
        "labels, of which some are confirmed errors.",
    )  # fmt: skip
    noise: str = parameter(
        "uniform", one_of(*KINDS, *HUMAN, "published"), "kind of label noise",
        more="Published: the errors of mnist_test and cifar10_test. The five before are labels that people gave to "
        "CIFAR-10's images.",
    )  # fmt: skip
    share: float | None = parameter(
        None, real(0, 0.6), "share of wrong labels", none="0.2, or that of people's and published labels"
    )
    method: str = parameter(
        "report", one_of("report", "loss", "cross_validated", "cleanlab", "margins"), "ranking",
        more="Report is `itlm.audit`. Loss: log-loss of one model of all samples. Cross-validated: log-loss out of "
        "fold. Cleanlab: its ranking by normalised margin, from the same probabilities. Margins: AUM.",
    )  # fmt: skip
    folds: int = parameter(
        tasks.FOLDS, whole(2, 100), "folds of the rankings out of fold, except the report's",
        more="With ten folds they cost nine fits, about as much as the report.",
    )  # fmt: skip
    seed: int = parameter(0, whole(), "seed of the data, the errors, the folds and the weights")

    def __post_init__(self) -> None:
        super().__post_init__()
        own = {"published": tuple(TESTED), **dict.fromkeys(HUMAN, ("cifar10",))}.get(self.noise, (*TABLES, *IMAGES))
        if self.dataset not in own:
            raise ValueError(f"noise={self.noise!r} is for dataset {' or '.join(own)}, got {self.dataset!r}")
        if self.noise not in KINDS and self.share not in (None, HUMAN.get(self.noise, 0.0)):
            raise ValueError(f"noise={self.noise!r} has a share of its own, got share={self.share}: leave share out")
        if self.method == "margins" and self.dataset in TABLES:
            raise ValueError(f"method='margins' needs a network's epochs, got dataset={self.dataset!r}: take images")

    def resolved(self) -> "Config":
        """Return the same run with every field set; published errors have share 0."""
        return self.filled({"share": 0.2 if self.noise in KINDS else HUMAN.get(self.noise, 0.0)})


def task(config: Config) -> Task:
    """Draw the data, and corrupt labels."""
    c = config.resolved()
    return tasks.draw(c.dataset, c.noise, c.share, c.seed, note=c.method)


def scores(config: Config, given: Task) -> tuple[np.ndarray, dict[str, float], np.ndarray | None]:
    """Score each sample, without the truth.

    Returns
    -------
    scores : array of float, shape (n,)
        The most suspect sample has the highest.
    found : dict of float
        ``fits``, in units of fits to all samples; for the report also ``estimate``, ``upper``, ``dropped``, the share
        of samples dropped, and ``precision``, the predicted share of wrong samples among these.
    dropped : array of bool, shape (n,), or None
        What the report drops.
    """
    c = config.resolved()
    if c.method != "report":
        ranked, fits = METHODS[c.method](c, given)
        return ranked, {"fits": float(fits)}, None
    share, found = inspected_by(given.fit, given.probabilities, given.X, given.y, seed=c.seed)
    report = Report.from_share(share, given.y, **found)
    said, sizes = report.summary(), [1.0, *share.kept.mean(axis=1)]
    fits = sum((k - 1) * size for k, size in zip(FOLDS, sizes, strict=False))  # a fold's model sees (k - 1)/k of them
    return report.losses, {
        "fits": float(fits), "estimate": share.estimate, "upper": share.upper,
        "dropped": said["dropped"] / len(given.y), "precision": said["wrong_among_dropped"],
    }, ~report.kept[-1]  # fmt: skip


def _loss(c, given):
    return given.losses(given.fit(given.X, given.y), given.X, given.y), 1


def _cross_validated(c, given):
    p = tasks.out_of_fold(given, c.seed, c.folds)
    return log_losses(p, given.y), c.folds - 1


def _cleanlab(c, given):
    from cleanlab.rank import get_label_quality_scores

    p = tasks.out_of_fold(given, c.seed, c.folds)
    return -get_label_quality_scores(given.y, p, method="normalized_margin"), c.folds - 1


def _margins(c, given):
    return -tasks.mean_margins(c.dataset, given, given.y, given.n_classes, c.seed), 1


METHODS: dict[str, Callable] = {
    "loss": _loss, "cross_validated": _cross_validated, "cleanlab": _cleanlab, "margins": _margins,
}  # fmt: skip


def digest(config: Config) -> str:
    """Return the digest of the data that a run uses."""
    return tasks.digest(config.dataset)


def visits(config: Config) -> float:
    """Return the number of samples times the fits, as the cost of a run."""
    fits = {"report": 9, "loss": 1, "margins": 2}.get(config.method, config.folds - 1)
    return tasks.visits(config.dataset) * fits


def run(config: Config, *, checkpoint=None) -> Record:
    """Run once, and return the record.

    ``truth`` is the share of wrong labels, and the numbers of `scores` follow. ``average_precision`` (%) is that of the
    ranking, and ``first_100``, ``first_500``, ``first_1000`` count the wrong labels among the first suspects. For the
    report, ``precision_true`` is the share of wrong labels among the dropped samples. A run is short, so ``checkpoint``
    is unused.
    """
    from sklearn.metrics import average_precision_score

    c = config.resolved()
    given = task(c)
    record = begin("suspects", RECIPE, c, digest(c))
    ranked, found, dropped = scores(c, given)
    order = np.argsort(-ranked, kind="stable")
    found |= {"truth": float(given.is_wrong.mean()), "visits": visits(c)}
    if given.is_wrong.any():
        found["average_precision"] = 100 * float(average_precision_score(given.is_wrong, ranked))
        found |= {f"first_{k}": float(given.is_wrong[order[:k]].sum()) for k in FIRST if k <= len(order)}
    if dropped is not None and dropped.any():
        found["precision_true"] = float(given.is_wrong[dropped].mean())
    record.add(0, found)
    return record.finish()
