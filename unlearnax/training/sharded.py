"""The pieces of SISA that its rule and its algorithm share: the ensemble, which row is where, one shard's training."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from unlearnax import batching, checks
from unlearnax.recipes import Recipe
from unlearnax.training.plain import batch_step, mean_gradients
from unlearnax.types import Array, Key, Model, Subset, TrainState


def ensemble(model: Model, *, shards: int = 4, slices: int = 1) -> Model:
    """The shards' mean softmax as one model: params and batch statistics have a leading axis `[shards]`.

    Logits are the log of the mean probability; features are those of all shards side by side, `[B, shards · H]`.

    Raises:
        ValueError: shards or slices below 1.
    """
    checks.at_least_one("shards", shards)
    checks.at_least_one("slices", slices)

    def init(key: Key) -> tuple[PyTree, PyTree]:
        return jax.vmap(model.init)(jax.random.split(key, shards))

    def apply(params, model_state, x, *, train: bool, key: Key | None):
        keys = None if key is None else jax.random.split(key, shards)
        one = lambda params, state, key: model.apply(params, state, x, train=train, key=key)  # noqa: E731
        logits, model_state = jax.vmap(one, (0, 0, None if keys is None else 0))(params, model_state, keys)
        return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - np.log(shards), model_state

    def features(params, model_state, x):
        each = jax.vmap(lambda params, state: model.features(params, state, x))(params, model_state)
        return jnp.moveaxis(each, 0, 1).reshape(len(x), -1)

    return Model(f"{model.name} × {shards}", init, apply, features, model.layers, inner=model)


class Shard(NamedTuple):
    """One shard on its way: checkpoints `[slices − 1, ...]` of its params and batch statistics, one for each stage past.

    With one slice there is nothing to keep: checkpoints are ().
    """

    params: PyTree
    model_state: PyTree
    opt_state: PyTree
    checkpoints: PyTree


def places(key_data: Array, rows: Subset, shards: int, slices: int) -> tuple[jax.Array, jax.Array]:
    """Shard and slice of each row of a subset `[capacity]`, by its number and a key alone: no world changes them."""
    key = jax.random.wrap_key_data(jnp.asarray(key_data))
    bits = jax.vmap(lambda row: jax.random.bits(jax.random.fold_in(key, row)))(jnp.asarray(rows.index))
    return bits % shards, bits // shards % slices


class Sharded(NamedTuple):
    """SISA's training bound to a recipe: what the rule and its algorithm share.

    fresh: ``key -> Shard``.  run: ``(key, shard, number, log, x, y, rows, passes) -> (Shard, loss sum, steps)``.
    stage_passes: passes that every slice's stage takes.
    """

    fresh: Any
    run: Any
    stage_passes: int


def sharded(recipe: Recipe, model: Model, *, shards: int, slices: int) -> Sharded:
    """One shard's training, `model` being the ensemble."""
    if recipe.epochs is None or recipe.epochs % slices:
        raise ValueError(
            f"Expected epochs={recipe.epochs} to be set, and a multiple of slices={slices}, under rule 'sisa'."
        )
    inner, epochs = model.inner, recipe.epochs
    assert inner is not None, "rule 'sisa' trains what `ensemble` builds"
    optimizer, one_step = recipe.gradient_transform(), batch_step(recipe, mean_gradients(inner, recipe.augment))
    stage_passes = epochs // slices

    def fresh(key: Key) -> Shard:
        params, model_state = inner.init(key)

        def room(leaf: jax.Array) -> jax.Array:
            return jnp.zeros((slices - 1, *leaf.shape), leaf.dtype)

        kept = (
            jax.tree.map(room, (params, model_state)) if slices > 1 else ()
        )  # no array of no elements: none can be saved
        return Shard(params, model_state, optimizer.init(params), kept)

    def begin_stage(stage: jax.Array, shard: Shard) -> Shard:
        """Keeps what the stage before reached; the optimiser starts anew, so that a checkpoint is all there is to it."""
        kept = jax.tree.map(
            lambda all, now: all.at[stage - 1].set(now), shard.checkpoints, (shard.params, shard.model_state)
        )
        return shard._replace(checkpoints=kept, opt_state=optimizer.init(shard.params))

    def run(key, shard: Shard, number, log, x, y, rows: Subset, passes):
        where, when = places(log, rows, shards, slices)
        inside = (jnp.arange(len(rows.index)) < rows.length) & (where == number)

        def one_pass(position, carry):
            stage = position // stage_passes
            if slices > 1:
                starts = (position % stage_passes == 0) & (stage > 0)
                shard = jax.lax.cond(starts, lambda s: begin_stage(stage, s), lambda s: s, carry[0])
                carry = (shard, *carry[1:])
            mine = inside & (when <= stage)
            own = Subset(jnp.asarray(rows.index)[jnp.argsort(~mine, stable=True)], mine.sum(dtype=jnp.int32))
            steps = epochs * batching.steps_per_pass(own, recipe.batch_size)

            def step(carry, key, count, taken):
                shard, loss_sum, done = carry
                state = TrainState(shard.params, shard.model_state, shard.opt_state, done)
                state, loss = one_step(state, key, x, y, taken, own, count / steps)
                shard = Shard(state.params, state.model_state, state.opt_state, shard.checkpoints)
                return shard, loss_sum + loss, done + 1

            until = jnp.where(own.length > 0, position + 1, position)  # an empty shard stays as it is
            return batching.run_passes(key, carry, own, step, batch_size=recipe.batch_size, passes=(position, until))

        start = (shard, jnp.zeros(()), jnp.zeros((), jnp.int32))
        return jax.lax.fori_loop(passes[0], passes[1], one_pass, start)

    return Sharded(fresh, run, stage_passes)
