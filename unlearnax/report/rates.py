"""How far from both oracles every algorithm ends up, against how much of the concept was found: one panel an algorithm."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unlearnax.report import style
from unlearnax.report.load import UNLEARNING, UNTRAINING, Run, Value, distance, is_control
from unlearnax.report.paper import WIDTHS
from unlearnax.results import ProblemRow

FEWEST = 3  # rates that make a curve
ACROSS = {1: 2, 2: 5}  # panels, by the paper's columns
PANEL, HEAD, LABEL, LEGEND_LINE = 1.3, 0.1, 0.34, 0.15  # inches
TOP = 1.6  # of the axis; what lies beyond is drawn at the border
ORACLES = {UNTRAINING: (style.BLUE, "o"), UNLEARNING: (style.ORANGE, "D")}
DASHED = (0, (2.5, 1.5))


def by_rate(run: Run) -> list[ProblemRow]:
    """The problems of a run by discovery rate, where each has a rate of its own; empty where they make no curve."""
    found = sorted(run.problems, key=lambda p: p.rate)
    return found if len({p.rate for p in found}) == len(found) >= FEWEST else []


def panels(run: Run) -> dict[str, list[str]]:
    """Algorithm -> its candidates, in the order of the run: "npo@untraining" and "npo@unlearning" share a panel."""
    found: dict[str, list[str]] = {}
    for name, record in run.candidates().items():
        if not is_control(record.kind):
            found.setdefault(name.partition("@")[0], []).append(name)
    return found


def _ticks(rates: list[float]) -> dict[float, str]:
    """Rate -> its label in per cent, of those that have room: the greatest, then every one far enough below the last."""
    found: dict[float, str] = {}
    last = math.inf
    for rate in sorted(rates, reverse=True):
        if math.log10(last / rate) > 0.28:
            found[rate], last = f"{float(f'{100 * rate:.2g}'):g}", rate
    return found


def _curve(run: Run, problems: list[ProblemRow], candidate: str, form: str, oracle: str) -> list[tuple[float, Value]]:
    points = [(p.rate, distance(run, p.problem, candidate, form, oracle)) for p in problems]
    return [(rate, value) for rate, value in points if value is not None]


def _draw(ax: Axes, points: list[tuple[float, Value]], oracle: str, dashed: bool) -> None:
    colour, marker = ORACLES[oracle]
    rates = [rate for rate, _ in points]
    low, middle, high = ([min(getattr(v, end), TOP) for _, v in points] for end in ("low", "value", "high"))
    ax.fill_between(rates, low, high, color=colour, alpha=0.15, linewidth=0)
    ax.plot(rates, middle, color=colour, linewidth=1.0, linestyle=DASHED if dashed else "-", marker=marker, markersize=2.6,
            markerfacecolor="white" if dashed else colour, markeredgewidth=0.7, clip_on=False, zorder=3)  # fmt: skip


def rates_figure(run: Run, form: str = "output", columns: int = 2) -> Figure | None:
    """Draws distance to both oracles (whole concept) against |S|/|F|; None where the problems make no curve.

    Dashed with hollow marks: the second setting of an algorithm.  Grey: doing nothing.  Shaded: 95 % over members.
    columns: of a paper, 1 or 2.
    """
    problems, shown = by_rate(run), panels(run)
    curves = {
        (name, oracle): points
        for mine in [*shown.values(), ["do_nothing"]]
        for name in mine
        for oracle in ORACLES
        if (points := _curve(run, problems, name, form, oracle))
    }
    shown = {algorithm: [n for n in mine if (n, UNLEARNING) in curves] for algorithm, mine in shown.items()}
    shown = {algorithm: mine for algorithm, mine in shown.items() if mine}
    if not shown or not problems:
        return None
    lines = math.ceil(len(shown) / ACROSS[columns])
    across = math.ceil(len(shown) / lines)
    handles = _handles(shown)
    beside = len(handles) if columns == 2 else 2
    legend = LABEL + LEGEND_LINE * math.ceil(len(handles) / beside)
    height = HEAD + PANEL * lines + legend
    figure = Figure(figsize=(WIDTHS[columns], height))
    axes = figure.subplots(lines, across, sharex=True, sharey=True, squeeze=False)
    ticks = _ticks([p.rate for p in problems])
    for i, ax in enumerate(axes.flat):
        if i >= len(shown):
            ax.set_axis_off()
            continue
        algorithm, mine = list(shown.items())[i]
        ax.axhspan(0, run.margin(problems[0].problem), color=style.GREY, alpha=0.15, linewidth=0)
        for oracle in ORACLES:
            nothing = curves.get(("do_nothing", oracle), [])
            ax.plot([r for r, _ in nothing], [v.value for _, v in nothing], color=style.GREY, linewidth=0.7, zorder=1)
            for order, name in enumerate(mine):
                if points := curves.get((name, oracle)):
                    _draw(ax, points, oracle, order > 0)
        ax.set_title(style.candidate_name(algorithm), fontsize=7.5, pad=3)
        ax.set(xscale="log", ylim=(-0.05, TOP), yticks=(0, 0.5, 1, 1.5))
        ax.set_xticks([p.rate for p in problems], labels=[""] * len(problems), minor=True)
        ax.set_xticks(list(ticks), labels=list(ticks.values()))
        ax.tick_params(labelsize=6.5, length=2)
        ax.tick_params(which="minor", length=2, width=0.6)
        ax.xaxis.set_tick_params(labelbottom=i + across >= len(shown))
    figure.text(0.5, (legend - 0.27) / height, "% of the concept found, |S|/|F|", fontsize=7.5, ha="center")
    figure.text(0.008, 0.5, "distance (root; output form, whole concept)", fontsize=7.5, va="center", rotation=90)
    figure.legend(handles=handles, loc="lower center", ncols=beside, frameon=False, fontsize=6.5, handlelength=1.8,
                  columnspacing=1.2, bbox_to_anchor=(0.5, 0.02 / height), borderaxespad=0)  # fmt: skip
    figure.tight_layout(rect=(0.02 if columns == 2 else 0.045, (legend - 0.12) / height, 1, 1), h_pad=0.5, w_pad=0.4)
    return figure


def _handles(shown: dict[str, list[str]]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=3, linewidth=1, label=f"to {style.oracle_name(oracle)}")
        for oracle, (colour, marker) in ORACLES.items()
    ]
    pair = next((mine for mine in shown.values() if len(mine) > 1), None)
    if pair:
        for name, line in zip(pair, ("-", DASHED), strict=False):
            label = name.partition("@")[2]
            handles.append(Line2D([], [], color=style.INK, linewidth=1, linestyle=line, label=f"tuned for {label}"))
    handles.append(Line2D([], [], color=style.GREY, linewidth=0.7, label="doing nothing"))
    return handles
