"""The plain rule: batches of a world, an optimiser's step for each.  Other rules change the gradient or what is kept."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from unlearnax import batching
from unlearnax.augment import make_augment
from unlearnax.recipes import Args, Recipe
from unlearnax.training.tiles import tiles, value_and_gradients
from unlearnax.types import Array, Info, Key, Model, Subset, Training, TrainState

# gradients(state, key, x, y, taken, rows) -> ((loss, new model_state), gradients): one batch, the row numbers `taken` `[B]`
# of the subset `rows`
Gradients = Callable[..., tuple[tuple[jax.Array, PyTree], PyTree]]


def mean_gradients(model: Model, augment: Args = (), *, whole: bool = False) -> Gradients:
    """Gradients of the batch's mean cross-entropy in train mode, of augmented inputs where a recipe's `augment` says so.

    whole: the batch is never passed in tiles, for a model whose examples depend on their place in it.
    """
    augmented = make_augment(augment)
    cross_entropy = optax.softmax_cross_entropy_with_integer_labels

    def loss_fn(params, model_state, x, y, mixed, key):
        logits, model_state = model.apply(params, model_state, x, train=True, key=key)
        loss = cross_entropy(logits, y)
        if mixed is not None:
            partner, weight = mixed
            loss = weight * loss + (1 - weight) * cross_entropy(logits, partner)
        return loss.mean(), model_state

    def gradients(state, key, x, y, taken, rows):
        x, y, mixed = x[taken], y[taken], None
        if augment:
            key, key_augment = jax.random.split(key)
            x, mix = augmented(key_augment, x)
            if mix is not None:
                mixed = y[mix[0]], jnp.broadcast_to(mix[1], y.shape)
        count = 1 if whole else tiles(model, state.params, state.model_state, x)
        return value_and_gradients(loss_fn, count, state.params, state.model_state, (x, y, mixed), key)

    return gradients


def keep_state(key: Key, state: TrainState, rows: Subset) -> TrainState:
    """Drops the optimiser's state, which nothing after training may depend on."""
    return state._replace(opt_state=())


def batch_step(recipe: Recipe, gradients: Gradients) -> Callable[..., tuple[TrainState, jax.Array]]:
    """``(state, key, x, y, taken, rows, progress) -> (state, loss)``: one step at `progress` t/T of the schedule."""
    optimizer = recipe.gradient_transform()

    def step(state, key, x, y, taken, rows, progress):
        (loss, model_state), grads = gradients(state, key, x, y, taken, rows)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        rate = recipe.learning_rate_at(progress)
        params = optax.apply_updates(state.params, jax.tree.map(lambda u: rate * u, updates))
        return TrainState(params, model_state, opt_state, state.step + 1, state.log), loss

    return step


def by_batches(
    recipe: Recipe, model: Model, gradients: Gradients, log: Callable[[Key], PyTree] = lambda key: ()
) -> Training:
    """Training by passes of shuffled batches, an optimiser's step each on these gradients.

    log: ``key -> tree``, what `TrainState.log` holds from the start.
    """
    optimizer, one_step = recipe.gradient_transform(), batch_step(recipe, gradients)

    def init(key: Key) -> TrainState:
        params, model_state = model.init(jax.random.fold_in(key, 0))
        return TrainState(params, model_state, optimizer.init(params), jnp.zeros((), jnp.int32), log(key))

    def segment(
        key: Key, state: TrainState, x: Array, y: Array, rows: Subset, passes: tuple[Array, Array]
    ) -> tuple[TrainState, Info]:
        total = recipe.total_steps(rows.length)
        x, y = jnp.asarray(x), jnp.asarray(y)

        def step(carry, key, number, taken):
            state, loss_sum = carry
            state, loss = one_step(state, key, x, y, taken, rows, number / total)
            return state, loss_sum + loss

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

    return Training(init, segment, keep_state)


def plain(recipe: Recipe, model: Model) -> Training:
    """The recipe's optimiser on the mean cross-entropy of shuffled batches."""
    return by_batches(recipe, model, mean_gradients(model, recipe.augment))
