"""Random streams, model state and traces: what must hold for a model inside a compiled training loop."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unlearnax.models import MODELS, from_functions, from_linen, from_nnx
from unlearnax.populations import fit, predict
from unlearnax.recipes import Recipe
from unlearnax.types import InputSpec, World

INPUTS = InputSpec((4,), 1.0, 2.0)


class LinenDrop(nn.Module):
    @nn.compact
    def __call__(self, x, train, features=False):
        x = nn.Dropout(0.5, deterministic=not train)(nn.Dense(8, name="body")(x))
        return x if features else nn.Dense(3, name="head")(x)


class NNXDrop(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.body = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def hidden(self, x):
        return self.drop(nnx.relu(self.norm(self.body(x))))

    def __call__(self, x):
        return self.head(self.hidden(x))


MAKE = {
    "linen": lambda: from_linen("drop", LinenDrop(), INPUTS, 3, ("body", "head")),
    "nnx": lambda: from_nnx("drop", NNXDrop, INPUTS, 3, features=NNXDrop.hidden),
}


@pytest.fixture(params=MAKE, scope="module")
def dropping(request):
    model = MAKE[request.param]()
    return model, *jax.jit(model.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def test_dropout_follows_the_key(dropping, x):
    model, params, state = dropping
    run = jax.jit(lambda key: model.apply(params, state, x, train=True, key=key)[0])
    one, again, two = (run(jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two)
    calm = [model.apply(params, state, x, train=False, key=key)[0] for key in (None, jax.random.key(1))]
    np.testing.assert_array_equal(*calm)


def test_dropout_without_a_key_is_an_error(dropping, x):
    model, params, state = dropping
    with pytest.raises((ValueError, nn.module.errors.InvalidRngError)):
        model.apply(params, state, x, train=True, key=None)


def test_members_draw_their_own_masks(dropping, x):
    model, params, state = dropping
    keys = jax.random.split(jax.random.key(3), 3)
    together = jax.jit(jax.vmap(lambda key: model.apply(params, state, x, train=True, key=key)[0]))(keys)
    for row, key in zip(together, keys, strict=True):
        expected = model.apply(params, state, x, train=True, key=key)[0]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_the_state_holds_plain_numbers_only(dropping):
    """A population is stored, averaged and compared as numpy arrays: a PRNG key in the state would break all three."""
    _, params, state = dropping
    for leaf in jax.tree.leaves((params, state)):
        assert np.asarray(leaf).dtype == np.float32


def test_a_population_with_dropout_trains(dropping, x):
    model, *_ = dropping
    world = World(x, np.zeros(8, np.int32), np.arange(8))
    population = fit(model, Recipe(epochs=1, batch_size=4), world, 2)
    assert np.isfinite(predict(model, population.states, x)).all()


def test_features_of_nnx(x):
    model = MAKE["nnx"]()
    params, state = model.init(jax.random.key(0))
    found = model.features(params, state, x) @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(found, model.apply(params, state, x, train=False, key=None)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_repeated_calls_trace_once(name):
    traces = []
    inputs = InputSpec((12, 12, 1))
    params, state = jax.eval_shape(MODELS[name](inputs, 3).init, jax.random.key(0))

    @functools.partial(jax.jit, static_argnums=0)
    def run(model, params, state, x):
        traces.append(name)
        return model.apply(params, state, x, train=True, key=None)[0]

    for _ in range(3):
        model = MODELS[name](inputs, 3)
        x = jax.ShapeDtypeStruct((2, 12, 12, 1), jnp.float32)
        jax.eval_shape(lambda *args, model=model: run(model, *args), params, state, x)
    assert len(traces) == 1


def count_init(key):
    return {"w": jnp.zeros((4, 3))}, {"n": jnp.zeros(())}


def counting(params, state, x, *, train, key):
    return x @ params["w"], {"n": state["n"] + 1}


def test_functions_keep_their_state_in_evaluation(x):
    model = from_functions("count", count_init, counting, INPUTS, 3)
    params, state = model.init(jax.random.key(0))
    assert model.apply(params, state, x, train=False, key=None)[1]["n"] == 0
    assert model.apply(params, state, x, train=True, key=None)[1]["n"] == 1


@pytest.mark.parametrize(
    ("init", "apply", "message"),
    [
        (lambda key: count_init(key)[0], counting, r"init of model 'bad' to return \(params, model_state\), got dict"),
        (count_init, lambda p, s, x, *, train, key: x @ p["w"], r"apply of model 'bad' to return \(logits, model_"),
        (
            count_init,
            lambda p, s, x, *, train, key: (x @ p["w"], {} if train else s),
            "train=True to return a state of",
        ),
        (
            count_init,
            lambda p, s, x, *, train, key: (x @ p["w"], {"n": jnp.zeros(2)}),
            "train=True to return a state of",
        ),
    ],
)
def test_wrong_functions_are_named(init, apply, message):
    with pytest.raises(ValueError, match=message):
        from_functions("bad", init, apply, INPUTS, 3)


@pytest.mark.parametrize("name", MODELS)
def test_wrong_requests_are_named(name):
    with pytest.raises(ValueError, match=r"inputs\.std=0\.0"):
        MODELS[name](InputSpec((12, 12, 1), 0.0, 0.0), 3)
    with pytest.raises(ValueError, match="num_classes=0"):
        MODELS[name](InputSpec((12, 12, 1)), 0)


def test_whole_numbers_may_be_numpys():
    assert MODELS["mlp"](INPUTS, 3, widths=np.array([6])) is MODELS["mlp"](INPUTS, 3, widths=[6])
