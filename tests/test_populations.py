"""The population engine: keys, plans, growth, segments, resumption, the store."""

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnax import batching, models, populations, training
from unlearnax.digests import stable_hash
from unlearnax.members import PLANS, member_keys
from unlearnax.populations import fit, predict, world_digest
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.types import InputSpec, World

RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=0.1)
INPUTS = InputSpec((5,))


@pytest.fixture(scope="module")
def model():
    return models.mlp(INPUTS, 3, widths=(6,))


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    return World(rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60).astype(np.int32), np.arange(50))


def leaves(population):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(population.states)]


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def test_solo_map_and_the_pure_function_agree_to_the_bit(model, world):
    solo, mapped = (fit(model, RECIPE, world, 3, plan=plan) for plan in ("solo", "map"))
    assert_same(leaves(solo), leaves(mapped))
    keys = member_keys(0, stable_hash("member", "member", world_digest(world)), range(3))
    alone, _ = jax.jit(lambda key: training.make_train(RECIPE, model)(key, world))(keys[1])
    assert_same([leaf[1] for leaf in leaves(solo)], [np.asarray(leaf) for leaf in jax.tree.leaves(alone)])


def test_vmap_agrees_to_rounding(model, world):
    solo, batched = (fit(model, RECIPE, world, 3, plan=plan) for plan in ("solo", "vmap"))
    for x, y in zip(leaves(solo), leaves(batched), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def test_training_equals_a_slow_loop(model, world):
    """Plain Python steps with optax's own schedule and weight decay on the same batches."""
    population = fit(model, RECIPE, world, 1, plan="solo")
    key = member_keys(0, stable_hash("member", "member", world_digest(world)), range(1))[0]
    params, state = model.init(jax.random.fold_in(key, 0))
    total = 3 * (50 // 8)
    optimizer = optax.chain(
        optax.add_decayed_weights(RECIPE.weight_decay),
        optax.sgd(optax.cosine_decay_schedule(RECIPE.learning_rate, total), momentum=0.9),
    )
    opt_state = optimizer.init(params)
    rows, key_batches = batching.subset(world.index), jax.random.fold_in(key, 1)

    def loss(params, x, y):
        logits, _ = model.apply(params, state, x, train=True, key=None)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    for number in range(3):
        key_orders, _ = jax.random.split(jax.random.fold_in(key_batches, number))
        order = np.asarray(batching.shuffle(jax.random.split(key_orders, 1)[0], rows))
        assert sorted(order) == list(range(50))
        for i in range(50 // 8):
            taken = order[8 * i : 8 * i + 8]
            updates, opt_state = optimizer.update(
                jax.grad(loss)(params, world.x[taken], world.y[taken]), opt_state, params
            )
            params = optax.apply_updates(params, updates)
    for x, y in zip(jax.tree.leaves(population.states.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(x[0], y, rtol=1e-4, atol=1e-5)


def test_growing_keeps_the_first_members(model, world, tmp_path):
    store = Store(tmp_path)
    few = fit(model, RECIPE, world, 4, store=store)
    more = fit(model, RECIPE, world, 9, store=store)
    assert store.member_ranges(few.digest) == [range(0, 4), range(4, 9)]
    assert_same(leaves(few), [leaf[:4] for leaf in leaves(more)])
    assert_same(leaves(fit(model, RECIPE, world, 9)), leaves(more))  # as if trained in one go
    assert_same(leaves(fit(model, RECIPE, world, 2, store=store)), [leaf[:2] for leaf in leaves(more)])


def test_more_members_than_memory_has_room_for_train_in_groups(model, world, tmp_path, monkeypatch):
    """One group after the other, each to its end: the population is the same, and what is finished stays."""
    whole, seen = fit(model, RECIPE, world, 7), []
    monkeypatch.setattr(populations, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(populations, "GROUP_SHARE", 1e-30)  # one member on each of the two devices
    assert populations._most_at_once(RECIPE, model, batching.subset(world.index)) == 2

    def interrupt(label, done, total):
        seen.append((done, total))
        if done == 8:
            raise KeyboardInterrupt

    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(model, RECIPE, world, 7, store=store, progress=interrupt)
    assert seen == [(done, 12) for done in range(1, 9)]  # 4 groups of 3 passes
    assert store.member_ranges(whole.digest) == [range(0, 2), range(2, 4)]
    grouped = fit(model, RECIPE, world, 7, store=store)
    assert_same(leaves(whole), leaves(grouped))
    assert_same(leaves(whole), leaves(fit(model, RECIPE, world, 7, store=store)))


@given(st.integers(0, 9), st.integers(1, 60), st.integers(1, 70))
def test_groups_cover_every_member_once(start, count, most):
    members = range(start, start + count)
    found = populations._groups(members, most)
    assert [i for group in found for i in group] == [*members]
    sizes = [len(group) for group in found]
    assert max(sizes) <= most
    assert len(found) == -(-count // max(sizes)) <= -(-count // most)


def test_the_store_is_used(model, world, tmp_path, monkeypatch):
    store = Store(tmp_path)
    trained = fit(model, RECIPE, world, 3, store=store)
    monkeypatch.setattr(populations, "_train", None)  # training again would fail
    assert_same(leaves(trained), leaves(fit(model, RECIPE, world, 3, store=store)))


def test_capacity_and_segments_do_not_change_the_bits(model, world, monkeypatch):
    plain = fit(model, RECIPE, world, 2)
    assert_same(leaves(plain), leaves(fit(model, RECIPE, world, 2, capacity=60)))
    monkeypatch.setattr(populations, "SEGMENT_SECONDS", 0.0)  # one pass a segment
    seen = []
    assert_same(leaves(plain), leaves(fit(model, RECIPE, world, 2, progress=lambda *now: seen.append(now))))
    assert seen == [("member", 1, 3), ("member", 2, 3), ("member", 3, 3)]


def test_an_interrupted_chunk_resumes_to_equal_bits(model, world, tmp_path, monkeypatch):
    monkeypatch.setattr(populations, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(populations, "CHECKPOINT_SHARE", float("inf"))  # after every pass, however long it takes
    store, seen = Store(tmp_path), []

    def interrupt(label, done, total):
        seen.append(done)
        if done == 2 and len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, RECIPE, world, 2, store=store, progress=interrupt)
    resumed = fit(model, RECIPE, world, 2, store=store, progress=interrupt)
    assert seen == [1, 2, 2, 3]  # the pass after the checkpoint ran again, the one before it did not
    assert_same(leaves(resumed), leaves(fit(model, RECIPE, world, 2)))
    assert not list(tmp_path.glob("*/partial-*"))


def test_growing_past_a_begun_chunk_goes_on_from_its_checkpoint(model, world, tmp_path, monkeypatch):
    monkeypatch.setattr(populations, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(populations, "CHECKPOINT_SHARE", float("inf"))
    store = Store(tmp_path)

    def interrupt(label, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, RECIPE, world, 2, store=store, progress=interrupt)
    grown = fit(model, RECIPE, world, 4, store=store)
    assert_same(leaves(grown), leaves(fit(model, RECIPE, world, 4)))
    assert store.member_ranges(grown.digest) == [range(0, 2), range(2, 4)]


def test_a_store_that_cannot_be_written_to_is_no_reason_to_stop(model, world, tmp_path, monkeypatch):
    def full(*args, **given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "save", full)
    with pytest.warns(UserWarning, match="not kept: No space left on device"):
        found = fit(model, RECIPE, world, 2, store=Store(tmp_path))
    assert_same(leaves(found), leaves(fit(model, RECIPE, world, 2)))


def test_roles_worlds_and_seeds_share_nothing(model, world):
    other = World(world.x, world.y, np.arange(49))
    runs = [
        fit(model, RECIPE, world, 1),
        fit(model, RECIPE, world, 1, role="held-out"),
        fit(model, RECIPE, world, 1, seed=1),
        fit(model, RECIPE, other, 1),
    ]
    first = [leaves(run)[1].tobytes() for run in runs]
    assert len(set(first)) == 4
    assert len({run.digest for run in runs}) == 4


def test_worlds_of_all_sizes_share_one_program(model, world):
    counts = []
    counted = models.from_functions(
        "counted",
        model.init,
        lambda p, s, x, *, train, key: (counts.append(1), model.apply(p, s, x, train=train, key=key))[1],
        INPUTS,
        3,
    )
    counts.clear()
    fit(counted, RECIPE, world, 2, capacity=60)
    traced = len(counts)
    for size in (20, 37, 60):
        fit(counted, RECIPE, World(world.x, world.y, np.arange(size)), 2, capacity=60)
    assert len(counts) == traced


def test_equal_steps_whatever_is_removed(model, world):
    recipe = Recipe(epochs=None, steps=17, batch_size=8, learning_rate=0.1)
    for size in (20, 50):
        population = fit(model, recipe, World(world.x, world.y, np.arange(size)), 2)
        np.testing.assert_array_equal(population.states.step, 17)


def test_predictions_are_the_models_logits(model, world):
    population = fit(model, RECIPE, world, 3)
    logits = predict(model, population.states, world.x, chunk=16)
    assert logits.shape == (3, 60, 3)
    assert logits.dtype == np.float32
    one = jax.tree.map(lambda a: a[2], population.states)
    np.testing.assert_allclose(
        logits[2], model.apply(one.params, one.model_state, world.x, train=False, key=None)[0], rtol=1e-4, atol=1e-5
    )


def test_divergence_is_an_error_that_names_members(model, world):
    with pytest.raises(FloatingPointError, match=r"members \[0, 1\] of member diverged at learning_rate=1e\+20"):
        fit(model, Recipe(epochs=3, batch_size=8, learning_rate=1e20), world, 2)


@pytest.mark.parametrize(
    ("index", "batch", "message"),
    [
        (np.array([], int), 8, "non-empty"),
        (np.array([0, 60]), 1, r"Expected world.index in \[0, 60\), got 0 to 60"),
        (np.arange(5), 8, "Expected batch_size=8 to be at most the world's 5 examples"),
    ],
)
def test_bad_worlds(model, world, index, batch, message):
    recipe = Recipe(epochs=1, batch_size=batch)
    with pytest.raises(ValueError, match=message):
        fit(model, recipe, World(world.x, world.y, index), 1)


def test_bad_arguments(model, world):
    with pytest.raises(ValueError, match="Expected members=0"):
        fit(model, RECIPE, world, 0)
    with pytest.raises(ValueError, match=r"Expected plan='wmap' to be one of .* Did you mean"):
        fit(model, RECIPE, world, 1, plan="wmap")
    assert "auto" in PLANS
