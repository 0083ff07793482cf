"""`Model.layers` names depth order, not alphabetical order."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from unlearnax.models import MODELS, from_functions, from_nnx
from unlearnax.types import InputSpec

IMAGES = InputSpec((8, 8, 1))
DEEP = {
    "mlp": ({"widths": (2,) * 12}, tuple(f"dense{i}" for i in range(12))),
    "cnn": ({"widths": (2,) * 12}, tuple(f"conv{i}" for i in range(12))),
    "mixer": ({"patch": 2, "width": 4, "depth": 12}, ("embed", *(f"block{i}" for i in range(12)), "norm")),
    "vit": ({"width": 4, "heads": 1, "depth": 12}, ("embed", *(f"block{i}" for i in range(12)), "norm")),
}
SMALL = {
    "mlp": {"widths": (2, 2, 2)},
    "cnn": {"widths": (2, 2, 2)},
    "mixer": {"patch": 2, "width": 4},
    "resnet9": {"width": 1},
    "resnet18": {"width": 1},
    "airbench": {"widths": (2, 2)},
    "vit": {"width": 4, "heads": 1, "depth": 2},
}
PLAIN = {"vit"}  # models that have no BatchNorm


def test_every_model_has_a_case():
    assert set(SMALL) == set(MODELS)


@pytest.mark.parametrize("name", DEEP)
def test_deep_models_count_past_nine(name):
    arguments, body = DEEP[name]
    model = MODELS[name](IMAGES, 3, **arguments)
    assert model.layers == (*body, "head")


@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name in MODELS for norm in (False, True)
                                            if not (norm and name in PLAIN)])  # fmt: skip
def test_layers_run_in_the_order_they_are_named(name, norm):
    """Linen makes parameters when a layer is first called, so the order of creation is the order of the forward pass."""
    arguments = SMALL[name] | ({} if name in PLAIN else {"batch_norm": norm})
    model = MODELS[name](IMAGES, 3, **arguments)
    called = []

    def intercept(run, args, kwargs, context):
        if context.method_name == "__call__" and len(context.module.path) == 1:
            called.append(context.module.name)
        return run(*args, **kwargs)

    with nn.intercept_methods(intercept):
        jax.eval_shape(lambda: model.init(jax.random.key(0)))
    assert tuple(dict.fromkeys(called)) == model.layers


class Backwards(nnx.Module):
    """Layers whose names sort against their depth."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.zeta = nnx.Linear(64, 4, rngs=rngs)
        self.mid = nnx.BatchNorm(4, rngs=rngs)
        self.alpha = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.alpha(self.mid(self.zeta(x.reshape(len(x), -1))))


def test_nnx_layers_keep_the_order_of_the_constructor():
    assert from_nnx("backwards", Backwards, IMAGES, 3).layers == ("zeta", "mid", "alpha")


def test_nnx_layers_can_be_named():
    order = ("mid", "alpha", "zeta")
    assert from_nnx("backwards", Backwards, IMAGES, 3, layers=order).layers == order
    with pytest.raises(ValueError, match="Expected layers="):
        from_nnx("backwards", Backwards, IMAGES, 3, layers=("zeta", "alpha"))


def test_function_layers_keep_the_order_of_init():
    def init(key):
        return {"z": jnp.zeros((64, 4)), "a": jnp.zeros((4, 3))}, {}

    def apply(params, state, x, *, train, key):
        return x.reshape(len(x), -1) @ params["z"] @ params["a"], state

    assert from_functions("two", init, apply, IMAGES, 3).layers == ("z", "a")
    with pytest.raises(ValueError, match=r"Expected layers=\('z',\)"):
        from_functions("two", init, apply, IMAGES, 3, layers=("z",))
