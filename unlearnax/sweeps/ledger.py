"""What a sweep has done so far: every result is in SQLite, whole, before the next one; the driver alone writes.

The tables `cells` and `records` are what holds.  Those of a run (rows, verdicts, problems, metrics, provenance), which the
report reads, are made of them.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unlearnax import results
from unlearnax.experiment import describe_spec
from unlearnax.measuring import describe_probes
from unlearnax.results import CELLS, FILE, CellRow, ProblemRow, Row, VerdictRow
from unlearnax.scoring import with_holm
from unlearnax.suite import describe
from unlearnax.sweeps.plan import Plan, Task
from unlearnax.sweeps.wire import rows_from_json, rows_to_json


class Ledger:
    """The results of a sweep's folder."""

    def __init__(self, folder: Path) -> None:
        """Opens `folder`, made where it is not there.

        Raises:
            ValueError: it holds results of something that is no sweep.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._db = sqlite3.connect(folder / FILE)
        fields = ", ".join(f'"{name}" {kind}' for name, kind in results.columns(CellRow))
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and CELLS not in tables:
            self._db.close()
            raise ValueError(f"Expected out={str(folder)!r} to hold a sweep's results or none: a run's are there.")
        with self._db:
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {CELLS} ({fields}, PRIMARY KEY (id))")
            self._db.execute("CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, records TEXT, facts TEXT)")

    def close(self) -> None:
        self._db.close()

    def cells(self) -> dict[str, CellRow]:
        """All cells that were tried, by id."""
        return {row.id: row for row in results.read(self.folder, CellRow)}

    def add(self, cell: CellRow, records: Iterable[Any] = (), facts: Mapping[str, Any] | None = None) -> None:
        """Keeps what became of a cell, in the place of what is known of it; on the disk when this returns.

        records: of the types in `results.TABLES`.  facts: JSON-able, about how they came about.
        """
        records = list(records)
        places = ", ".join("?" * len(dataclasses.fields(CellRow)))
        with self._db:
            self._db.execute(f"INSERT OR REPLACE INTO {CELLS} VALUES ({places})", dataclasses.astuple(cell))
            self._db.execute("DELETE FROM records WHERE id = ?", (cell.id,))
            if records:
                kept = cell.id, rows_to_json(records), json.dumps(facts or {})
                self._db.execute("INSERT INTO records VALUES (?, ?, ?)", kept)

    def records(self, task: Task, problem: str) -> tuple[list[Any], dict[str, Any]]:
        """A result's records under the names that they have now, and its facts."""
        found = self._db.execute("SELECT records, facts FROM records WHERE id = ?", (task.id,)).fetchone()
        if found is None:
            return [], {}
        candidate = {"candidate": task.label} if task.kind == "cell" else {}
        made = [
            dataclasses.replace(row, problem=problem, **({} if isinstance(row, ProblemRow) else candidate))
            for row in rows_from_json(found[0])
        ]
        return made, json.loads(found[1])

    def provenance(self) -> dict[str, Any]:
        """What the tables say that results came from, nothing where they were not written yet."""
        there = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'provenance'").fetchone()
        return results.read_provenance(self.folder) if there else {}

    def write_tables(self, plan: Plan, provenance: Mapping[str, Any]) -> None:
        """Makes a run's tables and results.csv of what there is, p-values adjusted over each problem.

        Whatever order cells ended in, the tables are the same.
        """
        made: list[Any] = []
        for content in plan.contents[:1]:  # the same metrics and probes in all
            made += describe(content.metrics) + describe_probes(content.experiment.probes)
        plans: dict[str, str] = {}
        for block in plan.blocks:
            found: list[Any] = []
            with self._db:  # names may be others than when a cell was done: a sweep grows
                names = [(block.problem, plan.tasks[name].label, name) for name in block.tasks]
                self._db.executemany(f"UPDATE {CELLS} SET problem = ?, candidate = ? WHERE id = ?", names)
            for name in block.tasks:
                records, facts = self.records(plan.tasks[name], block.problem)
                found += records
                plans |= {block.problem: facts["plan"]} if "plan" in facts else {}
            made += list(dict.fromkeys(each for each in found if isinstance(each, ProblemRow)))[:1]
            made += with_holm([each for each in found if isinstance(each, Row)])
            made += [each for each in found if isinstance(each, VerdictRow)]
        results.write(self.folder, made, {**provenance, **_described(plan), "plan": plans})


def _described(plan: Plan) -> dict[str, Any]:
    """Facts of a sweep that stand in its spec, as provenance: where its grounds differ in one, what each has."""
    found: dict[str, Any] = {"experiment": plan.sweep.base.name}
    each = [describe_spec(block.experiment) for block in plan.blocks]
    for name in each[0]:
        values = {block.problem: facts[name] for block, facts in zip(plan.blocks, each, strict=True)}
        found[name] = values if len(set(map(repr, values.values()))) > 1 else each[0][name]
    found["cells"] = {name: len(plan.results(kind)) for name, kind in (("settings", "cell"), ("grounds", "controls"))}
    return found
