"""Figures for papers: the compass of every problem as PNG and as vector PDF, two columns wide."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from unlearnax.report import style
from unlearnax.report.examples import examples_figure
from unlearnax.report.labels import Label, place
from unlearnax.report.load import (
    UNLEARNING,
    UNTRAINING,
    Point,
    Run,
    Value,
    close_limits,
    compass_points,
    distance,
    forest_oracle,
    forms,
    has_compass,
    load,
    whole_limits,
)
from unlearnax.report.ranks import ranks_figure
from unlearnax.report.rates import rates_figure
from unlearnax.report.style import GREY, INK
from unlearnax.results import ProblemRow

WIDTH = 6.9  # inches: two columns of most proceedings
# fonttype 42 keeps text as text in the PDF. DejaVu ships with matplotlib and has ∖, so no font is ever missing.
RC: dict[Any, Any] = {
    "text.parse_math": False,  # names are text, with their dollars and underscores
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": GREY,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


def _errors(value: Value) -> list[list[float]]:
    # A jackknife interval need not hold the value; a negative bar length is an error to matplotlib.
    return [[max(value.value - value.low, 0.0)], [max(value.high - value.value, 0.0)]]


def _draw_point(ax: Axes, x: float, y: float, mark: style.Mark, xerr=None, yerr=None, size: float = 4.5) -> None:
    colour = mark.colour or INK
    ax.errorbar(
        x, y, xerr=xerr, yerr=yerr, fmt=style.MATPLOTLIB_SHAPES[mark.shape], markersize=size, zorder=4,
        color=colour, ecolor=colour, elinewidth=0.8, capsize=1.5, capthick=0.8,
        markerfacecolor="none" if mark.colour is None else colour,
        markeredgecolor=INK if mark.colour is None else "white", markeredgewidth=0.8 if mark.colour is None else 0.4,
    )  # fmt: skip


def _clipped(value: float, limits: tuple[float, float]) -> tuple[float, int]:
    """A coordinate moved inside the limits, and the side it left by (-1, 0, 1)."""
    low, high = limits
    inset = 0.045 * (high - low)
    if value > high:
        return high - inset, 1
    if value < low:
        return low + inset, -1
    return value, 0


def _draw_points(ax: Axes, points: list[Point], marks: dict[str, style.Mark], xlim, ylim, *, clip: bool) -> None:
    for point in points:
        (x, side_x), (y, side_y) = _clipped(point.x.value, xlim), _clipped(point.y.value, ylim)
        if not (side_x or side_y):
            mark = marks[point.candidate]
            _draw_point(ax, x, y, mark, _errors(point.x), _errors(point.y))
        elif clip:  # out of the picture: the mark at the border, an arrow the way it went, and its true place
            _draw_point(ax, x, y, marks[point.candidate])
            arrow = {"arrowstyle": "->", "color": GREY, "linewidth": 0.8, "shrinkA": 4, "shrinkB": 0}
            ax.annotate("", (x + 0.06 * side_x, y + 0.06 * side_y), (x, y), arrowprops=arrow, annotation_clip=False)
            text = f"({style.number(point.x.value)}, {style.number(point.y.value)})"
            align = "right" if side_x >= 0 else "left"
            ax.annotate(text, (x, y), (0, -5), textcoords="offset points", ha=align, va="top", fontsize=6, color=GREY)


def _draw_ground(ax: Axes, margin: float, xlim, ylim) -> None:
    ax.set(xlim=xlim, ylim=ylim)
    ax.axvspan(-margin, margin, color=style.BLUE, alpha=0.1, linewidth=0)
    ax.axhspan(-margin, margin, color=style.ORANGE, alpha=0.1, linewidth=0)
    ax.plot([0, 1], [1, 0], color=GREY, linewidth=0.7, linestyle=(0, (1, 2.5)))
    for x, y, colour in ((0, 1, style.BLUE), (1, 0, style.ORANGE)):
        ax.plot(x, y, "D", color=colour, markersize=9, markeredgecolor="white", markeredgewidth=0.8, zorder=3)


def _label(ax: Axes, text: str, at, offset, colour: str, **options) -> None:
    ax.annotate(text, at, offset, textcoords="offset points", color=colour, fontsize=7, zorder=5, **options)


def _compass_panels(whole: Axes, close: Axes, run: Run, problem: ProblemRow, form: str, marks) -> None:
    points, margin = compass_points(run, problem.problem, form), run.margin(problem.problem)
    xlim, ylim = whole_limits([p.x for p in points]), whole_limits([p.y for p in points])
    close_x, close_y = close_limits(points, margin)
    _draw_ground(whole, margin, xlim, ylim)
    _draw_points(whole, points, marks, xlim, ylim, clip=True)
    frame = (close_x[0], close_y[0]), close_x[1] - close_x[0], close_y[1] - close_y[0]
    whole.add_patch(Rectangle(*frame, fill=False, edgecolor=GREY, linewidth=0.6, linestyle="--", zorder=2))
    whole.set_title(style.FORM_NAMES[form])
    _draw_ground(close, margin, close_x, close_y)
    _draw_points(close, points, marks, close_x, close_y, clip=False)
    close.set_title("close-up around the untraining oracle")
    for ax in (whole, close):
        ax.set(xlabel="distance to untraining oracle", ylabel="distance to unlearning oracle")
        ax.xaxis.labelpad = ax.yaxis.labelpad = 2


def _name_points(whole: Axes, close: Axes, run: Run, problem: ProblemRow, form: str, marks) -> None:
    """Names of the oracles and of the algorithms: in the close-up those that lie there, in the whole all others."""
    points = compass_points(run, problem.problem, form)
    oracles = [
        Label("untraining oracle\nA(D∖S)", 0, 1, style.BLUE, 7, 7, required=True),
        Label("unlearning oracle\nA(D∖F)", 1, 0, style.ORANGE, 7, 7, required=True),
    ]
    (left, right), (bottom, top) = close.get_xlim(), close.get_ylim()
    for ax in (whole, close):
        xlim, ylim = ax.get_xlim(), ax.get_ylim()
        labels, bars = (oracles if ax is whole else []), []
        places = [(0.0, 1.0), (1.0, 0.0)] if ax is whole else [(0.0, 1.0)]
        for point in points:
            (x, side_x), (y, side_y) = _clipped(point.x.value, xlim), _clipped(point.y.value, ylim)
            if ax is close and (side_x or side_y):
                continue
            places.append((x, y))
            if not (side_x or side_y):
                bars += [(point.x.low, y, point.x.high, y), (x, point.y.low, x, point.y.high)]
            if not point.control and (ax is close or not (left < x < right and bottom < y < top)):
                name = style.candidate_name(point.candidate)
                labels = [*labels, Label(name, x, y, marks[point.candidate].colour or INK)]
        if ax is whole:  # the dashed frame, and the line between the oracles in pieces
            edges = [(left, bottom, right, bottom), (left, top, right, top), (right, bottom, right, top)]
            bars += [*edges, *((t, 1 - t - 0.05, t + 0.05, 1 - t) for t in (i / 20 for i in range(20)))]
        place(ax, labels, places, bars)


def _legend(figure: Figure, marks: dict[str, style.Mark], height: float) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=style.MATPLOTLIB_SHAPES[m.shape], markersize=4.5, color=m.colour or INK,
               markerfacecolor=m.colour or "none", markeredgecolor=m.colour or INK, label=style.candidate_name(name))
        for name, m in marks.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=5, frameon=False, fontsize=7, handletextpad=0.2,
                  columnspacing=1.2, bbox_to_anchor=(0.5, 0.04 / height), borderaxespad=0)  # fmt: skip


def _title(run: Run, problem: ProblemRow) -> str:
    members = max((v.members for v in run.verdicts if v.problem == problem.problem), default=None)
    text = f"{problem.problem}: {problem.forget} of {problem.concept} discovered (|S|/|F| = {problem.rate:.2g})"
    text += "" if members is None else f", {members} members"
    if problem.scale != "absolute":
        text += f"; shaded: within the {100 * run.margin(problem.problem):g} % margin"
    return text


def _compass_figure(run: Run, problem: ProblemRow, shown: list[str]) -> Figure:
    marks = style.run_marks(run)
    marks = {n: m for n, m in marks.items() if any(run.row(problem.problem, n, f"distance/{f}", o, "concept")
             for f in shown for o in (UNTRAINING, UNLEARNING))}  # fmt: skip
    legend = 0.16 * math.ceil(len(marks) / 5) + 0.1
    height = 2.75 * len(shown) + legend + 0.25
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(len(shown), 2, squeeze=False)
    for (whole, close), form in zip(axes, shown, strict=True):
        _compass_panels(whole, close, run, problem, form, marks)
    _legend(figure, marks, height)
    figure.tight_layout(rect=(0, legend / height, 1, 1 - 0.22 / height), w_pad=1.5, h_pad=1.2)
    figure.text(0.01, 1 - 0.06 / height, _title(run, problem), fontsize=8.5, va="top")
    for (whole, close), form in zip(axes, shown, strict=True):
        _name_points(whole, close, run, problem, form, marks)
    return figure


def _forest_figure(run: Run, problem: ProblemRow, shown: list[str], oracle: str) -> Figure:
    marks = style.run_marks(run)
    found = {f: {n: distance(run, problem.problem, n, f, oracle) for n in marks} for f in shown}
    names = [n for n in marks if any(found[f][n] for f in shown)]
    margin, height = run.margin(problem.problem), 0.17 * len(names) + 0.8
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for ax, form in zip(axes, shown, strict=True):
        values = [v for v in found[form].values() if v]
        limits = whole_limits(values) if problem.scale != "absolute" else _padded(values)
        if problem.scale != "absolute":  # the margin is a share of the scale
            ax.axvspan(-margin, margin, color=style.BLUE, alpha=0.1, linewidth=0)
        ax.axvline(0, color=style.BLUE, linewidth=0.8)
        for i, name in enumerate(names):
            value = found[form][name]
            if value is None:
                continue
            x, side = _clipped(value.value, limits)
            _draw_point(ax, x, i, marks[name], None if side else _errors(value))
            if side:
                text = f"{style.number(value.value)} →" if side > 0 else f"← {style.number(value.value)}"
                align = "right" if side > 0 else "left"
                _label(ax, text, (x, i), (-5 * side, 0), GREY, ha=align, va="center")
        ax.grid(axis="y", color=GREY, alpha=0.2, linewidth=0.4)
        ax.set(xlim=limits, xlabel=f"distance to {style.oracle_name(oracle)}")
        ax.set_title(style.FORM_NAMES[form])
    labels = [style.candidate_name(n) for n in names]
    axes[0].set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
    axes[0].set_yticklabels(labels)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.22 / height), w_pad=1.5)
    figure.text(0.01, 1 - 0.06 / height, _title(run, problem), fontsize=8.5, va="top")
    return figure


def _padded(values: list[Value]) -> tuple[float, float]:
    low, high = min(0.0, *(v.low for v in values), 0.0), max(0.0, *(v.high for v in values), 0.0)
    pad = 0.08 * (high - low) or 1.0
    return low - pad, high + pad


def compass(run: Run, problem: ProblemRow, shown: list[str] | None = None) -> Figure | None:
    """Draws the compass of one problem, or a forest plot where only one oracle is there or the two coincide.

    The compass has a row of panels for each form of the distance, all candidates and a close-up around the
    untraining oracle; controls are hollow, the bands are the equivalence margin.

    shown: forms of the distance, "margin" and "output"; those that the run holds by default.

    Returns:
        The figure, None where the run holds no distances on the pooled concept.
    """
    shown = forms(run, problem.problem) if shown is None else shown
    oracle = forest_oracle(run, problem.problem)
    with matplotlib.rc_context(RC):
        if has_compass(run, problem):
            shown = [f for f in shown if compass_points(run, problem.problem, f)]
            return _compass_figure(run, problem, shown) if shown else None
        if oracle is None:
            return None
        shown = [f for f in shown if any(distance(run, problem.problem, n, f, oracle) for n in run.candidates())]
        return _forest_figure(run, problem, shown, oracle) if shown else None


OF_PROBLEMS = {"compass": compass, "examples": examples_figure}  # what the files' names begin with
OF_RUN = {"rates": rates_figure, "ranks": ranks_figure}


def write_figures(folder: Path | str) -> list[Path]:
    """Writes `figures/<kind>-<problem>.png` and `.pdf`, and those of the whole run, into its folder; returns their paths.

    Earlier figures of these kinds go first: they may show what the results no longer hold.

    Raises:
        FileNotFoundError: the folder holds no results.
    """
    run, target, written = load(folder), Path(folder) / "figures", []
    for old in (path for kind in (*OF_PROBLEMS, *OF_RUN) for path in target.glob(f"{kind}*.p??")):
        old.unlink()
    names = style.file_names(p.problem for p in run.problems)
    # Settings are looked up once more when text is drawn; no date, so that the same rows make the same files.
    with matplotlib.rc_context(RC):
        made = {f"{kind}-{names[p.problem]}": draw(run, p) for kind, draw in OF_PROBLEMS.items() for p in run.problems}
        made |= {kind: draw(run) for kind, draw in OF_RUN.items()}
        for name, figure in made.items():
            if figure is None:
                continue
            target.mkdir(exist_ok=True)
            for ending, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
                path = target / f"{name}.{ending}"
                figure.savefig(path, dpi=220, metadata=metadata)
                written.append(path)
    return written
