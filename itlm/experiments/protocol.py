"""The interface of an experiment, and how sweeps, verdicts and tools import an experiment by name.

An experiment is a module of this package, or your own module that Python can import.

    labels = load("labels")                     itlm.experiments.labels
    mine = load("my_project.my_experiment")     yours
    record = labels.run(labels.Config(seed=3).resolved())
"""

import importlib
import importlib.util
from typing import Protocol

from ..parameters import Parameters
from ..records.record import Record

__all__ = ["Experiment", "digest_of_simulation", "load", "visits_of_simulation"]


class Experiment(Protocol):
    """The interface of an experiment.

    Attributes
    ----------
    RECIPE : int
        Increase it when the code changes what a run computes; sweeps then repeat the runs of older recipes.
    Config : type
        A subclass of `itlm.parameters.Parameters` with a field ``seed`` and a method ``resolved()``, which returns
        the same run with every field set.
    """

    RECIPE: int
    Config: type[Parameters]

    def run(self, config, *, checkpoint=None) -> Record:
        """Run once, and return the record; a killed run may resume from the path ``checkpoint``."""

    def digest(self, config) -> str:
        """Return the digest of the data that a run uses."""

    def visits(self, config) -> float:
        """Return the cost of a run, as the total number of sample visits."""


OFFERED = ("RECIPE", "Config", "run", "digest", "visits")


def load(name: str) -> Experiment:
    """Import an experiment by name: a module of ``itlm.experiments``, or any other module that Python can import.

    Raises
    ------
    ModuleNotFoundError
        If this module or one of its imports is missing; ``error.name`` is the missing module.
    TypeError
        If the module lacks a part of `Experiment`.
    """
    ours = f"{__package__}.{name}"
    is_ours = "." not in name and importlib.util.find_spec(ours) is not None
    experiment = importlib.import_module(ours if is_ours else name)
    if lacking := [part for part in OFFERED if not hasattr(experiment, part)]:
        raise TypeError(f"{experiment.__name__} is no experiment: it lacks {', '.join(lacking)}")
    return experiment


def digest_of_simulation(config) -> str:
    """Return a constant, because the configuration determines simulated data."""
    return "simulated"


def visits_of_simulation(config) -> float:
    """Return the number of samples, as the cost of a run on simulated data."""
    return float(config.n)
