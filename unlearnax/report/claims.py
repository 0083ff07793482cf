"""Published claims beside what was measured here, as a table for the terminal and as rows for the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnax.claims import INCONCLUSIVE, NO_NUMBER, NOT_REPRODUCED, REPRODUCED, Finding, Judged, judge_folders

_OUTCOMES = {REPRODUCED: "green", NOT_REPRODUCED: "red", INCONCLUSIVE: "yellow", NO_NUMBER: "dim"}
SIGNS = {REPRODUCED: "✓", NOT_REPRODUCED: "✕", INCONCLUSIVE: "?", NO_NUMBER: "–"}


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
        table.add_column(column)
    for each in judged:
        here = "\n".join(f"seed {seed}: {measured(found)}" for seed, found in each.findings.items())
        text = f"{each.claim.text} ({each.claim.source})"
        outcome = Text(each.outcome, style=_OUTCOMES[each.outcome])
        table.add_row(f"{each.experiment}\n{each.size}", Text(text), Text(each.claim.published), Text(here), outcome)
    return table


@dataclasses.dataclass(frozen=True)
class ClaimsPart:
    """What the page shows of claims.  note: why there are none where some may be expected."""

    judged: list[Judged]
    note: str = ""


def claims_part(folders: Iterable[Path]) -> ClaimsPart:
    """Judges the claims of runs; an experiment's file that is gone since makes a note, not an error.

    Raises:
        FileNotFoundError: a folder holds no results.
    """
    try:
        return ClaimsPart(judge_folders(folders))
    except FileNotFoundError as error:
        return ClaimsPart([], f"Claims stand in the experiment's file, which is not there now: {error}")
