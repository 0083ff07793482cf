"""Bystanders: examples that stay, of which a model may tell more once others were unlearned from it.

A second world never holds them.  There too members are trained, and asked to unlearn the same S by the same algorithm with
the same hyperparameters; what tells the members of the two worlds apart, on the bystanders, is what an attacker learns.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from unlearnax.digests import digest
from unlearnax.evaluation import make_layout
from unlearnax.metrics import METRICS
from unlearnax.results import Row
from unlearnax.suite import Posed, make_view, measure_suite
from unlearnax.types import Array, Dataset, Exclusion, Oracle, Problem, World

PART = "bystanders"  # the name of their slice in rows
NAME = f"without {PART}"
METRIC = {"u_lira": dataclasses.replace(METRICS["u_lira"], slices=(PART,))}


def _them(problem: Problem) -> np.ndarray:
    assert problem.bystanders is not None
    return problem.bystanders


def _world(problem: Problem) -> World:
    train = problem.train
    return World(train.x, train.y, np.setdiff1d(np.arange(len(train.x)), _them(problem)))


# The world of their originals: S is in it, they are not.
ORACLE = Oracle(
    _world,
    lambda problem: Exclusion(_them(problem), _them(problem)),
    goal="",
    applies=lambda problem: problem.bystanders is not None,
)


def without(problem: Problem) -> Problem:
    """The problem as an algorithm finds it in the world without bystanders: their rows are gone from the data."""
    kept = _world(problem).index
    return dataclasses.replace(
        problem,
        train=Dataset(*(part[kept] for part in problem.train)),
        forget=np.searchsorted(kept, problem.forget),
        concept=np.searchsorted(kept, problem.concept),
        slices={},
        repaired=None,
        bystanders=None,
        digest=digest(NAME, problem.digest),
    )


def rows(problem: Problem, name: str, kind: str, goal: str, inside: Array, outside: tuple[Array, Array]) -> list[Row]:
    """How well U-LiRA tells from the margins on a bystander whether a model was trained on it.

    Args:
        name, kind, goal: of the candidate, see `results.Row`.
        inside: logits `[M, n, C]` on the bystanders, of members that were trained on them.
        outside: of members that were not, and of as many more for the floor; all three went through the same thing.

    Returns:
        Rows "u_lira/…" on slice "bystanders" against no oracle.

    Source: Hayes et al. 2024, arXiv 2403.01218, who report retained examples that lose privacy.
    """
    labels = problem.train.y[_them(problem)]
    layout = make_layout({PART: (np.arange(len(labels)), labels, "concept")})
    reference, control = (make_view(layout, logits) for logits in outside)
    posed = {name: Posed(make_view(layout, inside), kind, goal)}
    found = measure_suite(problem.name, METRIC, {NAME: (reference, control)}, posed)
    return [dataclasses.replace(row, oracle="") for row in found]
