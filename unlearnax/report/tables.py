"""Tables of a problem's numbers as the page shows them: candidates in rows, cells with interval and sorting key."""

from __future__ import annotations

from typing import Any

from unlearnax.report import style
from unlearnax.report.load import Run, finite, forms, is_control
from unlearnax.report.style import Cell
from unlearnax.results import Row

BUDGET = 0.2  # of a retrain: what the NeurIPS 2023 competition allowed (arXiv 2406.09073)


def number_cell(row: Row | None, digits: int, factor: float = 1.0, margin: float | None = None) -> Cell:
    """A row's value with its interval.

    margin: the value is within it where its interval's upper end is; such cells are also tinted by how far off they are.
    """
    if row is None:
        return Cell(style.MISSING)
    low, high = (factor * end if finite(end) and end is not None else None for end in (row.low, row.high))
    within = margin is not None and finite(row.high) and row.high is not None and row.high < margin
    value = factor * row.value
    heat = None if margin is None else round(min(max(value, 0.0), 1.0), 2)
    return Cell(style.number(value, digits), style.interval(low, high, digits), value, within, heat=heat)


def metric_table(run: Run, problem: str, metric: str, slices: list[str], oracles: list[str], **options: Any) -> dict:
    """A table of one metric: candidates by (oracle, slice); columns and rows without any number are left out."""
    columns = [(o, s) for o in oracles for s in slices]
    candidates = run.candidates(references=True)
    get = {(c, o, s): run.row(problem, c, metric, o, s) for c in candidates for o, s in columns}
    columns = [k for k in columns if any(get[c, *k] for c in candidates)]
    groups: dict[str, int] = {}
    for oracle, _ in columns:
        groups[oracle] = groups.get(oracle, 0) + 1
    body = [
        (name, is_control(record.kind), [number_cell(get[name, *k], **options) for k in columns])
        for name, record in candidates.items()
        if any(get[name, *k] for k in columns)
    ]
    return {
        "groups": [(style.oracle_name(o), n) for o, n in groups.items() if o],
        "columns": [style.slice_name(s) for _, s in columns],
        "body": body,
        "floors": [],
    }


def distances(run: Run, problem: str) -> list[dict[str, Any]]:
    """For each form of the distance: on the concept's slices, on all others, and what is gained over doing nothing."""
    margin, found = run.margin(problem), []
    for form in forms(run, problem):
        near, far = run.slices(problem, f"distance/{form}")
        # Damage has its own scale, on which the concept's margin is still the declared share.
        concept, damage = (
            metric_table(run, problem, f"distance/{form}", s, run.oracles(problem), digits=2, margin=margin)
            for s in (near, far)
        )
        parts = run.slices(problem, f"gain/{form}")[0][:1]
        gains = metric_table(run, problem, f"gain/{form}", parts, run.oracles(problem), digits=2)
        found.append({"form": style.FORM_NAMES[form], "concept": concept, "damage": damage, "gains": gains})
    return found


def energies(run: Run, problem: str) -> list[dict[str, Any]]:
    """Raw energy distances with floor and p-values, one entry a number."""
    return [
        {
            "candidate": r.candidate,
            "control": is_control(r.kind),
            "form": r.metric.removeprefix("energy/"),
            "oracle": style.oracle_name(r.oracle),
            "slice": style.slice_name(r.slice),
            "value": Cell(style.scientific(r.value), _range(r), _key(r.value)),
            "floor": Cell(style.scientific(r.floor), key=_key(r.floor)),
            "above": finite(r.floor) and finite(r.value) and r.value > r.floor,  # type: ignore[operator]
            "p": Cell(style.p_value(r.p), key=_key(r.p)),
            "p_adjusted": Cell(style.p_value(r.p_adjusted), key=_key(r.p_adjusted)),
        }
        for r in run.rows
        if r.problem == problem and r.metric.startswith("energy/")
    ]


def _key(value: float | None) -> float | str:
    return value if value is not None and finite(value) else ""


def _range(row: Row) -> str:
    ends = finite(row.low) and finite(row.high)
    return f"[{style.scientific(row.low)}, {style.scientific(row.high)}]" if ends else ""


def costs(run: Run, problem: str) -> list[dict[str, Any]]:
    """Costs of the candidates that have any."""
    shares = {n: run.row(problem, n, "cost/share") for n in run.candidates()}
    top = max([1.0, *(r.value for r in shares.values() if r)])
    found = []
    for name, record in run.candidates().items():
        share = shares[name]
        time, examples, flops, part = (
            run.row(problem, name, f"cost/{k}") for k in ("seconds", "examples", "flops", "flop_share")
        )
        if not (share or time or examples):
            continue
        found.append({
            "candidate": name,
            "control": is_control(record.kind),
            "share": number_cell(share, 1, 100.0),
            "width": round(100 * max(share.value, 0.0) / top, 2) if share else 0,
            "seconds": Cell(style.seconds(time.value), key=time.value) if time else Cell(style.MISSING),
            "examples": Cell(f"{examples.value:,.0f}", key=examples.value) if examples else Cell(style.MISSING),
            "flops": Cell(style.scientific(flops.value / 1e9), key=flops.value) if flops else Cell(style.MISSING),
            "flop_share": number_cell(part, 1, 100.0),
            "over": share is not None and share.value > BUDGET,
        })  # fmt: skip
    return found
