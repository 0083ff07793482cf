"""Runs a sweep: deals tasks out to an executor's workers and keeps what comes back, the only one that writes results."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unlearnax.results import CellRow
from unlearnax.store.locks import locked
from unlearnax.sweeps.executors import Executor
from unlearnax.sweeps.ledger import Ledger
from unlearnax.sweeps.plan import RESULTS, Plan, Task
from unlearnax.sweeps.schedule import Failure, Schedule
from unlearnax.sweeps.show import Show
from unlearnax.sweeps.work import Message

TICK = 0.5  # seconds between two looks at the clock
MOST_FALSE_STARTS = 3  # workers in a row that end before they begin


@dataclasses.dataclass
class Tally:
    """What happened in one call.

    done: results made.  skipped: those that were there.  failed: now, and before if not tried again.
    wall: seconds.  trained: labels of populations.  seconds: of workers, by stage.
    """

    done: int = 0
    failed: int = 0
    skipped: int = 0
    workers: int = 0
    wall: float = 0.0
    trained: list[str] = dataclasses.field(default_factory=list)
    seconds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def run_sweep(
    plan: Plan, executor: Executor, folder: Path, *, show: Show, retry: bool = False, command: str = ""
) -> Tally:
    """Does what `folder` does not hold yet; a kill, at any time, loses what was not done.

    Args:
        retry: whether to try again what failed before.  command: shown on the page.

    Raises:
        ValueError: another sweep works on the folder.
        OSError: workers end before they begin.
        KeyboardInterrupt: after workers have ended and the tables are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder / "sweep.lock", wait=False) as free:
            if not free:
                raise ValueError(f"Expected out={str(folder)!r} to be no other sweep's: one works on it now.")
            driver = _Driver(plan, executor, folder, show, retry)
            try:
                driver.run()
            finally:
                executor.close()  # before the tables are written: workers may be many
                driver.finish(command)
            return driver.tally
    finally:
        executor.close()


class _Driver:
    def __init__(self, plan: Plan, executor: Executor, folder: Path, show: Show, retry: bool) -> None:
        self._plan, self._executor, self._folder, self._show = plan, executor, folder, show
        self._ledger = Ledger(folder)
        self._known = self._ledger.cells()
        self._problems = {name: block.problem for block in plan.blocks for name in block.tasks}
        before = {task.id: self._known[task.id].state for task in plan.results() if task.id in self._known}
        settled = [name for name, state in before.items() if state == "done" or not retry]
        self._schedule = Schedule(plan.tasks, settled, executor.workers)
        self.tally = Tally(skipped=sum(before[name] == "done" for name in settled), workers=executor.workers,
                           failed=sum(before[name] == "failed" for name in settled))  # fmt: skip
        self._idle: set[str] = set()
        self._begun: set[str] = set()  # workers that have been ready
        self._false_starts = 0
        self._environment: Mapping[str, Any] = {}
        self._names: Iterator[str] = (f"worker-{i}" for i in itertools.count(1))
        self._start = time.perf_counter()

    def run(self) -> None:
        if self._schedule.finished:
            return
        self._executor.start([next(self._names) for _ in range(self._executor.workers)], self._folder)
        while not self._schedule.finished:
            for worker in sorted(self._idle):
                if batch := self._schedule.next(worker):
                    self._idle.remove(worker)
                    self._executor.give(worker, batch)
            for worker, message in self._executor.said(TICK):
                self._hear(worker, message)
            self._show.update(self.tally, len(self._plan.results()), self._schedule.running)

    def _hear(self, worker: str, message: Message) -> None:
        """Takes note of what a worker says."""
        self._show.heard(worker, message)
        self._count(message.facts)
        if message.kind == "ready":
            self._idle.add(worker)
            self._begun.add(worker)
            self._false_starts = 0
            self._environment = message.facts or self._environment
        elif message.kind == "begun":
            self._schedule.begun(worker, message.id)
        elif message.kind == "done":
            task = self._schedule.done(worker, message.id)
            if task.kind in RESULTS:
                self._keep(task, "done", worker, self._schedule.attempts(task.id), message=message)
                self.tally.done += 1
        elif message.kind == "failed":
            self._give_up(worker, self._schedule.failed(worker, message.id, message.text), message.facts)
        elif message.kind == "died":
            self._idle.discard(worker)
            self._false_starts += worker not in self._begun
            self._give_up(worker, self._schedule.died(worker, message.text), {})
            if self._false_starts >= MOST_FALSE_STARTS:
                raise OSError(
                    f"Expected workers to begin, the last {self._false_starts} in a row have not: {message.text}"
                )
            if not self._schedule.finished:
                self._executor.start([next(self._names)], self._folder)

    def _count(self, facts: Mapping[str, Any]) -> None:
        self.tally.seconds.update(facts.get("clock", {}))
        self.tally.trained += facts.get("trained", [])

    def _give_up(self, worker: str, failures: list[Failure], facts: Mapping[str, Any]) -> None:
        for failure in failures:
            self._keep(failure.task, "failed", worker, failure.attempts, error=failure.error,
                       seconds=float(facts.get("seconds", 0.0)))  # fmt: skip
            self.tally.failed += 1
            self._show.failure(self._problems[failure.task.id], failure.task.label, failure.error)

    def _keep(
        self,
        task: Task,
        state: str,
        worker: str,
        attempts: int,
        *,
        message: Message | None = None,
        error: str = "",
        seconds: float = 0.0,
    ) -> None:
        before = self._known.get(task.id)
        facts = message.facts if message else {}
        cell = CellRow(
            task.id, task.kind, self._problems[task.id], task.label, state, float(facts.get("seconds", seconds)), worker,
            attempts + (before.attempt if before else 0), error,
        )  # fmt: skip
        self._ledger.add(cell, message.records if message else (), {k: v for k, v in facts.items() if k == "plan"})

    def finish(self, command: str) -> None:
        """Makes the tables that the report reads."""
        tally = self.tally
        tally.wall = time.perf_counter() - self._start
        self._show.close()
        facts = self._ledger.provenance()  # what results came from, where no worker was needed now
        if self._environment:
            facts = dict(self._environment) | {
                "command": command, "workers": tally.workers, "wall_seconds": round(tally.wall, 1),
                "seconds of workers": {name: round(took, 1) for name, took in sorted(tally.seconds.items())},
            }  # fmt: skip
        self._ledger.write_tables(self._plan, facts)
        self._ledger.close()
