"""Requests and the application of algorithms to populations."""

import ast
import dataclasses
import re
from pathlib import Path

import jax
import numpy as np
import pytest

import unlearnax.algorithms
from unlearnax import data, models, problems
from unlearnax.algorithms import ALGORITHMS
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.types import Algorithm, TrainState, World
from unlearnax.unlearning import make_request, split_floats, unlearn, unlearn_grid


@pytest.fixture(scope="module")
def splits():
    return data.load("digits")


@pytest.fixture(scope="module")
def model(splits):
    return models.mlp(splits.inputs, 10, widths=(8,))


@pytest.fixture(scope="module")
def originals(splits, model):
    world = World(splits.train.x, splits.train.y, np.arange(1400))
    return fit(model, Recipe(epochs=1), world, 3).states


def test_a_request_holds_no_test_data_and_no_concept(splits):
    problem = problems.concept(splits, 3, 0.5)
    request = make_request(problem)
    assert len(request.x) == len(splits.train.x) + len(splits.validation.x)
    forget = request.forget.index[: request.forget.length]
    retain = request.retain.index[: request.retain.length]
    np.testing.assert_array_equal(np.sort(np.concatenate([forget, retain])), np.arange(1400))
    np.testing.assert_array_equal(forget, problem.forget)
    rest = np.setdiff1d(problem.concept, problem.forget)
    assert np.isin(rest, retain).all()  # the undiscovered part of the concept looks like any retained row
    np.testing.assert_array_equal(request.x[request.validation.index], splits.validation.x)


