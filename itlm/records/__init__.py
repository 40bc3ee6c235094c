"""What was found: one record a run, two tables an experiment.

`record` writes what one run found, `tables` merges many of them into ``results/`` and reads them back. Pages need only
the functions below: `results` reads a table, `series` and `by_round` look up one number over seeds.
"""

from .tables import CHOOSING, arrays, by_round, everything, folder, results, runs_of, series

__all__ = ["CHOOSING", "arrays", "by_round", "everything", "folder", "results", "runs_of", "series"]
