"""Workers on this machine: a process each, for the whole sweep."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unlearnax.sweeps.executors import Options, move, prepare, share_of_cores

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from unlearnax.sweeps.plan import Task
    from unlearnax.sweeps.work import Message

CHOICE, PREALLOCATE = "CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_PREALLOCATE"
GRACE = 2.0  # seconds that a worker has to end


def gpus(environment: Mapping[str, str | None]) -> list[str]:
    """NVIDIA GPUs that JAX can use here, as CUDA_VISIBLE_DEVICES names them; found without loading JAX."""
    plugins = ("jax_cuda12_plugin", "jax_cuda13_plugin")
    platforms = environment.get("JAX_PLATFORMS")
    if not any(map(importlib.util.find_spec, plugins)) or (platforms and not {"cuda", "gpu"} & {*platforms.split(",")}):
        return []
    if (visible := os.environ.get(CHOICE)) is not None:
        return [each for each in visible.split(",") if each]
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*/information"))]


class _Process(NamedTuple):
    """A worker.  slot: which share of the machine is its own."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    slot: int


class _Surroundings(NamedTuple):
    """Working folder, where modules are looked for, and variables, None for none."""

    folder: str
    path: list[str]
    environment: dict[str, str | None]


class LocalExecutor:
    """Processes of this machine: one with all virtual CPU devices, or one for each GPU, unless told otherwise.

    They load what they need from the start on, while the driver reads the spec.
    """

    def __init__(self, options: Options) -> None:
        self._environment = dict(options.environment)
        self._context = multiprocessing.get_context("spawn")
        self._gpus = gpus(self._environment)
        self.workers = options.workers or max(1, len(self._gpus))
        self._logs = Path()
        self._running: dict[str, _Process] = {}
        self._loading: list[_Process] = []
        self._inherited = dict(os.environ)
        try:
            for slot in range(self.workers):
                self._load(slot)
        except BaseException:
            self.close()
            raise

    def _load(self, slot: int) -> None:
        """Starts a process that waits for its name."""
        environment = dict(self._environment)
        if self._gpus:
            environment[CHOICE] = self._gpus[slot % len(self._gpus)]
            if self.workers > len(self._gpus):
                environment[PREALLOCATE] = "false"  # or the first would take all memory
        mine, theirs = self._context.Pipe()
        arguments = theirs, environment, os.getcwd(), share_of_cores(self.workers)
        process = self._context.Process(target=_main, args=arguments, daemon=True)
        with _no_interrupts():
            process.start()
            theirs.close()
            self._loading.append(_Process(process, mine, slot))

    def start(self, names: Sequence[str], folder: Path) -> None:
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        for name in names:
            if not self._loading:
                taken = {worker.slot for worker in self._running.values()}
                self._load(min({*range(len(taken) + 1)} - taken))
            worker = self._running[name] = self._loading.pop(0)
            with contextlib.suppress(OSError):  # it is gone: `said` will say so
                worker.pipe.send((str(self._log(name).resolve()), self._as_here()))

    def _as_here(self) -> _Surroundings:
        """What the spec may have changed since workers began to load; they keep what is theirs."""
        before, now = self._inherited, dict(os.environ)
        names = {name for name in before | now if before.get(name) != now.get(name)} - {
            *self._environment,
            CHOICE,
            PREALLOCATE,
        }
        return _Surroundings(os.getcwd(), list(sys.path), {name: now.get(name) for name in names})

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def give(self, worker: str, batch: Sequence[Task]) -> None:
        with contextlib.suppress(OSError):  # as above
            self._running[worker].pipe.send(list(batch))

    def said(self, seconds: float) -> list[tuple[str, Message]]:
        from unlearnax.sweeps.work import Message

        workers = self._running.values()
        there = [*(worker.pipe for worker in workers), *(worker.process.sentinel for worker in workers)]
        multiprocessing.connection.wait(there, seconds)
        found: list[tuple[str, Message]] = []
        for name, worker in list(self._running.items()):
            gone = not worker.process.is_alive()  # asked first, so that its last words are all there
            with contextlib.suppress(EOFError, OSError):
                while worker.pipe.poll():
                    found.append((name, worker.pipe.recv()))
            if gone:
                found.append((name, Message("died", text=self._why(name))))
                _release(self._running.pop(name))
        return found

    def _why(self, name: str) -> str:
        """How a worker ended, and the last that it printed."""
        code = self._running[name].process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        log = self._log(name)
        last = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
        return ": ".join([how, *(" ".join(last[-1:]) for _ in last[-1:])])

    def close(self) -> None:
        ending = [*self._running.values(), *self._loading]
        self._running, self._loading = {}, []
        for worker in ending:
            worker.process.terminate()
        for worker in ending:
            worker.process.join(GRACE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            _release(worker)


def _release(worker: _Process) -> None:
    worker.pipe.close()
    worker.process.close()


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


def _main(pipe: Connection, environment: Mapping[str, str | None], folder: str, count: int | None) -> None:
    """A worker's whole life."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    _print_to(os.devnull)
    wrong: Exception | None = None
    try:
        prepare(environment, folder, count)
        importlib.import_module("unlearnax.sweeps.work")
    except Exception as error:
        wrong = error
    log, here = pipe.recv()
    _print_to(log)
    if wrong:
        raise wrong
    sys.path[:] = here.path
    move(here.folder, here.environment)

    from unlearnax.sweeps.work import Worker

    worker = Worker(pipe.send)
    worker.greet()
    while True:
        worker.work(pipe.recv())


def _print_to(path: str) -> None:
    """Sends what this process prints, libraries beneath Python included, to the end of a file."""
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)


def _end_with(sentinel: int) -> None:
    """Ends this process when the driver ends, however it ends."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
