"""`Model.hidden`: what a layer puts out, written out, and for other ways to bring a model."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unlearnax import models
from unlearnax.models import MODELS, from_functions, from_linen, from_nnx
from unlearnax.types import InputSpec

INPUTS = InputSpec((8, 8, 1), 2.0, 16.0)
FLAT = InputSpec((4,), 1.0, 2.0)


def asked(model, *args):
    assert model.hidden is not None
    return model.hidden(*args)


def start(model):
    """Parameters, and a state moved away from what initialisation leaves."""
    params, state = model.init(jax.random.key(0))
    return params, jax.tree.map(lambda leaf: leaf + 0.5, state)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).integers(0, 17, (6, 8, 8, 1)).astype(np.float32)


@pytest.mark.parametrize("norm", [False, True])
def test_hidden_layers_of_an_mlp_written_out(norm, x):
    model = MODELS["mlp"](INPUTS, 5, batch_norm=norm, widths=(12, 6))
    params, state = start(model)
    h = (x.reshape(6, -1) - 2.0) / 16.0
    for i in range(2):
        h = h @ params[f"dense{i}"]["kernel"] + params[f"dense{i}"]["bias"]
        np.testing.assert_allclose(asked(model, params, state, x, f"dense{i}"), h, rtol=1e-4, atol=1e-5)
        if norm:
            seen, own = state["batch_stats"][f"norm{i}"], params[f"norm{i}"]
            h = (h - seen["mean"]) / np.sqrt(seen["var"] + 1e-5) * own["scale"] + own["bias"]
            np.testing.assert_allclose(asked(model, params, state, x, f"norm{i}"), h, rtol=1e-4, atol=1e-5)
        h = np.maximum(h, 0)
    np.testing.assert_allclose(model.features(params, state, x), h, rtol=1e-4, atol=1e-5)


def test_in_bfloat16_it_is_float32(x):
    model = MODELS["cnn"](INPUTS, 5, dtype="bfloat16", widths=(4,))
    assert asked(model, *start(model), x, "conv0").dtype == jnp.float32


class Twice(nn.Module):
    """A layer that is called twice, beside a parameter that is no layer."""

    @nn.compact
    def __call__(self, x, train, features=False):
        shift = self.param("shift", nn.initializers.ones, (4,))
        body = nn.Dense(4, name="body")
        h = body(body(x + shift))
        return h if features else nn.Dense(3, name="head")(h)


def test_a_layer_called_twice_gives_its_last_output_and_a_bare_parameter_none():
    model = from_linen("twice", Twice(), FLAT, 3, ("shift", "body", "head"))
    params, state = start(model)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(asked(model, params, state, x, "body"), model.features(params, state, x))
    with pytest.raises(ValueError, match="Expected layer='shift' of model 'twice' to be a module that is called"):
        asked(model, params, state, x, "shift")


def test_functions_can_be_asked_where_they_say_how():
    def init(key):
        return {"a": 2 * jnp.ones((4, 2)), "b": jnp.ones((2, 3))}, {}

    def apply(params, state, x, *, train, key):
        return x @ params["a"] @ params["b"], state

    def hidden(params, state, x, layer):
        return {"a": x @ params["a"], "b": x @ params["a"] @ params["b"]}[layer]

    assert from_functions("two", init, apply, FLAT, 3).hidden is None
    model = from_functions("two", init, apply, FLAT, 3, hidden=hidden)
    found = asked(model, *model.init(jax.random.key(0)), np.full((1, 4), 3.0, np.float32), "a")
    np.testing.assert_array_equal(found, [[8.0, 8.0]])  # of normalised inputs


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(4, 6, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.head = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(self.norm(self.first(x)))


def test_an_nnx_module_can_be_asked_in_evaluation_mode():
    assert from_nnx("net", Net, FLAT, 3).hidden is None
    hidden = {"first": lambda m, x: m.first(x), "norm": lambda m, x: m.norm(m.first(x))}
    model = models.from_nnx("net", Net, FLAT, 3, hidden=lambda module, x, layer: hidden[layer](module, x))
    params, state = model.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    h = (x - 1.0) / 2.0 @ params["first"]["kernel"] + params["first"]["bias"]
    np.testing.assert_allclose(asked(model, params, state, x, "first"), h, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(asked(model, params, state, x, "norm"), h / np.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-5)
