"""Training on a randomly tilted objective, so that what a removal step leaves over is hidden by the tilt."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree
from optax.tree import norm as norm_of
from optax.tree import vdot

from unlearnax import checks
from unlearnax.recipes import Recipe
from unlearnax.solvers import conjugate_gradients
from unlearnax.training.full_batch import add_up, by_steps, gaussian_like, mean_loss
from unlearnax.types import Array, Model, Subset, Training, TrainState

HALVINGS = 20  # of a Newton step, before the weights are left as they are


def objective_perturbation(
    recipe: Recipe,
    model: Model,
    *,
    strong_convexity: float = 1e-2,
    noise: float = 10.0,
    solver_iterations: int = 200,
    solver_tolerance: float = 1e-6,
) -> Training:
    """Newton steps on f_b(θ) = (1/n) Σ ℓ_i(θ) + m/2 ‖θ‖² + bᵀθ/n, b ~ N(0, σ² I) drawn from the member's key.

    b stands in `TrainState.log`; it must stay as secret as S.  Each pass is one step −(G + m I)⁻¹ ∇f_b by conjugate
    gradients, G the Gauss-Newton matrix, which for softmax regression is the Hessian.  The step is halved until the
    gradient gets shorter or f_b lower, so that at convergence nothing moves any more: 20 epochs are plenty where ℓ is
    convex, and `Info.examples` counts the rows of gradients only, not of products with G.  The released code uses
    L-BFGS; only the minimum matters.

    What is left of ∇f_b counts against the budget of removals (`certificates.removal_bound`).  Of the recipe the model,
    `epochs` and `batch_size` (rows summed at a time) are read; networks with hidden layers train, without a guarantee.

    Args:
        strong_convexity: m > 0, the decay, in the mean as in the released code (its default is 1e-6; this one is ours).
        noise: σ ≥ 0, of b next to a *sum* over examples; 10 in the released code.
        solver_iterations, solver_tolerance: most products for each step; relative residual to stop at.  Ours.

    Raises:
        ValueError: arguments out of range, a recipe with `steps`, a model with batch statistics.

    Source: Guo et al., "Certified data removal from machine learning models", ICML 2020, arXiv 1911.03030, algorithm 1;
    released code github.com/facebookresearch/certified-removal, test_removal.py.
    """
    checks.positive("strong_convexity", strong_convexity)
    checks.non_negative("noise", noise)
    checks.at_least_one("solver_iterations", solver_iterations)
    checks.in_range("solver_tolerance", solver_tolerance, 0, 1, open_high=True)

    def log(key, params):
        return jax.tree.map(lambda xi: noise * xi, gaussian_like(jax.random.fold_in(key, 2), params))

    def update(key, state, x, y, rows):
        slope = mean_loss(model, state, x, y, rows, recipe.batch_size)
        matrix = gauss_newton(model, state, x, rows, recipe.batch_size)
        tilt = jax.tree.map(lambda b: b / rows.length, state.log)

        def objective(params):
            """f_b, its gradient, the gradient's norm, the mean ℓ."""
            loss, gradient = slope(params)
            value = loss + strong_convexity / 2 * vdot(params, params) + vdot(tilt, params)
            gradient = jax.tree.map(lambda g, p, b: g + strong_convexity * p + b, gradient, params, tilt)
            return value, gradient, norm_of(gradient), loss

        value, gradient, norm, loss = objective(state.params)
        flat, unravel = ravel_pytree(gradient)

        def product(v):
            return ravel_pytree(matrix(unravel(v)))[0] + strong_convexity * v

        found, _ = conjugate_gradients(product, flat, iterations=solver_iterations, tolerance=solver_tolerance)
        step = unravel(found)
        slant = vdot(step, gradient)

        def shorter(carry):
            share, _, _, count = carry
            share = jnp.where(count == 0, share, share / 2)
            params = jax.tree.map(lambda p, s: p - share * s, state.params, step)
            at, _, length, _ = objective(params)
            # By values alone no step would pass once f_b changes by less than its rounding.
            better = (length <= (1 - share / 4) * norm) | (at <= value - 1e-4 * share * slant)
            return share, params, better, count + 1

        start = (jnp.ones(()), state.params, jnp.zeros((), bool), jnp.zeros((), jnp.int32))
        _, params, better, _ = jax.lax.while_loop(lambda c: ~c[2] & (c[3] <= HALVINGS), shorter, start)
        return jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.params), loss

    return by_steps("objective_perturbation", recipe, model, update, log)


def gauss_newton(model: Model, state: TrainState, x: Array, rows: Subset, batch_size: int):
    """``v -> (1/n) Σ J_iᵀ (diag p_i − p_i p_iᵀ) J_i v`` at the state's weights, trees like its params."""
    x = jnp.asarray(x)

    def product(v: PyTree) -> PyTree:
        def chunk(taken, inside):
            def logits(params):
                return model.apply(params, state.model_state, x[taken], train=False, key=None)[0]

            outputs, back = jax.vjp(logits, state.params)
            # J v as the transpose of u ↦ Jᵀ u: convolutions have no forward mode here.
            moved = jax.vjp(lambda u: back(u)[0], jnp.zeros_like(outputs))[1](v)[0]
            p = jax.nn.softmax(outputs)
            curved = p * (moved - (p * moved).sum(-1, keepdims=True))
            return back(jnp.where(inside[:, None], curved, 0.0))[0]

        sums = add_up(jax.tree.map(jnp.zeros_like, v), rows, chunk, batch_size)
        return jax.tree.map(lambda leaf: leaf / rows.length, sums)

    return product
