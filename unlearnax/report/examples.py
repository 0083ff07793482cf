"""Single examples as pictures: which of them the members of every population still get right.

The picture of Figure 1 of Triantafillou et al. 2026, arXiv 2604.07962, for any problem, made of measured populations.
"""

from __future__ import annotations

import io
import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from unlearnax.report import style
from unlearnax.report.load import CONCEPT_SLICES, DAMAGE_SLICES, UNLEARNING, UNTRAINING, Run
from unlearnax.report.paper import WIDTHS, wrapped
from unlearnax.results import ExampleRow, ProblemRow

# Pictures of one slice, by the paper's columns.
MOST = {1: {"concept": 2, "damage": 1}, 2: {"concept": 6, "damage": 2}}
MOST_LABELS = 3  # more classes than these share one group
MOST_ALGORITHMS = 12
# Inches: what names take; the largest picture; between slices; what stands below a picture, above and below all.
NAMES, CELL, GAP, CAPTION, HEAD, FOOT = 1.03, 0.42, 0.12, 0.14, 0.55, 0.22
SHORT = {"forget": "S", "concept_rest": "F∖S", "concept_test": "held-out", "retain": "D∖F", "other_test": "test"}
RIGHT, WRONG = "#00785a", "#aa3377"  # with a sign each, so that nothing is told by colour alone


class Group(NamedTuple):
    """Pictures side by side.  slice: theirs.  label: their class, "" where they are of several.  examples: their rows."""

    slice: str
    label: str
    examples: tuple[int, ...]


def _spread(rows: list[ExampleRow], most: int) -> list[ExampleRow]:
    """At most so many rows, each label in turn."""
    turn: dict[str, int] = {}
    keyed = []
    for row in rows:
        turn[row.label] = turn.get(row.label, -1) + 1
        keyed.append((turn[row.label], row))
    chosen = [row for _, row in sorted(keyed, key=lambda pair: pair[0])[:most]]
    return [row for row in rows if row in chosen]


def groups(run: Run, problem: str, columns: int = 2) -> list[Group]:
    """What is shown of a problem: pictures drawn at random, slice by slice, and class by class where they are few.

    columns: of a paper, 1 or 2, which have room for fewer or more.
    """
    pictured = {(i.slice, i.example) for i in run.images if i.problem == problem}
    found: list[Group] = []
    for about, slices in (("concept", CONCEPT_SLICES), ("damage", DAMAGE_SLICES)):
        for part in slices:
            there = {
                r.example: r
                for r in run.examples
                if r.problem == problem and r.slice == part and r.at_random and (part, r.example) in pictured
            }
            chosen = _spread(list(there.values()), MOST[columns][about])
            labels = list(dict.fromkeys(r.label for r in chosen))
            if about == "damage" or len(labels) > MOST_LABELS:
                labels = [""] if chosen else []
            found += [Group(part, each, tuple(r.example for r in chosen if each in ("", r.label))) for each in labels]
    return found


Line = tuple[str, str, str]  # a candidate, its name for people, its colour


def _populations(run: Run, problem: str) -> tuple[list[Line], list[Line]]:
    """Lines of the originals and the oracles, and of the algorithms."""
    kinds = {r.candidate: r.kind for r in run.examples if r.problem == problem}
    colours = {UNTRAINING: style.BLUE, UNLEARNING: style.ORANGE}
    references = [(n, "original\nA(D)", style.INK) for n, kind in kinds.items() if kind == "original"]
    there = [name.removeprefix("oracle ") for name, kind in kinds.items() if kind == "oracle"]
    for oracle in [*(o for o in colours if o in there), *(o for o in there if o not in colours)]:
        words = style.oracle_name(oracle).replace(" A(", "\nA(")
        references.append((f"oracle {oracle}", words, colours.get(oracle, style.INK)))
    algorithms = [n for n, kind in kinds.items() if kind == "algorithm"][:MOST_ALGORITHMS]
    return references, [(n, style.candidate_name(n).replace("@", "\ntuned for "), style.INK) for n in algorithms]


class _Layout(NamedTuple):
    """Inches.  lefts: of every group.  cell: side of a picture.  top: of the first line."""

    lefts: list[float]
    cell: float
    top: float


def _lay_out(shown: list[Group], height: float, width: float) -> _Layout:
    before = [None, *(group.slice for group in shown[:-1])]
    gaps = [0.0 if b is None else GAP if b != g.slice else GAP / 3 for b, g in zip(before, shown, strict=True)]
    counts = [len(group.examples) for group in shown]
    cell = min((width - NAMES - 0.05 - sum(gaps)) / sum(counts), CELL)
    ends = np.cumsum(np.add(gaps, np.multiply(counts, cell)))
    return _Layout([float(NAMES + end - n * cell) for end, n in zip(ends, counts, strict=True)], cell, height - HEAD)


