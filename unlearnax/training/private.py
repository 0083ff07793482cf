"""Differentially private training: what no single example can have moved by much needs no untraining."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import checks
from unlearnax.recipes import Recipe
from unlearnax.training.plain import by_batches
from unlearnax.types import Model, Training


def dp_sgd(recipe: Recipe, model: Model, *, clip: float = 1.0, noise: float = 1.0) -> Training:
    """DP-SGD: the optimiser is given (Σ_i g_i min(1, C / ‖g_i‖) + σ C ξ) / B, g_i the gradient of one example.

    ξ ~ N(0, I) over all weights together, anew at every step.  Batches are those of the recipe, shuffled passes, where the
    analysis of privacy takes Poisson samples; no ε is computed here.  The recipe's weight decay reads no data and is added
    to the noisy gradient.

    Args:
        clip: C > 0, of the norm over all weights.  noise: σ ≥ 0 (both defaults unverified: the paper sets them by budget).

    Raises:
        ValueError: arguments out of range, a model with batch statistics, which have no gradient of one example.

    Source: Abadi et al., "Deep learning with differential privacy", CCS 2016, arXiv 1607.00133, algorithm 1.
    """
    checks.positive("clip", clip)
    checks.non_negative("noise", noise)
    check_stateless("dp_sgd", model)

    def loss_fn(params, x, y, key):
        logits, _ = model.apply(params, {}, x[None], train=True, key=key)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y[None]).mean()

    def gradients(state, key, x, y, taken, rows):
        key_noise, key_model = jax.random.split(key)
        keys = jax.random.split(key_model, len(taken))
        each = jax.vmap(jax.value_and_grad(loss_fn), (None, 0, 0, 0))
        losses, grads = each(state.params, x[taken], y[taken], keys)
        norms = jax.vmap(optax.tree.norm)(grads)
        factor = jnp.minimum(1.0, clip / jnp.maximum(norms, 1e-12))
        leaves, structure = jax.tree.flatten(jax.tree.map(lambda g: jnp.tensordot(factor, g, 1), grads))
        keys = jax.random.split(key_noise, len(leaves))
        noisy = [
            (leaf + noise * clip * jax.random.normal(k, leaf.shape)) / len(taken)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        return (losses.mean(), state.model_state), jax.tree.unflatten(structure, noisy)

    return by_batches(recipe, model, gradients)


def check_stateless(rule: str, model: Model) -> None:
    """Raises ValueError where a model carries batch statistics, which a rule has no use for."""
    if jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0))[1]):
        raise ValueError(f"Expected model={model.name!r} to have no batch statistics under rule {rule!r}.")
