"""The leaderboard as a figure: one panel a setting, one line an algorithm, its distances to both oracles."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unlearnax.report import style
from unlearnax.report.leaderboard import Entry, Setting
from unlearnax.report.load import UNLEARNING, UNTRAINING
from unlearnax.report.paper import WIDTHS, clipped, errors, title, title_height, wrapped

MOST = 9  # settings
LINE, FRAME, LEGEND = 0.145, 0.62, 0.22  # inches: a candidate, what stands about a panel, the legend
ACROSS = {1: 1, 2: 3}  # panels, by the paper's columns
LIMITS = (-0.15, 1.6)  # what lies beyond is drawn at the border, with its number
ORACLES = {UNTRAINING: (style.BLUE, "o", -0.17), UNLEARNING: (style.ORANGE, "D", 0.17)}  # colour, mark, shift


def _panel(ax: Axes, found: Sequence[Entry], names: list[str], form: str, margin: float | None) -> None:
    if margin is not None:
        ax.axvspan(-margin, margin, color=style.GREY, alpha=0.15, linewidth=0)
    for entry in found:
        for oracle, (colour, shape, shift) in ORACLES.items():
            value = entry.distance(oracle, form)
            if value is None:
                continue
            x, side = clipped(value.value, LIMITS)
            y = names.index(entry.candidate) + shift
            ax.errorbar(x, y, xerr=None if side else errors(value), fmt=shape, color=colour, markersize=3.2, elinewidth=0.8,
                        markeredgecolor="white", markeredgewidth=0.3, zorder=3)  # fmt: skip
            if side:
                ax.annotate(style.number(value.value), (x, y), (-4 * side, 0), textcoords="offset points", fontsize=5.5,
                            ha="right" if side > 0 else "left", va="center", color=colour)  # fmt: skip
    ax.axvline(0, color=style.GREY, linewidth=0.6)
    ax.grid(axis="y", color=style.GREY, alpha=0.2, linewidth=0.4)
    ax.set(xlim=LIMITS, ylim=(len(names) - 0.4, -0.6), xticks=(0, 0.5, 1, 1.5))
    ax.tick_params(labelsize=6.5, length=2)
    ax.tick_params(axis="y", length=0)


def _setting_name(setting: Setting, *, models: bool) -> str:
    return f"{setting.problem}, {setting.model}" if models and setting.model else setting.problem


def board_figure(found: Sequence[Entry], form: str = "output", columns: int = 2) -> Figure | None:
    """Draws means over forget sets with 95 % intervals, of algorithms and doing nothing; None where there are no distances.

    form: of the distance.  columns: of a paper, 1 or 2.
    """
    there = [e for e in found if any(e.distance(oracle, form) for oracle in ORACLES)]
    there = [e for e in there if not e.control or e.candidate == "do_nothing"]
    settings = list(dict.fromkeys(e.setting for e in there))
    if not settings:
        return None
    shown, width = settings[:MOST], WIDTHS[columns]
    names = list(dict.fromkeys(e.candidate for e in sorted(there, key=lambda e: e.control) if e.setting in shown))
    across = min(ACROSS[columns], len(shown))
    lines = -(-len(shown) // across)
    models = len({s.model for s in settings}) > 1
    text = f"Distances over the whole concept, {form} form; shaded: within the margin"
    text += f" ({len(shown)} of {len(settings)} settings)" if len(shown) < len(settings) else ""
    above = title_height(text, width)
    height = (LINE * len(names) + FRAME) * lines + above + LEGEND
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(lines, across, squeeze=False, sharey=True)
    for i, ax in enumerate(axes.flat):
        if i >= len(shown):
            ax.set_axis_off()
            continue
        _panel(ax, [e for e in there if e.setting == shown[i]], names, form, shown[i].margin)
        room = (width - 1.3) / across
        ax.set_title(wrapped(_setting_name(shown[i], models=models), room, 7), fontsize=7)
        if i + across >= len(shown):
            ax.set_xlabel("distance", fontsize=7)
    axes[0][0].set_yticks(range(len(names)), labels=[style.candidate_name(name) for name in names])
    handles = [
        Line2D([], [], color=colour, marker=shape, markersize=4, linestyle="", label=f"to {style.oracle_name(oracle)}")
        for oracle, (colour, shape, _) in ORACLES.items()
    ]
    figure.legend(handles=handles, loc="lower center", ncols=2, frameon=False, fontsize=6.5, handletextpad=0.2,
                  columnspacing=1.0, bbox_to_anchor=(0.5, 0.03 / height), borderaxespad=0)  # fmt: skip
    title(figure, text)
    figure.tight_layout(rect=(0, LEGEND / height, 1, 1 - above / height), w_pad=0.6, h_pad=0.8)
    return figure
