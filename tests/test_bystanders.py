"""Bystanders: their world is exact, an algorithm cannot see them there, and U-LiRA sees what it should."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnax import bystanders, data, models, problems
from unlearnax.experiment import Experiment, run
from unlearnax.recipes import Recipe
from unlearnax.taint import verify_oracle
from unlearnax.types import Algorithm, Info
from unlearnax.unlearning import make_request


@pytest.fixture(scope="module")
def splits():
    return data.load("digits")


def problem_with(splits, size=0.1, seed=0):
    return problems.random_subset(splits, 0.1, bystanders=size, seed=seed)


def test_they_are_drawn_outside_the_forget_set_and_nested(splits):
    few, many, none = problem_with(splits, 0.05), problem_with(splits, 0.1), problems.random_subset(splits, 0.1)
    size = len(splits.train.x)
    assert len(few.bystanders) == round(0.05 * size)
    assert len(many.bystanders) == round(0.1 * size)
    assert set(few.bystanders) < set(many.bystanders)
    assert not set(many.bystanders) & set(many.forget)
    assert (many.forget == none.forget).all()
    assert none.bystanders is None
    assert len({few.digest, many.digest, none.digest}) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [([0], "1 of them inside"), ([], "got 0 rows"), (range(1, 1437), "but not all"), ([5, 5], "each row once")],
)
def test_wrong_bystanders(rows, message, splits):
    rows = [row for row in rows if row < len(splits.train.x)]
    with pytest.raises(ValueError, match=message):
        problems.make_problem("p", splits, [0], [0], bystanders=np.array(rows, int))


def test_their_world_is_exact(splits):
    problem = problem_with(splits)
    model = models.mlp(splits.inputs, 10, widths=(8,))
    report = verify_oracle(bystanders.ORACLE, problem, model, Recipe(epochs=1, batch_size=64))
    assert report.exact, report.reason
    assert not bystanders.ORACLE.applies(problems.random_subset(splits, 0.1))


@given(seed=st.integers(0, 50), size=st.integers(1, 200))
def test_an_algorithm_never_meets_them(splits, seed, size):
    problem = problem_with(splits, size, seed)
    there = bystanders.without(problem)
    request = make_request(there)
    rows = len(there.train.x)
    kept = np.delete(np.arange(len(problem.train.x)), problem.bystanders)
    assert (request.x[:rows] == problem.train.x[kept]).all()
    assert (request.x[rows:] == problem.validation.x).all()
    asked = request.forget.index[: request.forget.length]
    assert (request.x[asked] == problem.train.x[problem.forget]).all()
    assert (request.y[asked] == problem.train.y[problem.forget]).all()
    assert there.digest != problem.digest


def normal(seed, shift, members=24, count=40):
    """Logits of two classes, the first one's raised by `shift`."""
    logits = np.zeros((members, count, 2), np.float32)
    logits[..., 0] = np.random.default_rng(seed).normal(shift, 1, (members, count))
    return logits


def test_what_the_attack_sees(splits):
    problem = problem_with(splits, 40)
    problem = dataclasses.replace(problem, train=problem.train._replace(y=np.zeros_like(problem.train.y)))

    def accuracy(shift):
        outside = normal(0, 0), normal(1, 0)
        found = bystanders.rows(problem, "one", "algorithm", "untraining", normal(2, shift), outside)
        return {row.metric: row for row in found}["u_lira/balanced_accuracy"]

    same, other = accuracy(0), accuracy(2)
    assert (same.oracle, same.slice, same.candidate) == ("", "bystanders", "one")
    assert same.low < 0.5 < same.high
    assert same.value < same.floor + 0.02
    assert other.low > 0.75
    assert other.value == pytest.approx(0.84, abs=0.06)  # Φ(1), with the true distributions


def same(model):
    return lambda key, state, request: (state, Info(state.step * 0.0, state.step * 0.0))


WATCHED = Experiment(
    name="watched", problem="random_subset", problem_args=(("size", 0.1), ("bystanders", 40)), discovery_rates=(),
    recipe=Recipe(model_args=(("widths", (64,)),), epochs=20, batch_size=32, learning_rate=0.1, weight_decay=0.0),
    oracles=("retrain",), metrics=("none",), members=8,
)  # fmt: skip


def test_a_run_follows_them(tmp_path, monkeypatch):
    """What an algorithm does that does nothing, the originals do too."""
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    nothing = Algorithm(same, "control", frozenset(), "none")
    (card,) = run(WATCHED, tmp_path / "out", more_algorithms={"same": nothing})
    found = {row.candidate: row for row in card.rows if row.metric == "u_lira/balanced_accuracy"}
    assert set(found) == {"do_nothing", "same"}
    assert found["same"].value == found["do_nothing"].value
    assert {(row.oracle, row.slice) for row in found.values()} == {("", "bystanders")}


def test_runs_of_one_original_have_none(tmp_path):
    with pytest.raises(ValueError, match="estimand='runs'"):
        run(dataclasses.replace(WATCHED, estimand="runs"), tmp_path)
