"""Who does what next: populations first, a ground's cells in batches to few workers, no task to two workers at once."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping

from unlearnax.sweeps.plan import FIRST, RESULTS, Task

MOST_IN_A_BATCH = 16
MOST_ATTEMPTS = 2  # of a task that ends its worker


@dataclasses.dataclass(frozen=True)
class Failure:
    """A result that there will not be, and why.  attempts: at it, in this sweep."""

    task: Task
    error: str
    attempts: int


class Schedule:
    """The tasks of a plan that are still to be done, dealt out to workers."""

    def __init__(self, tasks: Mapping[str, Task], settled: Collection[str], workers: int) -> None:
        """Plans what is left.

        settled: ids of results that are done, or failed and not to be tried again.
        workers: how many there will be; a single one trains what a ground needs as it lays it.
        """
        self._workers = workers
        to_do = [task for task in tasks.values() if task.kind in RESULTS and task.id not in settled]
        needed = _needs(to_do, tasks) if workers > 1 else set()
        wanted = needed | {task.id for task in to_do}
        self.waiting = {name: task for name, task in tasks.items() if name in wanted}
        self._undone = set(needed)
        self._attempts: collections.Counter[str] = collections.Counter()
        self._hands: dict[str, dict[str, Task]] = {}  # worker -> its batch, what is done taken out
        self._doing: dict[str, str] = {}  # worker -> id of the task, or of the ground that it lays
        self._ground: dict[str, str] = {}  # worker -> the ground that it holds

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do and nothing being done."""
        return not self.waiting and not any(self._hands.values())

    @property
    def running(self) -> int:
        """Results in hand."""
        return sum(task.kind in RESULTS for batch in self._hands.values() for task in batch.values())

    def _ready(self, task: Task) -> bool:
        return not self._undone.intersection(task.needs)

    def next(self, worker: str) -> list[Task]:
        """What a worker without work is to do: one task that others wait for, or cells of one ground, or nothing now.

        What it still had in hand, a worker that a cluster began anew, is dealt out again.
        """
        self._doing.pop(worker, None)
        self.waiting = {**self._hands.pop(worker, {}), **self.waiting}
        ready = [task for task in self.waiting.values() if self._ready(task)]
        batch = [task for task in ready if task.kind in FIRST][:1]
        if not batch and ready:
            left = collections.Counter(task.ground for task in ready)
            taken = {ground for other, ground in self._ground.items() if other != worker and self._hands.get(other)}
            ground = self._ground.get(worker, "")
            if ground not in left:  # one that nobody holds, else the one with most to do
                ground = min(left, key=lambda ground: (ground in taken, -left[ground]))
            count = min(MOST_IN_A_BATCH, math.ceil(left[ground] / (2 * self._workers)))
            batch = [task for task in ready if task.ground == ground][:count]
            self._ground[worker] = ground
        for task in batch:
            del self.waiting[task.id]
        self._hands[worker] = {task.id: task for task in batch}
        return batch

    def begun(self, worker: str, name: str) -> None:
        """A worker says what it is at: a task, or a ground."""
        self._doing[worker] = name

    def done(self, worker: str, name: str) -> Task:
        """A task is done; gives it, with its attempts known to `attempts`."""
        self._doing.pop(worker, None)
        self._undone.discard(name)
        self._attempts[name] += 1
        return self._hands[worker].pop(name)

    def attempts(self, name: str) -> int:
        return self._attempts[name]

    def failed(self, worker: str, name: str, error: str) -> list[Failure]:
        """A task, or the laying of a ground, failed: the results that there will not be."""
        self._doing.pop(worker, None)
        self._attempts[name] += 1
        return self._give_up(worker, name, error)

    def _give_up(self, worker: str, name: str, error: str) -> list[Failure]:
        hand = self._hands.get(worker, {})
        lost, front = {name}, {name}
        everything = {**hand, **self.waiting}
        while front:  # what needs it, and what needs that
            front = {t.id for t in everything.values() if front.intersection((*t.needs, t.ground))} - lost
            lost |= front
        self._undone -= lost
        gone = [self.waiting.pop(each) for each in list(self.waiting) if each in lost]
        gone += [hand.pop(each) for each in list(hand) if each in lost]
        return [Failure(t, error, max(1, self._attempts[t.id])) for t in gone if t.kind in RESULTS]

    def died(self, worker: str, why: str) -> list[Failure]:
        """A worker ended: what it had goes back, except for what has ended its workers too often now."""
        hand = self._hands.pop(worker, {})
        self._ground.pop(worker, None)
        name = self._doing.pop(worker, None) or next(iter(hand), None)
        self.waiting = {**hand, **self.waiting}
        if name is None:
            return []
        self._attempts[name] += 1
        if self._attempts[name] < MOST_ATTEMPTS:
            return []
        return self._give_up(worker, name, f"Its worker ended {self._attempts[name]} times: {why}")


def _needs(tasks: Iterable[Task], known: Mapping[str, Task]) -> set[str]:
    """Ids of all that tasks need, and what that needs."""
    found: set[str] = set()
    front = {name for task in tasks for name in task.needs}
    while front:
        found |= front
        front = {name for each in front for name in known[each].needs} - found
    return found