def test_test_data_and_concepts_reach_no_algorithm(splits, model, originals):
    """With other test examples and concepts SCRUB with rewinding, which reads all that a request holds, is the same."""
    problem = problems.concept(splits, 3, 0.5)
    test = problem.test._replace(x=np.full_like(problem.test.x, np.nan), y=(problem.test.y + 1) % 10)
    none = np.full_like(problem.train.concept, -1)
    tainted = dataclasses.replace(
        problem, test=test, train=problem.train._replace(concept=none), concept=problem.concept[::-1],
        concept_test=problem.concept_test[:1], slices={},
    )  # fmt: skip
    one, other = (
        unlearn(ALGORITHMS["scrub_rewind"], model, originals, each, {"epochs": 2}).states for each in (problem, tainted)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_algorithms_import_nothing_that_holds_test_data_or_oracles():
    """They know requests, training rules and pieces; of problems, worlds, populations and scores nothing."""
    allowed = ("algorithms", "batching", "certificates", "checks", "recipes", "solvers", "training", "types")
    folder = Path(unlearnax.algorithms.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "unlearnax":
                parts = (node.module or "").split(".")[1:2] or [alias.name for alias in node.names]
                assert set(parts) <= set(allowed), (path.name, parts)


def test_rates_and_floats_share_one_program(splits, model, originals):
    traces = []

    def counted(model, *, learning_rate: float = 0.1):
        traces.append(1)
        return ALGORITHMS["gradient_ascent"].make(model, learning_rate=learning_rate, epochs=1)

    algorithm = Algorithm(counted, "ambiguous", frozenset({"forget"}), "test")
    seen = set()
    for rate in (0.1, 0.5, 1.0):
        for learning_rate in (0.01, 0.02):
            done = unlearn(
                algorithm, model, originals, problems.concept(splits, 3, rate), {"learning_rate": learning_rate}
            )
            seen.add(np.asarray(done.states.params["head"]["bias"]).tobytes())
    assert len(seen) == 6
    assert len(traces) == 6 + 1  # the check of the Python values each time, and one trace


def test_originals_stay_and_members_are_paired(splits, model, originals):
    problem = problems.concept(splits, 3, 0.5)
    before = np.asarray(originals.params["head"]["bias"]).copy()
    done = unlearn(ALGORITHMS["fine_tune"], model, originals, problem, {"epochs": 1}, seed=3)
    np.testing.assert_array_equal(originals.params["head"]["bias"], before)
    again = unlearn(ALGORITHMS["fine_tune"], model, originals, problem, {"epochs": 1}, seed=3)
    np.testing.assert_array_equal(done.states.params["head"]["bias"], again.states.params["head"]["bias"])
    nothing = unlearn(ALGORITHMS["do_nothing"], model, originals, problem)
    np.testing.assert_array_equal(nothing.states.params["head"]["bias"], before)
    assert nothing.examples.tolist() == [0, 0, 0]


def test_bad_hyperparameters_stop_before_compiling(splits, model, originals):
    problem = problems.concept(splits, 3, 0.5)
    with pytest.raises(ValueError, match="learning_rate=-1"):
        unlearn(ALGORITHMS["fine_tune"], model, originals, problem, {"learning_rate": -1.0})
    with pytest.raises(TypeError, match="rate"):
        unlearn(ALGORITHMS["fine_tune"], model, originals, problem, {"rate": 1.0})


def test_floats_are_arguments_and_the_rest_is_the_program():
    floats, static = split_floats({"alpha": 0.5, "epochs": 3, "per_example": True, "layers": ["a"]})
    assert list(floats) == ["alpha"]
    assert static == (("epochs", 3), ("layers", ("a",)), ("per_example", True))
    floats, static = split_floats({"alpha": np.float32(0.5), "beta": np.linspace(0, 1, 3)[1]})  # grids come as these
    assert list(floats) == ["alpha", "beta"]
    assert static == ()


@pytest.mark.parametrize("value", [1e60, -1e60, 1e-60])
def test_floats_that_the_program_cannot_hold_are_refused(value, splits, model, originals):
    """1e60 would be infinite there, 1e-60 nothing."""
    with pytest.raises(
        ValueError, match=rf"Expected learning_rate={re.escape(str(value))} to be 0 or of a size between"
    ):
        split_floats({"learning_rate": value})
    with pytest.raises(ValueError, match="Expected learning_rate="):
        unlearn(ALGORITHMS["fine_tune"], model, originals, problems.concept(splits, 3, 0.5), {"learning_rate": value})


def test_whole_numbers_given_as_floats_are_refused_before_tracing(splits, model, originals):
    problem = problems.concept(splits, 3, 0.5)
    for name, given in (("fine_tune", {"epochs": 3.0}), ("scrub", {"max_epochs": 1.5}), ("cf_k", {"k": 1.0})):
        ((key, value),) = given.items()
        with pytest.raises(ValueError, match=rf"Expected {key}={value} to be a whole number"):
            unlearn(ALGORITHMS[name], model, originals, problem, given)


def test_a_search_of_32_points_and_16_members_is_traced_once(splits, model):
    """By the algorithm's own function: the factory is called for the checks, too."""
    traces = []

    def counted(model, *, learning_rate: float = 0.1, alpha: float = 0.5):
        inner = ALGORITHMS["neg_grad_plus"].make(model, learning_rate=learning_rate, alpha=alpha, epochs=1)

        def run(*given):
            traces.append(1)
            return inner(*given)

        return run

    algorithm = Algorithm(counted, "ambiguous", frozenset({"forget", "retain"}), "test")
    params, model_state = jax.vmap(model.init)(jax.random.split(jax.random.key(0), 16))
    many = TrainState(params, model_state, (), np.zeros(16, np.int32))
    points = [{"learning_rate": 0.001 * (1 + i), "alpha": 0.5 + i / 100} for i in range(32)]
    found = unlearn_grid(algorithm, model, many, problems.concept(splits, 3, 0.5), points, plan="vmap")
    assert len(traces) == 1
    assert len({np.asarray(each.states.params["head"]["bias"]).tobytes() for each in found}) == 32
    assert found[0].states.params["head"]["bias"].shape == (16, 10)


def test_a_grid_is_one_program_and_each_point_is_its_own_run(splits, model, originals):
    traces = []

    def counted(model, *, learning_rate: float = 0.1, momentum: float = 0.9, epochs: int = 1):
        traces.append(1)
        make = ALGORITHMS["gradient_ascent"].make
        return make(model, learning_rate=learning_rate, momentum=momentum, epochs=epochs)

    algorithm = Algorithm(counted, "ambiguous", frozenset({"forget"}), "test")
    problem = problems.concept(splits, 3, 0.5)
    points = [{"learning_rate": rate, "momentum": m} for rate in (0.001, 0.01, 0.02) for m in (0.0, 0.5)]
    grid = unlearn_grid(algorithm, model, originals, problem, points)
    assert len(traces) == len(points) + 1  # the checks, and one trace
    assert len(grid) == len(points)
    for point, found in zip(points, grid, strict=True):
        alone = unlearn(algorithm, model, originals, problem, point)
        for a, b in zip(jax.tree.leaves(found.states), jax.tree.leaves(alone.states), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(found.examples, alone.examples)


def test_a_grid_moves_floats_only(splits, model, originals):
    problem, algorithm = problems.concept(splits, 3, 0.5), ALGORITHMS["gradient_ascent"]
    for points in ([{"epochs": 1}, {"epochs": 2}], [{"learning_rate": 0.1}, {}]):
        with pytest.raises(ValueError, match="everything but the values of floats"):
            unlearn_grid(algorithm, model, originals, problem, points)
    with pytest.raises(ValueError, match="at least one setting"):
        unlearn_grid(algorithm, model, originals, problem, [])
    with pytest.raises(ValueError, match="learning_rate=-1"):
        unlearn_grid(algorithm, model, originals, problem, [{"learning_rate": 0.1}, {"learning_rate": -1.0}])


def test_an_algorithm_for_one_class_refuses_several(splits, model, originals):
    algorithm = Algorithm(ALGORITHMS["gradient_ascent"].make, "unlearning", frozenset({"forget"}), "test",
                          needs=frozenset({"one class"}))  # fmt: skip
    unlearn(algorithm, model, originals, problems.concept(splits, 3, 0.5), {"epochs": 1})
    with pytest.raises(ValueError, match="of one class for 'mine', it has 10"):
        unlearn(algorithm, model, originals, problems.random_subset(splits, 200), name="mine")
    for name in ("boundary_shrink", "unsir"):
        with pytest.raises(ValueError, match=f"of one class for '{name}', it has 10"):
            unlearn(ALGORITHMS[name], model, originals, problems.random_subset(splits, 200), name=name)
