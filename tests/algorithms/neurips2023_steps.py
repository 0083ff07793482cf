"""Steps of the NeurIPS 2023 competition's entries written out, for the tests of each.

Batches are whole subsets, so that no step depends on an order.  Where weights are drawn first, a run with a vanishing
learning rate and the same key shows them.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

KEY = jax.random.key(0)

MOMENTUM, DECAY = 0.9, 0.02
SGD = {"momentum": MOMENTUM, "weight_decay": DECAY}

STILL = 1e-9  # a learning rate that moves nothing


def descend(params, steps, *, decay=DECAY, slope=None):
    """SGD with momentum by (objective, rate) pairs, and the decay added to the gradient; slope: what else befalls it."""
    buffer = jax.tree.map(jnp.zeros_like, params)
    for objective, rate in steps:
        grads = jax.jit(jax.grad(objective))(params)
        grads = slope(grads) if slope else grads
        buffer = jax.tree.map(lambda b, g, p: MOMENTUM * b + g + decay * p, buffer, grads, params)
        params = jax.tree.map(lambda p, b, rate=rate: p - rate * b, params, buffer)
    return params


def cosine(rate, epochs):
    return [rate * (1 + np.cos(np.pi * e / epochs)) / 2 for e in range(epochs)]


def on_retain(tiny, model, weights=None):
    """Mean of w_y ℓ over R."""
    x, y = (each[tiny.rows["retain"]] for each in (tiny.x, tiny.y))
    weights = jnp.ones(3) if weights is None else weights

    def loss(params):
        logits, _ = model.apply(params, {}, x, train=True, key=KEY)
        return -(weights[y] * jax.nn.log_softmax(logits)[np.arange(len(y)), y]).mean()

    return loss


def always(model, state):
    """The model with an init that ignores its key."""
    return dataclasses.replace(model, init=lambda key: (state.params, state.model_state))


def run(algorithm, tiny, model=None, state=None, request=None, **given):
    model = model or tiny.model
    state = state or tiny.state(model)
    return algorithm(model, **given)(KEY, state, request or tiny.request())[0].params
