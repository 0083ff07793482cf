"""How the report says things: names, numbers, verdicts and colours, the same in figures, page and terminal."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import NamedTuple

from unlearnax.report import load
from unlearnax.results import ProblemRow

MISSING = "–"
INK, GREY = "#1b1f24", "#6b7280"
BLUE, ORANGE = "#0072b2", "#d55e00"  # untraining, unlearning: Okabe and Ito's, told apart by all common eyes
# The points' colours keep clear of the oracles'; six shapes for seven colours make 42 different pairs, so that
# no candidate is told by colour alone. All of them have contrast on white and on a dark page.
COLOURS = ("#009e73", "#cc6f9f", "#d99000", "#3f9fdb", "#aa3377", "#8a8a2b", "#6c5fc7")
SHAPES = ("circle", "square", "triangle-up", "triangle-down", "cross", "x")  # plotly's names
MATPLOTLIB_SHAPES: dict[str, str] = dict(zip(SHAPES, "os^vPX", strict=True))

GOALS = {"U": "untraining", "L": "unlearning", "A": "ambiguous"}
ORACLE_NAMES = {load.UNTRAINING: "untraining oracle A(D∖S)", load.UNLEARNING: "unlearning oracle A(D∖F)"}
SLICE_NAMES = {
    "concept": "concept, pooled",
    "forget": "forget set S",
    "concept_rest": "rest of concept F∖S",
    "concept_test": "held-out concept",
    "retain": "retained D∖F",
    "other_test": "other test",
}
FORM_NAMES = {"margin": "margin form (logit-scaled confidence)", "output": "output form (whole softmax)"}


@dataclasses.dataclass(frozen=True)
class Cell:
    """A table's cell: text, its interval, a key to sort by, whether it lies within the margin or floor, why it is empty.

    heat: how strongly it is tinted, in [0, 1]; None: not at all.
    """

    text: str
    sub: str = ""
    key: float | str = ""
    within: bool = False
    note: str = ""
    heat: float | None = None


class VerdictStyle(NamedTuple):
    """How a verdict looks: css class, a sign that stands without colour, short text, rich style."""

    name: str
    sign: str
    short: str
    terminal: str


VERDICTS = {
    "reaches both": VerdictStyle("both", "✓", "reaches both", "bold green"),
    "reaches untraining": VerdictStyle("untraining", "✓", "reaches untraining", "bold bright_blue"),
    "reaches unlearning": VerdictStyle("unlearning", "✓", "reaches unlearning", "bold dark_orange"),
    "closer to untraining": VerdictStyle("near-untraining", "→", "closer to untraining", "bright_blue"),
    "closer to unlearning": VerdictStyle("near-unlearning", "→", "closer to unlearning", "dark_orange"),
    "reaches neither": VerdictStyle("neither", "·", "reaches neither", "default"),
    "damages": VerdictStyle("damages", "✕", "damages the model", "bold magenta"),
    "inconclusive": VerdictStyle("inconclusive", "?", "inconclusive", "dim"),
}


def verdict_style(verdict: str) -> VerdictStyle:
    """How to show a verdict; one that is not in the vocabulary is shown as it is, plainly."""
    known = next((style for start, style in VERDICTS.items() if verdict.startswith(start)), None)
    return known or VerdictStyle("other", "·", verdict, "default")


@dataclasses.dataclass(frozen=True)
class Mark:
    """A candidate's mark in every plot; colour None: the page's text colour (controls, drawn hollow)."""

    shape: str
    colour: str | None


def marks(candidates: Iterable[tuple[str, bool]]) -> dict[str, Mark]:
    """Marks by candidate from (name, is a control), the same for all problems of a run."""
    found: dict[str, Mark] = {}
    counts = [0, 0]
    for name, control in candidates:
        i = counts[control]
        counts[control] += 1
        found[name] = Mark(SHAPES[i % len(SHAPES)], None if control else COLOURS[i % len(COLOURS)])
    return found


def run_marks(run: load.Run) -> dict[str, Mark]:
    """Marks of a run's candidates."""
    return marks((name, load.is_control(record.kind)) for name, record in run.candidates().items())


def candidate_name(name: str) -> str:
    """A candidate's name for people: 'neg_grad_plus' is 'neg grad plus', a held-out oracle keeps its own name."""
    return name if name.startswith("held-out ") else name.replace("_", " ")


def oracle_name(name: str) -> str:
    """An oracle's name for people."""
    return ORACLE_NAMES.get(name, f"{name} oracle")


def slice_name(name: str) -> str:
    """A slice's name for people; '_true' slices are scored on the true labels."""
    base = name.removesuffix("_true")
    return SLICE_NAMES.get(base, base.replace("_", " ")) + (" (true labels)" if base != name else "")


def goal_name(goal: str) -> str:
    """A declared goal in words."""
    return GOALS.get(goal, goal) or MISSING


def rate_name(problem: ProblemRow) -> str:
    """A problem's discovery rate as its name says it, where |S| is that share of |F| in whole examples; |S|/|F| otherwise."""
    asked = re.search(r"rate(\d*\.?\d+)", problem.problem)
    if asked and abs(float(asked[1]) * problem.concept - problem.forget) <= 0.5:
        return asked[1].removesuffix(".0")
    return f"{problem.rate:.2g}"


def problem_labels(problems: Iterable[ProblemRow]) -> dict[str, str]:
    """Short labels by problem: the discovery rate where that tells them apart, the name otherwise."""
    problems = list(problems)
    rates = [f"rate {rate_name(p)}" for p in problems]
    if len(set(rates)) == len(rates):
        return {p.problem: rate for p, rate in zip(problems, rates, strict=True)}
    return {p.problem: p.problem for p in problems}


def file_names(problems: Iterable[str]) -> dict[str, str]:
    """Problems' names as parts of files' names, no two alike."""
    found: dict[str, str] = {}
    for problem in problems:
        base = name = re.sub(r"[^\w.=+-]+", "_", problem).strip("._") or "problem"
        count = 2
        while name in found.values():
            name, count = f"{base}-{count}", count + 1
        found[problem] = name
    return found


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if not load.finite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """An interval, or nothing where an end is missing."""
    return f"[{number(low, digits)}, {number(high, digits)}]" if load.finite(low) and load.finite(high) else ""


def p_value(p: float | None) -> str:
    """A p-value to three digits, small ones as a bound."""
    if not load.finite(p):
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}"  # type: ignore[operator]


def scientific(value: float | None) -> str:
    """A number of any size to three significant digits."""
    return f"{value:.3g}".replace("-", "−") if load.finite(value) else MISSING


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it."""
    if not load.finite(value):
        return MISSING
    assert value is not None
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1000:.3g} ms"
