"""Where the command line prints to."""

from __future__ import annotations

import os
import sys

from rich.console import Console

WIDEST = 10_000  # characters: no table is as wide


def console() -> Console:
    """A console as wide as the terminal, or as what is printed where there is none: a pipe has nothing cut or wrapped.

    The environment variable COLUMNS sets the width of either.
    """
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=WIDEST if piped else None)
