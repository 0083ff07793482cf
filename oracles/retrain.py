"""Untraining oracle A(D∖S): exact retrain without the forget set."""

import numpy as np

from unlearnax.types import Exclusion, Problem, World


def retrain(problem: Problem) -> World:
    """All training rows but the forget set's."""
    kept = np.setdiff1d(np.arange(len(problem.train.x)), problem.forget)
    return World(problem.train.x, problem.train.y, kept)


def excludes(problem: Problem) -> Exclusion:
    """Inputs and labels of S."""
    return Exclusion(problem.forget, problem.forget)
