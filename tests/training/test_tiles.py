"""Batches in tiles: how many, and that they change the last bits only."""

import dataclasses
import importlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnax import members, models, populations
from unlearnax.models.adapters import from_linen
from unlearnax.recipes import Recipe
from unlearnax.training import tiles as module
from unlearnax.training.plain import mean_gradients
from unlearnax.training.tiles import CACHE, FEWEST, left_bytes, tiles, value_and_gradients
from unlearnax.types import InputSpec, TrainState, World

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="tiles are for CPUs")
IMAGES = InputSpec((28, 28, 1), 128.0, 64.0)
CNN, MLP = models.cnn(IMAGES, 10, widths=(8, 8)), models.mlp(InputSpec((8, 8, 1)), 10, widths=(32,))


def _count(model, batch, shape=IMAGES.shape):
    params, model_state = model.init(jax.random.key(0))
    return tiles(model, params, model_state, jax.ShapeDtypeStruct((batch, *shape), np.uint8))


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 600))
def test_tiles_divide_the_batch_and_are_not_too_small(batch):
    count = _count(CNN, batch)
    assert batch % count == 0
    assert count == 1 or batch // count >= FEWEST


def test_few_as_fit_into_the_cache():
    largest = max(left_bytes(CNN, IMAGES.shape, np.dtype(np.uint8)))
    assert largest == 14 * 14 * 8 * 4  # what the first convolution leaves, float32
    count = _count(CNN, 512)
    assert largest * 512 / count <= CACHE < largest * 512 / (count / 2)


def test_whole_where_tiles_would_not_pay():
    assert _count(MLP, 64, (8, 8, 1)) == 1  # small layers
    assert _count(models.cnn(IMAGES, 10, widths=(8, 8), batch_norm=True), 512) == 1  # batch statistics
    assert _count(models.mlp(IMAGES, 10, widths=(4096,)), 512) == 1  # gradients larger than layers


def _step(model, augment=(), **options):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (64, *IMAGES.shape)).astype(np.uint8), rng.integers(0, 10, 64).astype(np.int32)
    state = TrainState(*model.init(jax.random.key(0)), (), jnp.zeros((), jnp.int32))
    gradients = mean_gradients(model, augment, **options)
    return jax.jit(gradients)(state, jax.random.key(1), x, y, rng.permutation(64), None)


@pytest.mark.parametrize("augment", [(), (("flip", ()), ("mixup", (("alpha", 1.0),)))])
def test_gradients_are_those_of_the_whole_batch(monkeypatch, augment):
    monkeypatch.setattr(module, "CACHE", 2**16)
    assert _count(CNN, 64) > 1
    (loss, _), parts = _step(CNN, augment)
    (expected, _), whole = _step(CNN, augment, whole=True)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (parts, whole)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_tiles_draw_masks_of_their_own():
    class Dropped(nn.Module):
        @nn.compact
        def __call__(self, x, train, features=False):
            kept = nn.Dropout(0.5, deterministic=not train)(jnp.ones((len(x), 32)))
            return nn.Dense(2, use_bias=False)(kept)

    model = from_linen("dropped", Dropped(), InputSpec((1,)), 2, ("Dense_0",))
    params, _ = model.init(jax.random.key(0))

    def loss(params, model_state, x, key):
        logits, _ = model.apply(params, model_state, x, train=True, key=key)
        return logits.sum(), model_state  # its gradient counts which of 32 inputs each of two examples kept

    _, one = value_and_gradients(loss, 1, params, {}, (jnp.zeros((1, 1)),), jax.random.key(3))
    _, two = value_and_gradients(loss, 2, params, {}, (jnp.zeros((2, 1)),), jax.random.key(3))
    kept = np.unique(np.asarray(2 * two["Dense_0"]["kernel"]))
    np.testing.assert_array_equal(np.unique(np.asarray(one["Dense_0"]["kernel"])), [0, 2])
    np.testing.assert_array_equal(kept, [0, 2, 4])  # one mask for both would keep no input once


def test_a_model_that_takes_the_batch_as_one_is_passed_whole(monkeypatch):
    monkeypatch.setattr(module, "CACHE", 2**16)
    seen = []

    def apply(params, model_state, x, *, train, key):
        seen.append(len(x))
        return CNN.apply(params, model_state, x, train=train, key=key)

    _step(dataclasses.replace(CNN, apply=apply), whole=True)
    assert set(seen) == {64}


def _awkward(divisor):
    """Takes batches of multiples of `divisor` only, with the CNN's layers."""

    def apply(params, model_state, x, *, train, key):
        x.reshape(-1, divisor, *x.shape[1:])
        return CNN.apply(params, model_state, x, train=train, key=key)

    return dataclasses.replace(CNN, apply=apply)


def test_a_model_that_not_every_batch_suits_is_passed_whole():
    assert _count(_awkward(64), 512) == 4
    assert _count(_awkward(256), 512) == 1  # the tile does not suit it
    assert _count(_awkward(512), 512) == 1  # nor half of the batch


def test_a_model_without_parameters():
    empty = dataclasses.replace(
        CNN, init=lambda key: ({}, {}), apply=lambda p, s, x, *, train, key: (x[:, 0, :10, 0], s)
    )
    assert _count(empty, 512) == 1


def test_populations_are_those_of_whole_batches(monkeypatch):
    model = models.cnn(IMAGES, 3, widths=(8, 6))
    recipe = Recipe(model="cnn", model_args=(("widths", (8, 6)),), epochs=2, batch_size=64)
    rng = np.random.default_rng(0)
    world = World(rng.integers(0, 256, (128, *IMAGES.shape)).astype(np.uint8), rng.integers(0, 3, 128), np.arange(128))

    def trained(plan):
        return jax.tree.leaves(populations.fit(model, recipe, world, 3, plan=plan).states.params)

    monkeypatch.setattr(module, "CACHE", 2**16)
    assert _count(model, 64) > 1
    members.let_programs_go(0)
    by_plan = {plan: trained(plan) for plan in ("solo", "map", "vmap:2")}
    monkeypatch.setattr(importlib.import_module("unlearnax.training.plain"), "tiles", lambda *given: 1)
    members.let_programs_go(0)
    by_plan["whole"] = trained("map")
    members.let_programs_go(0)
    for plan, leaves in by_plan.items():
        for found, expected in zip(leaves, by_plan["map"], strict=True):
            np.testing.assert_allclose(found, expected, atol=0 if plan in ("solo", "map") else 1e-5)
    assert any((a != b).any() for a, b in zip(by_plan["whole"], by_plan["map"], strict=True))  # tiles there were
