"""Tasks, messages and rows as JSON text, for where they pass through files: reading them never runs what they hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unlearnax.experiment import Experiment
from unlearnax.recipes import Recipe, freeze
from unlearnax.results import TABLES
from unlearnax.sweeps.plan import Task
from unlearnax.sweeps.spec import Setting
from unlearnax.sweeps.work import Message

NAMES = {row_type: name for name, row_type in TABLES.items()}


def _plain(number: Any) -> Any:
    """A number of NumPy's as Python's; TypeError for anything else."""
    if not isinstance(number, np.generic | np.ndarray):
        raise TypeError(f"Expected {number!r} to be something that JSON has a form for, got {type(number).__name__}.")
    return number.tolist()


def rows_to_json(rows: Iterable[Any]) -> str:
    """Rows of the types in `results.TABLES` without pictures, by table; "{}" for none."""
    by_table: dict[str, list[tuple]] = {}
    for row in rows:
        by_table.setdefault(NAMES[type(row)], []).append(dataclasses.astuple(row))
    return json.dumps(by_table, default=_plain)


def rows_from_json(text: str) -> list[Any]:
    """Inverse of `rows_to_json`, tables one after the other."""
    return [TABLES[table](*row) for table, rows in json.loads(text).items() for row in rows]


def batch_to_json(batch: Sequence[Task]) -> str:
    """Tasks in order.

    Raises:
        TypeError: a hyperparameter that JSON has no form for.
    """
    return json.dumps([dataclasses.asdict(task) for task in batch], default=_plain)


def batch_from_json(text: str) -> list[Task]:
    """Inverse of `batch_to_json`."""
    return [_task(fields) for fields in json.loads(text)]


def _task(fields: Mapping[str, Any]) -> Task:
    spec: dict[str, Any] = dict(freeze(fields["experiment"]))
    recipe: Any = Recipe.from_json(json.dumps(spec.pop("recipe")))
    experiment = Experiment(recipe=recipe, **spec)
    frozen: dict[str, Any] = dict(freeze(fields))
    setting = frozen["setting"] and Setting(*frozen["setting"])
    return Task(**frozen | {"experiment": experiment, "setting": setting})


def message_to_json(message: Message) -> str:
    """What a worker says."""
    return json.dumps([*message[:3], rows_to_json(message.records), message.facts], default=_plain)


def message_from_json(text: str) -> Message:
    """Inverse of `message_to_json`."""
    kind, name, words, records, facts = json.loads(text)
    return Message(kind, name, words, tuple(rows_from_json(records)), facts)
