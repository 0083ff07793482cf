"""SISA: an ensemble of shards that share no row, each trained slice by slice, so that a row can be taken back exactly."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax.recipes import Recipe
from unlearnax.training.sharded import Shard, sharded
from unlearnax.types import Array, Info, Key, Model, Subset, Training, TrainState


def sisa(recipe: Recipe, model: Model, *, shards: int = 4, slices: int = 1) -> Training:
    """SISA: rows fall into shards by chance, each shard trains a model of its own, predictions are averaged.

    Within a shard, stage r of E / slices passes sees slices 0 … r; before each stage but the first the weights are kept and
    the optimiser starts anew.  (The paper gives stages 2 E / (slices + 1) epochs in all, so that as many examples are
    passed as without slices; here the recipe's passes are shared out, which is fewer examples.)  The rate follows the
    schedule over all E passes.  A shard without rows keeps its first weights; one smaller than a batch repeats them in it.

    Args:
        shards, slices: at least 1 (defaults ours; the paper varies both).

    Raises:
        ValueError: arguments out of range, a recipe that counts steps, epochs that are no multiple of the slices.

    Source: Bourtoule et al., "Machine unlearning", S&P 2021, arXiv 1912.03817, section 4.
    """
    bound = sharded(recipe, model, shards=shards, slices=slices)

    def init(key: Key) -> TrainState:
        found = jax.vmap(bound.fresh)(jax.random.split(jax.random.fold_in(key, 0), shards))
        log = {"places": jax.random.key_data(jax.random.fold_in(key, 2)), "checkpoints": found.checkpoints}
        return TrainState(found.params, found.model_state, found.opt_state, jnp.zeros((), jnp.int32), log)

    def segment(
        key: Key, state: TrainState, x: Array, y: Array, rows: Subset, passes: tuple[Array, Array]
    ) -> tuple[TrainState, Info]:
        x, y = jnp.asarray(x), jnp.asarray(y)

        def one(given):
            number, key, shard = given
            return bound.run(key, shard, number, state.log["places"], x, y, rows, passes)

        keys = jax.random.split(jax.random.fold_in(key, 1), shards)
        before = Shard(state.params, state.model_state, state.opt_state, state.log["checkpoints"])
        found, losses, steps = jax.lax.map(one, (jnp.arange(shards), keys, before))
        log = state.log | {"checkpoints": found.checkpoints}
        taken = steps.sum(dtype=jnp.int32)
        after = TrainState(found.params, found.model_state, found.opt_state, state.step + taken, log)
        return after, Info(losses.sum() / jnp.maximum(taken, 1), taken * recipe.batch_size)

    return Training(init, segment, lambda key, state, rows: state._replace(opt_state=()))
