"""Entries of the store: Orbax arrays with a manifest, written atomically, verified on every read.

Layout: ``<folder>/<digest>/<name>/`` holds ``arrays/`` (Orbax) and ``manifest.json``.  An entry appears by one rename
when it is complete; a damaged one is renamed aside, kept, and never used.  ``<folder>/locks/`` holds a file for each lock.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from unlearnax.cache import cache_folder
from unlearnax.store import manifest
from unlearnax.store.locks import locked
from unlearnax.store.manifest import Flat, Shapes

LOCKS = "locks"
ROOM = 1 << 16  # bytes that an entry needs beside its arrays
# What a reader meets where an entry is damaged; any other OSError is about the machine, and the entry stays.
_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ELOOP)
_SYSTEM_ERROR = re.compile(r"os_error_code='(\d+)'")


def _checkpointer() -> ocp.StandardCheckpointer:
    """One that waits for no other process: each has entries of its own."""
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(me, {me}, f"process-{me}") if jax.process_count() > 1 else None
    return ocp.StandardCheckpointer(multiprocessing_options=alone) if alone else ocp.StandardCheckpointer()


@contextlib.contextmanager
def _system_errors() -> Iterator[None]:
    """Orbax reports a full disk as a ValueError, and prints every thread's: here it is an OSError, and quiet."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except ValueError as error:
        if code := _SYSTEM_ERROR.search(str(error)):
            raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
        raise
    finally:
        logger.setLevel(before)


def _sync(path: Path) -> None:
    """Waits until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reserve(folder: Path, size: int) -> None:
    """Raises OSError where so many bytes cannot be written: by what is free, and by trying, as a quota shows no other way.

    Orbax writes many files at once, and leaves what it was at behind where one fails.
    """
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    place = folder / "reserved"
    try:
        with place.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:  # not on every system
        pass
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # nor every file system
            raise
    finally:
        place.unlink(missing_ok=True)


def _clear(draft: Path) -> None:
    """Removes a draft whose writing failed, and what Orbax's other threads, which go on for a moment, put there after."""
    for _ in range(25):
        shutil.rmtree(draft, ignore_errors=True)
        time.sleep(0.02)
        if not draft.exists():
            return


