"""The theory as functions.

`bounds` measures one step on given data and bounds it (Lemmas 5 and 6). `population` has the same step for infinitely
many samples, in closed form, and the shares of bad samples that the bounds certify.
"""

from .bounds import (
    Bracket,
    Step,
    exact_trimmed_squares,
    largest_eigenvalue,
    lemma_5,
    lemma_6,
    selection,
    smallest_eigenvalue,
    take_step,
)
from .population import (
    basin,
    central_square,
    certified_corruption,
    clean_contraction,
    outer_square,
    population_limit,
    population_loss,
    population_step,
)

__all__ = [
    "Bracket", "Step", "basin", "central_square", "certified_corruption", "clean_contraction", "exact_trimmed_squares",
    "largest_eigenvalue", "lemma_5", "lemma_6", "outer_square", "population_limit", "population_loss",
    "population_step", "selection", "smallest_eigenvalue", "take_step",
]  # fmt: skip
