"""What the pictures of `pictures.py` are made of: dots by row, lines by place, names for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unlearnax import plugins
from unlearnax.claims import Missing, Number, Runs, Source
from unlearnax.report.paper import WIDTHS
from unlearnax.report.style import GREY, candidate_name

ROOT = Path(__file__).parent.parent
LINE = 0.19  # inches: of a row of dots
SHORT = {"do_nothing": "doing nothing", "held-out retrain": "retraining, held out", "neg_grad_plus": "NegGrad+", "npo": "NPO",
         "ssd": "SSD", "potion": "Potion", "rem": "REM", "scrub": "SCRUB", "salun": "SalUn", "l1_sparse": "ℓ1-sparse",
         "cf_k": "CF-k", "magnitude_gradient": "MSG", "transpose_kernels": "CT", "successive_random_label": "SRL",
         "matched concept_free": "oracle matching", "held-out concept_free": "retraining without F",
         "held-out corrected": "retraining on true labels"}  # fmt: skip


class Series(NamedTuple):
    """Numbers of one kind by where they stand: a row of `dots`, a place on the axis of `lines`."""

    name: str
    colour: str
    numbers: Mapping[str, Source]
    hollow: bool = False
    marker: str = "o"
    faint: bool = False


def plain(name: str) -> str:
    """A candidate's name without the file that it comes from."""
    return name.rpartition(":")[2]


def said(name: str) -> str:
    """A candidate's name for people."""
    return SHORT.get(plain(name), candidate_name(plain(name)).replace("undo@alpha", "UNDO, α = "))


def found(series: Series, runs: Runs) -> dict[str, Number]:
    """The numbers that the runs hold."""
    there = {}
    for place, source in series.numbers.items():
        try:
            there[place] = source(runs)
        except Missing:
            continue
    return there


def ends(numbers: Sequence[Number]) -> list[list[float]]:
    """Lengths of the bars below and above, none negative."""
    return [[max(n.value - n.low, 0.0) for n in numbers], [max(n.high - n.value, 0.0) for n in numbers]]


def dots(ax: Axes, runs: Runs, rows: Sequence[str], series: Sequence[Series]) -> None:
    """A line for each row, top down, with a mark for each series that has a number there."""
    for each in series:
        numbers = found(each, runs)
        places = [rows.index(name) for name in numbers]
        values = list(numbers.values())
        ax.errorbar([n.value for n in values], places, xerr=ends(values), fmt=each.marker, color=each.colour, markersize=4.5,
                    elinewidth=0.8, capsize=1.5, markerfacecolor="white" if each.hollow else each.colour,
                    markeredgewidth=0.8, label=each.name, zorder=3)  # fmt: skip
    ax.set(ylim=(len(rows) - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), [said(name) for name in rows])
    ax.grid(axis="y", color=GREY, alpha=0.2, linewidth=0.4)
    ax.tick_params(axis="y", length=0)


def lines(ax: Axes, runs: Runs, places: Sequence[str], series: Sequence[Series]) -> None:
    """A line for each series over the places, evenly spaced."""
    for each in series:
        numbers = found(each, runs)
        xs, values = [places.index(name) for name in numbers], list(numbers.values())
        ax.errorbar(xs, [n.value for n in values], yerr=ends(values), fmt=each.marker, color=each.colour, markersize=4,
                    linestyle="--" if each.hollow else "-", linewidth=0.8 if each.faint else 1.3, elinewidth=0.8, capsize=1.5,
                    markerfacecolor="white" if each.hollow else each.colour, alpha=0.6 if each.faint else 1.0,
                    label=each.name, zorder=2 if each.faint else 3)  # fmt: skip
    ax.set_xticks(range(len(places)), places)
    ax.set_xlim(-0.3, len(places) - 0.7)


def panels(count: int, height: float, *, widths: Sequence[float] | None = None, sharey: bool = True):
    """A figure of the pages' width with axes side by side."""
    figure = Figure(figsize=(WIDTHS[2], height), layout="constrained")
    axes = figure.subplots(1, count, sharey=sharey, width_ratios=widths, squeeze=False)[0]
    return figure, list(axes)


def algorithms(runs: Runs) -> list[str]:
    """Of all runs, in their order."""
    there = {name: each for run in runs.values() for name, each in run.candidates().items()}
    return [name for name, each in there.items() if each.kind == "algorithm"]


def by_value(names: Sequence[str], source: Callable[[str], Source], runs: Runs) -> list[str]:
    """Those that have the number, the lowest first."""
    there = {name: number.value for name, number in found(Series("", "", {n: source(n) for n in names}), runs).items()}
    return sorted(there, key=lambda name: there[name])


def experiment(name: str):
    """The module of an experiment file."""
    return plugins.load_file(ROOT / f"experiments/{name}.py")
