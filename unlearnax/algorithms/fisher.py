"""Editing weights by their importance for the forget set."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Info, Model, UnlearnFn


def ssd(
    model: Model,
    *,
    alpha: float = 10.0,
    dampening: float = 1.0,
    batch_size: int = 64,
    per_example: bool = False,
) -> UnlearnFn:
    """Selective synaptic dampening: where I_S > α I_D, θ ← θ · min(λ I_D / I_S, 1); no training.

    I_D and I_S are diagonal importances over D = S ∪ R and over S: means over batches of squared batch-mean gradients
    (as released; they depend on the batch size), or of squared single-example gradients.

    Args:
        alpha: α > 0, selection.  dampening: λ > 0.
        per_example: the true per-example importance.

    Source: Foster et al., "Fast machine unlearning without retraining through selective synaptic dampening", AAAI 2024,
    arXiv 2308.07707, eq. 5 and 6.
    """
    checks.positive("alpha", alpha)
    checks.positive("dampening", dampening)
    checks.at_least_one("batch_size", batch_size)

    def unlearn(key, state, request):
        def loss(params, rows):
            logits, _ = model.apply(params, state.model_state, request.x[rows], train=False, key=None)
            return _common.cross_entropy(logits, request.y[rows])

        def square(rows):
            if per_example:
                each = jax.vmap(jax.grad(loss), (None, 0))(state.params, rows[:, None])
                return jax.tree.map(lambda g: jnp.square(g).mean(0), each)
            return jax.tree.map(jnp.square, jax.grad(loss)(state.params, rows))

        def importance(key, subset):
            zero = jax.tree.map(jnp.zeros_like, state.params)
            total = batching.run_passes(
                key, zero, subset, lambda total, key, step, rows: jax.tree.map(jnp.add, total, square(rows)),
                batch_size=batch_size, passes=1,
            )  # fmt: skip
            return jax.tree.map(lambda leaf: leaf / batching.steps_per_pass(subset, batch_size), total)

        key_all, key_forget = jax.random.split(key)
        everything = batching.union(request.forget, request.retain)
        overall, forgotten = importance(key_all, everything), importance(key_forget, request.forget)

        def dampen(theta, i_d, i_s):
            factor = jnp.minimum(dampening * i_d / jnp.where(i_s > 0, i_s, 1.0), 1.0)
            return jnp.where(i_s > alpha * i_d, theta * factor, theta)

        params = jax.tree.map(dampen, state.params, overall, forgotten)
        steps = sum(batching.steps_per_pass(subset, batch_size) for subset in (everything, request.forget))
        return state._replace(params=params), Info(jnp.zeros(()), (steps * batch_size).astype(jnp.float32))

    return unlearn
