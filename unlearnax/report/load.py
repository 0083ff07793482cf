"""A run's rows, indexed for the report: who was compared with what, and with which number."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unlearnax import results
from unlearnax.results import ExampleRow, ImageRow, MetricRow, ProblemRow, Row, VerdictRow

UNTRAINING, UNLEARNING = "retrain", "concept_free"  # the two oracles the compass is drawn between
FORMS = ("margin", "output")
POOLED = "concept"
CONCEPT_SLICES = ("forget", "forget_true", "concept_rest", "concept_rest_true", "concept_test", "concept_test_true")
DAMAGE_SLICES = ("retain", "other_test")
DEFAULT_MARGIN = 0.1  # only where no verdict states one


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a run's folder says: its records and its provenance."""

    problems: list[ProblemRow]
    rows: list[Row]
    verdicts: list[VerdictRow]
    metrics: list[MetricRow]
    examples: list[ExampleRow]
    images: list[ImageRow]
    provenance: dict[str, Any]

    @classmethod
    def of(cls, records: Iterable[Any], provenance: dict[str, Any] | None = None) -> Run:
        """From records of all types together."""
        records = list(records)
        kinds = ([r for r in records if isinstance(r, kind)] for kind in results.TABLES.values())
        return cls(*kinds, provenance=provenance or {})  # type: ignore[arg-type]

    @functools.cached_property
    def _rows(self) -> dict[tuple[str, ...], Row]:
        return {(r.problem, r.candidate, r.metric, r.oracle, r.slice): r for r in self.rows}

    @functools.cached_property
    def _verdicts(self) -> dict[tuple[str, str], VerdictRow]:
        return {(v.problem, v.candidate): v for v in self.verdicts}

    def row(self, problem: str, candidate: str, metric: str, oracle: str = "", slice: str = "") -> Row | None:
        """The one number asked for, None where the run does not hold it or it is not finite."""
        found = self._rows.get((problem, candidate, metric, oracle, slice))
        return found if found is not None and finite(found.value) else None

    def verdict(self, problem: str, candidate: str) -> VerdictRow | None:
        """The verdict on a candidate of a problem, None where there is none."""
        return self._verdicts.get((problem, candidate))

    def margin(self, problem: str) -> float:
        """The declared equivalence margin, as a share of the scale."""
        return next((v.margin for v in self.verdicts if v.problem == problem and finite(v.margin)), DEFAULT_MARGIN)

    def candidates(self, *, references: bool = False) -> dict[str, VerdictRow | Row]:
        """Candidates by name, algorithms first and controls last, each with a record that knows its kind and goal.

        references: the oracles' own populations too, which have accuracies but no verdict.
        """
        known: dict[str, VerdictRow | Row] = {}
        for record in [*self.verdicts, *self.rows]:
            if references or record.kind != "oracle":
                known.setdefault(record.candidate, record)
        return dict(sorted(known.items(), key=lambda item: is_control(item[1].kind)))  # stable: order of the run

    def oracles(self, problem: str | None = None) -> list[str]:
        """Oracles compared with, the compass's two first, in one problem or in all."""
        found = dict.fromkeys(r.oracle for r in self.rows if r.oracle and problem in (None, r.problem))
        return [o for o in (UNTRAINING, UNLEARNING) if o in found] + [
            o for o in found if o not in (UNTRAINING, UNLEARNING)
        ]

    def slices(self, problem: str, prefix: str) -> tuple[list[str], list[str]]:
        """Slices that hold a metric starting with `prefix`: the concept's (pooled first), and the others."""
        found = dict.fromkeys(r.slice for r in self.rows if r.problem == problem and r.metric.startswith(prefix))
        concept = [s for s in (POOLED, *CONCEPT_SLICES) if s in found]
        rest = [s for s in DAMAGE_SLICES if s in found]
        return concept, rest + [s for s in found if s and s not in concept and s not in rest]


def is_control(kind: str) -> bool:
    """Whether a kind of candidate is there for comparison only."""
    return kind != "algorithm"


def finite(value: float | None) -> bool:
    """Whether a number is there: neither None nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


def load(folder: Path | str) -> Run:
    """Reads a run's folder.

    Raises:
        FileNotFoundError: the folder holds no results.
    """
    records = [record for kind in results.TABLES.values() for record in results.read(folder, kind)]
    return Run.of(records, results.read_provenance(folder))


@dataclasses.dataclass(frozen=True)
class Value:
    """A distance with its interval; an end that is missing is the value itself."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Point:
    """A candidate on the compass: distances to the untraining (x) and the unlearning (y) oracle, with intervals."""

    candidate: str
    control: bool
    x: Value
    y: Value


def _value(row: Row) -> Value:
    low, high = (end if finite(end) else row.value for end in (row.low, row.high))
    return Value(row.value, low, high)  # type: ignore[arg-type]


def distance(run: Run, problem: str, candidate: str, form: str, oracle: str) -> Value | None:
    """Scaled distance of a candidate to an oracle over the whole concept, None where there is none."""
    row = run.row(problem, candidate, f"distance/{form}", oracle, POOLED)
    return None if row is None else _value(row)


def forms(run: Run, problem: str) -> list[str]:
    """Forms of the distance that a problem was scored in."""
    return [f for f in FORMS if any(r.metric == f"distance/{f}" and r.problem == problem for r in run.rows)]


def compass_points(run: Run, problem: str, form: str) -> list[Point]:
    """Candidates with a distance to both oracles of the compass; those without are left out."""
    points = []
    for name, record in run.candidates().items():
        x, y = (distance(run, problem, name, form, oracle) for oracle in (UNTRAINING, UNLEARNING))
        if x and y:
            points.append(Point(name, is_control(record.kind), x, y))
    return points


def has_compass(run: Run, problem: ProblemRow) -> bool:
    """Whether two oracles lie apart: otherwise there is one axis only, and a forest plot shows it better."""
    both = {UNTRAINING, UNLEARNING} <= set(run.oracles(problem.problem))
    return both and problem.scale == "oracle to oracle"


def forest_oracle(run: Run, problem: str) -> str | None:
    """The oracle of the forest plot: the untraining one if it is there."""
    return next(iter(run.oracles(problem)), None)


def whole_limits(values: list[Value]) -> tuple[float, float]:
    """Limits of an axis: both landmarks are always in, values beyond 2 never move it."""
    low = min([-0.08, *(v.low - 0.04 for v in values)])
    high = max([1.18, *(v.high + 0.06 for v in values)])
    return max(low, -0.5), min(high, 2.0)


def close_limits(points: list[Point], margin: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits in x and y of the close-up around the untraining oracle at (0, 1): what lies within three margins."""
    near = [p for p in points if abs(p.x.value) <= 3 * margin and abs(p.y.value - 1) <= 2 * margin]
    x_low = max(min([-0.03, *(p.x.low - 0.01 for p in near)]), -margin)
    x_high = min(max([1.35 * margin, *(p.x.high + 0.02 for p in near)]), 4 * margin)
    half = min(max([0.04, *(abs(end - 1) + 0.01 for p in near for end in (p.y.low, p.y.high))]), 2.5 * margin)
    return (x_low, x_high), (1 - half, 1 + half)
