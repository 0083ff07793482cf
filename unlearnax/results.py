"""Result rows with provenance: one SQLite file a run, and the same rows as CSV.

Everything the report shows is read from here.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import sqlite3
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FILE = "results.sqlite"
LEVELS = 19  # quantiles of a distribution over members


@dataclasses.dataclass(frozen=True)
class ProblemRow:
    """One problem of a run.

    counts: sizes of forget set, concept, retained rows (D∖F) and test.  rate: |S|/|F|.
    scale: what one unit of distance is: "oracle to oracle", "original to oracle" (the oracles coincide), or
        "uninformed to oracle" (the original is at the oracle too).
    nothing_to_untrain: the original itself reaches the untraining oracle.
    """

    problem: str
    rate: float
    seed: int
    digest: str
    forget: int
    concept: int
    retain: int
    test: int
    scale: str
    nothing_to_untrain: bool


@dataclasses.dataclass(frozen=True)
class Row:
    """One number.

    kind: "original", "algorithm", "control", or "oracle" (its accuracy, for comparison).
    goal: the algorithm's declared goal, "" for others.
    metric: "distance/margin" and "distance/output" (scaled, root; 0 at the oracle), "energy/margin" and "energy/output"
        (as measured, with floor and p-values), "gain/margin" and "gain/output" (what doing nothing has more of the
        squared scaled distance, paired by original: above 0 is nearer to the oracle),
        "accuracy" (share in [0, 1]), "cost/share" (of one retrain's wall time), "cost/seconds" (per member),
        "cost/examples" (passed forward and backward, per member), "cost/flops" (of these, for the model) and
        "cost/flop_share" (of one retrain's).
        The names in `metrics.METRICS`; of per-example ones the mean, and the 95th percentile as "…/p95"; of those that
        give a number for each model the mean, and its difference to an oracle's mean as "…/gap".
    oracle: the oracle compared with, "" where none is.  slice: a slice's name, or "concept" for all concept slices
        pooled by example, "" where none.
    low, high: 95 % interval over members.  floor: null 95th percentile (5th where higher is better; of its size for a
        gap).  p, p_adjusted: permutation p-value, raw and Holm-adjusted over the problem.  None where not defined.
    note: why there is no value (which is NaN then).
    """

    problem: str
    candidate: str
    kind: str
    goal: str
    metric: str
    oracle: str
    slice: str
    value: float
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    note: str = ""

    def within_floor(self, better: str) -> bool:
        """Whether the number is no farther off than the oracle's own held-out members; better: see `types.Metric`."""
        if self.floor is None or not (math.isfinite(self.value) and math.isfinite(self.floor)):
            return False
        if self.metric.endswith("/gap"):
            return abs(self.value) <= self.floor
        return self.value >= self.floor if better == "higher" else self.value <= self.floor


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """What readers must know about a metric of the run; the fields are those of `types.Metric`."""

    name: str
    unit: str
    answers: str
    question: str
    use_when: str
    caution: str
    better: str
    at_untraining: str
    at_unlearning: str
    estimand: str
    members: int
    citation: str
    default: bool


@dataclasses.dataclass(frozen=True)
class VerdictRow:
    """What one candidate of one problem turned out to do.

    verdict: "reaches untraining", "reaches unlearning", "reaches both (oracles coincide)", "closer to untraining",
        "closer to unlearning", "reaches neither" (the oracles coincide), "does not reach ..." (there is one oracle),
        "damages the model", "inconclusive".
    detail: one sentence with the numbers that decided.  margin: the declared share of the scale.
    members: members the verdict rests on.  members_needed: estimate of how many would settle an inconclusive one.
    diverged: members whose outputs are not finite.
    """

    problem: str
    candidate: str
    kind: str
    goal: str
    verdict: str
    detail: str
    margin: float
    members: int
    members_needed: int | None
    diverged: int
    hyperparameters: str


@dataclasses.dataclass(frozen=True)
class CellRow:
    """What became of one cell of a sweep; runs have none.

    id: digest of all that decides its result.  kind: "cell" or "controls".  problem, candidate: as in its rows.
    state: "done" or "failed".  seconds: wall time of its last attempt.  worker: who did it.  attempt: how many there were.
    error: what went wrong, in a line, then the traceback; "" where nothing did.
    """

    id: str
    kind: str
    problem: str
    candidate: str
    state: str
    seconds: float
    worker: str
    attempt: int
    error: str


@dataclasses.dataclass(frozen=True)
class ExampleRow:
    """What the members of one population make of one example.

    candidate, kind: as in `Row`; an oracle's reference members stand as "oracle NAME".
    slice: the slice it is in.  example: its row in train or test.  label: the name of the class that it is scored on.
    at_random: drawn at random from the slice; the others are there because some algorithm differs much from an oracle.
    right: share of members that get it right, in [0, 1]; low, high: 95 % interval.  margin: mean logit-scaled confidence
        of the label, over the members whose outputs are finite.
    margins: how it spreads over these members, as `spread` reads it; b"" where it was not kept.
    """

    problem: str
    candidate: str
    kind: str
    slice: str
    example: int
    label: str
    at_random: bool
    right: float
    low: float
    high: float
    margin: float
    margins: bytes = b""

    @property
    def spread(self) -> tuple[float, ...]:
        """`LEVELS` quantiles of the members' margins, ascending, at (i + ½) / LEVELS; () where they were not kept.

        The first and the last hold the middle 95 % of the members between them.
        """
        return struct.unpack(f"<{len(self.margins) // 2}e", self.margins)


@dataclasses.dataclass(frozen=True)
class ImageRow:
    """The picture of an example that there are `ExampleRow`s about.  png: a file."""

    problem: str
    slice: str
    example: int
    png: bytes


TABLES: dict[str, type] = {
    "problems": ProblemRow, "rows": Row, "verdicts": VerdictRow, "metrics": MetricRow, "examples": ExampleRow,
    "images": ImageRow,
}  # fmt: skip
CELLS = "cells"  # a sweep's table of `CellRow`, beside those of a run
SQL_TYPES = {"str": "TEXT", "float": "REAL", "int": "INTEGER", "bool": "INTEGER", "bytes": "BLOB"}


@contextlib.contextmanager
def _open(folder: Path | str) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(Path(folder) / FILE)
    try:
        with connection:  # one transaction
            yield connection
    finally:
        connection.close()


def columns(row_type: type) -> list[tuple[str, str]]:
    """Names and SQLite types of a record's fields."""
    return [(f.name, SQL_TYPES[str(f.type).split(" | ")[0]]) for f in dataclasses.fields(row_type)]


def write(folder: Path | str, records: Iterable[Any], provenance: dict[str, Any]) -> None:
    """Writes a run's records (of the types in `TABLES`) and provenance, replacing what the folder held, and results.csv.

    provenance: JSON-able facts of the run by name.
    """
    records = list(records)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _open(folder) as db:
        db.execute("BEGIN")  # or what is dropped would be gone before what replaces it is there
        for name, row_type in TABLES.items():
            fields = columns(row_type)
            db.execute(f"DROP TABLE IF EXISTS {name}")
            definition = ", ".join(f'"{column}" {sql}' for column, sql in fields)
            db.execute(f"CREATE TABLE {name} ({definition})")
            found = [dataclasses.astuple(record) for record in records if type(record) is row_type]
            db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(fields))})", found)
        db.execute("DROP TABLE IF EXISTS provenance")
        db.execute("CREATE TABLE provenance (name TEXT PRIMARY KEY, value TEXT)")
        db.executemany("INSERT INTO provenance VALUES (?, ?)", [(k, json.dumps(v)) for k, v in provenance.items()])
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([name for name, _ in columns(Row)])
        writer.writerows(dataclasses.astuple(record) for record in records if type(record) is Row)


