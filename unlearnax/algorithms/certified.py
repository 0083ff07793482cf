"""Untraining with a proof, for convex losses: the promises as numbers are in `unlearnax.certificates`.

Each needs members trained under its rule.  Softmax regression, `mlp(widths=())`, is covered by the proofs; on networks
with hidden layers the same steps run and nothing is guaranteed.  An algorithm returns weights and no certificate:
whether its bound is within its budget is for the caller to compute.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from unlearnax import checks
from unlearnax.algorithms import _common, _curvature
from unlearnax.certificates import descent_noise
from unlearnax.recipes import Recipe
from unlearnax.solvers import conjugate_gradients
from unlearnax.training.full_batch import add_noise, descent_step, langevin_step, mean_loss
from unlearnax.training.full_batch import descent_to_delete as descent_rule
from unlearnax.training.full_batch import langevin as langevin_rule
from unlearnax.training.perturbed import objective_perturbation as perturbation_rule
from unlearnax.types import Algorithm, Info, Model, Request, Subset, TrainState, UnlearnFn


def rule_values(rule: Any, recipe: Recipe) -> dict[str, Any]:
    """The arguments of a training rule, with its defaults where the recipe gives none."""
    return dict(rule.__kwdefaults__) | dict(recipe.rule_args)


def retained_loss(model: Model, state: TrainState, request: Request, batch_size: int):
    """``params -> ((1/|R|) Σ_R ℓ_i, its gradient)``."""
    return mean_loss(model, state, request.x, request.y, request.retain, batch_size)


def descent_to_delete(model: Model, *, recipe: Recipe) -> UnlearnFn:
    """Descent-to-Delete: I steps θ ← θ − η ∇f_R(θ), η = 2/(M + m), from the weights without noise; then fresh N(0, σ² I).

    f_R(θ) = E_R ℓ + m/2 ‖θ‖²; I, M, m and σ are those of the training rule, σ with n = |R|, as the oracle's.  Each
    request brings the secret weights at least γ^I as near to the minimum over R as they were, γ = (M − m)/(M + m); see
    `certificates.descent_distance`.  They are kept for the next request: only what is published is promised to be
    indistinguishable from retraining.  The loss reported is E_R ℓ before the last step.

    Source: Neel et al., "Descent-to-Delete: gradient-based methods for machine unlearning", ALT 2021, arXiv 2007.02923,
    algorithm 2, without its projection.
    """
    given = rule_values(descent_rule, recipe)
    steps = given.pop("unlearning_steps")
    m, step_size = given["strong_convexity"], 2 / (given["smoothness"] + given["strong_convexity"])

    def unlearn(key, state, request):
        slope = retained_loss(model, state, request, recipe.batch_size)

        def step(_, carry):
            return descent_step(carry[0], slope, step_size, m)

        secret, loss = jax.lax.fori_loop(0, steps, step, (state.log, jnp.zeros(())))
        length = jnp.asarray(request.retain.length)
        published = add_noise(key, secret, descent_noise(length, steps=steps, **given))
        return state._replace(params=published, log=secret), Info(loss, steps * length.astype(jnp.float32))

    return unlearn


def langevin(model: Model, *, recipe: Recipe, steps: int = 1) -> UnlearnFn:
    """Langevin unlearning: K steps θ ← Π(θ − η ∇f_R(θ) + √(2ησ²) ξ), the training rule's own process on R.

    f_R(θ) = E_R ℓ + m/2 ‖θ‖²; η, m, σ and the ball of Π are the rule's.  `certificates.langevin_divergence` says how
    far the result can be from retraining.  The loss reported is E_R ℓ before the last step.

    Args:
        steps: K ≥ 1; the paper compares K = 1, 2 and 5 (released code).

    Raises:
        ValueError: no whole number of steps.

    Source: Chien et al., "Langevin unlearning: a new perspective of noisy gradient descent for machine unlearning",
    NeurIPS 2024, arXiv 2401.10371, algorithm 1.
    """
    checks.at_least_one("steps", steps)
    given = rule_values(langevin_rule, recipe)

    def unlearn(key, state, request):
        slope = retained_loss(model, state, request, recipe.batch_size)

        def step(i, carry):
            return langevin_step(jax.random.fold_in(key, i), carry[0], slope, **given)

        params, loss = jax.lax.fori_loop(0, steps, step, (state.params, jnp.zeros(())))
        length = jnp.asarray(request.retain.length, jnp.float32)
        return state._replace(params=params), Info(loss, steps * length)

    return unlearn


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
    "descent_to_delete": Algorithm(
        descent_to_delete,
        "untraining",
        _common.R,
        "Neel et al., ALT 2021, arXiv 2007.02923",
        words="statistically indistinguishable from the output that would have resulted from retraining",
        needs=frozenset({"rule descent_to_delete"}),
    ),
    "langevin": Algorithm(
        langevin,
        "untraining",
        _common.R,
        "Chien et al., NeurIPS 2024, arXiv 2401.10371",
        words="privacy is defined as statistical indistinguishability to retraining from scratch",
        needs=frozenset({"rule langevin"}),
    ),
    "certified_removal": Algorithm(
        certified_removal,
        "untraining",
        _common.BOTH,
        "Guo et al., ICML 2020, arXiv 1911.03030",
        words="cannot be distinguished from a model that never observed the data to begin with",
        needs=frozenset({"rule objective_perturbation"}),
    ),
}
