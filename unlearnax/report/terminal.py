"""The verdict table that the command line prints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnax.report import style
from unlearnax.report.load import Run, load
from unlearnax.results import VerdictRow

# Short enough for four problems in 80 columns; the caption says the words of the page in full.
_SHORTER = {
    "reaches both": "both",
    "reaches untraining": "untraining",
    "reaches unlearning": "unlearning",
    "closer to untraining": "untraining",
    "closer to unlearning": "unlearning",
    "reaches neither": "neither",
    "damages the model": "damages",
    "inconclusive": "",
}
_LEGEND = "✓ reaches · → closer to · ✕ damages the model · ? inconclusive (needs so many members)"


def _cell(verdict: VerdictRow | None) -> Text:
    if verdict is None:
        return Text(style.MISSING, style="dim")
    look = style.verdict_style(verdict.verdict)
    words = [look.sign, _SHORTER.get(look.short, look.short)]
    words += [f"needs {verdict.members_needed}"] if verdict.members_needed else []
    text = Text(" ".join(word for word in words if word), style=look.terminal)
    if verdict.diverged:
        text.append(f"\n  {verdict.diverged}/{verdict.members} diverged", style="dim")
    return text


def verdict_table(source: Path | str | Iterable[Any]) -> Table:
    """Verdicts side by side: a row for each candidate, a column for each problem.

    source: a run's folder, or its records (of the types in `results.TABLES`).

    Raises:
        FileNotFoundError: the folder holds no results.
    """
    run = load(source) if isinstance(source, str | Path) else Run.of(source)
    margins = sorted({v.margin for v in run.verdicts})
    shares = ", ".join(f"{100 * m:g} %" for m in margins)
    caption = _LEGEND + (f"\nequivalence margin: {shares} of the scale" if margins else "")
    table = Table(
        title="Untraining or unlearning?",
        caption=Text(caption, style="dim"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("candidate", no_wrap=True)
    table.add_column("declared\ngoal")
    labels = style.problem_labels(run.problems)
    # Verdicts whose problem has no row of its own still get a column.
    names = list(dict.fromkeys([*labels, *(v.problem for v in run.verdicts)]))
    untouched = {p.problem for p in run.problems if p.nothing_to_untrain}
    for name in names:
        header = Text(labels.get(name, name))
        if name in untouched:
            header.append("\nnothing to\nuntrain", style="dim italic")
        table.add_column(header)
    controls_begun = False
    for candidate, record in run.candidates().items():
        control = record.kind != "algorithm"
        if control and not controls_begun:
            table.add_section()
            controls_begun = True
        goal = "control" if control else style.goal_name(record.goal)
        cells = [_cell(run.verdict(name, candidate)) for name in names]
        table.add_row(Text(candidate), Text(goal, style="dim"), *cells)
    return table
