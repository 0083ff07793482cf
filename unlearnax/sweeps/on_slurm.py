"""Workers as Slurm jobs: one job array, fed through a folder that all machines share.

A worker takes task files from its own folder and leaves message files there, both whole at once, by a rename.  It ends with
the sweep's stop file, or when the driver has not been seen for a while.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import submitit  # pyright: ignore[reportMissingImports]  # the extra "slurm"

from unlearnax.sweeps.executors import Options, prepare, share_of_cores

if TYPE_CHECKING:
    from unlearnax.sweeps.plan import Task
    from unlearnax.sweeps.work import Message

LOOK_EVERY = 0.25  # seconds between two looks into the folder
BEAT = 5.0  # seconds between two signs of life
GRACE = 5.0  # seconds that workers have to end by themselves
SILENT = 120.0  # seconds without one after which a driver, or a worker that had begun, counts as gone
STOP, ALIVE = "stop", "alive"


def parameters(given: Sequence[str]) -> dict[str, Any]:
    """Submitit's parameters from "name=value" words; whole numbers are numbers.

    Raises:
        ValueError: a word of another form.
    """
    found: dict[str, Any] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"Expected slurm={word!r} to read name=value.")
        found[name] = int(value) if value.isdigit() else value
    return found


class SlurmExecutor:
    """One job a worker; submitit's local jobs where `cluster` says so."""

    def __init__(self, options: Options) -> None:
        self.workers = options.workers or 1
        self._options = options
        self._folder = Path()
        self._executor: submitit.AutoExecutor | None = None
        with tempfile.TemporaryDirectory() as folder:
            self._submitit(Path(folder))  # what is wrong shows before work starts
        self._count = share_of_cores(self.workers) if options.cluster == "local" else None
        self._jobs: dict[str, submitit.Job[None]] = {}
        self._begun: set[str] = set()
        self._numbers = itertools.count()

    def _submitit(self, folder: Path) -> submitit.AutoExecutor:
        cluster, slurm = self._options.cluster, self._options.slurm
        given = parameters(slurm)
        try:
            executor = submitit.AutoExecutor(folder=folder / "logs", cluster=cluster)
        except RuntimeError as error:
            raise ValueError(f"Expected cluster={cluster!r} to be there: {error}") from error
        default = {"timeout_min": 24 * 60, "slurm_array_parallelism": self.workers, "slurm_job_name": "unlearnax"}
        try:
            executor.update_parameters(**default | given)
        except (NameError, TypeError) as error:
            raise ValueError(f"Expected slurm={list(slurm)} to be parameters of submitit: {error}.") from error
        return executor

    def start(self, names: Sequence[str], folder: Path) -> None:
        if self._executor is None:
            self._folder = (folder / "jobs" / time.strftime("%Y%m%d-%H%M%S")).resolve()
            self._executor = self._submitit(self._folder)
        _touch(self._folder / ALIVE)
        for name in names:
            (self._folder / name).mkdir(parents=True)
        here = os.getcwd()
        with self._executor.batch():
            jobs = [
                self._executor.submit(
                    _serve, str(self._folder), name, dict(self._options.environment), here, self._count
                )
                for name in names
            ]
        self._jobs |= dict(zip(names, jobs, strict=True))

    def give(self, worker: str, batch: Sequence[Task]) -> None:
        from unlearnax.sweeps.wire import batch_to_json

        _leave(self._folder / worker / f"task-{next(self._numbers):08d}", batch_to_json(batch))

    def said(self, seconds: float) -> list[tuple[str, Message]]:
        from unlearnax.sweeps.wire import message_from_json
        from unlearnax.sweeps.work import Message

        until = time.monotonic() + seconds
        while True:
            _touch(self._folder / ALIVE)
            found: list[tuple[str, Message]] = []
            for name, job in list(self._jobs.items()):
                gone = self._gone(name, job)  # asked first, so that its last words are all there
                found += [(name, message_from_json(text)) for text in _take(self._folder / name, "message-*")]
                if gone:
                    found.append((name, Message("died", text=gone)))
                    del self._jobs[name]
                    if not job.done():
                        job.cancel()
            if found or time.monotonic() >= until:
                self._begun |= {name for name, _ in found}
                return found
            time.sleep(LOOK_EVERY)

    def _gone(self, name: str, job: submitit.Job[None]) -> str:
        """Why a worker counts as gone, "" where it does not."""
        if job.done():
            return f"job {job.job_id} ended ({job.state}), its output is {job.paths.stderr}"
        alive = self._folder / name / ALIVE
        if name in self._begun and alive.exists() and _age(alive, self._folder / ALIVE) > SILENT:
            return f"job {job.job_id} gave no sign of life for {SILENT:g} s"
        return ""

    def close(self) -> None:
        if self._jobs:
            _touch(self._folder / STOP)
        until = time.monotonic() + GRACE
        while time.monotonic() < until and not all(job.done() for job in self._jobs.values()):
            time.sleep(LOOK_EVERY)
        for job in self._jobs.values():
            if not job.done():
                job.cancel()
        self._jobs = {}


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def _age(path: Path, newer: Path) -> float:
    """Seconds between two files' times: both are the file server's, whatever this machine's clock says."""
    return newer.stat().st_mtime - path.stat().st_mtime


def _leave(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.rename(path)


def _take(folder: Path, pattern: str) -> list[str]:
    """What lies there, oldest first; it is gone then."""
    found = []
    for path in sorted(folder.glob(pattern)):
        found.append(path.read_text())
        path.unlink()
    return found


def _serve(shared: str, name: str, environment: Mapping[str, str | None], here: str, count: int | None) -> None:
    """A worker's whole life, in its job."""
    prepare(environment, here, count)
    from unlearnax.sweeps.wire import batch_from_json, message_to_json
    from unlearnax.sweeps.work import Worker

    folder, mine = Path(shared), Path(shared) / name
    numbers = itertools.count()
    worker = Worker(lambda message: _leave(mine / f"message-{next(numbers):08d}", message_to_json(message)))
    threading.Thread(target=_beat, args=(folder, mine), daemon=True).start()
    worker.greet()
    while not (folder / STOP).exists():
        for text in _take(mine, "task-*"):
            worker.work(batch_from_json(text))
        time.sleep(LOOK_EVERY)


def _beat(folder: Path, mine: Path) -> None:
    """Signs of life while the driver gives its own; ends this process when it does not, or wants it to end."""
    beaten = 0.0
    while not (folder / STOP).exists():
        if time.monotonic() - beaten > BEAT:
            beaten = time.monotonic()
            _touch(mine / ALIVE)
            if _age(folder / ALIVE, mine / ALIVE) > SILENT:
                break
        time.sleep(LOOK_EVERY)
    os._exit(0)
