"""The last layers trained alone: SGD on part of the weights, written out; the others do not move by a bit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import cf_k, eu_k, fine_tune
from unlearnax.models import mlp
from unlearnax.types import InputSpec

SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.05}
KEY = jax.random.key(0)


def run(algorithm, model, tiny, state=None, **given):
    given = SGD | {"epochs": 3, "batch_size": 24} | given
    return algorithm(model, **given)(KEY, tiny.state(model) if state is None else state, tiny.request())[0]


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def always(model, state):
    """The model with an init that ignores its key."""
    return dataclasses.replace(model, init=lambda key: (state.params, state.model_state))


@pytest.fixture(scope="module")
def deep():
    """Layers dense0, dense1, dense2, head."""
    return mlp(InputSpec((4,), mean=1.0, std=1.5), 3, widths=(8, 7, 6))


def on_retain(tiny, direct, below):
    """Mean loss on R as a function of the head, on top of the hidden layer `below`."""
    rows = tiny.rows["retain"]
    return lambda head: direct.nll({"dense0": below, "head": head}, tiny.x[rows], tiny.y[rows]).mean()


def test_cf_k_is_sgd_on_the_head_alone(tiny, direct):
    start = tiny.state().params
    out = run(cf_k, tiny.model, tiny).params
    expected = direct.sgd(start["head"], [on_retain(tiny, direct, start["dense0"])] * 3, **SGD)
    direct.close(out["head"], expected)
    assert direct.differ(out["head"], start["head"], by=0.02)
    assert same(out["dense0"], start["dense0"])  # neither decay nor momentum


def test_eu_k_is_sgd_on_a_head_drawn_anew(tiny, direct):
    start, fresh = tiny.state(), tiny.state(seed=9)
    out = run(eu_k, always(tiny.model, fresh), tiny, start).params
    expected = direct.sgd(fresh.params["head"], [on_retain(tiny, direct, start.params["dense0"])] * 3, **SGD)
    direct.close(out["head"], expected)
    assert same(out["dense0"], start.params["dense0"])


@pytest.mark.parametrize(
    ("k", "trained"),
    [(1, {"head"}), (2, {"dense2", "head"}), ("dense1", {"dense1", "dense2", "head"}), ("head", {"head"})],
)
@pytest.mark.parametrize("algorithm", [cf_k, eu_k])
def test_only_the_layers_asked_for_move(algorithm, k, trained, deep, tiny):
    """Several steps a pass, under momentum and decay."""
    start = tiny.state(deep).params
    out = run(algorithm, deep, tiny, k=k, batch_size=8).params
    assert {layer for layer in deep.layers if not same(out[layer], start[layer])} == trained


def test_cf_k_with_all_layers_is_fine_tuning(deep, tiny):
    """The same steps; only the order of the rows is another, which full batches do not show."""
    rows = run(cf_k, deep, tiny, k=4), run(fine_tune, deep, tiny)
    jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-5), *(out.params for out in rows))


@pytest.mark.parametrize("kind", ["model", "normed"])
def test_eu_k_with_all_layers_is_retraining(kind, tiny):
    """Nothing of the original is left: neither weights nor batch statistics."""
    model = getattr(tiny, kind)
    one, other = (run(eu_k, model, tiny, tiny.state(model, seed), k=len(model.layers), batch_size=8) for seed in (1, 2))
    assert same(one, other)


def test_the_new_layers_depend_on_the_key(deep, tiny):
    given = SGD | {"k": 2, "epochs": 1, "batch_size": 24}
    heads = [eu_k(deep, **given)(jax.random.key(i), tiny.state(deep), tiny.request())[0].params["head"] for i in (0, 1)]
    assert not same(*heads)


def shifted(state):
    return state._replace(model_state=jax.tree.map(lambda leaf: leaf + 5.0, state.model_state))


def test_statistics_of_the_layers_below_go_on(tiny):
    """After s steps a statistic is .9ˢ of what it was and the rest that of the batches, trained below or not."""
    state = tiny.state(tiny.normed)
    for algorithm in (cf_k, eu_k):
        one, other = (run(algorithm, tiny.normed, tiny, each, k="head") for each in (state, shifted(state)))
        apart = jax.tree.map(jnp.subtract, other.model_state, one.model_state)
        jax.tree.map(lambda leaf: np.testing.assert_allclose(leaf, 5 * 0.9**3, rtol=1e-4), apart)
        assert same(one.params, other.params)


def test_layers_drawn_anew_forget_their_statistics(tiny):
    """k="norm0" names the normalisation and the head; CF-k keeps what EU-k draws anew."""
    state = tiny.state(tiny.normed)
    fresh, kept = (
        [run(algorithm, tiny.normed, tiny, each, k="norm0").model_state for each in (state, shifted(state))]
        for algorithm in (eu_k, cf_k)
    )
    assert same(*fresh)
    assert not same(*kept)
