"""Figures for papers, one and two columns wide, as vector PDF and as PNG to look at: the compass, and the files of all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from unlearnax import checks
from unlearnax.report import style
from unlearnax.report.examples import examples_figure
from unlearnax.report.frontier import frontier_figure
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
from unlearnax.report.margins import margins_figure
from unlearnax.report.paper import RC, WIDTHS, clipped, draw_point, errors, legend, legend_height, title, title_height
from unlearnax.report.ranks import ranks_figure
from unlearnax.report.rates import rates_figure
from unlearnax.report.style import GREY, INK
from unlearnax.results import ProblemRow


def _draw_points(ax: Axes, points: list[Point], marks: dict[str, style.Mark], xlim, ylim, *, clip: bool) -> None:
    for point in points:
        (x, side_x), (y, side_y) = clipped(point.x.value, xlim), clipped(point.y.value, ylim)
        if not (side_x or side_y):
            mark = marks[point.candidate]
            draw_point(ax, x, y, mark, errors(point.x), errors(point.y))
        elif clip:  # out of the picture: the mark at the border, an arrow the way it went, and its true place
            draw_point(ax, x, y, marks[point.candidate])
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
            (x, side_x), (y, side_y) = clipped(point.x.value, xlim), clipped(point.y.value, ylim)
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


def _title(run: Run, problem: ProblemRow) -> str:
    members = max((v.members for v in run.verdicts if v.problem == problem.problem), default=None)
    text = f"{problem.problem}: {problem.forget} of {problem.concept} discovered (|S|/|F| = {problem.rate:.2g})"
    text += "" if members is None else f", {members} members"
    if problem.scale != "absolute":
        text += f"; shaded: within the {100 * run.margin(problem.problem):g} % margin"
    return text


def _compass_figure(run: Run, problem: ProblemRow, shown: list[str], columns: int) -> Figure:
    marks = style.run_marks(run)
    marks = {n: m for n, m in marks.items() if any(run.row(problem.problem, n, f"distance/{f}", o, "concept")
             for f in shown for o in (UNTRAINING, UNLEARNING))}  # fmt: skip
    width, text = WIDTHS[columns], _title(run, problem)
    below, above = legend_height(marks, width), title_height(text, width)
    height = 2.75 * len(shown) * (2 // columns) + below + above
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(len(shown) * (2 // columns), columns, squeeze=False).reshape(len(shown), 2)
    for (whole, close), form in zip(axes, shown, strict=True):
        _compass_panels(whole, close, run, problem, form, marks)
    legend(figure, marks)
    figure.tight_layout(rect=(0, below / height, 1, 1 - above / height), w_pad=1.5, h_pad=1.2)
    title(figure, text)
    for (whole, close), form in zip(axes, shown, strict=True):
        _name_points(whole, close, run, problem, form, marks)
    return figure


def _forest_figure(run: Run, problem: ProblemRow, shown: list[str], oracle: str, columns: int) -> Figure:
    marks = style.run_marks(run)
    found = {f: {n: distance(run, problem.problem, n, f, oracle) for n in marks} for f in shown}
    names = [n for n in marks if any(found[f][n] for f in shown)]
    width, text, margin = WIDTHS[columns], _title(run, problem), run.margin(problem.problem)
    above, lines = title_height(text, width), math.ceil(len(shown) / columns)
    height = (0.17 * len(names) + 0.58) * lines + above
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(lines, len(shown) // lines, squeeze=False, sharey=True).ravel()
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
            x, side = clipped(value.value, limits)
            draw_point(ax, x, i, marks[name], None if side else errors(value))
            if side:
                far = f"{style.number(value.value)} →" if side > 0 else f"← {style.number(value.value)}"
                align = "right" if side > 0 else "left"
                _label(ax, far, (x, i), (-5 * side, 0), GREY, ha=align, va="center")
        ax.grid(axis="y", color=GREY, alpha=0.2, linewidth=0.4)
        ax.set(xlim=limits, xlabel=f"distance to {style.oracle_name(oracle)}")
        ax.set_title(style.FORM_NAMES[form].split(" (")[0] if columns == 1 else style.FORM_NAMES[form])
    axes[0].set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
    axes[0].set_yticklabels([style.candidate_name(n) for n in names])
    figure.tight_layout(rect=(0, 0, 1, 1 - above / height), w_pad=1.5)
    title(figure, text)
    return figure


def _padded(values: list[Value]) -> tuple[float, float]:
    low, high = min(0.0, *(v.low for v in values), 0.0), max(0.0, *(v.high for v in values), 0.0)
    pad = 0.08 * (high - low) or 1.0
    return low - pad, high + pad


def compass(run: Run, problem: ProblemRow, shown: list[str] | None = None, columns: int = 2) -> Figure | None:
    """Draws the compass of one problem, or a forest plot where only one oracle is there or the two coincide.

    The compass has a row of panels for each form of the distance, all candidates and a close-up around the
    untraining oracle; controls are hollow, the bands are the equivalence margin.

    shown: forms of the distance, "margin" and "output"; those that the run holds by default.
    columns: how many of a paper's it is wide, 1 (3.3 inches) or 2 (6.9 inches).

    Returns:
        The figure, None where the run holds no distances on the pooled concept.
    """
    shown = forms(run, problem.problem) if shown is None else shown
    oracle = forest_oracle(run, problem.problem)
    with matplotlib.rc_context(RC):
        if has_compass(run, problem):
            shown = [f for f in shown if compass_points(run, problem.problem, f)]
            return _compass_figure(run, problem, shown, columns) if shown else None
        if oracle is None:
            return None
        shown = [f for f in shown if any(distance(run, problem.problem, n, f, oracle) for n in run.candidates())]
        return _forest_figure(run, problem, shown, oracle, columns) if shown else None


# What the files' names begin with.
OF_PROBLEMS = {"examples": examples_figure, "frontier": frontier_figure, "margins": margins_figure}
OF_RUN = {"rates": rates_figure, "ranks": ranks_figure}
KINDS = ("compass", *OF_PROBLEMS, *OF_RUN)


def save(figure: Figure, path: Path, columns: int) -> list[Path]:
    """Writes `path` with other endings: .png and .pdf where it is two columns wide, -1col.pdf where one; returns them."""
    files = [path.with_name(f"{path.name}-1col.pdf")]
    if columns == 2:
        files = [path.with_name(f"{path.name}.{ending}") for ending in ("png", "pdf")]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # everything has its place now: each file would find it again
    for file in files:
        # No date, so that the same rows make the same files.
        figure.savefig(file, dpi=220, metadata={"CreationDate": None} if file.suffix == ".pdf" else {})
    return files


def drawn(run: Run, columns: int) -> Iterator[tuple[str, Figure]]:
    """Every figure that a run has the rows for, with the file's name; a column wide a compass has one for each form."""
    names = style.file_names(p.problem for p in run.problems)
    for problem in run.problems:
        name = names[problem.problem]
        if columns == 2:
            made: dict[str, Figure | None] = {f"compass-{name}": compass(run, problem)}
        else:
            made = {f"compass-{name}-{f}": compass(run, problem, [f], columns) for f in forms(run, problem.problem)}
        made |= {f"{kind}-{name}": draw(run, problem, columns=columns) for kind, draw in OF_PROBLEMS.items()}
        yield from ((key, figure) for key, figure in made.items() if figure is not None)
    for kind, draw in OF_RUN.items():
        figure = draw(run, columns=columns)
        if figure is not None:
            yield kind, figure


def write_figures(folder: Path | str, columns: Sequence[int] = (2,)) -> list[Path]:
    """Writes a run's figures into its folder `figures`; returns their paths.

    Earlier figures of these kinds go first: they may show what the results no longer hold.

    Args:
        folder: of a finished run.
        columns: of a paper: 2 writes `<kind>-<problem>.png` and `.pdf`, 1 `<kind>-<problem>-1col.pdf`; those of the whole run
            have no problem in their names.

    Raises:
        FileNotFoundError: the folder holds no results.
        ValueError: a width that is not known.
    """
    for each in columns:
        checks.one_of("columns", each, WIDTHS)
    run, target, written = load(folder), Path(folder) / "figures", []
    for old in (path for kind in KINDS for path in target.glob(f"{kind}*.p??")):
        old.unlink()
    with matplotlib.rc_context(RC):  # settings are looked up once more when text is drawn
        for each in columns:
            for name, figure in drawn(run, each):
                target.mkdir(exist_ok=True)
                written += save(figure, target / name, each)
    return written
