"""What the page's script ranks and plots: numbers by candidate, for metrics and for costs, ready for JSON."""

from __future__ import annotations

from typing import Any

from unlearnax.report import style, suite
from unlearnax.report.load import FORMS, POOLED, Run, distance, finite, forms, is_control
from unlearnax.results import Row

COSTS = {"share": "time", "flop_share": "FLOPs"}  # of a retrain
# Metrics compared at first, where they are there: the scorecard's and the field's most used.
FIRST = ("distance/margin", "distance/output", "klom", "u_lira", "unlearning_accuracy", "tow", "average_gap")

# The same where the oracles stand side by side.
ACROSS = ("distance/margin", "distance/output", "klom")


def _remoteness(value: float, better: str) -> float:
    """A number that grows with the distance to the oracle; of a difference ("oracle") its size."""
    return {"higher": -value, "oracle": abs(value)}.get(better, value)


def _errors(row: Row, better: str) -> list[float] | None:
    """How far a row's interval reaches down and up from its `_remoteness`; None where it has none."""
    if row.low is None or row.high is None or not (finite(row.low) and finite(row.high)):
        return None
    ends = [max(row.value - row.low, 0.0), max(row.high - row.value, 0.0)]  # a jackknife's need not hold the value
    return ends[::-1] if better == "higher" or (better == "oracle" and row.value < 0) else ends


def across(run: Run, problem: str) -> list[dict[str, Any]]:
    """The metrics of all oracles, side by side; empty where there are fewer than two.  See `rankings`."""
    return _beside(_by_oracle(run, problem))


def _beside(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(found) < 2:
        return []
    return [
        metric | {"name": f"{metric['name']}, {each['oracle']}", "metric": metric["name"], "oracle": each["oracle"],
                  "first": metric["name"] in ACROSS}
        for each in found
        for metric in each["metrics"]
    ]  # fmt: skip


def rankings(run: Run, problem: str) -> list[dict[str, Any]]:
    """For each oracle its metrics, with a number by candidate that is the smaller the nearer it is to the oracle.

    `errors`: how far the 95 % interval of each reaches down and up, of those that have one.

    Where there are several oracles, all of their metrics come first, side by side: do those of one goal rank as those of the
    other?
    """
    found = _by_oracle(run, problem)
    beside = _beside(found)
    return [{"oracle": "either oracle, side by side", "metrics": beside}, *found] if beside else found


def _by_oracle(run: Run, problem: str) -> list[dict[str, Any]]:
    columns, kinds, found = suite.leading(run, problem), run.candidates(), []
    for oracle in run.oracles(problem):
        wanted = [(f"distance/{form}", POOLED, "lower", f"distance/{form}") for form in forms(run, problem)]
        wanted += [(name, part, metric.better, metric.name) for metric, name, part in columns.get(oracle, [])]
        metrics = []
        for name, part, better, base in wanted:
            rows = {n: run.row(problem, n, name, oracle, part) for n in kinds}
            values = {n: _remoteness(row.value, better) for n, row in rows.items() if row}
            if len(values) > 1:
                metrics.append({
                    "name": name, "slice": style.slice_name(part), "first": base in FIRST, "values": values,
                    "errors": {n: e for n, row in rows.items() if row and (e := _errors(row, better))},
                    "shown": {n: style.scientific(row.value) for n, row in rows.items() if row},
                })  # fmt: skip
        if metrics:
            found.append({"oracle": style.oracle_name(oracle), "metrics": metrics})
    return found


def frontier(run: Run, problem: str) -> dict[str, Any]:
    """Costs as shares of a retrain beside distances to each oracle, for the candidates that have both."""
    oracles, points = run.oracles(problem), []
    for name, record in run.candidates().items():
        rows = {kind: run.row(problem, name, f"cost/{kind}") for kind in COSTS}
        costs = {kind: row.value for kind, row in rows.items() if row and finite(row.value)}
        if record.kind == "original":
            costs = dict.fromkeys(COSTS, 0.0)  # nothing is done
        far = {
            oracle: {
                form: [v.value, v.low, v.high] for form in FORMS if (v := distance(run, problem, name, form, oracle))
            }
            for oracle in oracles
        }
        if costs and any(far.values()):
            points.append({
                "candidate": name, "control": is_control(record.kind), "costs": costs,
                "distances": {style.oracle_name(oracle): values for oracle, values in far.items() if values},
            })  # fmt: skip
    return {"oracles": [style.oracle_name(oracle) for oracle in oracles], "points": points}
