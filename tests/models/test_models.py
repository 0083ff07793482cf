"""Contracts over the dict of models."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import models
from unlearnax.models import MODELS
from unlearnax.recipes import Recipe
from unlearnax.types import InputSpec

INPUTS = InputSpec((8, 8, 1), 2.0, 16.0)
SMALL = {
    "mlp": {"widths": (12, 6)},
    "cnn": {"widths": (4, 6)},
    "mixer": {"width": 8, "depth": 2},
}
CASES = [(name, norm, dtype) for name in MODELS for norm in (False, True) for dtype in ("float32", "bfloat16")]


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).integers(0, 17, (6, 8, 8, 1)).astype(np.float32)


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, case)), scope="module")
def built(request):
    name, norm, dtype = request.param
    model = MODELS[name](INPUTS, 5, batch_norm=norm, dtype=dtype, **SMALL[name])
    params, state = jax.jit(model.init)(jax.random.key(0))
    return model, params, state, norm, dtype


def test_every_model_has_a_case():
    assert set(SMALL) == set(MODELS)


def test_shapes_and_types(built, x):
    model, params, state, _, _ = built
    logits, _ = model.apply(params, state, x, train=False, key=None)
    assert logits.shape == (6, 5)
    assert logits.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    assert model.features(params, state, x).dtype == jnp.float32


def test_bytes_and_floats_agree(built, x):
    model, params, state, _, _ = built
    as_floats, _ = model.apply(params, state, x, train=False, key=None)
    as_bytes, _ = model.apply(params, state, x.astype(np.uint8), train=False, key=None)
    np.testing.assert_array_equal(as_floats, as_bytes)


def test_model_state(built, x):
    model, params, state, norm, _ = built
    assert bool(jax.tree.leaves(state)) == norm
    _, same = model.apply(params, state, x, train=False, key=None)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    _, moved = model.apply(params, state, x, train=True, key=jax.random.key(1))
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    changed = [not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(moved), strict=True)]
    assert all(changed)


def test_layers_are_the_parameters_in_order(built):
    model, params, _, _, _ = built
    assert set(model.layers) == set(params)
    assert model.layers[-1] == "head"


def test_the_head_on_the_features_gives_the_logits(built, x):
    model, params, state, _, dtype = built
    logits, _ = model.apply(params, state, x, train=False, key=None)
    head = params["head"]
    tolerance = 1e-4 if dtype == "float32" else 0.1
    found = model.features(params, state, x) @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(found, logits, rtol=tolerance, atol=tolerance)


def test_every_layer_can_be_asked_for_its_output(built, x):
    """All but bare parameters, which put nothing out; the last one puts out the logits."""
    model, params, state, _, _ = built
    for layer in model.layers:
        if isinstance(params[layer], dict):
            found = jax.eval_shape(lambda x, layer=layer: model.hidden(params, state, x, layer), x)
            assert found.shape[0] == 6
            assert found.dtype == jnp.float32
    logits, _ = model.apply(params, state, x, train=False, key=None)
    np.testing.assert_allclose(model.hidden(params, state, x, model.layers[-1]), logits, rtol=1e-5, atol=1e-6)


def test_members_under_vmap_equal_a_loop_and_gradients_are_finite(built, x):
    model, params, state, _, dtype = built
    members = jax.tree.map(lambda leaf: np.stack([leaf, 1.1 * leaf, leaf - 0.05]), params)

    def slope(params):
        return jax.grad(lambda p: jnp.square(model.apply(p, state, x, train=True, key=None)[0]).mean())(params)

    together = jax.jit(jax.vmap(slope))(members)
    one = jax.jit(slope)(jax.tree.map(lambda leaf: leaf[1], members))
    tolerance = 1e-4 if dtype == "float32" else 0.1
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(one), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a[1], b, rtol=tolerance, atol=tolerance)


def test_normalisation_constants_are_applied(x):
    params, state = MODELS["mlp"](INPUTS, 5, widths=(6,)).init(jax.random.key(0))
    raw = MODELS["mlp"](INPUTS, 5, widths=(6,)).apply(params, state, x, train=False, key=None)[0]
    plain = MODELS["mlp"](InputSpec((8, 8, 1)), 5, widths=(6,)).apply(
        params, state, (x - 2) / 16, train=False, key=None
    )[0]
    np.testing.assert_allclose(raw, plain, rtol=1e-5, atol=1e-6)


def test_the_same_request_gives_the_same_object():
    for name, factory in MODELS.items():
        assert factory(INPUTS, 5, **SMALL[name]) is factory(INPUTS, 5, **SMALL[name])
    recipe = Recipe(model="cnn", model_args=(("widths", [4, 6]),))
    assert models.build(recipe, INPUTS, 5) is models.build(recipe, INPUTS, 5)


@pytest.mark.parametrize(
    ("name", "inputs", "arguments", "message"),
    [
        ("mlp", INPUTS, {"widths": (0,)}, "width=0"),
        ("mlp", INPUTS, {"dtype": "float16"}, "dtype='float16'"),
        ("cnn", InputSpec((64,)), {}, r"inputs.shape=\(64,\)"),
        ("cnn", INPUTS, {"widths": (-1,)}, "width=-1"),
        ("mixer", INPUTS, {"patch": 3}, "patch=3 to divide"),
        ("mixer", INPUTS, {"depth": 0}, "depth=0"),
    ],
)
def test_bad_arguments(name, inputs, arguments, message):
    with pytest.raises(ValueError, match=message):
        MODELS[name](inputs, 5, **arguments)
