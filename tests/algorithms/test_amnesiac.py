"""The original Amnesiac against a slow log of the same training."""

import jax
import jax.numpy as jnp
import numpy as np

from unlearnax.algorithms import ALGORITHMS
from unlearnax.batching import subset
from unlearnax.recipes import Recipe
from unlearnax.training import make_train, make_training, under_rule
from unlearnax.types import World


def leaves(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def test_amnesiac_subtracts_the_updates_of_batches_with_a_row_of_s(tiny):
    """Against a slow log of the same training, one compiled step at a time."""
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.1, rule="amnesiac")
    model = under_rule(recipe, tiny.model)
    kept = np.concatenate([tiny.rows["forget"], tiny.rows["retain"]])
    rows, key, training = subset(kept), jax.random.key(3), make_training(recipe, model)
    original, _ = jax.jit(make_train(recipe, model))(key, World(tiny.x, tiny.y, kept))
    forgotten = tiny.rows["forget"][:2]
    request = tiny.request(forget=forgotten, retain=np.setdiff1d(kept, forgotten))
    done, info = jax.jit(ALGORITHMS["amnesiac"].make(model, recipe=recipe))(jax.random.key(9), original, request)

    def after(count):
        """Weights after the first `count` steps; an update is the difference of two of these."""
        params, momentum = training.init(key).params, None
        momentum = jax.tree.map(jnp.zeros_like, params)
        for number in range(count):
            grads = jax.tree.map(lambda g, p: g + 5e-4 * p, slope(params, batches[number]), params)
            momentum = jax.tree.map(lambda b, g: 0.9 * b + g, momentum, grads)
            rate = recipe.learning_rate_at(number / len(batches))
            params = jax.tree.map(lambda p, b, rate=rate: p - rate * b, params, momentum)
        return params

    @jax.jit
    def slope(params, taken):
        def loss(params):
            logits, _ = model.apply(params, {}, jnp.asarray(tiny.x)[taken], train=True, key=None)
            return -jax.nn.log_softmax(logits)[jnp.arange(8), jnp.asarray(tiny.y)[taken]].mean()

        return jax.grad(loss)(params)

    batches = []
    for number in range(2):
        key_orders, _ = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, 1), number))
        bits = jax.random.bits(jax.random.split(key_orders, 1)[0], (36,), jnp.uint32) >> 1
        order = kept[np.argsort(np.asarray(bits), kind="stable")]
        batches += [order[8 * i : 8 * i + 8] for i in range(4)]
    touched = [number for number, taken in enumerate(batches) if np.isin(taken, forgotten).any()]
    assert 0 < len(touched) < len(batches)
    expected = after(len(batches))
    for found, direct in zip(leaves(original.params), leaves(expected), strict=True):
        np.testing.assert_allclose(found, direct, rtol=1e-3, atol=1e-5)
    for number in touched:
        expected = jax.tree.map(lambda e, new, old: e - (new - old), expected, after(number + 1), after(number))
    for found, direct in zip(leaves(done.params), leaves(expected), strict=True):
        np.testing.assert_allclose(found, direct, rtol=1e-3, atol=1e-5)
    assert info.examples == len(batches) * 8
    assert rows.length == 36
