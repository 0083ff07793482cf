"""Do metrics of the two goals rank algorithms alike?  A line an algorithm, its rank by each metric from left to right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unlearnax.report import explore, style
from unlearnax.report.load import UNLEARNING, UNTRAINING, Run, is_control
from unlearnax.report.paper import WIDTHS

FEWEST = 4  # algorithms that make a ranking
LINE, HEAD, NAME = 0.15, 0.42, 1.25  # inches: an algorithm, what stands above, a name beside
FOOT = {1: 0.75, 2: 0.5}  # below, by the paper's columns: a column wide, the names of metrics are turned


class Column(NamedTuple):
    """A way to rank.  metric: its full name.  oracle: compared with, for people.  ranks: `[n]` from 1, the nearest."""

    metric: str
    oracle: str
    ranks: np.ndarray


def rankings(run: Run, problem: str) -> tuple[list[str], list[Column]]:
    """Algorithms, and their ranks by each metric that the page compares at first and that all of them have.

    Ties share a mean rank.  Empty where the page compares none across oracles, or there are fewer than `FEWEST` algorithms.
    """
    names = [name for name, record in run.candidates().items() if not is_control(record.kind)]
    found = []
    for metric in explore.across(run, problem):
        values = [metric["values"][name] for name in names if name in metric["values"]]
        if metric["first"] and len(values) == len(names) >= FEWEST:
            keys = np.array(values)
            below, upto = ((keys[:, None] > keys).sum(1), (keys[:, None] >= keys).sum(1))
            found.append(Column(metric["metric"], metric["oracle"], (below + upto + 1) / 2))
    return names, found


def _sides(columns: list[Column]) -> tuple[list[Column], list[Column]]:
    """Columns of the untraining and of the unlearning oracle."""
    mine, other = ([c for c in columns if c.oracle == style.oracle_name(o)] for o in (UNTRAINING, UNLEARNING))
    return mine, other


def ranks_figure(run: Run, columns: int = 2) -> Figure | None:
    """Draws the ranks of every algorithm by the metrics of either goal, in the problem of the run that has most of them.

    None where no problem has several metrics against each of both oracles, an own one of the suite among them.
    columns: of a paper, 1 or 2.
    """
    made = {p.problem: rankings(run, p.problem) for p in run.problems}
    there = {
        problem: each
        for problem, each in made.items()
        if all(len(side) > 1 for side in _sides(each[1])) and any("distance" not in c.metric for c in each[1])
    }
    if not there:
        return None
    problem = max(there, key=lambda name: len(there[name][1]))
    names, found = there[problem]
    mine, other = _sides(found)
    shown, split = [*mine, *other], len(mine)
    xs = np.arange(len(shown)) + 0.5 * (np.arange(len(shown)) >= split)
    width, foot = WIDTHS[columns], FOOT[columns]
    note = f"{problem}.  Top: nearest.  Coloured: the algorithms that change places most."
    left = NAME if columns == 2 else 0.12  # a column wide there are names on the right only
    height = HEAD + LINE * len(names) + foot
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((left / width, foot / height, (width - left - NAME) / width, LINE * len(names) / height))
    table = np.stack([c.ranks for c in shown])  # [columns, n]
    moved = table[split:].mean(0) - table[:split].mean(0)
    strong = np.quantile(abs(moved), 0.7)
    for i in range(len(names)):
        colour = style.GREY if abs(moved[i]) < strong else style.ORANGE if moved[i] < 0 else style.BLUE
        _line(ax, xs, table[:, i], split, colour, faint=colour == style.GREY)
    if columns == 2:
        _names(ax, names, table[0], xs[0] - 0.2, "right")
    _names(ax, names, table[-1], xs[-1] + 0.2, "left")
    ax.set(xlim=(xs[0] - 0.15, xs[-1] + 0.15), ylim=(len(names) + 0.5, 0.5), yticks=[])
    ax.set_xticks(xs, [_metric_name(c.metric) for c in shown], fontsize=6.5, rotation=0 if columns == 2 else 90)
    ax.tick_params(length=0, pad=4)
    for side in ax.spines.values():
        side.set_visible(False)
    for part, oracle, colour in ((xs[:split], UNTRAINING, style.BLUE), (xs[split:], UNLEARNING, style.ORANGE)):
        ax.plot([part[0] - 0.2, part[-1] + 0.2], [0.3, 0.3], color=colour, linewidth=1.2, clip_on=False)
        ax.text((part[0] + part[-1]) / 2, 0.1, style.oracle_name(oracle).replace(" oracle ", "\noracle "), ha="center",
                va="bottom", fontsize=7, color=colour)  # fmt: skip
    if columns == 2:
        figure.text(0.01, 0.05 / height, note, fontsize=6.5, color=style.GREY)
    return figure


def _metric_name(name: str) -> str:
    return name.replace("_", " ").replace("/", "\n")


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
