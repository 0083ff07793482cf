"""What is printed into a pipe is whole; on a terminal it fits."""

import io
import itertools
import sys
import time

import pytest
from rich.console import Console
from rich.table import Table

from unlearnax import output

LONG = "a name that is much longer than any terminal is wide " * 5


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(stream, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream)
    table = Table("name", "what")
    table.add_row(LONG, LONG)
    output.console().print(table)
    return stream.getvalue()


def test_a_piped_table_has_its_rows_on_one_line(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    text = printed(io.StringIO(), monkeypatch)
    assert f"{LONG.strip()}" in text
    assert max(map(len, text.splitlines())) < output.WIDEST  # as wide as its words, no wider


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_width_that_is_asked_for_holds(monkeypatch, stream):
    monkeypatch.setenv("COLUMNS", "60")
    text = printed(stream(), monkeypatch)
    assert LONG.strip() not in text
    assert max(len(line.rstrip()) for line in text.splitlines() if "\x1b" not in line) <= 60


def test_a_pipe_hears_of_long_work_now_and_then(monkeypatch):
    seconds = itertools.count(0, 7)
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    stream = io.StringIO()
    with output.progress_bars(Console(file=stream)) as progress:
        for done in range(1, 16):
            progress("oracle", done, 15)
    assert stream.getvalue().splitlines() == ["oracle 5/15", "oracle 10/15", "oracle 15/15"]