class Store:
    """A folder of content-addressed entries."""

    def __init__(self, folder: Path | str | None = None) -> None:
        """Opens (and makes on first save) `folder`, by default ``store`` under `cache_folder()`."""
        self.folder = Path(folder) if folder is not None else cache_folder() / "store"

    def save(self, digest: str, name: str, tree: PyTree, about: dict[str, Any]) -> None:
        """Writes a tree of arrays and a JSON-able description; an entry that exists already is left alone.

        Raises:
            OSError: there is no room, or no right to write; nothing is left behind.
        """
        if not (self.folder / digest / name).exists():
            self.write(digest, name, manifest.flatten(tree), about)

    def write(self, digest: str, name: str, flat: Flat, about: dict[str, Any], origin: str = "") -> None:
        """`save` of arrays by name; origin: where they come from, if not from here."""
        final = self.folder / digest / name
        described = json.loads(json.dumps(about))  # first, so that what cannot be described leaves no draft behind
        draft = final.with_name(f"{name}.draft-{os.getpid()}-{time.monotonic_ns()}")
        try:
            self._write_draft(draft, flat, described, origin)
            try:
                draft.rename(final)
            except OSError:
                if not final.exists():
                    raise
                shutil.rmtree(draft)  # another process finished the same entry first
            _sync(final.parent)
        except OSError as error:
            _clear(draft)
            raise OSError(error.errno, f"Expected to be able to write {final}: {error.strerror or error}.") from error
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _write_draft(self, draft: Path, flat: Flat, about: Any, origin: str) -> None:
        draft.mkdir(parents=True)
        _reserve(draft, sum(a.nbytes for a in flat.values()) + ROOM)
        with _system_errors(), _checkpointer() as checkpointer:
            checkpointer.save((draft / "arrays").resolve(), flat)
        body = {
            **manifest.FORMAT,
            "about": about,
            "origin": origin,
            "arrays": {key: [list(value.shape), str(value.dtype)] for key, value in flat.items()},
            "sha256": manifest.file_hashes(draft / "arrays"),
            "versions": manifest.versions(),
        }
        (draft / "manifest.json").write_text(manifest.sealed(body))
        for path in (draft / "manifest.json", draft / "arrays", draft):
            _sync(path)

    def load(self, digest: str, name: str, like: PyTree) -> tuple[PyTree, dict[str, Any]] | None:
        """Returns the entry's tree in the structure of `like` (arrays or shapes) and its description, or None.

        The leaves are host arrays: device arrays would lose half of a 64-bit type.

        A damaged entry, or one in another format, is set aside with a warning that names it, and counts as absent.
        """
        shapes = manifest.shapes_of(like)
        found = self.read(digest, name, shapes)
        if found is None:
            return None
        with contextlib.suppress(OSError):  # a store that can only be read, or an entry that is gone by now
            os.utime(self.folder / digest / name / "manifest.json")  # when it was used last, for `upkeep`
        leaves = [found[0][key] for key in shapes]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), found[1]["about"]

    def read(self, digest: str, name: str, shapes: Shapes | None = None) -> tuple[Flat, dict[str, Any]] | None:
        """Arrays by name and the manifest of an entry, or None; damaged ones as in `load`.

        shapes: what is expected, see `manifest.shapes_of`.
        """
        entry = self.folder / digest / name
        if not entry.exists():
            return None
        try:
            about = manifest.unsealed((entry / "manifest.json").read_text(), manifest.FORMAT)
            if shapes is not None and about["arrays"] != shapes:
                raise ValueError("its arrays do not have the expected names, shapes and types")
            manifest.check_files(about, entry / "arrays")
            target = {key: np.empty(shape, jnp.dtype(kind)) for key, (shape, kind) in about["arrays"].items()}
            with _system_errors(), _checkpointer() as checkpointer:
                flat = checkpointer.restore((entry / "arrays").resolve(), target)
        except OSError as error:
            if error.errno not in _DAMAGE:
                raise
            return self._set_aside(entry, f"{error.strerror}: {Path(error.filename or '').name}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # the manifest may be any JSON
            return self._set_aside(entry, str(error))
        return flat, about

    def _set_aside(self, entry: Path, reason: str) -> None:
        aside = entry.with_name(f"{entry.name}.damaged-{time.time_ns()}")
        try:
            entry.rename(aside)
        except FileNotFoundError:  # another process set it aside first, or removed it
            return
        with contextlib.suppress(OSError):
            (aside / "damage.txt").write_text(reason)
        warnings.warn(f"Set aside the damaged store entry {aside}: {reason}.", stacklevel=4)

    def remove(self, digest: str, name: str) -> None:
        """Removes an entry, at once for readers."""
        entry = self.folder / digest / name
        gone = entry.with_name(f"{name}.draft-{os.getpid()}-{time.monotonic_ns()}")
        with contextlib.suppress(FileNotFoundError):
            entry.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def names(self, digest: str, pattern: str) -> dict[str, tuple[int, ...]]:
        """Names of entries under a digest that match a pattern as a whole -> the numbers in its groups."""
        folder = self.folder / digest
        found = {path.name: re.fullmatch(pattern, path.name) for path in (folder.iterdir() if folder.is_dir() else ())}
        return {name: tuple(int(number) for number in match.groups()) for name, match in found.items() if match}

    def member_ranges(self, digest: str) -> list[range]:
        """Ranges of members held under `digest`, by first member, the longer ones first."""
        found = self.names(digest, r"members-(\d+)-(\d+)").values()
        return sorted((range(*pair) for pair in found), key=lambda r: (r.start, -r.stop))

    def lock(
        self, digest: str, *, wait: bool = True, waiting: Callable[[], None] | None = None
    ) -> contextlib.AbstractContextManager[bool]:
        """Held by the one process that works on a population; see `locks.locked`.

        The processes of one `jax.distributed` run need none: they train together.
        """
        if jax.process_count() > 1:
            return contextlib.nullcontext(True)
        return locked(self.folder / LOCKS / f"{digest}.lock", wait=wait, waiting=waiting)
