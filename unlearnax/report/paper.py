"""What all figures for papers share: their widths, matplotlib's settings, points with intervals, and the legend of marks."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unlearnax.report import style
from unlearnax.report.load import Value
from unlearnax.report.style import GREY, INK

WIDTHS = {1: 3.3, 2: 6.9}  # inches: one and two columns of most proceedings
LEGEND_LINE = 0.16
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
    "image.composite_image": False,  # pictures of examples as they are: resampled into one they take a third of all time
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
}


def errors(value: Value) -> list[list[float]]:
    """Lengths of an error bar, down and up."""
    # A jackknife interval need not hold the value; a negative bar length is an error to matplotlib.
    return [[max(value.value - value.low, 0.0)], [max(value.high - value.value, 0.0)]]


def draw_point(ax: Axes, x: float, y: float, mark: style.Mark, xerr=None, yerr=None, size: float = 4.5) -> None:
    """A candidate's mark with its intervals; controls are hollow."""
    colour = mark.colour or INK
    ax.errorbar(
        x, y, xerr=xerr, yerr=yerr, fmt=style.MATPLOTLIB_SHAPES[mark.shape], markersize=size, zorder=4,
        color=colour, ecolor=colour, elinewidth=0.8, capsize=1.5, capthick=0.8,
        markerfacecolor="none" if mark.colour is None else colour,
        markeredgecolor=INK if mark.colour is None else "white", markeredgewidth=0.8 if mark.colour is None else 0.4,
    )  # fmt: skip


def clipped(value: float, limits: tuple[float, float]) -> tuple[float, int]:
    """A coordinate moved inside the limits, and the side it left by (-1, 0, 1)."""
    low, high = limits
    inset = 0.045 * (high - low)
    if value > high:
        return high - inset, 1
    if value < low:
        return low + inset, -1
    return value, 0


def _legend_columns(names: list[str], width: float) -> int:
    longest = max((len(style.candidate_name(name)) for name in names), default=1)
    return max(1, min(5, int(width / (0.062 * longest + 0.3))))


def legend_height(marks: dict[str, style.Mark], width: float) -> float:
    """Inches that `legend` takes."""
    return LEGEND_LINE * math.ceil(len(marks) / _legend_columns(list(marks), width)) + 0.1


def legend(figure: Figure, marks: dict[str, style.Mark]) -> None:
    """Candidates' marks with their names, at the bottom."""
    width, height = figure.get_size_inches()
    handles = [
        Line2D([], [], linestyle="", marker=style.MATPLOTLIB_SHAPES[m.shape], markersize=4.5, color=m.colour or INK,
               markerfacecolor=m.colour or "none", markeredgecolor=m.colour or INK, label=style.candidate_name(name))
        for name, m in marks.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=_legend_columns(list(marks), width), frameon=False, fontsize=7,
                  handletextpad=0.2, columnspacing=1.2, bbox_to_anchor=(0.5, 0.04 / height), borderaxespad=0)  # fmt: skip


def title(figure: Figure, text: str) -> None:
    """One or two lines above all; a column wide it is smaller, and what does not fit goes to a second line."""
    width, height = figure.get_size_inches()
    size = 8.5 if width > WIDTHS[1] else 7
    figure.text(0.01, 1 - 0.06 / height, wrapped(text, width, size), fontsize=size, va="top", linespacing=1.15)


def wrapped(text: str, width: float, size: float) -> str:
    """Text broken between words where a line of `width` inches ends, at a font size in points."""
    most, lines = int(width * 72 / (0.6 * size)), [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def title_height(text: str, width: float) -> float:
    """Inches that `title` takes."""
    size = 8.5 if width > WIDTHS[1] else 7
    return 0.1 + 0.0165 * size * len(wrapped(text, width, size).split("\n"))
