"""What candidates cost beside how far from each oracle they end, and the line of what nothing cheaper comes nearer than."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unlearnax.report import explore, style
from unlearnax.report.labels import Label, place
from unlearnax.report.load import UNLEARNING, Run, Value, whole_limits
from unlearnax.report.paper import WIDTHS, clipped, draw_point, errors, legend, legend_height, title, title_height
from unlearnax.results import ProblemRow

PANEL = 2.5  # inches
TICKS = (0, 1, 10, 100)  # % of a retrain
SYMLOG = {"linthresh": 1.0, "linscale": 0.6}


class Place(NamedTuple):
    """A candidate's cost, in % of a retrain, and the larger of its distances in either form."""

    candidate: str
    control: bool
    cost: float
    distance: Value


def places(found: dict[str, Any], oracle: str, cost: str = "share") -> list[Place]:
    """The points of `explore.frontier` that have a distance to an oracle (its name for people) and a cost."""
    return [
        Place(p["candidate"], p["control"], 100 * p["costs"][cost], Value(*max(p["distances"][oracle].values())))
        for p in found["points"]
        if cost in p["costs"] and oracle in p["distances"]
    ]


def best(points: list[Place]) -> list[Place]:
    """Points that nothing cheaper comes nearer than, by cost: of algorithms and doing nothing, below a retrain's cost."""
    line: list[Place] = []
    taking_part = [p for p in points if p.cost < 100 and (not p.control or p.candidate == "do_nothing")]
    for point in sorted(taking_part, key=lambda p: (p.cost, p.distance.value)):
        if not line or point.distance.value < line[-1].distance.value:
            line.append(point)
    return line


def _steps(points: list[Place]) -> list[tuple[float, float, float, float]]:
    """The frontier as lines: along to the next point's cost, then down to it; the last along to a retrain's."""
    line, steps = best(points), []
    for here, there in zip(line, [*line[1:], None], strict=True):
        y, end = here.distance.value, 100.0 if there is None else there.cost
        steps.append((here.cost, y, end, y))
        if there is not None:
            steps.append((end, there.distance.value, end, y))
    return steps


def _panel(ax: Axes, points: list[Place], marks: dict[str, style.Mark], oracle: str, name: str) -> None:
    limits = whole_limits([p.distance for p in points])
    for left, bottom, right, top in _steps(points):
        ax.plot([left, right], [bottom, top], color=style.GREY, linewidth=0.9, linestyle=":", zorder=1)
    for point in points:
        y, side = clipped(point.distance.value, limits)
        draw_point(ax, point.cost, y, marks[point.candidate], None, None if side else errors(point.distance))
        if side:
            ax.annotate(style.number(point.distance.value) + " ↑", (point.cost, y), (0, -5), textcoords="offset points",
                        ha="center", va="top", fontsize=6, color=style.GREY)  # fmt: skip
    colour = style.ORANGE if oracle == UNLEARNING else style.BLUE
    ax.plot(
        100, 0, "D", color=colour, markersize=9, markeredgecolor="white", markeredgewidth=0.8, zorder=3, clip_on=False
    )
    ax.set_xscale("symlog", **SYMLOG)
    most = max([150.0, *(1.5 * p.cost for p in points)])
    ax.set(xlim=(-0.25, most), ylim=limits, xlabel="time, % of a retrain", ylabel=f"distance to {name.split(' A(')[0]}")
    ax.set_xticks(TICKS, labels=[f"{tick:g}" for tick in TICKS])
    ax.minorticks_off()


def _name_points(ax: Axes, points: list[Place], marks: dict[str, style.Mark], colour: str) -> None:
    limits = ax.get_ylim()
    at = [(p.cost, clipped(p.distance.value, limits)[0]) for p in points]
    labels = [Label("retraining", 100, 0, colour, 6.5, 7, required=True)]
    labels += [
        Label(style.candidate_name(p.candidate), *where, marks[p.candidate].colour or style.INK)
        for p, where in zip(points, at, strict=True)
        if not p.control
    ]
    bars = [*_steps(points), *((p.cost, p.distance.low, p.cost, p.distance.high) for p in points)]
    place(ax, labels, [*at, (100, 0)], bars)


def frontier_figure(run: Run, problem: ProblemRow, columns: int = 2) -> Figure | None:
    """Draws cost against the larger distance of both forms, one panel an oracle; None where no candidate has both.

    Dotted: the frontier.  Diamonds: retraining itself.  columns: of a paper, 1 or 2.
    """
    found = explore.frontier(run, problem.problem)
    shown = {oracle: points for oracle in run.oracles(problem.problem)
             if (points := places(found, style.oracle_name(oracle)))}  # fmt: skip
    if not shown:
        return None
    there = {p.candidate for points in shown.values() for p in points}
    marks = {name: mark for name, mark in style.run_marks(run).items() if name in there}
    across = min(columns, len(shown))
    lines, width = -(-len(shown) // across), WIDTHS[columns]
    text = f"{problem.problem}: cost and quality; the larger distance of both forms, whole concept"
    below, above = legend_height(marks, width), title_height(text, width)
    height = PANEL * lines + below + above
    figure = Figure(figsize=(width, height))
    axes = list(figure.subplots(lines, across, squeeze=False).flat)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    for ax, (oracle, points) in zip(axes, shown.items(), strict=False):
        _panel(ax, points, marks, oracle, style.oracle_name(oracle))
    legend(figure, marks)
    title(figure, text)
    figure.tight_layout(rect=(0, below / height, 1, 1 - above / height), w_pad=1.5, h_pad=1.2)
    for ax, (oracle, points) in zip(axes, shown.items(), strict=False):
        _name_points(ax, points, marks, style.ORANGE if oracle == UNLEARNING else style.BLUE)
    return figure
