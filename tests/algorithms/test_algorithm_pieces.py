"""What algorithms share: batch statistics, frozen teachers under BatchNorm, the mask among ties."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import bad_teacher, fine_tune, npo
from unlearnax.algorithms.relabel import saliency_mask

KEY = jax.random.key(0)


def without_idle_bias(params):
    """A bias in front of a BatchNorm has no gradient: Adam walks it by rounding errors."""
    return params | {"dense0": params["dense0"]["kernel"]}


def log_p(model, state, params, x, *, train):
    """Log probabilities `[N, C]`: students by the statistics of their batch, teachers by those that they came with."""
    return jax.nn.log_softmax(model.apply(params, state.model_state, x, train=train, key=None)[0])


def test_batch_statistics_are_carried_along(tiny):
    state, rows = tiny.state(tiny.normed), tiny.rows["retain"]
    out, _ = fine_tune(tiny.normed, epochs=1, batch_size=len(rows))(KEY, state, tiny.request())
    hidden = (tiny.x[rows] - 1.0) / 1.5 @ state.params["dense0"]["kernel"] + state.params["dense0"]["bias"]
    np.testing.assert_allclose(out.model_state["batch_stats"]["norm0"]["mean"], 0.1 * hidden.mean(0), atol=1e-6)


def test_npo_compares_with_the_original_by_its_own_statistics(tiny, direct):
    model, state, beta = tiny.normed, tiny.state(tiny.normed), 0.5
    s, y = tiny.x[tiny.rows["forget"]], tiny.y[tiny.rows["forget"]]
    before = log_p(model, state, state.params, s, train=False)

    def objective(params):
        ratio = (log_p(model, state, params, s, train=True) - before)[np.arange(len(y)), y]
        return 2 / beta * jnp.log1p(jnp.exp(beta * ratio)).mean()

    given = {"learning_rate": 0.1, "momentum": 0.9}
    out, _ = npo(model, beta=beta, alpha=0.0, epochs=3, batch_size=24, **given)(KEY, state, tiny.request())
    direct.close(out.params, direct.sgd(state.params, [objective] * 3, **given))


def test_both_teachers_keep_their_own_statistics(tiny, direct):
    state, bad = tiny.state(tiny.normed), tiny.state(tiny.normed, seed=9)
    model = dataclasses.replace(tiny.normed, init=lambda key: (bad.params, bad.model_state))
    s, r = tiny.x[tiny.rows["forget"]], tiny.x[tiny.rows["retain"]]
    taught = jnp.concatenate([
        log_p(model, bad, bad.params, s, train=False), log_p(model, state, state.params, r, train=False)
    ])  # fmt: skip

    def objective(params):
        log_q = log_p(model, state, params, np.concatenate([s, r]), train=True)
        return (jnp.exp(taught) * (taught - log_q)).sum(1).mean()

    run = bad_teacher(model, retain_fraction=1.0, learning_rate=0.01, epochs=3, batch_size=36)
    out, _ = run(KEY, state, tiny.request())
    expected = direct.adam(state.params, [objective] * 3, learning_rate=0.01)
    direct.close(without_idle_bias(out.params), without_idle_bias(expected), atol=1e-4)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 1.0])
def test_the_mask_holds_its_fraction_also_among_equal_gradients(fraction, tiny):
    x = tiny.x.copy()
    x[:, 1:] = 1.0  # three of four inputs at their mean: most weights have the gradient 0
    mask, _ = saliency_mask(KEY, tiny.model, tiny.state(), tiny.request(x), fraction, 8)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(mask)])
    assert flat.sum() == np.floor(np.float32(fraction) * flat.size)
