"""Do metrics of the two goals rank algorithms alike?  A line an algorithm, its rank by each metric from left to right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unlearnax.report import style
from unlearnax.report.load import POOLED, UNLEARNING, UNTRAINING, Run, is_control
from unlearnax.results import Row

FEWEST = 4  # algorithms that make a ranking
WIDTH, LINE, HEAD, FOOT = 6.9, 0.15, 0.42, 0.5  # inches


class Column(NamedTuple):
    """A way to rank.  metric, oracle, slice: see `results.Row`.  better: "lower", or "higher".  name: for people.

    Of a gap to the oracle's own value the size counts.
    """

    metric: str
    oracle: str
    slice: str
    better: str
    name: str


COLUMNS = (
    Column("distance/output", UNTRAINING, POOLED, "lower", "distance\n(output)"),
    Column("distance/margin", UNTRAINING, POOLED, "lower", "distance\n(margin)"),
    Column("klom", UNTRAINING, "forget", "lower", "KLoM\non S"),
    Column("forgetting_quality/single", UNTRAINING, "forget", "higher", "forgetting\nquality"),
    Column("u_lira/balanced_accuracy", UNTRAINING, "forget", "lower", "U-LiRA\non S"),
    Column("tow", UNTRAINING, "forget", "higher", "ToW"),
    Column("distance/output", UNLEARNING, POOLED, "lower", "distance\n(output)"),
    Column("distance/margin", UNLEARNING, POOLED, "lower", "distance\n(margin)"),
    Column("klom", UNLEARNING, "concept_test", "lower", "KLoM\nheld-out"),
    Column("unlearning_accuracy/gap", UNLEARNING, "forget", "lower", "accuracy\non S"),
)


def _key(row: Row, column: Column) -> float:
    """The smaller the nearer."""
    value = abs(row.value) if column.metric.endswith("/gap") else row.value
    return -value if column.better == "higher" else value


def rankings(run: Run, problem: str) -> tuple[list[str], dict[Column, np.ndarray]]:
    """Algorithms, and by each metric that all of them have their ranks `[n]` from 1, the nearest; ties share a mean rank."""
    names = [name for name, record in run.candidates().items() if not is_control(record.kind)]
    found: dict[Column, np.ndarray] = {}
    for column in COLUMNS:
        rows = [run.row(problem, name, column.metric, column.oracle, column.slice) for name in names]
        there = [row for row in rows if row is not None]
        if len(there) == len(names) >= FEWEST:
            keys = np.array([_key(row, column) for row in there])
            below, upto = ((keys[:, None] > keys).sum(1), (keys[:, None] >= keys).sum(1))
            found[column] = (below + upto + 1) / 2
    return names, found


def ranks_figure(run: Run) -> Figure | None:
    """Draws the ranks of every algorithm by the metrics of either goal, in the problem of the run that has most of them.

    None where no problem has several metrics, an own one of the suite among them, against both oracles.
    """
    made = {p.problem: rankings(run, p.problem) for p in run.problems}
    there = {
        problem: each
        for problem, each in made.items()
        if {c.oracle for c in each[1]} == {UNTRAINING, UNLEARNING} and any("distance" not in c.metric for c in each[1])
    }
    if not there:
        return None
    problem = max(there, key=lambda name: len(there[name][1]))
    names, ranks = there[problem]
    columns = list(ranks)
    split = sum(c.oracle == UNTRAINING for c in columns)
    xs = np.arange(len(columns)) + 0.5 * (np.arange(len(columns)) >= split)
    height = HEAD + LINE * len(names) + FOOT
    figure = Figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0.2, FOOT / height, 0.6, LINE * len(names) / height))
    table = np.stack([ranks[c] for c in columns])  # [columns, n]
    moved = table[split:].mean(0) - table[:split].mean(0)
    strong = np.quantile(abs(moved), 0.7)
    for i in range(len(names)):
        colour = style.GREY if abs(moved[i]) < strong else style.ORANGE if moved[i] < 0 else style.BLUE
        _line(ax, xs, table[:, i], split, colour, faint=colour == style.GREY)
    _names(ax, names, table[0], xs[0] - 0.2, "right")
    _names(ax, names, table[-1], xs[-1] + 0.2, "left")
    ax.set(xlim=(xs[0] - 0.15, xs[-1] + 0.15), ylim=(len(names) + 0.5, 0.5), yticks=[])
    ax.set_xticks(xs, [c.name for c in columns], fontsize=6.5)
    ax.tick_params(length=0, pad=4)
    for side in ax.spines.values():
        side.set_visible(False)
    for part, oracle, colour in ((xs[:split], UNTRAINING, style.BLUE), (xs[split:], UNLEARNING, style.ORANGE)):
        ax.plot([part[0] - 0.2, part[-1] + 0.2], [0.3, 0.3], color=colour, linewidth=1.2, clip_on=False)
        ax.text((part[0] + part[-1]) / 2, 0.1, f"nearest to the\n{style.oracle_name(oracle)}", ha="center", va="bottom",
                fontsize=7, color=colour)  # fmt: skip
    figure.text(0.01, 0.05 / height, f"{problem}.  Top: nearest.  Coloured: the algorithms that change places most.",
                fontsize=6.5, color=style.GREY)  # fmt: skip
    return figure


def _line(ax: Axes, xs: np.ndarray, ranks: np.ndarray, split: int, colour: str, *, faint: bool) -> None:
    width, alpha = (0.8, 0.55) if faint else (1.4, 1.0)
    for part in (slice(0, split), slice(split, None)):
        ax.plot(xs[part], ranks[part], color=colour, linewidth=width, alpha=alpha, marker="o", markersize=3 if faint else 4,
                markeredgecolor="white", markeredgewidth=0.4, zorder=2 if faint else 3)  # fmt: skip
    ax.plot(xs[split - 1 : split + 1], ranks[split - 1 : split + 1], color=colour, linewidth=width, alpha=alpha,
            linestyle=(0, (1.5, 1.5)), zorder=1)  # fmt: skip


def _names(ax: Axes, names: list[str], ranks: np.ndarray, x: float, align: str) -> None:
    """Names in the order of the ranks, one a line: ties would stand on each other."""
    for line, i in enumerate(sorted(range(len(names)), key=lambda i: (ranks[i], names[i])), 1):
        text = style.candidate_name(names[i]).replace("@", " @ ")
        ax.text(x, line, text, ha=align, va="center", fontsize=6.5)
