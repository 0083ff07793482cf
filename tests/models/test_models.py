"""Contracts over the dict of models."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import batching, models, training
from unlearnax.models import MODELS
from unlearnax.populations import fit, predict
from unlearnax.recipes import Recipe
from unlearnax.types import InputSpec, Model, World

INPUTS = InputSpec((8, 8, 1), 2.0, 16.0)
SMALL = {
    "mlp": {"widths": (12, 6)},
    "cnn": {"widths": (4, 6)},
    "mixer": {"width": 8, "depth": 2},
    "resnet9": {"width": 2},
    "resnet18": {"width": 2},
    "airbench": {"widths": (4, 6)},
    "vit": {"width": 8, "depth": 2, "heads": 2},
}
PLAIN = {"vit"}  # models that have no BatchNorm
# The small nets are tried in all forms, the others as they are used, since they take long to compile.
SMALL_NETS = ("mlp", "cnn", "mixer")
CASES = [
    *((name, norm, "float32") for name in SMALL_NETS for norm in (False, True)),
    *((name, False, "bfloat16") for name in SMALL_NETS),
    *((name, name not in PLAIN, "float32") for name in MODELS if name not in SMALL_NETS),
]
COUNTS = {"resnet9": 6_573_130, "resnet18": 11_173_962, "airbench": 1_971_650, "vit": 5_362_762}


def run(fn, *args):
    """The function's result from a program that is compiled without optimising it: that takes a third of the time."""
    return jax.jit(fn).lower(*args).compile(compiler_options={"xla_backend_optimization_level": "0"})(*args)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).integers(0, 17, (6, 8, 8, 1)).astype(np.float32)


class Built(NamedTuple):
    """A model, drawn numbers for its parameters and state, and all that it makes of `x`, from one program."""

    model: Model
    params: Any
    state: Any
    norm: bool
    dtype: str
    seen: dict[str, Any]


def slope(model, params, state, x):
    return jax.grad(lambda p: jnp.square(model.apply(p, state, x, train=True, key=None)[0]).mean())(params)


@pytest.fixture(params=CASES, ids=lambda case: "-".join(map(str, case)), scope="module")
def built(request, x):
    name, norm, dtype = request.param
    arguments = SMALL[name] if name in PLAIN else SMALL[name] | {"batch_norm": norm}
    model = MODELS[name](INPUTS, 5, dtype=dtype, **arguments)
    rng = np.random.default_rng(1)

    def drawn(tree, low, high):
        return jax.tree.map(lambda leaf: rng.uniform(low, high, leaf.shape).astype(leaf.dtype), tree)

    params, state = jax.eval_shape(model.init, jax.random.key(0))
    params, state = drawn(params, -0.5, 0.5), drawn(state, 0.5, 1.5)

    def everything(params, state, x, in_bytes):
        logits, same = model.apply(params, state, x, train=False, key=None)
        return {
            "logits": logits, "state": same, "features": model.features(params, state, x),
            "from bytes": model.apply(params, state, in_bytes, train=False, key=None)[0],
            "moved": model.apply(params, state, x, train=True, key=jax.random.key(1))[1],
            "last": model.hidden(params, state, x, model.layers[-1]), "slope": slope(model, params, state, x),
        }  # fmt: skip

    return Built(model, params, state, norm, dtype, run(everything, params, state, x, x.astype(np.uint8)))


def test_every_model_has_a_case():
    assert set(SMALL) == set(MODELS)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_at_full_size(name):
    """For images of CIFAR; numbers that are published or counted by hand."""
    model = MODELS[name](InputSpec((32, 32, 3), 120.0, 65.0), 10)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == COUNTS[name]


def test_shapes_and_types(built):
    assert built.seen["logits"].shape == (6, 5)
    assert built.seen["logits"].dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(built.params))
    assert built.seen["features"].dtype == jnp.float32


def test_bytes_and_floats_agree(built):
    np.testing.assert_allclose(built.seen["from bytes"], built.seen["logits"], rtol=1e-5, atol=1e-5)


def test_model_state(built):
    assert bool(jax.tree.leaves(built.state)) == built.norm
    for a, b in zip(jax.tree.leaves(built.state), jax.tree.leaves(built.seen["state"]), strict=True):
        np.testing.assert_array_equal(a, b)
    moved = built.seen["moved"]
    assert jax.tree.structure(moved) == jax.tree.structure(built.state)
    pairs = zip(jax.tree.leaves(built.state), jax.tree.leaves(moved), strict=True)
    assert all(not np.array_equal(a, b) for a, b in pairs)


