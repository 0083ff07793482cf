"""Locks between processes that end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _acquire(path: Path, wait: bool, waiting: Callable[[], None] | None) -> int | None:
    """A descriptor that holds the lock, or None where another process has it and `wait` is false."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    os.close(descriptor)
                    return None
                if waiting:
                    waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _same_file(descriptor, path):  # and was not removed while this one waited
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
    """Holds the lock of that file while the context lasts; gives whether it is held.

    Where the file system has no locks, or the file cannot be made, a warning says so and work goes on without.

    Args:
        wait: for another process to end or to let go; otherwise False is given at once.
        waiting: called once before waiting.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path, wait, waiting)
    except OSError as error:
        warnings.warn(f"Going on without the lock {path}: {error}.", stacklevel=4)
        yield True
        return
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)
