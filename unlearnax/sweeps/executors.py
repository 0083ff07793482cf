"""How workers run: one small interface, a file for each way, found by name.

Nothing here loads JAX: a worker begins with `prepare`, before it does.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from unlearnax import checks, devices

if TYPE_CHECKING:
    from unlearnax.sweeps.plan import Task
    from unlearnax.sweeps.work import Message

# What `devices.set_up` and the driver change in the environment: a worker starts from what the user had.
OWN = (
    "XLA_FLAGS", "JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
)  # fmt: skip
DEVICE_COUNT = r"\s*--xla_force_host_platform_device_count=\d+"


@dataclasses.dataclass(frozen=True)
class Options:
    """What executors are made of.

    workers: how many, None for the executor's default.
    environment: the user's values of the variables in `OWN`.
    cluster: of submitit, "slurm" or "local".  slurm: submitit's parameters, as "slurm_partition=gpu".
    """

    workers: int | None
    environment: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    cluster: str = "slurm"
    slurm: tuple[str, ...] = ()


class Executor(Protocol):
    """Persistent workers.  workers: how many there are to be."""

    workers: int

    def start(self, names: Sequence[str], folder: Path) -> None:
        """Starts workers; each says "ready" when it is there, and after each batch.

        folder: the sweep's, for logs and task files.
        """
        ...

    def give(self, worker: str, batch: Sequence[Task]) -> None:
        """Hands a worker that is ready its next batch."""
        ...

    def said(self, seconds: float) -> list[tuple[str, Message]]:
        """What workers said since, after up to so many seconds of waiting; "died" where one is gone."""
        ...

    def close(self) -> None:
        """Ends all workers, whatever they do."""
        ...


# name -> where its class is, which is made with `Options`
EXECUTORS = {
    "local": "unlearnax.sweeps.local:LocalExecutor",
    "ray": "unlearnax.sweeps.on_ray:RayExecutor",
    "slurm": "unlearnax.sweeps.on_slurm:SlurmExecutor",
}
EXTRAS = {"ray": "ray", "submitit": "slurm"}  # module -> the extra that installs it


def make_executor(name: str, options: Options) -> Executor:
    """An executor by its name.

    Raises:
        ValueError: an unknown name; a library that is not installed, with the command that installs it.
    """
    checks.one_of("executor", name, EXECUTORS)
    if options.workers is not None:
        checks.at_least_one("workers", options.workers)
    module, _, made = EXECUTORS[name].partition(":")
    try:
        make: Callable[[Options], Executor] = getattr(importlib.import_module(module), made)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise ValueError(
            f"Expected executor={name!r} to find {error.name}: pip install 'unlearnax[{EXTRAS[error.name]}]'."
        ) from error
    return make(options)


def prepare(environment: Mapping[str, str | None], folder: str, count: int | None) -> None:
    """Sets this process up as a worker, before JAX loads.

    Args:
        environment: values of variables, None for none.  folder: to work in, as the driver does.
        count: virtual CPU devices; None: what the user asks for, else one for each core.
    """
    move(folder, environment)
    if count is not None:
        os.environ["XLA_FLAGS"] = re.sub(DEVICE_COUNT, "", os.environ.get("XLA_FLAGS", ""))
    devices.set_up(count)


def move(folder: str, environment: Mapping[str, str | None]) -> None:
    """To another folder, with these values of variables, None for none."""
    os.chdir(folder)
    for name, value in environment.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def share_of_cores(workers: int) -> int | None:
    """Virtual CPU devices of one of several workers on this machine; None for a single one."""
    return None if workers == 1 else max(1, len(os.sched_getaffinity(0)) // workers)
