"""Published claims beside what was measured here, as a table for the terminal and as rows for the page."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnax.claims import INCONCLUSIVE, NO_NUMBER, NOT_REPRODUCED, REPRODUCED, Finding, Judged

_OUTCOMES = {REPRODUCED: "green", NOT_REPRODUCED: "red", INCONCLUSIVE: "yellow", NO_NUMBER: "dim"}
SIGNS = {REPRODUCED: "✓", NOT_REPRODUCED: "✕", INCONCLUSIVE: "?", NO_NUMBER: "–"}


SENTENCE = 60  # characters after which a cell goes on below


def measured(finding: Finding) -> str:
    """A finding's number with its interval, and its note."""
    words = []
    if finding.number is not None:
        value, low, high = finding.number
        words.append(f"{value:.3g}" if low == high == value else f"{value:.3g} [{low:.3g}, {high:.3g}]")
    return " ".join([*words, finding.note]).strip()


def claims_table(judged: Iterable[Judged]) -> Table:
    """Claims with their published numbers beside ours, one line for each forget set."""
    table = Table(title="Published claims", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in ("experiment", "claim", "published", "here", "outcome"):
        table.add_column(column, max_width=SENTENCE)  # where nothing else ends a line, as in a pipe
    for each in judged:
        here = "\n".join(f"seed {seed}: {measured(found)}" for seed, found in each.findings.items())
        text = f"{each.claim.text} ({each.claim.source})"
        outcome = Text(each.outcome, style=_OUTCOMES[each.outcome])
        which = f"{each.experiment}\n{each.size} {each.flags}".rstrip()
        table.add_row(which, Text(text), Text(each.claim.published), Text(here), outcome)
    return table
