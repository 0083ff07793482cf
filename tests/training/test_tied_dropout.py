"""Example-tied dropout against the network written out with its masks."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import batching, models
from unlearnax.recipes import Recipe
from unlearnax.training import make_train, make_training, under_rule
from unlearnax.training.tied_dropout import Channels
from unlearnax.types import InputSpec, World

INPUTS = InputSpec((5,), 0.5, 2.0)
RULE = {"rule": "example_tied_dropout", "rule_args": (("p_gen", 0.3), ("p_mem", 0.4))}
RECIPE = Recipe(epochs=4, batch_size=20, learning_rate=0.2, schedule="constant_schedule", schedule_args=(), **RULE)
KEY = jax.random.key(3)
WIDTH, GENERAL = 10, 3


@pytest.fixture(scope="module")
def model():
    return models.mlp(INPUTS, 3, widths=(WIDTH,))


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32)
    return World(x, y, rng.permutation(40)[:20])


def own_channels(row):
    key = jax.random.fold_in(jax.random.fold_in(KEY, 2), row)
    return np.append([True] * GENERAL, jax.random.bernoulli(key, 0.4, (WIDTH,))[GENERAL:])


def trained(model, world, recipe=RECIPE):
    return jax.jit(make_train(recipe, model))(KEY, world)


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_each_example_trains_through_the_channels_it_sees(model, world):
    x, y = (world.x[world.index] - 0.5) / 2.0, world.y[world.index]
    masks = np.stack([own_channels(int(row)) for row in world.index])
    assert masks[:, :GENERAL].all()
    assert 0.2 < masks[:, GENERAL:].mean() < 0.6

    def loss(params):
        hidden = jnp.maximum(x @ params["dense0"]["kernel"] + params["dense0"]["bias"], 0) * masks
        logits = hidden @ params["head"]["kernel"] + params["head"]["bias"]
        return (jax.nn.logsumexp(logits, axis=1) - logits[np.arange(20), y]).mean()

    params, _ = model.init(jax.random.fold_in(KEY, 0))
    buffer = jax.tree.map(jnp.zeros_like, params)
    slope = jax.jit(jax.grad(loss))
    for _ in range(4):  # a pass is one batch of all 20
        buffer = jax.tree.map(lambda b, g, p: 0.9 * b + g + 5e-4 * p, buffer, slope(params), params)
        params = jax.tree.map(lambda p, b: p - 0.2 * b, params, buffer)
    published = np.array(params["head"]["kernel"])
    published[GENERAL:] *= 0.4
    params["head"]["kernel"] = published
    found, info = trained(model, world)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found.params, params)
    assert found.opt_state == ()
    assert info.examples == 80


def test_segments_may_be_cut_anywhere(model, world):
    recipe = dataclasses.replace(RECIPE, batch_size=6)
    training, rows = make_training(recipe, model), batching.subset(world.index, 30)

    @jax.jit
    def run(state, rows, passes):
        return training.segment(KEY, state, world.x, world.y, rows, passes)[0]

    start = training.init(KEY)
    cut = run(run(run(start, rows, (0, 1)), rows, (1, 3)), rows, (3, 4))
    uncut = run(start, rows, (0, 4))
    assert same(cut, uncut)
    assert same(training.finish(KEY, cut, rows).log, start.log)


def test_rows_outside_of_the_world_are_never_read(model, world):
    outside = np.setdiff1d(np.arange(40), world.index)
    x, y = world.x.copy(), world.y.copy()
    x[outside], y[outside] = np.nan, (y[outside] + 1) % 3
    assert same(trained(model, world), trained(model, World(x, y, world.index)))
    inside = world.x.copy()
    inside[world.index[0]] = np.nan
    assert not same(trained(model, world), trained(model, World(inside, world.y, world.index)))


def test_padding_is_never_read(model, world):
    recipe = dataclasses.replace(RECIPE, batch_size=6)
    training, run = make_training(recipe, model), jax.jit(make_training(recipe, model).segment)
    x = world.x.copy()
    taint = np.setdiff1d(np.arange(40), world.index)
    x[taint] = np.nan
    rows = batching.subset(world.index, 30)
    filled = rows._replace(index=np.append(world.index, np.resize(taint, 10)).astype(np.int32))
    found = [run(KEY, training.init(KEY), x, world.y, each, (0, 4)) for each in (rows, filled)]
    assert same(*found)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found[0][0].params))


def test_masks_are_the_rows_own_in_every_world_and_differ_between_members():
    channels = Channels(0.3, 0.4)

    def seen(key, rows):
        return np.array(channels.seen(jax.random.key_data(key), jnp.asarray(rows), 200))

    few, all_rows = seen(KEY, [7, 3]), seen(KEY, np.arange(20))
    np.testing.assert_array_equal(few, all_rows[[7, 3]])
    assert all_rows[:, :60].all()
    np.testing.assert_allclose(all_rows[:, 60:].mean(), 0.4, atol=0.03)
    assert len(np.unique(all_rows, axis=0)) == 20
    assert not np.array_equal(all_rows, seen(jax.random.key(4), np.arange(20)))


def test_members_in_a_batch_are_the_same_as_alone(model, world):
    keys = jax.random.split(KEY, 3)
    train = make_train(RECIPE, model)
    together, _ = jax.jit(jax.vmap(train, (0, None)))(keys, world)
    alone, _ = jax.jit(train)(keys[1], world)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-5)


def test_augmented_images_keep_their_masks(world):
    """An augmentation that shows every image as it is changes nothing but the keys, which this model does not use."""
    model = models.cnn(InputSpec((6, 6, 1)), 3, widths=(4,))
    images = np.random.default_rng(1).normal(size=(40, 6, 6, 1)).astype(np.float32)
    symmetric = images + images[:, :, ::-1]
    plain = trained(model, World(symmetric, world.y, world.index))
    flipped = trained(
        model, World(symmetric, world.y, world.index), dataclasses.replace(RECIPE, augment=(("flip", ()),))
    )
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(flipped), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class Headless(nn.Module):
    """Ends in a convolution."""

    @nn.compact
    def __call__(self, x, train, features=False):
        x = nn.Conv(4, (3, 3), name="body")(x)
        return x.reshape(len(x), -1) if features else nn.Conv(3, (6, 6), padding="VALID", name="last")(x)[:, 0, 0]


class Indirect(nn.Module):
    """Its features are not what the last layer is given."""

    @nn.compact
    def __call__(self, x, train, features=False):
        h = nn.relu(nn.Dense(10, name="body")(x))
        return h[:, :7] if features else nn.Dense(3, name="head")(h)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("p_gen", 0.0, "p_gen=0.0 in"),
        ("p_gen", 1.1, "p_gen=1.1 in"),
        ("p_gen", 0.05, "p_gen=0.05 to be at least one of the 10 features"),
        ("p_gen", float("nan"), "p_gen=nan in"),
        ("p_mem", -0.1, "p_mem=-0.1 in"),
        ("p_mem", 1.5, "p_mem=1.5 in"),
        ("p_drop", 0.1, "to suit rule 'example_tied_dropout'"),
    ],
)
def test_wrong_arguments_are_refused(name, value, message, model):
    recipe = dataclasses.replace(RECIPE, rule_args=((name, value),))
    with pytest.raises(ValueError, match=message):
        under_rule(recipe, model)


def test_models_that_do_not_suit_are_refused(world):
    with pytest.raises(ValueError, match="no batch statistics"):
        under_rule(RECIPE, models.mlp(INPUTS, 3, widths=(WIDTH,), batch_norm=True))
    images = InputSpec((6, 6, 1))
    with pytest.raises(ValueError, match="the last layer of model 'headless' to have a kernel"):
        under_rule(RECIPE, models.from_linen("headless", Headless(), images, 3, ("body", "last")))
    pair = models.from_functions(
        "pair",
        lambda key: ({"w": jax.random.normal(key, (5, 3))}, {}),
        lambda params, state, x, *, train, key: (x @ params["w"], state),
        INPUTS,
        3,
    )
    with pytest.raises(ValueError, match="the last layer of model 'pair' to have a kernel"):
        under_rule(RECIPE, pair)
    indirect = models.from_linen("indirect", Indirect(), INPUTS, 3, ("body", "head"))
    with pytest.raises(ValueError, match="features of model 'indirect' to be the input of its last layer, of width 10"):
        trained(indirect, world)
