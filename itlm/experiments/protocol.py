"""What an experiment offers, and how sweeps, verdicts and tools find one.

An experiment is a module: one of this package, or one of your own that Python can import.

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
        Raise it when the code changes what a run computes: recorded runs of an older recipe are then run again.
    Config : type
        A subclass of `itlm.parameters.Parameters` with a field ``seed`` and a method ``resolved()``, which returns
        the same run with every field set.
    """

    RECIPE: int
    Config: type[Parameters]

    def run(self, config, *, checkpoint=None) -> Record:
        """Run once, and return the record; ``checkpoint`` is a path from which a killed run may resume."""

    def digest(self, config) -> str:
        """Return the digest of the data that a run uses."""

    def visits(self, config) -> float:
        """Return the cost of a run: how many samples it visits in all."""


OFFERED = ("RECIPE", "Config", "run", "digest", "visits")


def load(name: str) -> Experiment:
    """Import an experiment.

    Parameters
    ----------
    name : str
        Name of a module of ``itlm.experiments``, or of any other module that Python can import.

    Raises
    ------
    ModuleNotFoundError
        If there is no such module, or it imports one that is missing; ``error.name`` says which.
    TypeError
        If the module does not offer what `Experiment` lists.
    """
    ours = f"{__package__}.{name}"
    is_ours = "." not in name and importlib.util.find_spec(ours) is not None
    experiment = importlib.import_module(ours if is_ours else name)
    if lacking := [part for part in OFFERED if not hasattr(experiment, part)]:
        raise TypeError(f"{experiment.__name__} is no experiment: it lacks {', '.join(lacking)}")
    return experiment


def digest_of_simulation(config) -> str:
    """Return the digest of simulated data: the configuration determines them."""
    return "simulated"


def visits_of_simulation(config) -> float:
    """Return the cost of a run on simulated data: its number of samples."""
    return float(config.n)
