"""A batch in tiles: on a CPU, layers of a few examples stay in a core's cache where those of the whole batch do not.

The gradient of a mean over the batch is the mean of its tiles' gradients, so that tiles change the last bits only.  A model
that draws random numbers in training draws others for each tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from unlearnax.types import Key, Model

# Bytes that the largest layer of a tile may have, about a core's second-level cache; the fewest examples of a tile; the most
# that the gradients of all tiles may amount to, as a share of the layers.
CACHE, FEWEST, GRADIENT_SHARE = 2**20, 8, 0.25

# loss(params, model_state, *batch, key) -> (mean loss of the batch, new model_state); arrays of a batch are `[B, ...]`
Loss = Callable[..., tuple[jax.Array, PyTree]]


def mean_loss(model: Model, params: PyTree, model_state: PyTree, x: jax.Array, y: jax.Array) -> jax.Array:
    """Mean cross-entropy of a batch in train mode."""
    logits, _ = model.apply(params, model_state, x, train=True, key=jax.random.key(0))
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def step_shapes(model: Model, shape: tuple[int, ...], dtype: np.dtype, batch: int) -> tuple[PyTree, ...]:
    """Parameters, model state, inputs and labels of a batch, as shapes.  shape, dtype: of one raw input."""
    x = jax.ShapeDtypeStruct((batch, *shape), dtype)
    return *jax.eval_shape(model.init, jax.random.key(0)), x, jax.ShapeDtypeStruct((batch,), np.int32)


@functools.cache
def left_bytes(model: Model, shape: tuple[int, ...], dtype: np.dtype, batch: int = 64) -> list[float]:
    """Bytes of one example in every array that the forward pass leaves for its backward pass, before arrays are merged.

    Traced only, nothing is compiled: at `batch` and at half of it.  What does not grow with it (parameters) counts as 0.

    shape, dtype: of one raw input.

    Raises:
        ValueError: other arrays for another batch.
    """

    def left(batch: int) -> list[int]:
        params, *rest = step_shapes(model, shape, dtype, batch)
        found = jax.eval_shape(lambda p, *r: jax.vjp(lambda p: mean_loss(model, p, *r), p)[1], params, *rest)
        return [leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(found)]

    some = batch // 2
    return [(more - less) / (batch - some) for less, more in zip(left(some), left(batch), strict=True)]


def tiles(model: Model, params: PyTree, model_state: PyTree, x: jax.Array) -> int:
    """How many equal parts to pass a batch `x` `[B, ...]` in: as few as fit into the cache; 1 on other devices than CPUs.

    Batch statistics are those of the whole batch: a model that has state is passed whole.  So is one whose gradients are
    large beside its layers, as adding them up would move more than tiles save, and one that not every batch suits.
    """
    batch, weight = len(x), sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    if jax.default_backend() != "cpu" or jax.tree.leaves(model_state) or batch < 2 * FEWEST or not weight:
        return 1
    try:  # a model of somebody's own may take batches of some sizes only
        left = left_bytes(model, x.shape[1:], x.dtype, batch)
        most = min(batch / FEWEST, GRADIENT_SHARE * batch * sum(left) / weight)
        counts = [count for count in range(1, int(most) + 1) if batch % count == 0] or [1]
        count = next((count for count in counts if max(left) * batch / count <= CACHE), counts[-1])
        if count > 1:
            left_bytes(model, x.shape[1:], x.dtype, batch // count)
    except (TypeError, ValueError):
        return 1
    return count


def value_and_gradients(
    loss: Loss, count: int, params: PyTree, model_state: PyTree, batch: PyTree, key: Key
) -> tuple[tuple[jax.Array, PyTree], PyTree]:
    """((mean loss, new model_state), gradients) of a batch passed in `count` parts, each with a key of its own.

    More parts than one are for models without state.
    """
    gradient = jax.value_and_grad(loss, has_aux=True)
    if count == 1:
        return gradient(params, model_state, *batch, key)
    parts = jax.tree.map(lambda a: a.reshape(count, -1, *a.shape[1:]), batch)

    def add(total: PyTree, part: PyTree) -> tuple[PyTree, None]:
        batch, number = part
        (value, _), grads = gradient(params, model_state, *batch, jax.random.fold_in(key, number))
        return jax.tree.map(jnp.add, total, (value, grads)), None

    start = jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)
    total, _ = jax.lax.scan(add, start, (parts, jnp.arange(count)))
    value, grads = jax.tree.map(lambda a: a / count, total)
    return (value, model_state), grads