def _two_lines(part: str, *, short: bool) -> tuple[str, str]:
    """A slice's name on two lines: the last word on the second."""
    text = SHORT.get(part.removesuffix("_true"), part) if short else style.slice_name(part)
    first, _, last = text.rpartition(" ")
    return (first, last) if first else (last, "")


def _heads(ax: Axes, shown: list[Group], at: _Layout, *, short: bool) -> None:
    """Slices above their groups, with a line over all groups of each, and the class above each group."""
    for part in dict.fromkeys(g.slice for g in shown):
        mine = [(left, g) for left, g in zip(at.lefts, shown, strict=True) if g.slice == part]
        start, end = mine[0][0], mine[-1][0] + at.cell * len(mine[-1][1].examples)
        ax.plot([start + 0.02, end - 0.02], [at.top + 0.19] * 2, color=style.GREY, linewidth=0.6)
        for line, words in enumerate(_two_lines(part, short=short)):
            ax.text((start + end) / 2, at.top + 0.36 - 0.115 * line, words, ha="center", va="baseline", fontsize=7)
        for left, group in mine:
            middle = left + at.cell * len(group.examples) / 2
            ax.text(middle, at.top + 0.06, group.label, ha="center", va="baseline", fontsize=6.5, color=style.GREY)


def _draw_cell(ax: Axes, picture: np.ndarray, left: float, bottom: float, side: float, share: float) -> None:
    size = 6 if side > 0.3 else 5  # of a number that may have three digits
    right, inset = share >= 0.5, 0.02
    colour = RIGHT if right else WRONG
    box = (left + inset, left + side - inset, bottom + inset, bottom + side - inset)
    shown = picture if picture.ndim == 3 else 255 - picture  # dark on white, as paper is
    ax.imshow(shown, extent=box, cmap="gray", vmin=0, vmax=255, alpha=1.0 if right else 0.4, zorder=2,
              interpolation="nearest")  # fmt: skip
    inner = side - 2 * inset
    ax.add_patch(Rectangle((box[0], box[2]), inner, inner, fill=False, edgecolor=colour, linewidth=1.0, zorder=3))
    text = f"{'✓' if right else '✗'}\u2009{100 * share:.0f}"
    ax.text(left + side / 2, bottom - 0.075, text, ha="center", va="baseline", fontsize=size, color=colour)


def _draw_name(ax: Axes, words: str, colour: str, middle: float) -> None:
    first, _, rest = words.partition("\n")
    for text, size, y in ((first, 7, 0.02 if rest else -0.03), (rest, 6.5, -0.095)):
        ax.text(NAMES - 0.06, middle + y, text, ha="right", va="baseline", fontsize=size, color=colour)


def examples_figure(run: Run, problem: ProblemRow, columns: int = 2) -> Figure | None:
    """Draws some examples of every slice as every population sees them; None where the run has no pictures of them.

    columns: of a paper, 1 or 2.
    """
    shown, name, width = groups(run, problem.problem, columns), problem.problem, WIDTHS[columns]
    if not shown:
        return None
    references, algorithms = _populations(run, name)
    shares = {(r.candidate, r.slice, r.example): r.right for r in run.examples if r.problem == name}
    files = {(i.slice, i.example): i.png for i in run.images if i.problem == name}
    cell = _lay_out(shown, 0.0, width).cell
    members = max((v.members for v in run.verdicts if v.problem == name), default=0)
    note = (f"Numbers: % of {members} models that get it right; ✓ at least half do, ✗ most do not.  "
            f"|S| = {problem.forget}, |F| = {problem.concept}.")  # fmt: skip
    note = wrapped(note, width, 6.5)
    foot = FOOT + 0.11 * note.count("\n")
    height = HEAD + (cell + CAPTION) * (len(references) + len(algorithms)) + GAP + foot
    at = _lay_out(shown, height, width)
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    for i, (candidate, words, colour) in enumerate([*references, *algorithms]):
        bottom = at.top - (cell + CAPTION) * i - cell - (GAP if i >= len(references) else 0)
        _draw_name(ax, words, colour, bottom + cell / 2)
        for left, group in zip(at.lefts, shown, strict=True):
            for j, example in enumerate(group.examples):
                share = shares.get((candidate, group.slice, example), math.nan)
                if math.isfinite(share):
                    picture = np.asarray(Image.open(io.BytesIO(files[group.slice, example])))
                    _draw_cell(ax, picture, left + cell * j, bottom, cell, share)
    _heads(ax, shown, at, short=columns == 1)
    ax.text(0.06, 0.07, note, fontsize=6.5, color=style.GREY, va="bottom")
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    return figure
