"""Full gradient descent with noise at every step, in a ball: see `training.full_batch`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from unlearnax import checks
from unlearnax.recipes import Recipe
from unlearnax.training.full_batch import add_noise, by_steps, descent_step, mean_loss
from unlearnax.types import Key, Model, Training


def project(params: PyTree, radius: Any) -> PyTree:
    """The nearest weights with ‖θ‖ ≤ radius."""
    factor = jnp.minimum(1.0, radius / jnp.maximum(optax.tree.norm(params), 1e-30))
    return jax.tree.map(lambda p: factor * p, params)


def langevin(
    recipe: Recipe,
    model: Model,
    *,
    step_size: float,
    strong_convexity: float = 1e-2,
    noise: float = 0.03,
    radius: float = 100.0,
) -> Training:
    """Projected noisy gradient descent θ ← Π(θ − η ∇f(θ) + √(2ησ²) ξ), ξ ~ N(0, I), Π onto ‖θ‖ ≤ radius.

    Learning and unlearning are the same process, on D and then on R: each has its own stationary law, and after K steps
    on R the divergence to retraining is at most `certificates.langevin_divergence`.  It begins at the model's own
    initial weights.  The released code also clips the gradient of each example to L, which is not needed where
    every ‖∇ℓ_i‖ ≤ L.

    Args:
        step_size: η in (0, 1/M]; the released code has 1/M.
        strong_convexity: m ≥ 0, the decay; ours (released code: 1e-6 n, 1.2e-2 on its MNIST).
        noise: σ ≥ 0; 0.03 in the released code's commands.  radius: of the ball, > 0 (default unverified).

    Raises:
        ValueError: arguments out of range, a recipe with `steps`, a model with batch statistics.

    Source: Chien et al., "Langevin unlearning: a new perspective of noisy gradient descent for machine unlearning",
    NeurIPS 2024, arXiv 2401.10371, algorithm 1; released code github.com/Graph-COM/Langevin_unlearning.
    """
    checks.positive("step_size", step_size)
    checks.non_negative("strong_convexity", strong_convexity)
    checks.non_negative("noise", noise)
    checks.positive("radius", radius)

    def update(key, state, x, y, rows):
        slope = mean_loss(model, state, x, y, rows, recipe.batch_size)
        return langevin_step(key, state.params, slope, step_size, strong_convexity, noise, radius)

    return by_steps("langevin", recipe, model, update)


def langevin_step(
    key: Key,
    params: PyTree,
    slope: Callable[[PyTree], tuple[jax.Array, PyTree]],
    step_size: float,
    strong_convexity: float,
    noise: float,
    radius: float,
) -> tuple[PyTree, jax.Array]:
    """Π(θ − η ∇f(θ) + √(2ησ²) ξ), and the mean ℓ at θ."""
    moved, loss = descent_step(params, slope, step_size, strong_convexity)
    return project(add_noise(key, moved, (2 * step_size) ** 0.5 * noise), radius), loss
