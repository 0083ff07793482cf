"""Exact sums over a subset, and linear systems in curvature matrices that are only ever multiplied with.

Weights are one flat vector `[P]` here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.solvers import conjugate_gradients
from unlearnax.types import Array, Model, Request, Subset, TrainState

Sum = TypeVar("Sum")
# loss(flat weights [P], *chunk) -> scalar; mean(zero, value) averages value(*chunk) over all chunks
Loss = Callable[..., jax.Array]
Mean = Callable[[Any, Callable[..., Any]], Any]


def total(zero: Sum, rows: Subset, value: Callable[..., Sum], batch_size: int) -> Sum:
    """Σ value(rows `[B]`, weights `[B]`) over every row of a subset; a last incomplete batch is filled with weights 0."""
    order = jnp.asarray(rows.index)

    def add(i: jax.Array, sums: Sum) -> Sum:
        inside = i * batch_size + jnp.arange(batch_size) < rows.length
        chunk = value(batching.take_batch(order, rows, i, batch_size), inside.astype(jnp.float32))
        return jax.tree.map(jnp.add, sums, chunk)

    return jax.lax.fori_loop(0, (rows.length + batch_size - 1) // batch_size, add, zero)


def logits_of(model: Model, state: TrainState, request: Request, unravel: Callable) -> Callable[..., jax.Array]:
    """``(flat weights, rows [B]) -> logits [B, C]`` with the original's statistics."""

    def logits(flat: jax.Array, rows: Array) -> jax.Array:
        x, _ = _common.batch(request, rows)
        return model.apply(unravel(flat), state.model_state, x, train=False, key=None)[0]

    return logits


def summed_loss(model: Model, state: TrainState, request: Request, unravel: Callable) -> Loss:
    """``(flat weights, rows [B], weights [B]) -> Σ weight · ℓ`` with the original's statistics."""
    logits = logits_of(model, state, request, unravel)

    def loss(flat: jax.Array, rows: Array, weights: Array) -> jax.Array:
        each = optax.softmax_cross_entropy_with_integer_labels(logits(flat, rows), jnp.asarray(request.y)[rows])
        return (weights * each).sum()

    return loss


def check_solver(*, damping: Any, iterations: int, tolerance: Any, batch_size: int) -> None:
    """Raises ValueError where a hyperparameter of a damped system or of its solver is out of range."""
    checks.non_negative("damping", damping)
    checks.at_least_one("iterations", iterations)
    checks.in_range("tolerance", tolerance, 0, 1, open_high=True)
    checks.at_least_one("batch_size", batch_size)


def newton_direction(
    loss: Loss, flat: jax.Array, mean: Mean, *, weight_decay: Any, damping: Any, iterations: int, tolerance: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """d with (∇²L + damping I) d = −∇L at L(θ) = mean loss(θ) + weight_decay/2 ‖θ‖²; its L; the number of products."""
    slope = jax.value_and_grad(loss)
    value, gradient = mean((jnp.zeros(()), jnp.zeros_like(flat)), lambda *chunk: slope(flat, *chunk))

    def product(v: jax.Array) -> jax.Array:
        def chunk_product(*chunk):
            return jax.grad(lambda w: jnp.vdot(jax.grad(loss)(w, *chunk), v))(flat)

        return mean(jnp.zeros_like(flat), chunk_product) + (weight_decay + damping) * v

    direction, count = conjugate_gradients(
        product, -gradient - weight_decay * flat, iterations=iterations, tolerance=tolerance
    )
    return direction, value + weight_decay / 2 * jnp.square(flat).sum(), count
