"""How far a sweep is: a live table on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from unlearnax.sweeps.driver import Tally
    from unlearnax.sweeps.work import Message

PLAIN_EVERY = 15.0  # seconds between two plain lines


def duration(seconds: float) -> str:
    """For readers: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Show:
    """Follows one call of a sweep; `now` is a clock in seconds."""

    def __init__(self, console: Console, now=time.monotonic) -> None:
        self._console, self._now = console, now
        self._start = self._last = now()
        self._first_done: float | None = None
        self._at: dict[str, tuple[str, str]] = {}  # worker -> what it does, how far it is
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        if self._live:
            self._live.start()

    def heard(self, worker: str, message: Message) -> None:
        """Takes note of what a worker does."""
        if message.kind == "died":
            self._at.pop(worker, None)
        elif message.kind in ("begun", "ready"):
            self._at[worker] = (message.text or "waits", "")
        elif message.kind == "at" and worker in self._at:
            self._at[worker] = (self._at[worker][0], message.text)

    def failure(self, problem: str, label: str, error: str) -> None:
        """Says that a result failed, by the first line of its error."""
        first = error.partition("\n")[0]
        self._console.print(
            f"[red]failed:[/] {escape(f'{label} on {problem}: {first}')}", soft_wrap=True, highlight=False
        )

    def update(self, tally: Tally, total: int, running: int) -> None:
        """Shows the counts: of `total` results so many are settled in `tally`, so many in hand."""
        now = self._now()
        if self._first_done is None and tally.done:
            self._first_done = now
        text = self.line(tally, total, running)
        if self._live:
            table = Table.grid(padding=(0, 2))
            for worker, (task, far) in sorted(self._at.items()):
                table.add_row(Text(worker, style="dim"), Text(task), Text(far, style="dim"))
            self._live.update(Group(Text(text), table), refresh=True)
        elif now - self._last >= PLAIN_EVERY:
            self._last = now
            self._console.print(text, highlight=False, soft_wrap=True)

    def line(self, tally: Tally, total: int, running: int) -> str:
        """Counts of each state, results a minute, and the time left at that rate."""
        settled = tally.skipped + tally.done + tally.failed
        words = [f"{tally.skipped + tally.done} of {total} done", f"{running} in hand",
                 f"{total - settled - running} waiting", f"{tally.failed} failed"]  # fmt: skip
        # The first result has waited for populations: the rate is that of those after it.
        if self._first_done is not None and tally.done > 1 and (took := self._now() - self._first_done) > 0:
            rate = (tally.done - 1) / took
            words += [f"{60 * rate:.3g} a minute", f"{duration((total - settled) / rate)} left"]
        return ", ".join(words)

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._live:
            self._live.stop()


def closing(tally: Tally) -> str:
    """What a call did, and where its workers' time went."""
    line = f"{tally.done} results in {duration(tally.wall)}"
    line += f", {tally.skipped} were there before" if tally.skipped else ""
    line += f", {tally.failed} failed" if tally.failed else ""
    line += f"; {len(tally.trained)} populations trained" if tally.done else ""
    if not tally.done or not tally.wall:
        return f"{line}."
    whole = tally.wall * tally.workers
    rest = whole - sum(tally.seconds.values())
    spent = [f"{name} {took:.1f} s" for name, took in tally.seconds.items()] + [
        f"the rest {rest:.1f} s ({rest / whole:.1%})"
    ]
    return f"{line}.\nWorkers' time ({tally.workers} × {tally.wall:.1f} s): {', '.join(spent)}."
