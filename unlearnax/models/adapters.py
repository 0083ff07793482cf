"""Any architecture as a `Model`: Linen modules, init/apply pairs, NNX modules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from unlearnax import checks
from unlearnax.types import Array, InputSpec, Key, Model


def normalise(x: Array, inputs: InputSpec) -> jax.Array:
    """Raw inputs `[B, ...]` to float32 ``(x − mean) / std``."""
    return (jnp.asarray(x).astype(jnp.float32) - inputs.mean) / inputs.std


def _check_request(inputs: InputSpec, num_classes: int) -> None:
    checks.positive("inputs.std", inputs.std)
    checks.at_least_one("num_classes", num_classes)


def _pair(name: str, function: str, value: Any, expected: str) -> tuple[Any, Any]:
    if not (isinstance(value, tuple) and len(value) == 2):
        raise ValueError(f"Expected {function} of model {name!r} to return {expected}, got {type(value).__name__}.")
    return value


def _checked(model: Model, inputs: InputSpec, num_classes: int) -> Model:
    """The model, once it is seen (without computing) to map a batch of inputs to logits and its state to its like."""
    x = jax.ShapeDtypeStruct((2, *inputs.shape), jnp.float32)
    params, state = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    for train in (False, True):
        once = functools.partial(model.apply, train=train)
        logits, after = jax.eval_shape(lambda *a, once=once: once(*a, key=jax.random.key(0)), params, state, x)
        if logits.shape != (2, num_classes):
            raise ValueError(
                f"Expected model {model.name!r} to give logits of shape (2, {num_classes}), got {logits.shape}."
            )
        # A training loop carries the state, so a change of its form would fail there, far from its cause.
        if jax.tree.map(_form, after) != jax.tree.map(_form, state):
            raise ValueError(
                f"Expected model {model.name!r} with train={train} to return a state of the form it was given, "
                f"{jax.tree.map(_form, state)}, got {jax.tree.map(_form, after)}."
            )
    found = set(params) if isinstance(params, Mapping) else set()
    if found != set(model.layers):
        raise ValueError(f"Expected layers={model.layers} to be the parameters' names {sorted(found)}.")
    return model


def _form(leaf: Any) -> tuple[tuple[int, ...], str]:
    return leaf.shape, str(leaf.dtype)


def _names(init: Callable[[Key], tuple[Any, Any]]) -> tuple[str, ...]:
    """Top-level names of the parameters in the order that `init` made them: `eval_shape` would return them sorted."""
    names: list[str] = []

    def record(key: Key) -> None:
        params, _ = init(key)
        names.extend(params if isinstance(params, Mapping) else ())

    jax.eval_shape(lambda: record(jax.random.key(0)))
    return tuple(names)


def from_linen(name: str, module: nn.Module, inputs: InputSpec, num_classes: int, layers: tuple[str, ...]) -> Model:
    """A Linen module called as ``module(x, train, features=False)`` on normalised inputs.

    layers: the top-level names of its parameters, first to last.  With ``features=True`` it returns the input of its
    last layer.  Dropout draws from the "dropout" stream.  Every layer that is a module can be asked for what it puts out
    (`Model.hidden`; of one that is called repeatedly, the last call).

    Raises:
        ValueError: logits of another shape, a state that changes its form, `layers` that are not exactly the parameters'
            top-level names, a standard deviation or number of classes that is not positive.
    """
    _check_request(inputs, num_classes)
    # NumPy: a JAX array made while another function is traced would leak that trace into a cached model.
    example = np.zeros((1, *inputs.shape), np.float32)

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

    def hidden(params, model_state, x, layer: str):
        _, seen = module.apply(
            {"params": params, **model_state}, normalise(x, inputs), False, mutable=["intermediates"],
            capture_intermediates=lambda each, method: each.path == (layer,) and method == "__call__",
        )  # fmt: skip
        if "intermediates" not in seen:
            raise ValueError(f"Expected layer={layer!r} of model {name!r} to be a module that is called.")
        outputs = seen["intermediates"][layer]["__call__"]  # one for each call of a layer that is used repeatedly
        return jnp.asarray(outputs[-1], jnp.float32)

    return _checked(Model(name, init, apply, features, layers, hidden=hidden), inputs, num_classes)


def from_functions(
    name: str,
    init: Callable[[Key], tuple[Any, Any]],
    apply: Callable[..., tuple[Array, Any]],
    inputs: InputSpec,
    num_classes: int,
    *,
    features: Callable[[Any, Any, Array], Array] | None = None,
    hidden: Callable[[Any, Any, Array, str], Array] | None = None,
    layers: tuple[str, ...] | None = None,
) -> Model:
    """Any pair of pure functions with the signatures of `types.Model`, on normalised inputs.

    Without state an example's logits may not depend on the rest of its batch, which may be passed in parts.

    features: without it, the logits stand in as features.  hidden: what the layer of a name puts out, as in `types.Model`;
    without it, no layer can be asked.  layers: the top-level names of the parameters, first to last; without it, the order
    in which `init` put them into its dict.  With ``train=False`` the state stays as it was, whatever `apply` returns.

    Raises:
        ValueError: `init` or `apply` that return no pair; otherwise as `from_linen`.
    """
    _check_request(inputs, num_classes)

    def init_pair(key: Key) -> tuple[Any, Any]:
        return _pair(name, "init", init(key), "(params, model_state)")

    def apply_raw(params, model_state, x, *, train: bool, key: Key | None):
        result = apply(params, model_state, normalise(x, inputs), train=train, key=key)
        logits, after = _pair(name, "apply", result, "(logits, model_state)")
        return jnp.asarray(logits, jnp.float32), after if train else model_state

    def features_raw(params, model_state, x):
        if features is None:
            return apply_raw(params, model_state, x, train=False, key=None)[0]
        return jnp.asarray(features(params, model_state, normalise(x, inputs)))

    def hidden_raw(params, model_state, x, layer: str):
        return jnp.asarray(hidden(params, model_state, normalise(x, inputs), layer), jnp.float32)  # type: ignore[misc]

    layers = _names(init_pair) if layers is None else layers
    model = Model(name, init_pair, apply_raw, features_raw, layers, hidden=None if hidden is None else hidden_raw)
    return _checked(model, inputs, num_classes)


def from_nnx(
    name: str,
    make: Callable[[nnx.Rngs], nnx.Module],
    inputs: InputSpec,
    num_classes: int,
    *,
    features: Callable[[Any, Array], Array] | None = None,
    hidden: Callable[[Any, Array, str], Array] | None = None,
    layers: tuple[str, ...] | None = None,
) -> Model:
    """An NNX module: parameters are its `nnx.Param`s, everything else (batch statistics) is model state.

    make: builds the module from `nnx.Rngs`; the module maps normalised inputs to logits.  Random streams inside the module
    (dropout) start anew from `key` at every call and are no part of the state.
    features: ``(module, normalised x) -> [B, H]``, the module in evaluation mode; without it, the logits stand in.
    hidden: ``(module, normalised x, layer) -> [B, ...]``, likewise; without it, no layer can be asked.
    layers: the module's parameter-holding attributes, first to last; without it, the order in which they were set.

    Raises:
        ValueError: as `from_linen`.
    """
    _check_request(inputs, num_classes)

    def parts(module: nnx.Module) -> Any:
        """Graph, parameters, random streams, everything else."""
        return nnx.split(module, nnx.Param, nnx.RngState, ...)

    def init(key: Key) -> tuple[Any, Any]:
        module = make(nnx.Rngs(key))
        _, params, _, rest = parts(module)
        params = nnx.to_pure_dict(params)
        # NNX sorts its state by name; the module's attributes keep the order in which its constructor set them.
        return {k: params[k] for k in vars(module) if k in params}, nnx.to_pure_dict(rest)

    def merged(params: Any, model_state: Any, train: bool, key: Key | None) -> nnx.Module:
        # The fresh module gives structure and random streams; under jit the unused draws of its parameters are removed.
        graph, fresh, streams, rest = parts(make(nnx.Rngs(jax.random.key(0) if key is None else key)))
        if train and key is None and jax.tree.leaves(streams):
            raise ValueError(
                f"Expected key=None of model {name!r} to be a PRNG key: its random streams need one to train."
            )
        nnx.replace_by_pure_dict(fresh, params)
        nnx.replace_by_pure_dict(rest, model_state)
        module = nnx.merge(graph, fresh, streams, rest)
        module.train() if train else module.eval()
        return module

    def apply(params, model_state, x, *, train: bool, key: Key | None):
        module = merged(params, model_state, train, key)
        logits = module(normalise(x, inputs))  # type: ignore[operator]
        if train:
            model_state = nnx.to_pure_dict(parts(module)[3])
        return jnp.asarray(logits, jnp.float32), model_state

    def features_raw(params, model_state, x):
        if features is None:
            return apply(params, model_state, x, train=False, key=None)[0]
        return jnp.asarray(features(merged(params, model_state, False, None), normalise(x, inputs)))

    def hidden_raw(params, model_state, x, layer: str):
        module = merged(params, model_state, False, None)
        return jnp.asarray(hidden(module, normalise(x, inputs), layer), jnp.float32)  # type: ignore[misc]

    layers = _names(init) if layers is None else layers
    model = Model(name, init, apply, features_raw, layers, hidden=None if hidden is None else hidden_raw)
    return _checked(model, inputs, num_classes)
