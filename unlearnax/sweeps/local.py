"""Workers on this machine: a process each, for the whole sweep."""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import multiprocessing.resource_tracker
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnax.sweeps.executors import Options, prepare, share_of_cores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from unlearnax.sweeps.plan import Task
    from unlearnax.sweeps.work import Message

GRACE = 2.0  # seconds that a worker has to end


def gpus(environment: Mapping[str, str | None]) -> list[str]:
    """NVIDIA GPUs that JAX can use here, as CUDA_VISIBLE_DEVICES names them; found without loading JAX."""
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    platforms = environment.get("JAX_PLATFORMS")
    if not any(map(importlib.util.find_spec, plugins)) or (platforms and not {"cuda", "gpu"} & {*platforms.split(",")}):
        return []
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [each for each in visible.split(",") if each]
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*/information"))]


class LocalExecutor:
    """Processes of this machine: one with all virtual CPU devices, or one for each GPU, unless told otherwise."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._context = multiprocessing.get_context("spawn")
        self._gpus = gpus(options.environment)
        self.workers = options.workers or max(1, len(self._gpus))
        self._processes: dict[str, multiprocessing.process.BaseProcess] = {}
        self._pipes: dict[str, Connection] = {}
        self._slots: dict[str, int] = {}

    def start(self, names: Sequence[str]) -> None:
        for name in names:
            slot = min({*range(len(self._slots) + 1)} - {*self._slots.values()})
            environment = dict(self._options.environment)
            if self._gpus:
                environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
                if self.workers > len(self._gpus):
                    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # or the first would take all memory
            log = self._options.folder / "logs" / f"{name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            mine, theirs = self._context.Pipe()
            arguments = theirs, environment, os.getcwd(), share_of_cores(self.workers), str(log.resolve())
            process = self._context.Process(target=_main, args=arguments, name=name, daemon=True)
            with _no_interrupts():
                process.start()
            theirs.close()
            self._processes[name], self._pipes[name], self._slots[name] = process, mine, slot

    def give(self, worker: str, batch: Sequence[Task]) -> None:
        with contextlib.suppress(OSError):  # it is gone: `said` will say so
            self._pipes[worker].send(list(batch))

    def said(self, seconds: float) -> list[tuple[str, Message]]:
        from unlearnax.sweeps.work import Message

        there = [*self._pipes.values(), *(process.sentinel for process in self._processes.values())]
        multiprocessing.connection.wait(there, seconds)
        found: list[tuple[str, Message]] = []
        for name, pipe in list(self._pipes.items()):
            gone = not self._processes[name].is_alive()  # asked first, so that its last words are all there
            with contextlib.suppress(EOFError, OSError):
                while pipe.poll():
                    found.append((name, pipe.recv()))
            if gone:
                found.append((name, Message("died", text=self._why(name))))
                self._forget(name)
        return found

    def _why(self, name: str) -> str:
        """How a worker ended, and the last that it printed."""
        code = self._processes[name].exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        log = self._options.folder / "logs" / f"{name}.log"
        last = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
        return ": ".join([how, *(" ".join(last[-1:]) for _ in last[-1:])])

    def _forget(self, name: str) -> None:
        self._pipes.pop(name).close()
        self._processes.pop(name).close()
        del self._slots[name]

    def close(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for name, process in list(self._processes.items()):
            process.join(GRACE)
            if process.is_alive():
                process.kill()
                process.join()
            self._forget(name)


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """What starts here never sees Ctrl-C: the terminal sends it to all, and the driver ends its workers itself."""
    # Started first, as the first process would do it here, and then unblock what is blocked.
    multiprocessing.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _main(pipe: Connection, environment: Mapping[str, str | None], folder: str, count: int | None, log: str) -> None:
    """A worker's whole life."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    prepare(environment, folder, count)

    from unlearnax.sweeps.work import Worker

    worker = Worker(pipe.send)
    worker.greet()
    while True:
        worker.work(pipe.recv())


def _end_with(sentinel: int) -> None:
    """Ends this process when the driver ends, however it ends."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
