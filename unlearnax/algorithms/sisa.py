"""SISA's unlearning: the shards that saw S are trained again without it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax.algorithms import _common
from unlearnax.recipes import Recipe
from unlearnax.training.sharded import Shard, places, sharded
from unlearnax.types import Algorithm, Info, Model, UnlearnFn


def sisa(model: Model, *, recipe: Recipe) -> UnlearnFn:
    """Retrains each shard that holds rows of S on its rows of R, from the checkpoint before the first slice with one.

    Exact: rows keep their shards and slices whatever is left out, shards without rows of S never saw any, and the others
    are trained as the rule trains them, with new randomness.  A shard that is left alone passes no examples.  Of S it
    needs the row numbers only.

    Source: Bourtoule et al., "Machine unlearning", S&P 2021, arXiv 1912.03817, section 4.
    """
    given = {"shards": 4, "slices": 1} | dict(recipe.rule_args)
    shards, slices = given["shards"], given["slices"]
    bound = sharded(recipe, model, shards=shards, slices=slices)

    def unlearn(key, state, request):
        forget = request.forget
        where, when = places(state.log["places"], forget, shards, slices)
        valid = jnp.arange(len(forget.index)) < forget.length

        def one(number_key_shard):
            number, key, old = number_key_shard
            key_fresh, key_passes = jax.random.split(key)
            mine = valid & (where == number)
            first = jnp.where(mine, when, slices).min()  # the number of slices where none is touched
            new = bound.fresh(key_fresh)
            if slices > 1:
                kept = jax.tree.map(lambda a: a[jnp.clip(first.astype(jnp.int32) - 1, 0, slices - 2)], old.checkpoints)
                params, model_state = jax.tree.map(
                    lambda a, b: jnp.where(first == 0, a, b), (new.params, new.model_state), kept
                )
                new = new._replace(params=params, model_state=model_state, checkpoints=old.checkpoints)
            begin = jax.tree.map(lambda a, b: jnp.where(mine.any(), a, b), new, old)
            passes = (first.astype(jnp.int32) * bound.stage_passes, slices * bound.stage_passes)
            x, y = jnp.asarray(request.x), jnp.asarray(request.y)
            return bound.run(key_passes, begin, number, state.log["places"], x, y, request.retain, passes)

        # A finished member has no optimiser's state; every stage begins with a new one.
        empty = jax.vmap(recipe.gradient_transform().init)(state.params)
        old = Shard(state.params, state.model_state, empty, state.log["checkpoints"])
        found, losses, steps = jax.lax.map(one, (jnp.arange(shards), jax.random.split(key, shards), old))
        taken = steps.sum(dtype=jnp.int32)
        log = state.log | {"checkpoints": found.checkpoints}
        done = state._replace(params=found.params, model_state=found.model_state, step=state.step + taken, log=log)
        return done, Info(losses.sum() / jnp.maximum(taken, 1), (taken * recipe.batch_size).astype(jnp.float32))

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "sisa": Algorithm(
        sisa,
        "untraining",
        _common.R,
        "Bourtoule et al., S&P 2021, arXiv 1912.03817",
        words="exact by design: the model is one that was trained without the point",
        needs=frozenset({"rule sisa"}),
    ),
}
