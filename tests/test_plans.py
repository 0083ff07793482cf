"""Measured plans: what is tried, what is remembered, and that measuring leaves no trace in the numbers."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from unlearnax import models, plans, populations
from unlearnax.cache import cache_folder
from unlearnax.members import check_plan, runnable
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.store.upkeep import contents
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
    assert plans.begin("vmap:4", "key", ["map"], lambda plan: 10**30) == ("vmap:4", True)


def test_a_remembered_plan_is_used_and_kept_across_writes():
    plans.remember("a", "vmap:4")
    plans.remember("b", "map")
    assert plans.begin("auto", "a", ["map"], lambda plan: 0) == ("vmap:4", True)
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
    assert plans.begin("auto", "key", tried, needed.__getitem__) == (tried[-1], False)
    ran = []
    best = plans.fastest(tried[-1], 5.0, "key", tried, needed.__getitem__, lambda plan: ran.append(plan) or 0.0)
    assert (best, ran) == (tried[-1], [])
    with pytest.raises(MemoryError, match="none does"):
        plans.begin("auto", "other", tried, lambda plan: 10**30)


def test_the_fastest_wins_and_is_remembered():
    tried = plans.candidates(64)
    seconds = {plan: float(number) for number, plan in enumerate(reversed(tried))}
    assert plans.fastest(tried[0], 100.0, "key", tried, lambda plan: 0, seconds.__getitem__) == tried[-1]
    assert plans.begin("auto", "key", tried, lambda plan: 0) == (tried[-1], True)
    assert plans.fastest(tried[0], -1.0, "key", tried, lambda plan: 0, seconds.__getitem__) == tried[0]


@pytest.mark.parametrize("winner", ["vmap:4", "map"])
def test_measuring_leaves_no_trace(model, world, winner, monkeypatch):
    """A population whose plan was measured on the way equals one trained by that plan from the start, to the bit."""
    monkeypatch.setattr(plans, "MEASURE_ABOVE", 0.0)
    monkeypatch.setattr(plans, "candidates", lambda members, convolutional: ["map", "vmap:4"])
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


def test_a_first_run_that_was_slow_does_not_decide():
    """Plans close to the fastest are timed once more, the one that ran first too, and their better time counts."""
    times = {"map": [1.1, 0.9], "vmap": [1.0, 1.0], "vmap:4": [5.0, 0.1]}
    seconds = lambda plan: times[plan].pop(0)  # noqa: E731
    assert plans.fastest("map", seconds("map"), "key", [*times], lambda plan: 0, seconds) == "map"
    assert times == {"map": [], "vmap": [], "vmap:4": [0.1]}  # far behind: not timed again


@pytest.mark.parametrize("members", [1, 2, 3, 64])
def test_every_dimension_is_tried_where_it_can_matter(members, monkeypatch):
    found = plans.candidates(members, True)
    assert found[0] == "map"
    assert ("map@1" in found) == (members <= 8)  # few members on the two devices here
    assert ("vmap@1" in found) == (members == 3)  # which two devices cannot share evenly
    assert ("vmap" in found) == (members > 2)
    assert not any("+" in plan for plan in found)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert plans.candidates(members)[0] == "vmap"
    assert plans.candidates(members, True)[-1].endswith("+products")
    for plan in plans.candidates(members, True):
        check_plan(plan)


@pytest.mark.parametrize("plan", ["map@1", "map@2", "vmap@1", "vmap:2@1"])
def test_devices_of_a_plan(model, world, plan):
    """Members by one device or two are the same; all of a loop's to the bit."""
    whole, part = (fit(model, RECIPE, world, 5, plan=each) for each in (plan.partition("@")[0], plan))
    assert part.plan == plan
    if plan.startswith("map"):
        assert same(whole.states, part.states)
    for a, b in zip(*(map(np.asarray, jax.tree.leaves(each.states)) for each in (whole, part)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_forms_of_convolutions(world):
    """A plan's form is what is compiled, and trains the same population."""
    images = world._replace(x=np.random.default_rng(0).normal(size=(60, 8, 8, 1)).astype(np.float32))
    recipe = dataclasses.replace(RECIPE, epochs=1, model="cnn", model_args={"widths": (2,)})
    cnn = models.build(recipe, InputSpec((8, 8, 1)), 3)
    plans_ = ("map", "map+native", "vmap+products")
    trained = [fit(cnn, recipe, images, 3, plan=plan).states for plan in plans_]
    assert not same(trained[0], trained[1])  # other sums
    for each in trained[1:]:
        for a, b in zip(*(map(np.asarray, jax.tree.leaves(states)) for states in (trained[0], each)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert populations._convolves(cnn, images.x)
    assert not populations._convolves(models.mlp(InputSpec((5,)), 3, widths=(6,)), world.x)


@pytest.mark.slow  # large programs
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("resnet9", {"width": 2}),
        ("airbench", {"widths": (2, 4, 4)}),
        ("vit", {"patch": 4, "width": 8, "depth": 1, "heads": 2}),
    ],
)
def test_models_for_images_are_the_same_by_every_plan(name, args, dtype):
    """With batch statistics, augmentation and narrow numbers: plans differ by rounding, which bfloat16 has more of."""
    rng = np.random.default_rng(0)
    y = np.arange(40, dtype=np.int32) % 3
    images = (rng.normal(size=(40, 32, 32, 3)) * 40 + 40 * y[:, None, None, None] + 100).clip(0, 255).astype(np.uint8)
    recipe = Recipe(model=name, model_args=args, epochs=None, steps=4, batch_size=8, learning_rate=0.02, dtype=dtype,
                    augment=(("crop", {"padding": 2}), ("flip", {})))  # fmt: skip
    model = models.build(recipe, InputSpec((32, 32, 3), 128.0, 64.0), 3)
    world = World(images, y, np.arange(36))
    trained = {plan: fit(model, recipe, world, 3, plan=plan).states for plan in ("solo", "map", "map@1", "vmap:2")}
    start = populations.untrained(model, recipe, 3)
    if name != "vit":  # whose sums XLA orders by the number of devices
        assert same(trained["map"], trained["map@1"])
    moved = max(float(np.abs(a - b).max()) for a, b in zip(
        *(map(np.asarray, jax.tree.leaves(states.params)) for states in (start, trained["solo"])), strict=True))  # fmt: skip
    within = 1e-3 if dtype == "float32" else 0.1
    for plan, states in trained.items():
        for a, b in zip(*(map(np.asarray, jax.tree.leaves(each)) for each in (trained["solo"], states)), strict=True):
            assert np.abs(a - b).max() <= within * moved, plan


def test_a_checkpoint_of_a_larger_machine_is_gone_on_from(model, world, tmp_path, monkeypatch):
    """By all the devices that there are; and its plan is that of its own members only."""
    monkeypatch.setattr(populations, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(populations, "CHECKPOINT_SHARE", float("inf"))

    def interrupt(label, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, RECIPE, world, 3, store=Store(tmp_path), plan="map@2", progress=interrupt)
    save = populations.Checkpoints.load
    monkeypatch.setattr(
        populations.Checkpoints, "load", lambda *given: (found := save(*given)) and (*found[:2], "map@8")
    )
    grown = fit(model, RECIPE, world, 5, store=Store(tmp_path), plan="vmap")
    assert grown.plan == "vmap"
    first, rest = (held.about["plan"] for held in contents(Store(tmp_path)))
    assert (first, rest) == ("map", "vmap")
    assert runnable("map@8") == "map"
    assert runnable("vmap:4@8+native") == "vmap:4+native"
    assert runnable("map@2") == "map@2"


def test_more_devices_than_there_are(model, world):
    with pytest.raises(ValueError, match="plan='map@3' to use at most the 2 devices"):
        fit(model, RECIPE, world, 4, plan="map@3")


@pytest.mark.parametrize(
    "plan",
    ["vmap:0", "vmap:", "map:4", "vmap:1.5", "fast", "map@0", "solo@1", "auto@1", "map+", "map+fast", "map+native@1"],
)
def test_bad_plans_are_refused(plan):
    with pytest.raises(ValueError, match="Expected plan="):
        check_plan(plan)
