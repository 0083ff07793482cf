"""Single examples for the page's script: what every population makes of them, with their pictures."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from unlearnax.report import style
from unlearnax.report.load import Run, finite, is_control
from unlearnax.results import ExampleRow

ORACLE = "oracle "  # what the names of the oracles' own populations begin with


def _number(value: float) -> float | None:
    return round(value, 3) if finite(value) else None


def _told(row: ExampleRow) -> list[Any]:
    spread = [[round(value, 1) for value in row.spread]] if row.margins else []
    return [_number(n) for n in (row.right, row.low, row.high, row.margin)] + spread


def gallery(run: Run, problem: str) -> dict[str, Any] | None:
    """Examples of a problem with the share of members that get each right, and their margins, by population.

    Returns:
        `examples`, and by candidate and by oracle one list a population: [share, low, high, mean margin] of every example
        and, where the run kept it, the margins' `spread`; None where it was not told.
        None where the run tells of no examples, or of none against an oracle.
    """
    rows = [r for r in run.examples if r.problem == problem]
    places = list(dict.fromkeys((r.slice, r.example) for r in rows))
    told = {(r.candidate, r.slice, r.example): r for r in rows}
    kinds = {r.candidate: r.kind for r in rows}

    def of(name: str) -> list[list[Any] | None]:
        return [_told(told[name, *place]) if (name, *place) in told else None for place in places]

    oracles = {style.oracle_name(n.removeprefix(ORACLE)): of(n) for n, kind in kinds.items() if kind == "oracle"}
    candidates = {n: of(n) for n in sorted(kinds, key=lambda n: is_control(kinds[n])) if kinds[n] != "oracle"}
    if not (oracles and candidates):
        return None
    pictures = {(i.slice, i.example): base64.b64encode(i.png).decode() for i in run.images if i.problem == problem}
    about = {(r.slice, r.example): r for r in rows}
    return {
        "examples": [
            {"slice": style.slice_name(place[0]), "number": place[1], "label": about[place].label,
             "random": about[place].at_random, "png": pictures.get(place, "")}
            for place in places
        ],
        "candidates": candidates,
        "oracles": oracles,
    }  # fmt: skip


def pooled_margins(run: Run, problem: str) -> dict[str, dict[str, np.ndarray]]:
    """Margins of the examples drawn at random, slice by slice and population by population, over members and examples.

    Each example counts alike: its `spread` stands for its members.  Slices and populations of which none were kept are
    left out.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for row in run.examples:
        if row.problem == problem and row.at_random and row.margins:
            found.setdefault(row.slice, {}).setdefault(row.candidate, []).extend(row.spread)
    return {part: {name: np.array(values) for name, values in each.items()} for part, each in found.items()}
