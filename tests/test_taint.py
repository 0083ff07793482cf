"""The taint test passes for every oracle and catches leaky ones."""

import numpy as np
import pytest

from unlearnax import data, models, plugins, problems
from unlearnax.oracles import ORACLES
from unlearnax.recipes import Recipe
from unlearnax.taint import taint, verify_oracle
from unlearnax.types import Exclusion, Oracle, World

RECIPE = Recipe(epochs=1, batch_size=16)


def small(splits, rows=120):
    train = type(splits.train)(*(part[:rows] for part in splits.train))
    return type(splits)(splits.name, train, splits.validation, splits.test, splits.num_classes, splits.class_names,
                        splits.concept_names, splits.inputs)  # fmt: skip


@pytest.fixture(scope="module")
def splits():
    return small(data.load("digits"))


def as_bytes(splits):
    """The same data as uint8, which no NaN can taint."""
    parts = [part._replace(x=part.x.astype(np.uint8)) for part in (splits.train, splits.validation, splits.test)]
    return type(splits)(
        splits.name, *parts, splits.num_classes, splits.class_names, splits.concept_names, splits.inputs
    )


@pytest.fixture(scope="module")
def model(splits):
    return models.mlp(splits.inputs, 10, widths=(8,))


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("dtype", ["float", "uint8"])
@pytest.mark.parametrize("kind", ["concept", "mislabelled", "triggered"])
def test_every_oracle_is_exact(name, dtype, kind, splits, model):
    splits = as_bytes(splits) if dtype == "uint8" else splits
    problem = {
        "concept": lambda: problems.concept(splits, 3, 0.5),
        "mislabelled": lambda: problems.mislabelled(splits, 0.2, 0.5),
        "triggered": lambda: problems.triggered(splits, 0, 0.2, 0.5),
    }[kind]()
    if not ORACLES[name].applies(problem):
        pytest.skip("the problem has no such world")
    report = verify_oracle(ORACLES[name], problem, model, RECIPE)
    assert report.exact, report.reason


def test_the_template_is_exact(splits, model):
    oracle = plugins.resolve_oracle("oracles/template.py:half_concept")
    assert oracle.goal == "removing half the concept"
    report = verify_oracle(oracle, problems.concept(splits, 3, 0.5), model, RECIPE)
    assert report.exact, report.reason


def promise(problem):
    return Exclusion(problem.forget, problem.forget)


def leaky_rows(problem):
    """Forgets to drop one row."""
    kept = np.setdiff1d(np.arange(len(problem.train.x)), problem.forget[1:])
    return World(problem.train.x, problem.train.y, kept)


def leaky_labels(problem):
    """Drops S, but its labels choose the order of what stays."""
    kept = np.setdiff1d(np.arange(len(problem.train.x)), problem.forget)
    return World(problem.train.x, problem.train.y, np.roll(kept, int(problem.train.y[problem.forget].sum())))


def leaky_statistics(problem):
    """Drops S, but normalises by the mean of everything: with NaN in S, nothing finite is left."""
    kept = np.setdiff1d(np.arange(len(problem.train.x)), problem.forget)
    return World(problem.train.x - problem.train.x.mean(0), problem.train.y, kept)


@pytest.mark.parametrize("leak", [leaky_rows, leaky_labels, leaky_statistics])
def test_leaky_oracles_fail(leak, splits, model):
    report = verify_oracle(Oracle(leak, promise, "leak"), problems.concept(splits, 3, 0.5), model, RECIPE)
    assert not report.exact
    assert "tainted values" in report.reason or "changed with values" in report.reason


def test_leaky_statistics_of_bytes_fail(splits, model):
    problem = problems.concept(as_bytes(splits), 3, 0.5)
    assert not verify_oracle(Oracle(leaky_statistics, promise, "leak"), problem, model, RECIPE).exact


def test_no_promise_or_an_empty_one_fails(splits, model):
    problem = problems.concept(splits, 3, 0.5)
    everything = ORACLES["retrain"].world
    assert "states no promise" in verify_oracle(Oracle(everything, None, "x"), problem, model, RECIPE).reason
    empty = Oracle(everything, lambda problem: Exclusion(np.array([], int), np.array([], int)), "x")
    assert "excludes nothing" in verify_oracle(empty, problem, model, RECIPE).reason


def test_taint_changes_exactly_the_promised_values(splits):
    problem = problems.concept(splits, 3, 0.5)
    rows = problem.forget
    first, second = (taint(problem, Exclusion(rows, rows), variant) for variant in (0, 1))
    others = np.setdiff1d(np.arange(len(problem.train.x)), rows)
    for tainted in (first, second):
        np.testing.assert_array_equal(tainted.train.x[others], problem.train.x[others])
        np.testing.assert_array_equal(tainted.train.y[others], problem.train.y[others])
        assert (tainted.train.y[rows] != problem.train.y[rows]).all() or tainted is second
    assert np.isnan(second.train.x[rows]).all()
    assert (first.train.y[rows] != second.train.y[rows]).all()
    assert ((second.train.y >= 0) & (second.train.y < 10)).all()
