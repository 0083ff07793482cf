"""Any architecture as a `Model`: Linen modules, init/apply pairs, NNX modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

from unlearnax.types import Array, InputSpec, Key, Model


def normalise(x: Array, inputs: InputSpec) -> jax.Array:
    """Raw inputs `[B, ...]` to float32 ``(x − mean) / std``."""
    return (jnp.asarray(x).astype(jnp.float32) - inputs.mean) / inputs.std


def _checked(model: Model, inputs: InputSpec, num_classes: int) -> Model:
    """The model, once it is seen (without computing) to map a batch of inputs to logits."""
    x = jax.ShapeDtypeStruct((2, *inputs.shape), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def once(key, x):
        params, state = model.init(key)
        return model.apply(params, state, x, train=False, key=None)[0]

    shape = jax.eval_shape(once, key, x).shape
    if shape != (2, num_classes):
        raise ValueError(f"Expected model {model.name!r} to give logits of shape (2, {num_classes}), got {shape}.")
    return model


def from_linen(name: str, module: nn.Module, inputs: InputSpec, num_classes: int, layers: tuple[str, ...]) -> Model:
    """A Linen module called as ``module(x, train, features=False)`` on normalised inputs.

    layers: the top-level names of its parameters, first to last.  With ``features=True`` it returns the input of its
    last layer.  Dropout draws from the "dropout" stream.

    Raises:
        ValueError: logits of another shape, or `layers` that are not exactly the parameters' top-level names.
    """
    example = jnp.zeros((1, *inputs.shape), jnp.float32)

    def init(key: Key) -> tuple[Any, Any]:
        variables = dict(module.init({"params": key}, example, False))
        params = variables.pop("params")
        return params, variables

    def apply(params, model_state, x, *, train: bool, key: Key | None):
        x = normalise(x, inputs)
        variables = {"params": params, **model_state}
        rngs = {"dropout": key} if train and key is not None else {}
        if not (train and model_state):
            return jnp.asarray(module.apply(variables, x, train, rngs=rngs), jnp.float32), model_state
        logits, changed = module.apply(variables, x, train, rngs=rngs, mutable=list(model_state))
        return jnp.asarray(logits, jnp.float32), dict(changed)

    def features(params, model_state, x):
        return jnp.asarray(module.apply({"params": params, **model_state}, normalise(x, inputs), False, features=True))

    found = set(jax.eval_shape(lambda: init(jax.random.key(0)))[0])
    if found != set(layers):
        raise ValueError(f"Expected layers={layers} to be the parameters' names {sorted(found)}.")
    return _checked(Model(name, init, apply, features, layers), inputs, num_classes)


def from_functions(
    name: str,
    init: Callable[[Key], tuple[Any, Any]],
    apply: Callable[..., tuple[Array, Any]],
    inputs: InputSpec,
    num_classes: int,
    *,
    features: Callable[[Any, Any, Array], Array] | None = None,
    layers: tuple[str, ...] = (),
) -> Model:
    """Any pair of pure functions with the signatures of `types.Model`, on normalised inputs.

    features: without it, the logits stand in as features.

    Raises:
        ValueError: logits of a shape other than `[B, num_classes]`.
    """

    def apply_raw(params, model_state, x, *, train: bool, key: Key | None):
        logits, model_state = apply(params, model_state, normalise(x, inputs), train=train, key=key)
        return jnp.asarray(logits, jnp.float32), model_state

    def features_raw(params, model_state, x):
        if features is None:
            return apply_raw(params, model_state, x, train=False, key=None)[0]
        return jnp.asarray(features(params, model_state, normalise(x, inputs)))

    return _checked(Model(name, init, apply_raw, features_raw, layers), inputs, num_classes)


def from_nnx(name: str, make: Callable[[nnx.Rngs], nnx.Module], inputs: InputSpec, num_classes: int) -> Model:
    """An NNX module: parameters are its `nnx.Param`s, everything else (batch statistics) is model state.

    make: builds the module from `nnx.Rngs`; the module maps normalised inputs to logits.  Random streams inside the
    module (dropout) are part of its state.

    Raises:
        ValueError: logits of a shape other than `[B, num_classes]`.
    """
    graph, *_ = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)

    def init(key: Key) -> tuple[Any, Any]:
        _, params, rest = nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)

    def merged(params: Any, model_state: Any, train: bool) -> nnx.Module:
        _, wanted_params, wanted_rest = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)
        nnx.replace_by_pure_dict(wanted_params, params)
        nnx.replace_by_pure_dict(wanted_rest, model_state)
        module = nnx.merge(graph, wanted_params, wanted_rest)
        module.train() if train else module.eval()
        return module

    def apply(params, model_state, x, *, train: bool, key: Key | None):
        module = merged(params, model_state, train)
        logits = module(normalise(x, inputs))  # type: ignore[operator]
        if train:
            _, _, rest = nnx.split(module, nnx.Param, ...)
            model_state = nnx.to_pure_dict(rest)
        return jnp.asarray(logits, jnp.float32), model_state

    def features(params, model_state, x):
        return apply(params, model_state, x, train=False, key=None)[0]

    layers = tuple(jax.eval_shape(lambda: init(jax.random.key(0)))[0])
    return _checked(Model(name, init, apply, features, layers), inputs, num_classes)
