"""Unlearning oracle A(D∖F): exact retrain without the whole concept."""

import numpy as np

from unlearnax.types import Exclusion, Problem, World


def concept_free(problem: Problem) -> World:
    """All training rows but the concept's."""
    kept = np.setdiff1d(np.arange(len(problem.train.x)), problem.concept)
    return World(problem.train.x, problem.train.y, kept)


def excludes(problem: Problem) -> Exclusion:
    """Inputs and labels of F."""
    return Exclusion(problem.concept, problem.concept)
