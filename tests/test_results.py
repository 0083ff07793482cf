"""Rows go in and come out."""

import csv
import dataclasses
import math
import sqlite3

import pytest

from unlearnax import results
from unlearnax.results import ExampleRow, ProblemRow, Row, VerdictRow

PROBLEM = ProblemRow("p", 0.5, 0, "abc", 5, 10, 90, 20, "oracle to oracle", True)
ROW = Row("p", "scrub", "algorithm", "ambiguous", "distance/margin", "retrain", "forget", 0.25, 0.2, 0.3)
VERDICT = VerdictRow("p", "scrub", "algorithm", "ambiguous", "inconclusive", "why", 0.1, 64, 200, 0, "alpha=0.5")


def test_round_trip(tmp_path):
    results.write(tmp_path, [PROBLEM, ROW, VERDICT, ROW], {"versions": {"jax": "1"}, "seed": 3})
    assert results.read(tmp_path, ProblemRow) == [PROBLEM]
    assert results.read(tmp_path, Row) == [ROW, ROW]
    assert results.read(tmp_path, VerdictRow) == [VERDICT]
    assert results.read_provenance(tmp_path) == {"versions": {"jax": "1"}, "seed": 3}
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["candidate"] == "scrub"
    assert float(rows[0]["value"]) == 0.25
    assert rows[0]["p"] == ""


def test_a_number_that_is_not_there_comes_back_as_nan(tmp_path):
    row = Row(
        "p", "scrub", "algorithm", "", "klom", "retrain", "forget", float("nan"), note="needs at least 2 members, has 1"
    )
    results.write(tmp_path, [row], {})
    (found,) = results.read(tmp_path, Row)
    assert math.isnan(found.value)
    assert found.low is None
    assert found.note == "needs at least 2 members, has 1"


def test_writing_again_replaces(tmp_path):
    results.write(tmp_path, [PROBLEM, ROW], {"a": 1})
    results.write(tmp_path, [PROBLEM], {"b": 2})
    assert results.read(tmp_path, Row) == []
    assert results.read_provenance(tmp_path) == {"b": 2}


def test_a_folder_older_than_a_field_opens_with_its_default(tmp_path):
    row = ExampleRow("p", "a", "algorithm", "forget", 0, "b", True, 1.0, 0.9, 1.0, 2.0, b"\0\0")
    results.write(tmp_path, [row], {})
    with results._open(tmp_path) as db:
        db.execute("ALTER TABLE examples DROP COLUMN margins")
    assert results.read(tmp_path, ExampleRow) == [dataclasses.replace(row, margins=b"")]
    with results._open(tmp_path) as db:
        db.execute("ALTER TABLE examples DROP COLUMN slice")  # which no run was ever without
    with pytest.raises(sqlite3.OperationalError, match=r"no such column: examples\.slice"):
        results.read(tmp_path, ExampleRow)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no results"):
        results.read(tmp_path, Row)