def read(folder: Path | str, row_type: type) -> list[Any]:
    """All records of one type, in the order written; none where the run is older than their table.

    A field that the run is older than has its default.

    Raises:
        FileNotFoundError: the folder holds no results.
    """
    folder = Path(folder)
    if not (folder / FILE).exists():
        raise FileNotFoundError(f"Expected {folder} to be a run's folder: it holds no {FILE}.")
    table = next(name for name, known in (TABLES | {CELLS: CellRow}).items() if known is row_type)
    booleans, floats = ([f.name for f in dataclasses.fields(row_type) if f.type == kind] for kind in ("bool", "float"))
    with _open(folder) as db:
        there = {column[1] for column in db.execute(f"PRAGMA table_info({table})")}
        if not there:
            return []
        optional = {f.name for f in dataclasses.fields(row_type) if f.default is not dataclasses.MISSING}
        # A field that is neither there nor optional is asked for, and SQLite says so.
        names = [name for name, _ in columns(row_type) if name in there or name not in optional]
        wanted = ", ".join(f'{table}."{name}"' for name in names)
        found = db.execute(f"SELECT {wanted} FROM {table} ORDER BY rowid").fetchall()
    rows = [dict(zip(names, values, strict=True)) for values in found]
    for row in rows:
        row.update({name: bool(row[name]) for name in booleans if name in row})
        row.update({name: math.nan for name in floats if name in row and row[name] is None})  # SQLite keeps NaN as NULL
    return [row_type(**row) for row in rows]


def read_provenance(folder: Path | str) -> dict[str, Any]:
    """Facts of the run by name."""
    with _open(folder) as db:
        return {name: json.loads(value) for name, value in db.execute("SELECT name, value FROM provenance")}
