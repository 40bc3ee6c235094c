"""Recorded results: one record a run, two tables an experiment.

`record` writes one run; `tables` merges runs into ``results/`` and reads them. Pages need only the functions below.
"""

from .tables import CHOOSING, arrays, by_round, everything, folder, results, runs_of, series

__all__ = ["CHOOSING", "arrays", "by_round", "everything", "folder", "results", "runs_of", "series"]
