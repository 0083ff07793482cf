"""How margins spread over members and examples of a slice: one panel a slice, one line a population."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unlearnax.report import style
from unlearnax.report.gallery import pooled_margins
from unlearnax.report.load import CONCEPT_SLICES, DAMAGE_SLICES, UNLEARNING, UNTRAINING, Run
from unlearnax.report.paper import WIDTHS, title, title_height, wrapped
from unlearnax.results import ProblemRow

ACROSS = {1: 2, 2: 5}  # panels, by the paper's columns
LINE, FRAME, NOTE = 0.145, 0.55, 0.12  # inches: a population, what stands about a panel, a line of words below
ENDS = (2.5, 25.0, 50.0, 75.0, 97.5)  # per cent
COLOURS = {f"oracle {UNTRAINING}": style.BLUE, f"oracle {UNLEARNING}": style.ORANGE}
WORDS = "Margin: logit-scaled confidence in the label. Dot: median; thick: middle half; thin: 95 %; of members and examples."


def _name(population: str) -> str:
    oracle = population.removeprefix("oracle ")
    return style.oracle_name(oracle) if oracle != population else style.candidate_name(population)


def _panel(ax: Axes, spreads: dict[str, np.ndarray], names: list[str]) -> None:
    for i, name in enumerate(names):
        if name not in spreads:
            continue
        colour = COLOURS.get(name, style.INK)
        low, lower, middle, upper, high = np.percentile(spreads[name], ENDS)
        ax.plot([low, high], [i, i], color=colour, linewidth=0.7)
        ax.plot([lower, upper], [i, i], color=colour, linewidth=2.6, solid_capstyle="butt")
        ax.plot(middle, i, "o", color=colour, markersize=3.6, markeredgecolor="white", markeredgewidth=0.5, zorder=3)
        if name in COLOURS:  # to compare all others with
            ax.axvspan(lower, upper, color=colour, alpha=0.12, linewidth=0, zorder=0)
    ax.axvline(0, color=style.GREY, linewidth=0.6, linestyle=(0, (1, 2)))
    ax.set(ylim=(len(names) - 0.4, -0.6))
    ax.tick_params(labelsize=6.5, length=2)
    ax.tick_params(axis="y", length=0)


def margins_figure(run: Run, problem: ProblemRow, columns: int = 2) -> Figure | None:
    """Draws margins of the examples drawn at random of every slice; None where the run kept none.

    Shaded: where the middle half of each oracle lies.  columns: of a paper, 1 or 2.
    """
    found = pooled_margins(run, problem.problem)
    order = [*CONCEPT_SLICES, *DAMAGE_SLICES]
    slices = sorted(found, key=lambda part: order.index(part) if part in order else len(order))
    if not slices:
        return None
    kinds = {r.candidate: r.kind for r in run.examples if r.problem == problem.problem}
    ranked = {"original": 0, "oracle": 1, "algorithm": 2}
    names = sorted(kinds, key=lambda n: ranked.get(kinds[n], 3))  # stable: order of the run
    width, across = WIDTHS[columns], min(ACROSS[columns], len(slices))
    lines = -(-len(slices) // across)
    text, note = f"{problem.problem}: margins by slice", wrapped(WORDS, width, 6.5)
    above, below = title_height(text, width), NOTE * (1 + note.count("\n")) + 0.04
    height = (LINE * len(names) + FRAME) * lines + above + below
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(lines, across, squeeze=False, sharey=True, sharex=True)
    for i, ax in enumerate(axes.flat):
        if i >= len(slices):
            ax.set_axis_off()
            continue
        _panel(ax, found[slices[i]], names)
        ax.set_title(style.slice_name(slices[i]), fontsize=7)
        ax.xaxis.set_tick_params(labelbottom=i + across >= len(slices))
        if i + across >= len(slices):
            ax.set_xlabel("margin", fontsize=7)
    for ax in axes[:, 0]:
        ax.set_yticks(range(len(names)), labels=[_name(name) for name in names])
    for label, name in (
        (label, name) for ax in axes[:, 0] for label, name in zip(ax.get_yticklabels(), names, strict=True)
    ):
        label.set_color(COLOURS.get(name, style.INK))
    title(figure, text)
    figure.text(0.01, 0.04 / height, note, fontsize=6.5, color=style.GREY, va="bottom")
    figure.tight_layout(rect=(0, below / height, 1, 1 - above / height), w_pad=0.4, h_pad=0.6)
    return figure
