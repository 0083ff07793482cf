"""One worker that is all processes of `jax.distributed` together: each does the same tasks, for its share of the members.

The first process drives; what it gives out goes to all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unlearnax import hosts
from unlearnax.sweeps.plan import Plan, Task
from unlearnax.sweeps.work import Message, Worker

NONE = -1  # in the place of a task's number: the sweep is over


class LockstepExecutor:
    """The worker of the first process; the other processes `follow`."""

    workers = 1

    def __init__(self, plan: Plan) -> None:
        self._numbers = {name: number for number, name in enumerate(plan.tasks)}
        self._name = ""
        self._heard: list[tuple[str, Message]] = []
        self._worker = Worker(lambda message: self._heard.append((self._name, message)))
        self._batch: list[Task] = []
        self._idle = True

    def start(self, names: Sequence[str], folder: Path) -> None:
        (self._name,) = names
        self._worker.greet()

    def give(self, worker: str, batch: Sequence[Task]) -> None:
        self._batch = list(batch)

    def said(self, seconds: float) -> list[tuple[str, Message]]:
        """Does one task of what was given, so that each is kept before the next one begins."""
        if not self._heard and self._batch:
            task = self._batch.pop(0)
            self._idle = False
            hosts.broadcast(np.int32(self._numbers[task.id]))
            self._worker.work([task])
            self._idle = True
            if any(message.id == task.ground and message.kind == "failed" for _, message in self._heard):
                self._batch = []
            elif self._batch:
                self._heard.pop()  # ready only after the last
        found, self._heard = self._heard, []
        return found

    def close(self) -> None:
        """Tells the other processes to end; those amid a task end when they miss this one."""
        if self._idle:
            self._idle = False
            hosts.broadcast(np.int32(NONE))


def follow(plan: Plan) -> None:
    """What processes other than the first do: the tasks that it gives out, until it ends."""
    tasks = list(plan.tasks.values())
    worker = Worker(lambda message: None)
    while (number := int(hosts.broadcast(np.int32(NONE)))) != NONE:
        worker.work([tasks[number]])
