"""Task-vector negation against its steps written out."""

import jax
import jax.numpy as jnp

from unlearnax.algorithms import task_vector

KEY = jax.random.key(0)

FULL = {"batch_size": 24}  # each of the 24 of R once, each of the 12 of S twice


def run(algorithm, tiny, request=None, **given):
    return algorithm(tiny.model, **FULL | given)(KEY, tiny.state(), request or tiny.request())


def test_task_vector_goes_as_far_the_other_way(tiny, direct):
    original, s = tiny.state().params, tiny.rows["forget"]
    rate, decay, scale = 0.02, 0.3, 0.6
    slope = jax.jit(jax.grad(lambda params: direct.nll(params, tiny.x[s], tiny.y[s]).mean()))
    params = original
    first = second = jax.tree.map(jnp.zeros_like, params)
    for t in range(1, 6):  # AdamW: the decay apart from the moments
        grads = slope(params)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, grads)
        params = jax.tree.map(
            lambda p, m, v, t=t: p - rate * (m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8) + decay * p),
            params, first, second,
        )  # fmt: skip
    expected = jax.tree.map(lambda before, after: before - scale * (after - before), original, params)
    out = run(task_vector, tiny, scale=scale, learning_rate=rate, weight_decay=decay, epochs=5)[0].params
    direct.close(out, expected)
    assert direct.nll(out, tiny.x[s], tiny.y[s]).mean() > direct.nll(original, tiny.x[s], tiny.y[s]).mean() + 0.05


def test_task_vector_of_length_zero_and_batch_statistics_are_the_originals(tiny, direct):
    state = tiny.state(tiny.normed)
    out, _ = task_vector(tiny.normed, scale=0.0, learning_rate=0.05)(KEY, state, tiny.request())
    direct.close((out.params, out.model_state), (state.params, state.model_state), rtol=0, atol=0)
    moved, _ = task_vector(tiny.normed, learning_rate=0.05)(KEY, state, tiny.request())
    assert direct.differ(moved.params, state.params)
    direct.close(moved.model_state, state.model_state, rtol=0, atol=0)
