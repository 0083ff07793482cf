"""Populations in the store: finished members in chunks, and checkpoints of the chunk that is being trained."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from unlearnax.store.entries import Store
from unlearnax.types import TrainState


class Chunk(NamedTuple):
    """Members of a population.

    states: `[m, ...]`.  loss: `[m]`.  seconds: of training per member.  plan: how they were trained.
    """

    members: range
    states: TrainState
    loss: np.ndarray
    seconds: float
    plan: str

    def part(self, members: range) -> Chunk:
        """Some of its members."""
        first, last = members.start - self.members.start, members.stop - self.members.start
        states = jax.tree.map(lambda a: a[first:last], self.states)
        return Chunk(members, states, self.loss[first:last], self.seconds, self.plan)


def missing(have: Iterable[range], members: int) -> list[range]:
    """What of ``range(members)`` no range covers, in order."""
    found, start = [], 0
    for each in sorted(have, key=lambda r: r.start):
        if start < min(each.start, members):
            found.append(range(start, min(each.start, members)))
        start = max(start, each.stop)
    return [*found, range(start, members)] if start < members else found


def load_chunks(
    store: Store, identity: str, member: TrainState, members: int, have: Iterable[Chunk] = ()
) -> list[Chunk]:
    """All that is held of the first `members` of a population and is not in `have`, together with that, in order.

    member: shapes of one member's state.
    """
    chunks = list(have)
    for held in store.member_ranges(identity):
        gaps = missing((chunk.members for chunk in chunks), members)
        wanted = [range(max(gap.start, held.start), min(gap.stop, held.stop)) for gap in gaps]
        if not any(wanted):
            continue
        like = jax.tree.map(lambda a, n=len(held): jax.ShapeDtypeStruct((n, *a.shape), a.dtype), member)
        like = (like, jax.ShapeDtypeStruct((len(held),), np.float32))
        found = store.load(identity, f"members-{held.start}-{held.stop}", like)
        if found is not None:
            (states, loss), about = found
            chunk = Chunk(held, states, np.asarray(loss), float(about["seconds"]), about["plan"])
            chunks += [chunk.part(each) for each in wanted if each]
    return sorted(chunks, key=lambda chunk: chunk.members.start)


def save_chunk(store: Store, identity: str, chunk: Chunk, about: dict[str, Any]) -> bool:
    """Keeps finished members; returns whether that was possible, with a warning where it was not."""
    name = f"members-{chunk.members.start}-{chunk.members.stop}"
    try:
        facts = about | {"seconds": chunk.seconds, "plan": chunk.plan}
        store.save(identity, name, (chunk.states, chunk.loss), facts)
    except OSError as error:
        warnings.warn(f"Trained members are used now, but not kept: {error.strerror or error}", stacklevel=3)
        return False
    return True


def begun(store: Store, identity: str, gaps: Iterable[range]) -> list[range]:
    """Gaps to be trained, cut where a checkpoint is of the first members of one, so that it can be gone on from."""
    known = [(first, last) for first, last, _ in store.names(identity, r"partial-members-(\d+)-(\d+)-(\d+)").values()]
    found = []
    for gap in gaps:
        cuts = [last for first, last in known if first == gap.start and last < gap.stop]
        cut = max(cuts, default=gap.start)
        found += [part for part in (range(gap.start, cut), range(cut, gap.stop)) if part]
    return found


class Checkpoints:
    """Of an unfinished chunk: written after every segment, at most one kept.  seconds: what the last one took."""

    def __init__(self, store: Store, identity: str, members: range) -> None:
        """For the chunk of these members."""
        self.store, self.identity, self.stem = store, identity, f"partial-members-{members.start}-{members.stop}"
        self.written, self.seconds = time.monotonic(), 0.0

    def _names(self) -> list[str]:
        """The furthest first."""
        found = self.store.names(self.identity, rf"{self.stem}-(\d+)")
        return sorted(found, key=lambda name: -found[name][0])

    def load(self, like: TrainState) -> tuple[TrainState, int, str] | None:
        """States, passes done, and the plan to go on with: another one would change the last bits."""
        for name in self._names():
            found = self.store.load(self.identity, name, like)
            if found is not None:
                return found[0], found[1]["done"], found[1]["plan"]
        return None

    def due(self, after: float) -> bool:
        """Whether at least so many seconds have passed since the last one."""
        return time.monotonic() - self.written >= after

    def save(self, state: TrainState, done: int, plan: str) -> None:
        """Replaces the last checkpoint.

        Where it cannot be written, a warning says so, the last one stays, and training goes on.
        """
        start = time.monotonic()
        before, name = self._names(), f"{self.stem}-{done}"
        try:
            self.store.save(self.identity, name, state, {"done": done, "plan": plan})
        except OSError as error:
            reason = (error.strerror or str(error)).rpartition(": ")[2]
            warnings.warn(f"Training goes on without a new checkpoint: {reason}", stacklevel=3)
        else:
            for old in before:
                if old != name:
                    self.store.remove(self.identity, old)
        self.written = time.monotonic()
        self.seconds = self.written - start

    def clear(self) -> None:
        """Removes them: the chunk is finished."""
        for name in self._names():
            self.store.remove(self.identity, name)
