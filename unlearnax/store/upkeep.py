"""What a store holds, whether it is sound, and what of it can go."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unlearnax.store import manifest
from unlearnax.store.chunks import missing
from unlearnax.store.entries import LOCKS, Store
from unlearnax.store.locks import locked

DRAFT_SECONDS = 3600.0  # a draft that nothing was written to for so long is no process's any more
KINDS = {
    "damaged": r".+\.damaged-\d+",
    "draft": r".+\.draft-.+",
    "members": r"members-\d+-\d+",
    "checkpoint": r"partial-members-\d+-\d+-\d+",
    "predictions": r"logits|right",
}


@dataclasses.dataclass(frozen=True)
class Held:
    """One entry, or what is left of one.

    kind: of `KINDS`, or "other".  population: digest of the population that it belongs to.  bytes: on disk.
    used: when it was read or written last, seconds since 1970.  about, origin: from the manifest, where that is readable.
    note: why it was set aside.
    """

    digest: str
    name: str
    kind: str
    population: str
    bytes: int
    used: float
    about: dict[str, Any]
    origin: str = ""
    note: str = ""


def _files(folder: Path) -> tuple[int, float]:
    """Bytes, and when the last of the files was written."""
    size, last = 0, 0.0
    for parent, _, files in os.walk(folder):
        for path in (Path(parent), *(Path(parent, file) for file in files)):
            with contextlib.suppress(FileNotFoundError):  # its process goes on
                found = path.lstat()
                size, last = size + found.st_size * (path.name in files), max(last, found.st_mtime)
    return size, last


def _look(path: Path) -> Held:
    kind = next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, path.name)), "other")
    size, last = _files(path)
    try:
        found = manifest.unsealed((path / "manifest.json").read_text(), manifest.FORMAT)
        about, origin, why = dict(found["about"]), str(found["origin"]), ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        about, origin, why = {}, "", "" if kind == "draft" else str(error)
    if kind == "damaged":
        reason = path / "damage.txt"
        why = reason.read_text() if reason.is_file() else why or "set aside"
    population = str(about.get("population", path.parent.name))
    return Held(path.parent.name, path.name, kind, population, size, last, about, origin, why)


def contents(store: Store) -> list[Held]:
    """Everything in the store, checksums not checked; by population, then by name."""
    if not store.folder.is_dir():
        return []
    digests = [path for path in store.folder.iterdir() if path.is_dir() and path.name != LOCKS]
    found = [_look(path) for folder in digests for path in folder.iterdir()]
    return sorted(found, key=lambda held: (held.population, held.name))


def verify(store: Store) -> list[tuple[Held, bool]]:
    """Reads every entry and compares all checksums; a damaged one is set aside.

    Returns:
        Entries with whether they are sound; what was set aside before counts as damaged, drafts do not count.
    """
    found = []
    for held in contents(store):
        if held.kind == "draft":
            continue
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            sound = held.kind != "damaged" and store.read(held.digest, held.name) is not None
        if not (sound or said or held.kind == "damaged"):  # gone by now
            continue
        note = str(said[-1].message) if said else held.note
        found.append((dataclasses.replace(held, note=note), sound))
    return found


def _finished(store: Store, held: Held) -> bool:
    """Whether the members of a checkpoint are held: its process was killed between keeping them and removing it."""
    first, last = (int(number) for number in held.name.split("-")[2:4])
    return all(gap.stop <= first for gap in missing(store.member_ranges(held.digest), last))


def expendable(
    store: Store, *, days: float | None = None, most_gb: float | None = None, checkpoints: bool = False
) -> list[tuple[Held, str]]:
    """What can go, and why: damaged entries, drafts of processes that ended, checkpoints of members that are finished,
    and what the arguments say.

    Args:
        days: also what was not used for so long.  most_gb: also what was used longest ago, until no more is left.
        checkpoints: also those of populations that are not finished.

    Raises:
        ValueError: a negative limit.
    """
    for name, limit in (("days", days), ("most_gb", most_gb)):
        if limit is not None and not limit >= 0:
            raise ValueError(f"Expected {name}={limit} to be at least 0.")
    now, kept, chosen = time.time(), [], []
    for held in contents(store):
        if held.kind == "draft" and now - held.used < DRAFT_SECONDS:
            continue
        if held.kind in ("damaged", "draft"):
            chosen.append((held, held.note or "its process ended"))
        elif held.kind == "checkpoint" and _finished(store, held):
            chosen.append((held, "its members are finished"))
        elif checkpoints and held.kind == "checkpoint":
            chosen.append((held, "not finished"))
        elif days is not None and now - held.used > days * 86400:
            chosen.append((held, f"not used for {(now - held.used) / 86400:.0f} days"))
        else:
            kept.append(held)
    excess = sum(held.bytes for held in kept) - (1e9 * most_gb if most_gb is not None else float("inf"))
    for held in sorted(kept, key=lambda held: held.used):
        if excess <= 0:
            break
        chosen.append((held, "used longest ago"))
        excess -= held.bytes
    return chosen


def remove(store: Store, chosen: Iterable[Held]) -> list[Held]:
    """Removes entries, apart from those of populations that a process works on now.

    Returns:
        What was removed.
    """
    removed = []
    for held in chosen:
        with store.lock(held.digest, wait=False) as free:
            if free:
                store.remove(held.digest, held.name)
                removed.append(held)
    _remove_empty(store)
    return removed


def _remove_empty(store: Store) -> None:
    """Folders without entries, and their locks."""
    if not store.folder.is_dir():
        return
    for folder in store.folder.iterdir():
        if folder.is_dir() and folder.name != LOCKS and not any(folder.iterdir()):
            with contextlib.suppress(OSError):  # not empty any more
                folder.rmdir()
    for lock in (store.folder / LOCKS).glob("*.lock"):
        with locked(lock, wait=False) as free:
            if free and not (store.folder / lock.stem).exists():
                lock.unlink()
