"""Pieces that the entries of the NeurIPS 2023 unlearning competition share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from unlearnax.types import Array, Key, Model, Request, TrainState

COMPETITION = "place {} of the NeurIPS 2023 unlearning competition; Triantafillou et al., 2024, arXiv 2406.09073"
LIKE_RETRAINED = "indistinguishable from a model retrained from scratch without the forget set"


def shapes(model: Model) -> PyTree:
    """Parameters as shapes: nothing is computed."""
    return jax.eval_shape(lambda: model.init(jax.random.key(0))[0])


def check_layers(model: Model) -> None:
    """Raises ValueError where a model's layers have no names."""
    if not model.layers:
        raise ValueError(f"Expected model={model.name!r} to have named layers, it has none.")


def reset(key: Key, model: Model, params: PyTree, names: tuple[str, ...]) -> PyTree:
    """Params with freshly initialised values in the layers of these names."""
    fresh, _ = model.init(key)
    return jax.tree_util.tree_map_with_path(lambda path, old, new: new if path[0].key in names else old, params, fresh)


def key_tree(key: Key, tree: PyTree) -> PyTree:
    """A key for each leaf."""
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, list(jax.random.split(key, len(leaves))))


def smallest(values: Array, fraction: Any) -> jax.Array:
    """Mask like `values`: whether each is among this share of the smallest, the number of them rounded."""
    flat = jnp.ravel(values)
    chosen = jnp.arange(flat.size) < jnp.round(fraction * flat.size)
    return jnp.zeros(flat.size, bool).at[jnp.argsort(flat, stable=True)].set(chosen).reshape(jnp.shape(values))


def class_counts(model: Model, state: TrainState, request: Request) -> jax.Array:
    """Rows of R in each class, `[C]`."""
    x = jax.ShapeDtypeStruct((1, *request.x.shape[1:]), request.x.dtype)
    logits = jax.eval_shape(
        lambda state, x: model.apply(state.params, state.model_state, x, train=False, key=None)[0], state, x
    )
    rows = request.retain
    valid = jnp.arange(len(rows.index)) < rows.length
    return jnp.zeros(logits.shape[-1]).at[jnp.asarray(request.y)[rows.index]].add(valid.astype(jnp.float32))


def cosine(total: Any) -> Callable[[Array], jax.Array]:
    """1 at 0, falling to 0 at `total`."""
    return lambda count: (1 + jnp.cos(jnp.pi * count / total)) / 2


def scheduled_sgd(
    learning_rate: Any, momentum: Any, weight_decay: Any, factor: Callable[[Array], Any], steps: Any
) -> optax.GradientTransformation:
    """SGD at learning rate η · factor(number of the current stretch of `steps` steps, from 0)."""
    decay = optax.add_decayed_weights(weight_decay)
    schedule = optax.scale_by_schedule(lambda count: -learning_rate * factor(count // steps))
    return optax.chain(decay, optax.trace(decay=momentum), schedule)


def check_convolutions(model: Model, *, square: bool = False) -> None:
    """Raises ValueError where a model has no convolutions, or kernels that cannot be transposed."""
    found = [leaf.shape for leaf in jax.tree.leaves(shapes(model)) if leaf.ndim == 4]
    if not found:
        raise ValueError(f"Expected model={model.name!r} to have convolutions (parameters of rank 4), it has none.")
    if square and (oblong := [shape for shape in found if shape[0] != shape[1]]):
        raise ValueError(f"Expected model={model.name!r} to have square convolution kernels, it has {oblong[0]}.")