def test_layers_are_the_parameters_in_order(built):
    assert set(built.model.layers) == set(built.params)
    assert built.model.layers[-1] == "head"


def test_the_head_on_the_features_gives_the_logits(built):
    head = built.params["head"]
    tolerance = 1e-4 if built.dtype == "float32" else 0.1
    found = built.seen["features"] @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(found, built.seen["logits"], rtol=tolerance, atol=tolerance)


def test_every_layer_can_be_asked_for_its_output(built, x):
    """All but bare parameters, which put nothing out; the last one puts out the logits."""
    for layer in built.model.layers:
        if isinstance(built.params[layer], dict):
            found = jax.eval_shape(lambda x, layer=layer: built.model.hidden(built.params, built.state, x, layer), x)
            assert found.shape[0] == 6
            assert found.dtype == jnp.float32
    np.testing.assert_allclose(built.seen["last"], built.seen["logits"], rtol=1e-5, atol=1e-6)


def test_gradients_are_finite_and_reach_every_layer(built):
    for layer in built.model.layers:
        leaves = jax.tree.leaves(built.seen["slope"][layer])
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        assert any(np.abs(leaf).max() > 0 for leaf in leaves)


def test_members_under_vmap_equal_single_ones(built, x):
    """Of the deep nets only one with convolutions, pooling and BatchNorm: all are made of the same layers."""
    model, state = built.model, built.state
    if model.name in ("resnet9", "resnet18"):
        pytest.skip("made of airbench's layers")
    members = jax.tree.map(lambda leaf: np.stack([0.9 * leaf, leaf]), built.params)
    together = run(lambda members: jax.vmap(lambda params: slope(model, params, state, x))(members), members)
    tolerance = 1e-4 if built.dtype == "float32" else 0.1
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(built.seen["slope"]), strict=True):
        scale = max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a[1] / scale, b / scale, rtol=tolerance, atol=tolerance)


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
        ("resnet9", InputSpec((4, 4, 1)), {}, "at least 8 × 8"),
        ("resnet18", INPUTS, {"width": 0}, "width=0"),
        ("airbench", INPUTS, {}, "more than 8 pixels a side"),
        ("vit", INPUTS, {"patch": 3}, "patch=3 to divide"),
        ("vit", INPUTS, {"heads": 5}, "heads=5 to divide width=192"),
    ],
)
def test_bad_arguments(name, inputs, arguments, message):
    with pytest.raises(ValueError, match=message):
        MODELS[name](inputs, 5, **arguments)


def colour(name):
    """A recipe with augmentation in bfloat16 and a world of 16 images in bytes."""
    rng = np.random.default_rng(0)
    world = World(
        rng.integers(0, 256, (16, 8, 8, 3)).astype(np.uint8), rng.integers(0, 3, 16).astype(np.int32), np.arange(16)
    )
    recipe = Recipe(
        model=name, model_args=tuple(SMALL[name].items()), batch_size=8, epochs=1, dtype="bfloat16",
        augment=(("crop", (("padding", 1),)), ("flip", ())),
    )  # fmt: skip
    return recipe, models.build(recipe, InputSpec((8, 8, 3), 128.0, 64.0), 3), world


@pytest.mark.parametrize("name", [name for name in SMALL if name not in SMALL_NETS])
def test_the_training_program_of_colour_images_keeps_its_types(name):
    """Without compiling it: a loop whose carry changed its type in bfloat16 would not be traced."""
    recipe, model, world = colour(name)
    bound, rows = training.make_training(recipe, model), batching.subset(world.index)

    def both(key):
        state = bound.init(key)
        return state, bound.segment(key, state, world.x, world.y, rows, (0, 1))[0]

    before, after = jax.eval_shape(both, jax.random.key(0))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), before) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), after
    )


def test_members_train_on_colour_images():
    """Through the engine, from bytes; statistics move, members differ."""
    recipe, _, world = colour("airbench")
    recipe = dataclasses.replace(recipe, dtype="float32", augment=())  # half the time to compile
    model = models.build(recipe, InputSpec((8, 8, 3), 128.0, 64.0), 3)
    found = fit(model, recipe, world, 2)
    assert np.isfinite(found.loss).all()
    logits = predict(model, found.states, world.x)
    assert logits.shape == (2, 16, 3)
    assert np.abs(logits[0] - logits[1]).max() > 1e-3
    fresh = model.init(jax.random.key(0))[1]
    for now, before in zip(jax.tree.leaves(found.states.model_state), jax.tree.leaves(fresh), strict=True):
        assert not np.array_equal(now[0], before)
