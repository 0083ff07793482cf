"""Amnesiac unlearning as first described: the updates of batches with a row of S are subtracted."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.recipes import Recipe
from unlearnax.training.plain import batch_step, mean_gradients, plain
from unlearnax.types import Algorithm, Info, Model, Subset, UnlearnFn


def amnesiac(
    model: Model,
    *,
    recipe: Recipe,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 0,
    batch_size: int = 64,
) -> UnlearnFn:
    """θ0 − Σ_{t: batch t has a row of S} Δ_t, Δ_t the update of training step t; then E_R ℓ by SGD, where asked for.

    The paper stores every Δ_t of batches with data that may have to go.  Here training is replayed from its key, step by
    step the same, and they are summed on the way: nothing is stored but a key and the rows, and a whole training is passed
    (and counted) instead.  Batch statistics stay as they are.

    Args:
        learning_rate, momentum, weight_decay, epochs, batch_size: of fine-tuning afterwards, 0 epochs leaves it out (the
            paper trains on to repair accuracy; these defaults unverified).

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Graves et al., "Amnesiac machine learning", AAAI 2021, arXiv 2010.10981, section "Amnesiac unlearning".
    """
    checks.at_least_zero("epochs", epochs)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs or 1,
        batch_size=batch_size,
    )  # fmt: skip
    training, one_step = plain(recipe, model), batch_step(recipe, mean_gradients(model, recipe.augment))
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        trained = jax.random.wrap_key_data(jnp.asarray(state.log["key"]))
        rows = Subset(jnp.asarray(state.log["index"]), jnp.asarray(state.log["length"]))
        valid = jnp.arange(len(request.forget.index)) < request.forget.length
        # Number of a row of S or none: rows are never negative.
        forgotten = jnp.where(valid, request.forget.index, -1)
        x, y = jnp.asarray(request.x), jnp.asarray(request.y)
        total = recipe.total_steps(rows.length)
        passes = recipe.epochs or -(-(recipe.steps or 0) // batching.steps_per_pass(rows, recipe.batch_size))

        def replayed(carry, step_key, number, taken):
            member, removed = carry
            after, _ = one_step(member, step_key, x, y, taken, rows, number / total)
            touched = jnp.isin(taken, forgotten).any()
            removed = jax.tree.map(
                lambda sum, new, old: sum + jnp.where(touched, new - old, 0), removed, after.params, member.params
            )
            return after, removed

        start = training.init(trained)
        _, removed = batching.run_passes(
            jax.random.fold_in(trained, 1), (start, jax.tree.map(jnp.zeros_like, start.params)), rows, replayed,
            batch_size=recipe.batch_size, passes=(jnp.zeros((), jnp.int32), jnp.asarray(passes)), max_steps=total,
        )  # fmt: skip
        state = state._replace(params=jax.tree.map(jnp.subtract, state.params, removed))

        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        state, info = _common.minimise(
            key, state, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs
        )
        return state, Info(info.loss, info.examples + total * recipe.batch_size)

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "amnesiac": Algorithm(
        amnesiac,
        "untraining",
        _common.BOTH,
        "Graves et al., AAAI 2021, arXiv 2010.10981",
        words="remove the learning done with the data: undo the parameter updates that it took part in",
        needs=frozenset({"rule amnesiac"}),
    ),
}
