"""Where the command line prints to, and how far long work is."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

EVERY = 30.0  # seconds between two lines where nothing can be drawn over
WIDEST = 10_000  # characters: no table is as wide


def console() -> Console:
    """A console as wide as the terminal, or as what is printed where there is none: a pipe has nothing cut or wrapped.

    The environment variable COLUMNS sets the width of either.
    """
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=WIDEST if piped else None)


def _lines(console: Console) -> Callable[[str, int, int], None]:
    said = time.monotonic()

    def update(label: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            console.print(f"{label} {done}/{total}", highlight=False, soft_wrap=True)

    return update


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each population and algorithm run with the time left, shown on `console` while the context lasts.

    Where there is no terminal, a line every half a minute.
    """
    if not console.is_terminal:
        yield _lines(console)
        return
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
