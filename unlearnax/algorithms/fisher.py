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

    I_D and I_S are diagonal importances over D = S ∪ R and over S, of θ0 with train=False: means over the batches of
    one pass of squared batch-mean gradients (as released; they depend on the batch size), or of squared gradients of
    single examples.  A pass drops its last incomplete batch and repeats rows of a set smaller than a batch.

    Args:
        alpha: α > 0, selection.
        dampening: λ > 0.
        per_example: the importance of single examples.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Foster et al., "Fast machine unlearning without retraining through selective synaptic dampening", AAAI 2024,
    arXiv 2308.07707.
    """
    checks.positive("alpha", alpha)
    checks.positive("dampening", dampening)
    checks.at_least_one("batch_size", batch_size)

    def unlearn(key, state, request):
        gradient = jax.grad(_common.frozen_loss(model, state, request))

        def squared(rows):
            if per_example:
                each = jax.vmap(gradient, (None, 0))(state.params, rows[:, None])
                return jax.tree.map(lambda g: jnp.square(g).mean(0), each)
            return jax.tree.map(jnp.square, gradient(state.params, rows))

        def importance(key, rows):
            zero = jax.tree.map(jnp.zeros_like, state.params)
            total, batches = _common.sum_over_batches(key, zero, rows, squared, batch_size)
            return jax.tree.map(lambda leaf: leaf / batches, total), batches

        key_all, key_forget = jax.random.split(key)
        overall, batches_all = importance(key_all, batching.union(request.forget, request.retain))
        forgotten, batches_forget = importance(key_forget, request.forget)

        def dampen(theta, i_d, i_s):
            selected = i_s > alpha * i_d
            factor = jnp.minimum(dampening * i_d / jnp.where(selected, i_s, 1.0), 1.0)  # no 0/0 where nothing is done
            return jnp.where(selected, theta * factor, theta)

        params = jax.tree.map(dampen, state.params, overall, forgotten)
        examples = jnp.asarray((batches_all + batches_forget) * batch_size, jnp.float32)
        return state._replace(params=params), Info(jnp.zeros(()), examples)

    return unlearn
