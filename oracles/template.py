"""Template of a custom oracle: copy this file, change both functions, and name it where an oracle's name is expected.

    unlearnax oracles verify path/to/template.py:half_concept

Nothing needs registering.  Inside Python the function itself can be passed.
"""

import numpy as np

from unlearnax.types import Exclusion, Problem, World

# The word in verdicts: "reaches removing half the concept".  Optional; the function's name stands in for it.
GOAL = "removing half the concept"


def _dropped(problem: Problem) -> np.ndarray:
    """Every other row of the concept.  Derive rows from the problem alone: what you look at here shapes the world."""
    return np.sort(problem.concept)[::2]


def half_concept(problem: Problem) -> World:
    """What data this world holds: arrays, and the rows of them that exist.

    Select rows by index.  Do not hide them by weights or masks (a masked row still shapes batches), and do not compute
    statistics of the data here that read excluded rows.
    """
    kept = np.setdiff1d(np.arange(len(problem.train.x)), _dropped(problem))
    return World(problem.train.x, problem.train.y, kept)


def excludes(problem: Problem) -> Exclusion:
    """What this oracle promises never to read, said apart from the index above, so that the taint test can hold it to it.

    `Exclusion(x_rows, y_rows)`: rows of the raw `problem.train.x` and `.y`.
    """
    return Exclusion(_dropped(problem), _dropped(problem))
