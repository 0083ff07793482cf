"""The plain rule: one step on augmented images, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import models
from unlearnax.augment import make_augment
from unlearnax.batching import subset
from unlearnax.recipes import Recipe
from unlearnax.training import make_training, under_rule
from unlearnax.types import InputSpec

RECIPE = Recipe(
    optimizer_args=(), schedule="constant_schedule", schedule_args=(), weight_decay=0.0, learning_rate=0.1, epochs=1,
    batch_size=8, augment=(("crop", (("padding", 1),)), ("mixup", (("alpha", 1.0),))),
)  # fmt: skip


def test_one_step_on_augmented_images():
    """The step sees every row of its one batch; any order gives another mixture, so the gradient settles which."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (8, 4, 4, 1)).astype(np.uint8), rng.integers(0, 3, 8)
    model = models.mlp(InputSpec((4, 4, 1), std=255.0), 3, widths=())
    training = make_training(RECIPE, model)
    key = jax.random.key(1)
    start = training.init(key)
    state, info = training.segment(key, start, x, y, subset(np.arange(8)), (0, 1))
    moved = [
        (np.asarray(a) - b) / -0.1 for a, b in zip(*map(jax.tree.leaves, (state.params, start.params)), strict=True)
    ]

    # The batch's order and key as `batching.run_passes` draws them.
    key_orders, key_steps = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, 1), 0))
    bits = jax.random.bits(jax.random.split(key_orders, 1)[0], (8,), jnp.uint32) >> 1
    order = np.argsort(np.asarray(bits), kind="stable")
    _, key_augment = jax.random.split(jax.random.fold_in(key_steps, 0))
    images, (partner, weight) = make_augment(RECIPE.augment)(key_augment, jnp.asarray(x[order]))
    flat = np.asarray(images).reshape(8, -1) / 255.0
    labels = float(weight) * np.eye(3)[y[order]] + (1 - float(weight)) * np.eye(3)[y[order][np.asarray(partner)]]
    head = start.params["head"]
    logits = flat @ head["kernel"] + head["bias"]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = {"bias": (p - labels).mean(0), "kernel": flat.T @ (p - labels) / 8}
    for found, name in zip(moved, sorted(expected), strict=True):
        np.testing.assert_allclose(found, expected[name], atol=1e-5)
    np.testing.assert_allclose(info.loss, -(labels * np.log(p)).sum(-1).mean(), rtol=1e-5)


def test_rules_that_do_not_augment_say_so():
    model = models.mlp(InputSpec((4, 4, 1)), 3, widths=())
    recipe = Recipe(rule="dp_sgd", augment=(("flip", ()),))
    with pytest.raises(ValueError, match="rule 'dp_sgd' trains on images as they are"):
        under_rule(recipe, model)
