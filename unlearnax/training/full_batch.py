"""What rules that take all rows at every step share.

One pass is one step on f(θ) = (1/n) Σ ℓ_i(θ) + m/2 ‖θ‖² in evaluation mode.  Of a recipe they read the model, `epochs`
(the number of steps) and `batch_size` (how many rows are summed at a time, which moves rounding only); the optimiser,
learning rate and weight decay are the rule's own.  What is proven of them holds for convex ℓ, so for softmax
regression, `mlp(widths=())`; networks with hidden layers train and unlearn by the same steps without any guarantee.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from unlearnax import batching
from unlearnax.recipes import Recipe
from unlearnax.training.plain import keep_state
from unlearnax.training.private import check_stateless
from unlearnax.types import Array, Info, Key, Model, Subset, Training, TrainState

Sum = TypeVar("Sum")

# update(key, state, x, y, rows) -> (params, mean ℓ before it)
Update = Callable[..., tuple[PyTree, jax.Array]]


def add_up(zero: Sum, rows: Subset, chunk: Callable[..., Sum], batch_size: int) -> Sum:
    """Σ chunk(rows `[B]`, inside `[B]` bool) over a subset; where `inside` is false a row stands there again."""
    order = jnp.asarray(rows.index)

    def add(i: jax.Array, sums: Sum) -> Sum:
        inside = i * batch_size + jnp.arange(batch_size) < rows.length
        value = chunk(batching.take_batch(order, rows, i, batch_size), inside)
        return jax.tree.map(jnp.add, sums, value)

    return jax.lax.fori_loop(0, (rows.length + batch_size - 1) // batch_size, add, zero)


def mean_loss(
    model: Model, state: TrainState, x: Array, y: Array, rows: Subset, batch_size: int
) -> Callable[[PyTree], tuple[jax.Array, PyTree]]:
    """``params -> ((1/n) Σ ℓ_i, its gradient)`` over every row of a subset, in evaluation mode."""
    x, y = jnp.asarray(x), jnp.asarray(y)

    def loss(params: PyTree, taken: jax.Array, inside: jax.Array) -> jax.Array:
        logits, _ = model.apply(params, state.model_state, x[taken], train=False, key=None)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, y[taken])
        return jnp.where(inside, each, 0.0).sum()

    def value_and_gradient(params: PyTree) -> tuple[jax.Array, PyTree]:
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
        sums = add_up(zero, rows, lambda *chunk: jax.value_and_grad(loss)(params, *chunk), batch_size)
        return jax.tree.map(lambda leaf: leaf / rows.length, sums)

    return value_and_gradient


def descent_step(
    params: PyTree, slope: Callable[[PyTree], tuple[jax.Array, PyTree]], step_size: Any, strong_convexity: Any
) -> tuple[PyTree, jax.Array]:
    """θ − η ∇f(θ), and the mean ℓ at θ."""
    loss, gradient = slope(params)
    return jax.tree.map(lambda p, g: p - step_size * (g + strong_convexity * p), params, gradient), loss


def gaussian_like(key: Key, tree: PyTree) -> PyTree:
    """ξ ~ N(0, I) of a tree's shapes."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(structure, [jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)])


def add_noise(key: Key, params: PyTree, scale: Any) -> PyTree:
    """θ + scale · ξ with ξ ~ N(0, I)."""
    return jax.tree.map(lambda p, xi: p + scale * xi, params, gaussian_like(key, params))


def by_steps(
    rule: str, recipe: Recipe, model: Model, update: Update, log: Callable[[Key, PyTree], PyTree] = lambda key, p: ()
) -> Training:
    """Training by full-batch steps; step number i has the key ``fold_in(fold_in(key, 1), i)``.

    log: ``(key, initial params) -> tree``, what `TrainState.log` holds from the start.

    Raises:
        ValueError: a recipe that counts steps instead of epochs, a model with batch statistics.
    """
    if recipe.epochs is None:
        raise ValueError(
            f"Expected steps={recipe.steps} to be None and epochs to be set under rule {rule!r}: one epoch is one step."
        )
    check_stateless(rule, model)

    def init(key: Key) -> TrainState:
        params, model_state = model.init(jax.random.fold_in(key, 0))
        return TrainState(params, model_state, (), jnp.zeros((), jnp.int32), log(key, params))

    def segment(
        key: Key, state: TrainState, x: Array, y: Array, rows: Subset, passes: tuple[Array, Array]
    ) -> tuple[TrainState, Info]:
        key_steps = jax.random.fold_in(key, 1)

        def step(number: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
            state, loss_sum = carry
            params, loss = update(jax.random.fold_in(key_steps, number), state, x, y, rows)
            return state._replace(params=params, step=state.step + 1), loss_sum + loss

        before = state.step
        state, loss_sum = jax.lax.fori_loop(*passes, step, (state, jnp.zeros(())))
        taken = state.step - before
        return state, Info(loss_sum / jnp.maximum(taken, 1), taken * rows.length)

    return Training(init, segment, keep_state)
