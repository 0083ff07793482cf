"""Subset populations are what they say, and their scores the truth within error."""

import dataclasses

import jax
import numpy as np
import pytest

from unlearnax import data, experiment, memorization, models, training
from unlearnax.digests import stable_hash
from unlearnax.experiment import Experiment
from unlearnax.members import member_keys
from unlearnax.populations import fit, predict, world_digest
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.types import Dataset, InputSpec, World

RECIPE = Recipe(model_args=(("widths", (24,)),), epochs=30, batch_size=8, learning_rate=0.2)
CLASSES = 3


def blobs(size=60, wrong=6, seed=0):
    """Three easy classes in the plane, noise in 30 more directions to tell rows by; the first ones have wrong labels."""
    rng = np.random.default_rng(seed)
    y = (np.arange(size) % CLASSES).astype(np.int32)
    centres = np.array([[0, 2], [2, -1], [-2, -1]], np.float32)
    x = np.concatenate([centres[y] + 0.4 * rng.normal(size=(size, 2)), rng.normal(size=(size, 30))], axis=1)
    x = x.astype(np.float32)
    y[:wrong] = (y[:wrong] + 1) % CLASSES
    return Dataset(x, y, np.full(size, -1, np.int32))


@pytest.fixture(scope="module")
def model():
    return models.build(RECIPE, InputSpec((32,)), CLASSES)


def test_each_member_is_trained_on_its_own_rows_only(model):
    train = blobs()
    short = dataclasses.replace(RECIPE, epochs=2)
    population, included = memorization.fit_subsets(model, short, train.x, train.y, members=3, fraction=0.7, seed=4)
    everything = World(train.x, train.y, np.arange(60))
    keys = member_keys(4, stable_hash("member", "subsets 0.7", world_digest(everything)), range(3))
    for member in range(3):
        rows = memorization.subset_rows(60, 0.7, 4, member)
        assert len(rows) == 42
        np.testing.assert_array_equal(np.flatnonzero(included[member]), rows)
        alone, _ = jax.jit(training.make_train(short, model))(keys[member], World(train.x, train.y, rows))
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(population.states), strict=True):
            np.testing.assert_array_equal(a, b[member])


def test_plans_agree(model):
    train = blobs()
    short = dataclasses.replace(RECIPE, epochs=2)
    runs = {plan: memorization.fit_subsets(model, short, train.x, train.y, members=3, plan=plan)[0].states
            for plan in ("solo", "map", "vmap")}  # fmt: skip
    for solo, mapped, batched in zip(*map(jax.tree.leaves, runs.values()), strict=True):
        np.testing.assert_array_equal(solo, mapped)
        np.testing.assert_allclose(solo, batched, rtol=1e-4, atol=1e-5)


def test_fractions_that_print_alike_share_nothing(model):
    train = blobs()
    short = dataclasses.replace(RECIPE, epochs=1)
    digests = [
        memorization.fit_subsets(model, short, train.x, train.y, members=1, fraction=fraction)[0].digest
        for fraction in (0.7, 0.70000001, np.float64(0.7))
    ]
    assert digests[0] == digests[2] != digests[1]


def test_left_out_rows_leave_no_trace(model):
    """The taint test: NaN where no member looks changes nothing."""
    train = blobs()
    short = dataclasses.replace(RECIPE, epochs=1)
    _, included = memorization.fit_subsets(model, short, train.x, train.y, members=1)
    tainted = np.where(included[0][:, None], train.x, np.nan).astype(np.float32)
    stream = 7  # the data are part of a member's key unless one is given
    states = [
        fit(model, short, World(x, train.y, np.arange(60)), 1, stream=stream,
            rows_of=lambda member: memorization.subset_rows(60, 0.7, 0, member)).states
        for x in (train.x, tainted)
    ]  # fmt: skip
    for a, b in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)


def test_more_members_keep_the_first(model, tmp_path):
    train = blobs()
    short = dataclasses.replace(RECIPE, epochs=1)
    store = Store(tmp_path)
    few, some = memorization.fit_subsets(model, short, train.x, train.y, members=3, store=store)
    more, all_of = memorization.fit_subsets(model, short, train.x, train.y, members=5, store=store)
    np.testing.assert_array_equal(some, all_of[:3])
    for a, b in zip(jax.tree.leaves(few.states), jax.tree.leaves(more.states), strict=True):
        np.testing.assert_array_equal(a, b[:3])


@pytest.fixture(scope="module")
def scores(model):
    return memorization.estimate(model, RECIPE, blobs(), members=96)


def test_wrong_labels_are_memorized_and_typical_ones_are_not(scores):
    assert scores.memorization[:6].min() > 0.5
    assert np.median(scores.memorization[6:]) < 0.15


def test_estimates_agree_with_leaving_one_out(model):
    """Every other row left out by itself, many seeds; subsets of 95 % are nearly the same training sets as all but one."""
    train, members, rows, some = blobs(), 48, np.arange(60), np.arange(0, 60, 2)

    def right(kept, role):
        states = fit(model, RECIPE, World(train.x, train.y, kept), members, role=role, capacity=60).states
        return predict(model, states, train.x).argmax(-1) == train.y

    complete = right(rows, "with")
    without = np.stack([right(np.delete(rows, row), "without")[:, row] for row in some], axis=1)
    exact = complete[:, some].mean(0) - without.mean(0)
    found = memorization.estimate(model, RECIPE, train, members=512, fraction=0.95)
    estimated, own = found.memorization[some], found.standard_error[some]
    off = (estimated - exact) / np.sqrt(own**2 + complete[:, some].var(0) / members + without.var(0) / members)
    assert np.abs(off).max() < 4
    assert np.sqrt(np.mean(off**2)) < 1.3
    assert ((exact > 0.2) & (exact < 0.8)).sum() > 2  # there are scores between the extremes to get wrong
    assert np.corrcoef(estimated, exact)[0, 1] > 0.95


