"""Workers as Ray actors: on this machine, or on the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray  # pyright: ignore[reportMissingImports]  # the extra "ray"
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from unlearnax.sweeps.executors import Options, prepare

if TYPE_CHECKING:
    from unlearnax.sweeps.plan import Task
    from unlearnax.sweeps.work import Message


class _Actor:
    """A worker that lives in Ray's process."""

    def __init__(self, environment: Mapping[str, str | None], folder: str, count: int | None) -> None:
        prepare(environment, folder, count)
        from unlearnax.sweeps.work import Worker

        self._said: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._worker = Worker(self._said.put)

    def greet(self) -> Iterator[Message]:
        yield from self._tell(self._worker.greet)

    def work(self, batch: Sequence[Task]) -> Iterator[Message]:
        yield from self._tell(lambda: self._worker.work(batch))

    def _tell(self, do: Any) -> Iterator[Message]:
        """What the worker says while it does something, word by word."""

        def whole() -> None:
            try:
                do()
            finally:
                self._said.put(None)

        threading.Thread(target=whole, daemon=True).start()
        while (message := self._said.get()) is not None:
            yield message


def shares(workers: int, cores: int, largest: int, gpus: int) -> tuple[int, float]:
    """What each of several workers asks of a cluster with so many cores and GPUs, as Ray can grant it at once.

    largest: cores of the node that has most: a worker is on one node.

    Returns:
        (whole cores, none where there are more workers than cores; whole GPUs or an equal part of one.)
    """
    each = min(cores // workers, largest)
    return each, (gpus // workers if gpus >= workers else 1 / math.ceil(workers / gpus) if gpus else 0)


class RayExecutor:
    """Actors with equal shares of the cluster's cores and GPUs: one for each GPU, or one in all, unless told otherwise."""

    def __init__(self, options: Options) -> None:
        self._environment = dict(options.environment)
        address = os.environ.get("RAY_ADDRESS")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # what it starts runs no JAX of this process
            ray.init(
                address, include_dashboard=None if address else False, log_to_driver=False, logging_level=logging.ERROR
            )
        there = ray.cluster_resources()
        cores, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
        self.workers = options.workers or max(1, gpus)
        largest = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=1)
        cpus, share = shares(self.workers, cores, largest, gpus)
        self._count = None if gpus else max(1, cpus)
        self._make = ray.remote(num_cpus=cpus, num_gpus=share)(_Actor)
        self._actors: dict[str, Any] = {}
        self._streams: dict[Any, str] = {}  # what a worker says, word by word -> its name

    def start(self, names: Sequence[str], folder: Path) -> None:
        for name in names:
            actor = self._make.remote(self._environment, os.getcwd(), self._count)
            self._actors[name] = actor
            self._streams[actor.greet.options(num_returns="streaming").remote()] = name

    def give(self, worker: str, batch: Sequence[Task]) -> None:
        stream = self._actors[worker].work.options(num_returns="streaming").remote(list(batch))
        self._streams[stream] = worker

    def said(self, seconds: float) -> list[tuple[str, Message]]:
        from unlearnax.sweeps.work import Message

        found: list[tuple[str, Message]] = []
        streams: list[Any] = list(self._streams)
        ready: list[Any]
        ready, _ = ray.wait(streams, num_returns=len(streams), timeout=0)
        if not ready:
            ready, _ = ray.wait(streams, timeout=seconds)
        for stream in ready:
            if stream not in self._streams:  # its worker's other one has said that it is gone
                continue
            name = self._streams[stream]
            try:
                message: Any = ray.get(next(stream))
                found.append((name, message))
            except StopIteration:
                del self._streams[stream]
            except RayError as error:
                found.append((name, Message("died", text=str(error).strip().splitlines()[0])))
                self._streams = {each: other for each, other in self._streams.items() if other != name}
                del self._actors[name]
        return found

    def close(self) -> None:
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors, self._streams = {}, {}
        ray.shutdown()
