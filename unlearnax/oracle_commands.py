"""``unlearnax oracles``: what is kept, whether it is sound and exact, what can go, and packs."""

from __future__ import annotations

# The store and JAX are imported inside the commands, after devices.set_up.
import dataclasses
import datetime
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table
from tyro.conf import Positional

from unlearnax import output

console = output.console()


def size(count: float) -> str:
    """Bytes for readers: "1.5 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def held_table(entries, last: str, words) -> Table:
    """Entries of the store; `words` gives what stands in the column `last`."""
    made = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for column in ("population", "entry", "what", "role", "size", "last used", last):
        made.add_column(column, no_wrap=column in ("population", "size"))
    for held in entries:
        role, seed = held.about.get("role", ""), held.about.get("seed", "")
        when = datetime.datetime.fromtimestamp(held.used).strftime("%Y-%m-%d %H:%M")
        made.add_row(
            held.population[:12], held.name, held.kind, f"{role} seed {seed}" if role else "", size(held.bytes), when,
            words(held),
        )  # fmt: skip
    return made


@dataclasses.dataclass(frozen=True)
class List:
    """Lists what the store holds: members, predictions, checkpoints, and what was set aside."""

    def __call__(self) -> None:
        from unlearnax.store import Store
        from unlearnax.store.upkeep import contents

        store = Store()
        found = contents(store)
        console.print(held_table(found, "note", lambda held: held.note or held.origin))
        console.print(
            f"{len(found)} entries, {size(sum(held.bytes for held in found))} in {store.folder}.", soft_wrap=True
        )


@dataclasses.dataclass(frozen=True)
class Verify:
    """Runs the taint test on every oracle, or on the ones named ("retrain", "path/to/file.py:function").

    store: checks every entry of the store against its manifest instead; damaged ones are set aside.
    """

    names: Positional[tuple[str, ...]] = ()
    store: bool = False

    def __call__(self) -> None:
        if self.store and self.names:
            raise ValueError(f"Expected no names={self.names} with --store, which checks every entry.")
        if not self.store:
            from unlearnax import listing

            table, exact = listing.verify_oracles(self.names)
            console.print(table)
            if not exact:
                raise SystemExit(1)
            return
        from unlearnax.store import Store
        from unlearnax.store.upkeep import verify

        found = verify(Store())
        sound = {(held.digest, held.name) for held, good in found if good}
        table = held_table(
            [held for held, _ in found], "sound", lambda h: "yes" if (h.digest, h.name) in sound else h.note
        )
        console.print(table)
        console.print(f"{len(sound)} of {len(found)} entries are sound.")
        if len(sound) < len(found):
            raise SystemExit(1)


@dataclasses.dataclass(frozen=True)
class GC:
    """Shows what of the store can go: damaged entries, drafts of ended processes, and what the limits say.

    yes: remove it.  days: also what was not used for so long.  most_gb: also what was used longest ago, until no more
    is left.  checkpoints: also those of unfinished populations.
    """

    yes: bool = False
    days: float | None = None
    most_gb: float | None = None
    checkpoints: bool = False

    def __call__(self) -> None:
        from unlearnax.store import Store
        from unlearnax.store.upkeep import expendable, remove

        store = Store()
        chosen = expendable(store, days=self.days, most_gb=self.most_gb, checkpoints=self.checkpoints)
        why = {(held.digest, held.name): reason for held, reason in chosen}
        entries = [held for held, _ in chosen]
        console.print(held_table(entries, "why", lambda held: why[held.digest, held.name]))
        total = size(sum(held.bytes for held in entries))
        if not self.yes:
            console.print(f"{len(entries)} entries, {total}, can go: --yes removes them.")
            return
        gone = remove(store, entries)
        console.print(f"Removed {len(gone)} entries, {size(sum(held.bytes for held in gone))}.")


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes predictions of populations to one file, to be shared.

    out: a new file.  populations: beginnings of their digests, as `list` shows them; none: all.  weights: the members too.
    """

    out: Positional[Path]
    populations: Positional[tuple[str, ...]] = ()
    weights: bool = False

    def __call__(self) -> None:
        from unlearnax.store import Store
        from unlearnax.store.packs import export

        entries = export(Store(), self.out, self.populations, weights=self.weights)
        console.print(f"{len(entries)} entries, {size(self.out.stat().st_size)}, in {self.out}.", soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class Import:
    """Adds the entries of a pack to the store, after all of them are verified."""

    pack: Positional[Path]

    def __call__(self) -> None:
        from unlearnax.store import Store
        from unlearnax.store.packs import import_pack

        entries = import_pack(Store(), self.pack)
        console.print(f"{sum(new for *_, new in entries)} of {len(entries)} entries are new here.")


COMMANDS = {"list": List, "verify": Verify, "gc": GC, "export": Export, "import": Import}
