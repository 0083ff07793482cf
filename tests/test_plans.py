"""Measured plans: what is tried, what is remembered, and that measuring leaves no trace in the numbers."""

import json

import jax
import numpy as np
import pytest

from unlearnax import models, plans, populations
from unlearnax.cache import cache_folder
from unlearnax.members import check_plan
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.types import InputSpec, World

RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=0.1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path))


@pytest.fixture(scope="module")
def model():
    return models.mlp(InputSpec((5,)), 3, widths=(6,))


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    return World(rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60).astype(np.int32), np.arange(50))


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def test_a_plan_that_was_asked_for_is_final():
    assert plans.begin("vmap:4", "key", 8, lambda plan: 10**30) == ("vmap:4", True)


def test_a_remembered_plan_is_used_and_kept_across_writes():
    plans.remember("a", "vmap:4")
    plans.remember("b", "map")
    assert plans.begin("auto", "a", 8, lambda plan: 0) == ("vmap:4", True)
    assert json.loads((cache_folder() / "plans.json").read_text()) == {"a": "vmap:4", "b": "map"}


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_memory_is_measured_anew(text):
    (cache_folder() / "plans.json").write_text(text)
    assert plans.remembered("a") is None
    plans.remember("a", "map")
    assert plans.remembered("a") == "map"


def test_plans_that_do_not_fit_are_never_run():
    tried = plans.candidates(64)
    needed = {plan: plans.memory_limit() + 1 for plan in tried[:-1]} | {tried[-1]: 1}
    assert plans.begin("auto", "key", 64, needed.__getitem__) == (tried[-1], False)
    ran = []
    best = plans.fastest(tried[-1], 5.0, "key", 64, needed.__getitem__, lambda plan: ran.append(plan) or 0.0)
    assert (best, ran) == (tried[-1], [])
    with pytest.raises(MemoryError, match="none does"):
        plans.begin("auto", "other", 64, lambda plan: 10**30)


def test_the_fastest_wins_and_is_remembered():
    tried = plans.candidates(64)
    seconds = {plan: float(number) for number, plan in enumerate(reversed(tried))}
    assert plans.fastest(tried[0], 100.0, "key", 64, lambda plan: 0, seconds.__getitem__) == tried[-1]
    assert plans.begin("auto", "key", 64, lambda plan: 0) == (tried[-1], True)
    assert plans.fastest(tried[0], -1.0, "key", 64, lambda plan: 0, seconds.__getitem__) == tried[0]


@pytest.mark.parametrize("winner", ["vmap:4", "map"])
def test_measuring_leaves_no_trace(model, world, winner, monkeypatch):
    """A population whose plan was measured on the way equals one trained by that plan from the start, to the bit."""
    monkeypatch.setattr(plans, "MEASURE_ABOVE", 0.0)
    monkeypatch.setattr(plans, "candidates", lambda members: ["map", "vmap:4"])
    monkeypatch.setattr("unlearnax.members.Prepared.seconds", lambda *given: 0.0 if winner == "vmap:4" else 1e9)
    measured = fit(model, RECIPE, world, 10)
    assert measured.plan == winner
    assert same(measured.states, fit(model, RECIPE, world, 10, plan=winner).states)
    monkeypatch.setattr("unlearnax.members.Prepared.seconds", None)  # not measured again
    assert same(measured.states, fit(model, RECIPE, world, 10).states)


def test_a_plan_is_settled_after_the_first_pass(model, world, monkeypatch):
    """Later segments take longer for being longer: measuring then would compare unlike work and lose passes."""

    class Late(float):
        """A limit that the first segment stays below and every later one does not."""

        asked = 0

        def __lt__(self, took):
            Late.asked += 1
            return Late.asked > 1

    monkeypatch.setattr(plans, "MEASURE_ABOVE", Late())
    monkeypatch.setattr(populations, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(plans, "fastest", lambda *given: "vmap:4")
    found = fit(model, RECIPE, world, 8)
    assert found.plan == "map"
    assert same(found.states, fit(model, RECIPE, world, 8, plan="map").states)


def test_short_training_is_not_measured(model, world, monkeypatch, tmp_path):
    monkeypatch.setattr("unlearnax.members.Prepared.seconds", None)
    fit(model, RECIPE, world, 4, store=Store(tmp_path / "store"))
    assert not (cache_folder() / "plans.json").exists()


@pytest.mark.parametrize("width", [1, 3, 4])
def test_widths_agree_with_the_loop(model, world, width):
    """Also where the width does not divide the members."""
    looped, chunked = (fit(model, RECIPE, world, 10, plan=plan) for plan in ("map", f"vmap:{width}"))
    for a, b in zip(*(map(np.asarray, jax.tree.leaves(each.states)) for each in (looped, chunked)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("plan", ["vmap:0", "vmap:", "map:4", "vmap:1.5", "fast"])
def test_bad_plans_are_refused(plan):
    with pytest.raises(ValueError, match="Expected plan="):
        check_plan(plan)
