"""Corrected oracle A(D′): exact retrain on every row, with corrupted labels and inputs put right."""

import numpy as np

from unlearnax.types import Dataset, Exclusion, Problem, World


def _repaired(problem: Problem) -> Dataset:
    if problem.repaired is None:
        raise ValueError(f"Expected problem {problem.name!r} to have repaired data: nothing in it is corrupted.")
    return problem.repaired


def corrected(problem: Problem) -> World:
    """All training rows in their repaired form."""
    repaired = _repaired(problem)
    return World(repaired.x, repaired.y, np.arange(len(repaired.x)))


def excludes(problem: Problem) -> Exclusion:
    """The corrupted values: inputs and labels of `train` that the repair changed."""
    repaired = _repaired(problem)
    changed = (problem.train.x != repaired.x).reshape(len(repaired.x), -1).any(1)
    return Exclusion(np.flatnonzero(changed), np.flatnonzero(problem.train.y != repaired.y))
