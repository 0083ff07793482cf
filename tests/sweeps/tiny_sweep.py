"""A sweep that takes seconds, in this process or as a file for the command, and algorithms that end their worker."""

import dataclasses
from pathlib import Path

from rich.console import Console

from unlearnax import results
from unlearnax.experiment import Experiment
from unlearnax.recipes import Recipe
from unlearnax.results import ProblemRow, Row, VerdictRow
from unlearnax.sweeps import Sweep
from unlearnax.sweeps.driver import run_sweep
from unlearnax.sweeps.lockstep import LockstepExecutor
from unlearnax.sweeps.plan import make_plan
from unlearnax.sweeps.show import Show

ROOT = Path(__file__).parent.parent.parent

BASE = Experiment(
    name="tiny",
    problem_args=(("concepts", 3),),
    discovery_rates=(0.5,),
    recipe=Recipe(model_args=(("widths", (8,)),), epochs=1, batch_size=64),
    metrics=("none",),
    members=4,
)
SETTINGS = (("fine_tune", {"learning_rate": (0.01, 0.02, 0.03, 0.04, 0.05), "epochs": 1}),)

HEAD = """
from unlearnax.experiment import Experiment
from unlearnax.recipes import Recipe
from unlearnax.sweeps import Sweep

BASE = Experiment(
    name="tiny",
    problem_args=(("concepts", 3),),
    discovery_rates=(0.5,),
    recipe=Recipe(model_args=(("widths", (8,)),), epochs=1, batch_size=64),
    metrics=("none",),
    members=4,
)
"""

# What algorithms do to their worker shows when they are traced, which only workers do.
TROUBLE = """
import os
import signal
import time
from pathlib import Path

from unlearnax.types import Info


def same(model, *, scale: float = 1.0):
    return lambda key, state, request: (state, Info(state.step * scale, state.step * scale))


def dies(model, *, once: str = ""):
    def unlearn(key, state, request):
        if not once or not Path(once).exists():
            if once:
                Path(once).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return same(model)(key, state, request)

    return unlearn


def waits(model, *, until: str):
    def unlearn(key, state, request):
        while not Path(until).exists():
            time.sleep(0.01)
        return same(model)(key, state, request)

    return unlearn


def raises(model, *, until: str = ""):
    def unlearn(key, state, request):
        if not until or not Path(until).exists():
            raise ArithmeticError("this one never works")
        return same(model)(key, state, request)

    return unlearn
"""


def run_here(sweep: Sweep, folder: Path, **options):
    """A whole sweep in this process; gives its plan and tally."""
    plan = make_plan(sweep)
    show = Show(Console(quiet=True))
    return plan, run_sweep(plan, LockstepExecutor(plan), folder, show=show, **options)


def numbers(folder: Path):
    """All of a folder's results but what the clock says."""
    rows = [row for row in results.read(folder, Row) if row.metric not in ("cost/seconds", "cost/share")]
    return results.read(folder, ProblemRow), rows, results.read(folder, VerdictRow)


def tiny(**fields) -> Sweep:
    """The sweep, with some fields otherwise."""
    return dataclasses.replace(Sweep(BASE, SETTINGS), **fields)