def test_a_second_call_trains_nothing(model, tmp_path, monkeypatch):
    train, store = blobs(), Store(tmp_path)
    short = dataclasses.replace(RECIPE, epochs=1)
    first = memorization.estimate(model, short, train, members=24, store=store)
    monkeypatch.setattr("unlearnax.populations._train", lambda *args: pytest.fail("trained again"))
    monkeypatch.setattr("unlearnax.memorization.predict", lambda *args: pytest.fail("predicted again"))
    again = memorization.estimate(model, short, train, members=24, store=store)
    np.testing.assert_array_equal(first.memorization, again.memorization)


def test_errors_come_before_training(model, monkeypatch):
    train = blobs()
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="fraction="):
            memorization.estimate(model, RECIPE, train, fraction=fraction)
    with pytest.raises(ValueError, match="batch_size=8"):
        memorization.estimate(model, RECIPE, train, fraction=0.1, members=96)
    with pytest.raises(ValueError, match="at least 2 rows"):
        memorization.fit_subsets(model, RECIPE, train.x[:1], train.y[:1], members=2)
    monkeypatch.setattr("unlearnax.memorization.fit", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"example .* is in all of 2"):
        memorization.estimate(model, RECIPE, train, members=2)


SPEC = Experiment(
    name="memorized", problem="most_memorized", problem_args=(("size", 20), ("members", 24)), discovery_rates=(),
    recipe=Recipe(model_args=(("widths", (16,)),), epochs=1, batch_size=64), store=False,
)  # fmt: skip


def test_an_experiment_estimates_the_scores_that_it_is_not_given():
    (problem,) = experiment.build_problems(SPEC)
    splits = data.load("digits")
    found = memorization.estimate(models.build(SPEC.recipe, splits.inputs, 10), SPEC.recipe, splits.train, members=24)
    expected = np.sort(np.argsort(-found.memorization, kind="stable")[:20])
    np.testing.assert_array_equal(problem.forget, expected)


def test_an_experiment_takes_scores_from_a_file(tmp_path):
    scores = np.arange(1400.0)
    np.save(tmp_path / "scores.npy", scores)
    args = (("size", 5), ("scores", str(tmp_path / "scores.npy")))
    (problem,) = experiment.build_problems(dataclasses.replace(SPEC, problem_args=args))
    np.testing.assert_array_equal(problem.forget, [1395, 1396, 1397, 1398, 1399])


def test_wrong_sizes_are_refused_before_training(monkeypatch):
    monkeypatch.setattr("unlearnax.memorization.fit", lambda *args, **kwargs: pytest.fail("trained"))
    for args in ((("size", 0),), (("size", 5000),)):
        with pytest.raises(ValueError, match="size="):
            experiment.build_problems(dataclasses.replace(SPEC, problem_args=args))


def sorted_by_label(tmp_path, **changes):
    """Three classes one after the other, in a file."""
    rng, y = np.random.default_rng(0), np.repeat(np.arange(3), 20).astype(np.int32)
    x = (4 * np.eye(3, 5)[y] + rng.normal(size=(60, 5))).astype(np.float32)
    np.savez(tmp_path / "sorted.npz", x_train=x, y_train=y, x_test=x[::4], y_test=y[::4])
    recipe = Recipe(model_args=(("widths", (8,)),), epochs=1, batch_size=8)
    path = (("path", str(tmp_path / "sorted.npz")),)
    return dataclasses.replace(SPEC, dataset="arrays", dataset_args=path, recipe=recipe, **changes)


def test_sorted_data_are_not_refused(tmp_path):
    """The trial before training must not take the first classes whole."""
    spec = sorted_by_label(tmp_path, problem_args=(("size", 24), ("members", 24)))
    assert len(experiment.build_problems(spec)[0].forget) == 24


BUILDER = """
from unlearnax.problems import from_masks

def hardest(splits, scores, size, discovery_rate):
    order = scores.argsort()[::-1]
    concept = scores > 2  # none: scores end at 1
    concept[order[:size]] = True
    forget = concept.copy()
    forget[order[round(discovery_rate * size) : size]] = False
    return from_masks(splits, forget, concept)
"""


def test_a_builder_of_ones_own_may_take_scores_and_a_rate(tmp_path):
    (tmp_path / "mine.py").write_text(BUILDER)
    args, name = (("size", 10), ("members", 24)), f"{tmp_path / 'mine.py'}:hardest"
    spec = sorted_by_label(tmp_path, problem=name, problem_args=args, discovery_rates=(0.5, 1.0))
    half, whole = experiment.build_problems(spec)
    assert (len(half.forget), len(whole.forget), len(half.concept)) == (5, 10, 10)
    assert set(half.forget) < set(whole.forget)


def test_unknown_arguments_are_refused_before_training_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr("unlearnax.memorization.fit", lambda *args, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=r"Expected problem_args=\{'member': 9, 'size': 5\} to suit problem"):
        experiment.build_problems(dataclasses.replace(SPEC, problem_args=(("size", 5), ("member", 9))))
    np.save(tmp_path / "scores.npy", np.arange(1400.0))
    both = (("size", 5), ("scores", str(tmp_path / "scores.npy")), ("members", 9))
    with pytest.raises(ValueError, match="unexpected keyword argument 'members'"):
        experiment.build_problems(dataclasses.replace(SPEC, problem_args=both))
