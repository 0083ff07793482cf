"""Untraining with a proof, for convex losses: one Newton step, what it leaves over hidden by the training rule's noise.

The algorithm returns weights and no certificate: whether its bound is within its budget is for the caller to compute.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from unlearnax.algorithms import _common, _curvature
from unlearnax.algorithms._certified import rule_values
from unlearnax.recipes import Recipe
from unlearnax.solvers import conjugate_gradients
from unlearnax.training.perturbed import objective_perturbation as perturbation_rule
from unlearnax.types import Algorithm, Info, Model, Subset, UnlearnFn


def removal_step(
    loss: _curvature.Loss,
    flat: jax.Array,
    forget: Subset,
    retain: Subset,
    *,
    strong_convexity: Any,
    iterations: int,
    tolerance: Any,
    batch_size: int,
) -> tuple[jax.Array, jax.Array]:
    """H⁻¹Δ for one loss(flat weights `[P]`, rows `[B]`, weights `[B]`), and the number of products with H.

    H = Σ_R ∇²ℓ + m |R| I and Δ = Σ_S ∇ℓ + m |S| θ; both are divided by |R|, for the sake of rounding.
    """

    def product(v: jax.Array) -> jax.Array:
        def chunk_product(*chunk):
            return jax.grad(lambda w: jnp.vdot(jax.grad(loss)(w, *chunk), v))(flat)

        return _curvature.total(jnp.zeros_like(flat), retain, chunk_product, batch_size) / retain.length + (
            strong_convexity * v
        )

    removed = _curvature.total(jnp.zeros_like(flat), forget, lambda *chunk: jax.grad(loss)(flat, *chunk), batch_size)
    delta = (removed + strong_convexity * forget.length * flat) / retain.length
    return conjugate_gradients(product, delta, iterations=iterations, tolerance=tolerance)


def certified_removal(
    model: Model, *, recipe: Recipe, iterations: int = 200, tolerance: float = 1e-6, batch_size: int = 64
) -> UnlearnFn:
    """Certified removal: θ ← θ + H⁻¹Δ, Δ = Σ_S ∇ℓ(θ) + m |S| θ, H the Hessian over R of Σ ℓ + (m |R|/2) ‖θ‖² + bᵀθ.

    All of S is removed in one step.  Δ is minus the gradient over R of that objective at its minimum over D, whatever
    b, which cancels.  The step is exact where ℓ is quadratic; otherwise a gradient over R remains, whose norm
    `certificates.removal_bound` bounds and the training rule's b ~ N(0, σ² I) hides up to
    `certificates.removal_budget`.  Above that budget the paper retrains; here the step is made all the same, without a
    certificate.

    Args:
        iterations, tolerance: most products with H; relative residual to stop at, in [0, 1).  Ours.
        batch_size: rows summed at a time.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Guo et al., "Certified data removal from machine learning models", ICML 2020, arXiv 1911.03030, algorithm 2
    and its step for batches; conjugate gradients in the place of an inverse.
    """
    _curvature.check_solver(damping=0.0, iterations=iterations, tolerance=tolerance, batch_size=batch_size)
    m = rule_values(perturbation_rule, recipe)["strong_convexity"]

    def unlearn(key, state, request):
        flat, unravel = ravel_pytree(state.params)
        step, products = removal_step(
            _curvature.summed_loss(model, state, request, unravel), flat, request.forget, request.retain,
            strong_convexity=m, iterations=iterations, tolerance=tolerance, batch_size=batch_size,
        )  # fmt: skip
        examples = request.forget.length + products.astype(jnp.float32) * request.retain.length
        return state._replace(params=unravel(flat + step)), Info(jnp.zeros(()), examples)

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "certified_removal": Algorithm(
        certified_removal,
        "untraining",
        _common.BOTH,
        "Guo et al., ICML 2020, arXiv 1911.03030",
        words="cannot be distinguished from a model that never observed the data to begin with",
        needs=frozenset({"rule objective_perturbation"}),
    ),
}
