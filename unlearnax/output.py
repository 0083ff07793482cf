"""Where the command line prints to, and how far long work is."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

WIDEST = 10_000  # characters: no table is as wide


def console() -> Console:
    """A console as wide as the terminal, or as what is printed where there is none: a pipe has nothing cut or wrapped.

    The environment variable COLUMNS sets the width of either.
    """
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=WIDEST if piped else None)


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each population and algorithm run with the time left, shown on `console` while the context lasts."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def update(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)
            if done >= total:
                bars.remove_task(tasks.pop(label))

        yield update
