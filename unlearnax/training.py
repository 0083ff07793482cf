"""One training run as pure functions: init, any number of segments, finish."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching
from unlearnax.recipes import Recipe
from unlearnax.types import Array, Info, Key, Model, Subset, TrainFn, TrainState, World


class Training(NamedTuple):
    """A recipe bound to a model.

    init: ``key -> TrainState``.
    segment: ``(key, state, x, y, rows, passes) -> (TrainState, Info)`` runs the half-open range of `passes` over the
        subset `rows`; the ranges may be cut anywhere without changing the result.
    """

    init: Callable[[Key], TrainState]
    segment: Callable[..., tuple[TrainState, Info]]


@functools.cache
def make_training(recipe: Recipe, model: Model) -> Training:
    """Binds `recipe` to `model`; cached, so that the same pair is never traced twice."""
    optimizer = recipe.gradient_transform()

    def init(key: Key) -> TrainState:
        params, model_state = model.init(jax.random.fold_in(key, 0))
        return TrainState(params, model_state, optimizer.init(params), jnp.zeros((), jnp.int32))

    def loss_fn(params, model_state, x, y, key):
        logits, model_state = model.apply(params, model_state, x, train=True, key=key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), model_state

    def segment(
        key: Key, state: TrainState, x: Array, y: Array, rows: Subset, passes: tuple[Array, Array]
    ) -> tuple[TrainState, Info]:
        total = recipe.total_steps(rows.length)
        x, y = jnp.asarray(x), jnp.asarray(y)

        def step(carry, key, number, taken):
            state, loss_sum = carry
            (loss, model_state), grads = jax.value_and_grad(loss_fn, has_aux=True)(
                state.params, state.model_state, x[taken], y[taken], key
            )
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            rate = recipe.learning_rate_at(number / total)
            params = optax.apply_updates(state.params, jax.tree.map(lambda u: rate * u, updates))
            return TrainState(params, model_state, opt_state, state.step + 1), loss_sum + loss

        before = state.step
        state, loss_sum = batching.run_passes(
            jax.random.fold_in(key, 1),
            (state, jnp.zeros(())),
            rows,
            step,
            batch_size=recipe.batch_size,
            passes=passes,
            max_steps=total,
        )
        taken = state.step - before
        return state, Info(loss_sum / jnp.maximum(taken, 1), taken * recipe.batch_size)

    return Training(init, segment)


def finish(state: TrainState) -> TrainState:
    """Drops the optimiser's state, which nothing after training may depend on."""
    return state._replace(opt_state=())


def make_train(recipe: Recipe, model: Model) -> TrainFn:
    """The whole run as one pure function ``(key, world) -> (TrainState, Info)``; the caller decides jit, vmap, devices."""
    training = make_training(recipe, model)

    def train(key: Key, world: World) -> tuple[TrainState, Info]:
        index = jnp.asarray(world.index, jnp.int32)
        # The barrier keeps the length from being folded into the program, so that the bits are the engine's.
        rows = jax.lax.optimization_barrier(Subset(index, jnp.asarray(len(index), jnp.int32)))
        passes = (0, recipe.num_passes(len(world.index)))
        state, info = training.segment(key, training.init(key), world.x, world.y, rows, passes)
        return finish(state), info

    return train
