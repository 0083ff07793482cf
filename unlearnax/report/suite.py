"""The metric suite on the page: which metric answers which question, and every value with its floor and direction."""

from __future__ import annotations

from typing import Any

from unlearnax.report import style
from unlearnax.report.load import CONCEPT_SLICES, DAMAGE_SLICES, POOLED, Run, finite, is_control
from unlearnax.report.style import Cell
from unlearnax.results import MetricRow, Row

DIRECTIONS = {
    "lower": "↓ lower is nearer",
    "higher": "↑ higher is nearer",
    "oracle": "→ the oracle's own value is the target",
}
SIGNS = {"lower": "↓", "higher": "↑", "oracle": "→"}
ORDER = (POOLED, *CONCEPT_SLICES, *DAMAGE_SLICES)


def base_of(name: str, metrics: dict[str, MetricRow]) -> str | None:
    """The metric that a row's full name ("klom/p95") belongs to, the longest that fits; None for rows of other kinds."""
    fitting = [base for base in metrics if name == base or name.startswith(f"{base}/")]
    return max(fitting, key=len, default=None)


def _entry(row: Row | None, better: str) -> Cell:
    if row is None:
        return Cell(style.MISSING)
    if not finite(row.value):
        return Cell(style.MISSING, note=row.note)
    ends = finite(row.low) and finite(row.high)
    sub = f"[{style.scientific(row.low)}, {style.scientific(row.high)}]" if ends else ""
    return Cell(style.scientific(row.value), sub, row.value, row.within_floor(better))


def _order(part: str) -> tuple[int, str]:
    return (ORDER.index(part) if part in ORDER else len(ORDER), part)


def details(run: Run, problem: str) -> list[dict[str, Any]]:
    """For each metric its tables: candidates by (oracle, slice), the floor below."""
    metrics = {m.name: m for m in run.metrics}
    found: dict[str, dict[str, list[Row]]] = {}
    for row in run.rows:
        base = base_of(row.metric, metrics) if row.problem == problem else None
        if base and metrics[base].unit != "scorecard":
            found.setdefault(base, {}).setdefault(row.metric, []).append(row)
    return [
        {
            "metric": metrics[base],
            "direction": DIRECTIONS.get(metrics[base].better, metrics[base].better),
            "tables": [_table(run, rows, full, metrics[base].better) for full, rows in found[base].items()],
        }
        for base in metrics
        if base in found
    ]


def _table(run: Run, rows: list[Row], name: str, better: str) -> dict[str, Any]:
    oracles = [o for o in ["", *run.oracles()] if any(r.oracle == o for r in rows)]
    columns = [
        (o, s) for o in oracles for s in sorted({r.slice for r in rows if r.oracle == o}, key=_order)
    ]  # fmt: skip
    by = {(r.candidate, r.oracle, r.slice): r for r in rows}
    names = [n for n in run.candidates(references=True) if any((n, *c) in by for c in columns)]
    kinds = run.candidates(references=True)
    floors = {c: [r.floor for n in names if (r := by.get((n, *c))) and r.floor is not None] for c in columns}
    shown = [style.scientific(max(floors[c], default=None)) for c in columns]
    return {
        "name": name,
        "groups": [(style.oracle_name(o) if o else "own value", sum(c[0] == o for c in columns)) for o in oracles],
        "columns": [style.slice_name(s) if s else "whole" for _, s in columns],
        "body": [(n, is_control(kinds[n].kind), [_entry(by.get((n, *c)), better) for c in columns]) for n in names],
        "floors": shown if any(floors.values()) else [],
    }


def leading(run: Run, problem: str) -> dict[str, list[tuple[MetricRow, str, str]]]:
    """What each metric is shown by where there is room for one number: oracle -> metric, full name and slice.

    That is its difference to the oracle or its own name, on its first slice there (S where it is measured there).
    """
    metrics = {m.name: m for m in run.metrics if m.unit != "scorecard"}
    found: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for row in run.rows:
        if row.problem == problem and row.oracle and (base := base_of(row.metric, metrics)):
            found.setdefault((row.oracle, base), {})[row.metric, row.slice] = None
    columns: dict[str, list[tuple[MetricRow, str, str]]] = {}
    for oracle in run.oracles(problem):
        for base, metric in metrics.items():
            mine = list(found.get((oracle, base), {}))
            plain = [pair for pair in mine if pair[0] in (base, f"{base}/gap")]
            mine = plain or [pair for pair in mine if pair[0] == mine[0][0]]
            if mine:
                name, part = min(mine, key=lambda pair: _order(pair[1]))
                columns.setdefault(oracle, []).append((metric, name, part))
    return columns


def overview(run: Run, problem: str) -> list[dict[str, Any]]:
    """One table for each oracle: candidates by metric, each by the number that `leading` picks."""
    tables = []
    for oracle, columns in leading(run, problem).items():
        wanted = {(name, part) for _, name, part in columns}
        by = {
            (r.candidate, r.metric, r.slice): r
            for r in run.rows
            if r.problem == problem and r.oracle == oracle and (r.metric, r.slice) in wanted
        }
        kinds = run.candidates()
        names = [n for n in kinds if any((n, m, s) in by for _, m, s in columns)]
        floors = [
            next((r.floor for n in names if (r := by.get((n, m, s))) and finite(r.floor)), None) for _, m, s in columns
        ]
        tables.append({
            "oracle": style.oracle_name(oracle),
            "columns": [(name, SIGNS.get(m.better, ""), style.slice_name(s), m.question) for m, name, s in columns],
            "body": [
                (n, is_control(kinds[n].kind), [_entry(by.get((n, name, s)), m.better) for m, name, s in columns])
                for n in names
            ],
            "floors": [style.scientific(f) for f in floors],
        })  # fmt: skip
    return tables
