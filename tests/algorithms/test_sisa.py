"""SISA and its training rule: exact, shard by shard."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import data, models, problems
from unlearnax.algorithms import ALGORITHMS
from unlearnax.batching import subset
from unlearnax.metrics import energy
from unlearnax.oracles import ORACLES
from unlearnax.populations import fit, predict
from unlearnax.recipes import Recipe
from unlearnax.training import make_train, make_training, under_rule
from unlearnax.training.sharded import places
from unlearnax.types import World
from unlearnax.unlearning import unlearn

SISA = Recipe(epochs=4, batch_size=8, learning_rate=0.1, rule="sisa", rule_args=(("shards", 3), ("slices", 2)))


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(leaves(a), leaves(b), strict=True))


def sisa_run(tiny, x, y, forgotten):
    """Originals trained on S and R under the rule, then unlearned."""
    model = under_rule(SISA, tiny.model)
    kept = np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])
    original, _ = jax.jit(make_train(SISA, model))(jax.random.key(0), World(x, y, kept))
    request = tiny.request(x, y, forget=forgotten, retain=np.setdiff1d(kept, forgotten))
    done, info = jax.jit(ALGORITHMS["sisa"].make(model, recipe=SISA))(jax.random.key(1), original, request)
    return original, done, info


@pytest.mark.parametrize("count", [1, 3, 12])
def test_sisa_passes_the_taint_test(tiny, count):
    """Whatever S held when the originals were trained, what is left is the same to the bit."""
    forgotten = tiny.rows["forget"][:count]
    found = []
    for fill in (np.nan, 7.0):
        x, y = tiny.x.copy(), tiny.y.copy()
        x[forgotten], y[forgotten] = fill, (y[forgotten] + (1 if fill == 7.0 else 2)) % 3
        found.append(sisa_run(tiny, x, y, forgotten))
    (first, clean, _), (second, again, _) = found
    assert not same(first.params, second.params)
    assert same(clean, again)
    assert all(np.isfinite(leaf).all() for leaf in leaves((clean.params, clean.log["checkpoints"])))


def test_sisa_leaves_shards_alone_that_held_no_row(tiny):
    forgotten = tiny.rows["forget"][:1]
    original, done, info = sisa_run(tiny, tiny.x, tiny.y, forgotten)
    shard, piece = (int(a[0]) for a in places(original.log["places"], subset(forgotten), 3, 2))
    for before, after in zip(leaves(original.params), leaves(done.params), strict=True):
        for number in range(3):
            assert np.array_equal(before[number], after[number]) is (number != shard)
    # Only the retrained shard passes examples, from the stage of the row's slice on.
    kept = np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])
    rest = np.setdiff1d(kept, forgotten)
    where, when = (np.asarray(a) for a in places(original.log["places"], subset(rest), 3, 2))
    rows = [int(((where == shard) & (when <= stage)).sum()) for stage in (0, 1)]
    passes = [2, 2] if piece == 0 else [0, 2]
    assert info.examples == sum(p * (max(n // 8, 1) if n else 0) * 8 for p, n in zip(passes, rows, strict=True))


def test_a_shard_is_plain_training_on_its_own_rows(tiny):
    """One shard and one slice: the rule is the plain one on the same batches, but for how its keys are made."""
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.1, rule="sisa", rule_args=(("shards", 1), ("slices", 1)))
    plain = Recipe(epochs=2, batch_size=8, learning_rate=0.1)
    model = under_rule(recipe, tiny.model)
    rows, key = subset(tiny.rows["retain"]), jax.random.key(5)
    training, alone = make_training(recipe, model), make_training(plain, tiny.model)
    state, _ = training.segment(key, training.init(key), tiny.x, tiny.y, rows, (0, 2))
    # The passes of shard 0 have the key that the plain rule would fold 1 into.
    (shard_key,) = jax.random.split(jax.random.fold_in(key, 1), 1)
    start = jax.tree.map(lambda a: a[0], training.init(key)._replace(log=()).params)
    params = start
    buffer = jax.tree.map(jnp.zeros_like, start)
    for number in range(2):
        key_orders, _ = jax.random.split(jax.random.fold_in(shard_key, number))
        bits = jax.random.bits(jax.random.split(key_orders, 1)[0], (24,), jnp.uint32) >> 1
        order = tiny.rows["retain"][np.argsort(np.asarray(bits), kind="stable")]
        for i in range(3):
            taken = order[8 * i : 8 * i + 8]

            def loss(params, taken=taken):
                logits, _ = tiny.model.apply(params, {}, tiny.x[taken], train=True, key=None)
                return -jax.nn.log_softmax(logits)[np.arange(8), tiny.y[taken]].mean()

            rate = recipe.learning_rate_at((3 * number + i) / 6)
            grads = jax.tree.map(lambda g, p: g + 5e-4 * p, jax.grad(loss)(params), params)
            buffer = jax.tree.map(lambda b, g: 0.9 * b + g, buffer, grads)
            params = jax.tree.map(lambda p, b, rate=rate: p - rate * b, params, buffer)
    for found, expected in zip(leaves(state.params), leaves(params), strict=True):
        np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-5)
    assert alone.init(key).log == ()


def test_segments_may_be_cut_anywhere(tiny):
    model = under_rule(SISA, tiny.model)
    training, key, rows = make_training(SISA, model), jax.random.key(2), subset(tiny.rows["retain"], 40)
    run = jax.jit(training.segment)
    whole, _ = run(key, training.init(key), tiny.x, tiny.y, rows, (0, 4))
    cut = training.init(key)
    for passes in ((0, 1), (1, 3), (3, 4)):
        cut, _ = run(key, cut, tiny.x, tiny.y, rows, passes)
    assert same(whole, cut)


@pytest.fixture(scope="module")
def digits():
    splits = data.load("digits")
    recipe = Recipe(
        model_args=(("widths", (16,)),), epochs=6, batch_size=32, learning_rate=0.1, rule="sisa",
        rule_args=(("shards", 2), ("slices", 2)),
    )  # fmt: skip
    problem = problems.concept(splits, 3, 1.0)
    return recipe, models.build(recipe, splits.inputs, splits.num_classes), problem


def test_sisa_is_the_oracle_of_its_rule(digits):
    """A population: unlearned members and the oracle are one distribution, originals are far from it."""
    recipe, model, problem = digits
    everything = World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))
    originals = fit(model, recipe, everything, 32, role="original").states
    world = ORACLES["retrain"].world(problem)
    oracle, other = (fit(model, recipe, world, 32, role=role).states for role in ("reference", "held-out"))
    done = unlearn(ALGORITHMS["sisa"], model, originals, problem, name="sisa", recipe=recipe)
    x = problem.train.x[problem.forget]
    outputs = [predict(model, each, x) for each in (oracle, other, done.states, originals)]
    floor, found, away = (energy(each, outputs[0], form="output") for each in outputs[1:])
    assert abs(found) < max(3 * abs(floor), 0.01)
    assert away > 0.5


def test_the_ensemble_averages_probabilities(tiny):
    model = under_rule(SISA, tiny.model)
    params, state = model.init(jax.random.key(0))
    logits, _ = model.apply(params, state, tiny.x, train=False, key=None)
    each = [
        tiny.model.apply(jax.tree.map(lambda a, i=i: a[i], params), state, tiny.x, train=False, key=None)[0]
        for i in range(3)
    ]
    np.testing.assert_allclose(jax.nn.softmax(logits), np.mean([jax.nn.softmax(z) for z in each], 0), atol=1e-6)
    assert model.features(params, state, tiny.x).shape == (52, 24)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rule_args": (("shards", 0),)}, "shards=0"),
        ({"rule_args": (("slices", 3),)}, "epochs=4 to be set, and a multiple of slices=3"),
        ({"epochs": None, "steps": 5}, "epochs=None"),
        ({"rule_args": (("shard", 2),)}, "to suit rule 'sisa'"),
    ],
)
def test_recipes_that_do_not_suit_sisa_are_refused(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        under_rule(dataclasses.replace(SISA, **changes), tiny.model)
