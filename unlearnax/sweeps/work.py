"""A worker: holds one ground at a time, does the tasks that it is given on it, says what comes of each."""

from __future__ import annotations

import dataclasses
import functools
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from unlearnax.experiment import (
    Content,
    Engine,
    Experiment,
    build_problems,
    lay_ground,
    populations_of,
    problem_row,
    resolve,
    resolve_algorithm,
)
from unlearnax.ground import Candidate, Ground, apply_algorithm, match_oracles, score_candidates
from unlearnax.provenance import environment
from unlearnax.store import Store
from unlearnax.sweeps.clock import Clock
from unlearnax.sweeps.plan import FIRST, Task
from unlearnax.types import Algorithm, Problem

SAY_EVERY = 0.5  # seconds between two messages on how far a population is


class Message(NamedTuple):
    """What a worker says.

    kind: "ready" (for a batch), "begun", "at" (what it does now, for readers), "done", "failed", or "died", which the
        executor says for it.
    id: of the task, or of the ground that is laid for one.  text: for readers; a traceback.
    records: result rows.  facts: JSON-able.
    """

    kind: str
    id: str = ""
    text: str = ""
    records: tuple[Any, ...] = ()
    facts: dict[str, Any] = {}  # noqa: RUF012  # never changed


Say = Callable[[Message], None]


class _NoGround(Exception):
    """A ground could not be laid; the cause is the reason."""


def _told(error: BaseException | None) -> str:
    """An error in a line, then its traceback, whose end may be a note of JAX."""
    return f"{type(error).__name__}: {error}\n\n{''.join(traceback.format_exception(error))}"


@functools.cache
def _content(experiment: Experiment) -> Content:
    """For all grounds of one recipe and data: one model, so that nothing is traced again."""
    return resolve(experiment)


@functools.cache
def _algorithm(name: str) -> Algorithm:
    """One object for each name, so that a file's factory is traced once."""
    return resolve_algorithm(name)


@dataclasses.dataclass
class _Held:
    """What a worker keeps from one task to the next.  name: the ground's id.  ground: where it is laid."""

    name: str
    engine: Engine
    problem: Problem
    ground: Ground | None = None


class Worker:
    """Does tasks, one after the other, in this process."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._clock = Clock()
        self._trained: list[str] = []
        self._held: _Held | None = None
        self._said = 0.0

    def greet(self) -> None:
        """Says that it is there, and what it runs on."""
        self._say(Message("ready", facts=environment()))

    def work(self, batch: Iterable[Task]) -> None:
        """Does a batch; what fails is said, and does not stop the rest, unless there is no ground for it."""
        for task in batch:
            start = time.perf_counter()
            self._say(Message("begun", task.id, task.label))
            try:
                records, facts = self._do(task)
            except Exception as error:
                lost = isinstance(error, _NoGround)
                self._say(Message("failed", task.ground if lost else task.id, _told(error.__cause__ if lost else error),
                                  facts=self._facts(start)))  # fmt: skip
                if lost:
                    break
            else:
                self._say(Message("done", task.id, task.label, tuple(records), facts | self._facts(start)))
        self._say(Message("ready"))

    def _facts(self, start: float) -> dict[str, Any]:
        trained, self._trained = self._trained, []
        return {"seconds": time.perf_counter() - start, "clock": self._clock.take(), "trained": trained}

    def _do(self, task: Task) -> tuple[list[Any], dict[str, Any]]:
        if task.kind in FIRST:
            with self._clock.stage("training"):
                held = self._stand_on(task)
                if task.kind == "population":
                    world = populations_of(held.problem, held.engine.content.oracles)[task.role]
                    held.engine.population(world, task.role)
            return [], {}
        with self._clock.stage("training"):
            engine, ground = self._lay(task)
        candidates: dict[str, Candidate] = {}
        with self._clock.stage("unlearning"):
            if task.setting is None:
                candidates = match_oracles(engine, ground)
            else:
                made = apply_algorithm(engine, ground, task.setting.key, _algorithm(task.setting.name),
                                       dict(task.setting.args))  # fmt: skip
                costs = [dataclasses.replace(row, candidate=task.label) for row in made.costs]
                candidates[task.label] = made._replace(costs=costs)
        with self._clock.stage("scoring"):
            only = None if task.setting is None else [task.label]
            card = score_candidates(engine, ground, candidates, only=only, among=task.among)
        row = problem_row(ground.problem, task.experiment, card)
        return [row, *card.rows, *card.verdicts], {"plan": ground.originals.plan}

    def _stand_on(self, task: Task) -> _Held:
        """Goes to a task's ground: what was held of another one is let go first."""
        if self._held is None or self._held.name != task.ground:
            self._held, spec = None, task.experiment
            neutral = dataclasses.replace(spec, seed=0, discovery_rates=(), problem="concept", problem_args=())
            content = dataclasses.replace(_content(neutral), experiment=spec)
            (problem,) = build_problems(spec, content.splits, self._progress)
            self._held = _Held(task.ground, Engine(content, Store(), self._progress), problem)
        return self._held

    def _lay(self, task: Task) -> tuple[Engine, Ground]:
        if self._held is None or self._held.name != task.ground or self._held.ground is None:
            self._say(Message("begun", task.ground, f"ground of {task.label}"))
            try:
                held = self._stand_on(task)
                held.ground = lay_ground(held.engine, held.problem)
            except Exception as error:
                raise _NoGround from error
            self._say(Message("begun", task.id, task.label))
        assert self._held is not None
        assert self._held.ground is not None
        return self._held.engine, self._held.ground

    def _progress(self, label: str, done: int, total: int) -> None:
        if done == total and label != "metrics" and not label.endswith("is at it"):  # nor another's training
            self._trained.append(label)
        if time.monotonic() - self._said > SAY_EVERY:
            self._said = time.monotonic()
            self._say(Message("at", text=f"{label} {done}/{total}"))
