"""Other ways to bring a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unlearnax import models
from unlearnax.populations import fit, predict
from unlearnax.recipes import Recipe
from unlearnax.types import InputSpec, World

INPUTS = InputSpec((4,), 1.0, 2.0)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    return World(rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32), np.arange(40))


def linear_init(key):
    return {"w": 0.1 * jax.random.normal(key, (4, 3))}, {}


def linear_apply(params, state, x, *, train, key):
    return x @ params["w"], state


class Net(nnx.Module):
    """Dense, batch norm, dense."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(4, 6, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.head = nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.norm(self.first(x))))


def test_an_init_apply_pair(world):
    model = models.from_functions("linear", linear_init, linear_apply, INPUTS, 3)
    population = fit(model, Recipe(epochs=2, batch_size=8), world, 2)
    logits = predict(model, population.states, world.x)
    expected = ((world.x - 1) / 2) @ np.asarray(population.states.params["w"][1])
    np.testing.assert_allclose(logits[1], expected, rtol=1e-4, atol=1e-5)


def test_an_nnx_module_trains_as_a_population(world):
    model = models.from_nnx("net", Net, INPUTS, 3)
    assert set(model.layers) == {"first", "norm", "head"}
    params, state = model.init(jax.random.key(0))
    _, same = model.apply(params, state, world.x, train=False, key=None)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    _, moved = model.apply(params, state, world.x, train=True, key=None)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    assert not np.array_equal(moved["norm"]["mean"], state["norm"]["mean"])
    grads = jax.grad(lambda p: jnp.square(model.apply(p, state, world.x, train=True, key=None)[0]).sum())(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    population = fit(model, Recipe(epochs=2, batch_size=8), world, 3)
    assert predict(model, population.states, world.x).shape == (3, 40, 3)
    assert len({np.asarray(leaf).tobytes() for leaf in population.states.params["head"]["kernel"]}) == 3


def test_a_model_first_built_under_a_trace_is_usable_outside():
    def build(x):
        models.MODELS["mlp"](INPUTS, 3, widths=(7,))
        return x

    jax.jit(build)(1.0)
    params, _ = models.MODELS["mlp"](INPUTS, 3, widths=(7,)).init(jax.random.key(0))
    assert params["head"]["kernel"].shape == (7, 3)


def test_wrong_logits_are_named():
    with pytest.raises(ValueError, match=r"Expected model 'linear' to give logits of shape \(2, 5\), got \(2, 3\)"):
        models.from_functions("linear", linear_init, linear_apply, INPUTS, 5)


def test_wrong_layers_are_named():
    import flax.linen as nn

    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x, train, features=False):
            return nn.Dense(3, name="head")(x)

    with pytest.raises(ValueError, match="Expected layers="):
        models.from_linen("plain", Plain(), INPUTS, 3, ("body", "head"))
