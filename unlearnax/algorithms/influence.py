"""Where the weights would be without S, to second order: influence and Newton steps, matrices never formed."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from unlearnax import batching, checks
from unlearnax.algorithms import _common, _curvature
from unlearnax.solvers import conjugate_gradients
from unlearnax.types import Algorithm, Info, Model, UnlearnFn


def influence(
    model: Model,
    *,
    scale: float = 1.0,
    damping: float = 1e-3,
    curvature: str = "retain",
    iterations: int = 50,
    tolerance: float = 1e-5,
    batch_size: int = 64,
) -> UnlearnFn:
    """Influence: θ ← θ0 + α (G + λ I)⁻¹ v, v = (1/n) Σ_S ∇ℓ(θ0), by conjugate gradients.

    G = (1/n) Σ_i J_iᵀ (diag p_i − p_i p_iᵀ) J_i is the Gauss-Newton matrix (the Fisher matrix) of R or of D = S ∪ R, J the
    Jacobian of the logits, n = |D|.  At a minimum of the loss over D, with α = 1, λ = 0 and G of R, this is a whole
    Gauss-Newton step to the minimum over R; G of D is the classical influence function, its first order in |S|/n.

    Every row counts once, no batch is dropped; each product with G is one pass.  θ0 keeps its batch statistics.  The
    widely copied "WoodFisher" code for unlearning is another thing: its product is v plus a multiple of one gradient.

    Args:
        scale: α > 0.
        damping: λ ≥ 0, ours; what a decay of the weights in training adds to the matrix belongs here too.
        curvature: rows of G, "retain" or "all".
        iterations, tolerance: most products; relative residual to stop at, in [0, 1).  Ours.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Koh and Liang, "Understanding black-box predictions via influence functions", ICML 2017, arXiv 1703.04730,
    section 2.1; the damped Gauss-Newton matrix in place of the Hessian as in Bae et al., "If influence functions are the
    answer, then what is the question?", NeurIPS 2022, arXiv 2209.05364.
    """
    checks.positive("scale", scale)
    checks.one_of("curvature", curvature, ("retain", "all"))
    _curvature.check_solver(damping=damping, iterations=iterations, tolerance=tolerance, batch_size=batch_size)

    def unlearn(key, state, request):
        flat, unravel = ravel_pytree(state.params)
        everything = batching.union(request.forget, request.retain)
        rows = everything if curvature == "all" else request.retain
        logits = _curvature.logits_of(model, state, request, unravel)
        slope = jax.grad(_curvature.summed_loss(model, state, request, unravel))

        def total(rows, value):
            return _curvature.total(jnp.zeros_like(flat), rows, value, batch_size) / everything.length

        def product(v):
            def chunk_product(rows, weights):
                outputs, back = jax.vjp(lambda w: logits(w, rows), flat)
                # J v as the transpose of u ↦ Jᵀ u: convolutions have no forward mode here.
                moved = jax.vjp(lambda u: back(u)[0], jnp.zeros_like(outputs))[1](v)[0]
                p = jax.nn.softmax(outputs)
                return back(weights[:, None] * p * (moved - (p * moved).sum(-1, keepdims=True)))[0]

            return total(rows, chunk_product) + damping * v

        v = total(request.forget, lambda rows, weights: slope(flat, rows, weights))
        step, products = conjugate_gradients(product, v, iterations=iterations, tolerance=tolerance)
        examples = request.forget.length + products.astype(jnp.float32) * rows.length
        return state._replace(params=unravel(flat + scale * step)), Info(jnp.zeros(()), examples)

    return unlearn


def newton(
    model: Model,
    *,
    damping: float = 1e-3,
    weight_decay: float = 0.0,
    steps: int = 1,
    iterations: int = 50,
    tolerance: float = 1e-5,
    batch_size: int = 64,
) -> UnlearnFn:
    """Newton: repeats θ ← θ − (∇²L_R(θ) + λ I)⁻¹ ∇L_R(θ), L_R(θ) = E_R ℓ(θ) + w/2 ‖θ‖², by conjugate gradients.

    The Hessian is exact, by Hessian-vector products over passes of all of R; where it is not positive definite, the solver
    stops at the first direction of negative curvature.  One undamped step is exact where L_R is quadratic; repeated ones
    approach the minimum over R where it is convex.  θ0 keeps its batch statistics.  The loss reported is L_R before the last
    step.

    Args:
        damping: λ ≥ 0, ours.
        weight_decay: w ≥ 0, the decay that the original was trained with.
        steps: Newton steps; the removal mechanism makes one.
        iterations, tolerance: most products a step; relative residual to stop at, in [0, 1).  Ours.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Guo et al., "Certified data removal from machine learning models", ICML 2020, arXiv 1911.03030, the
    removal step for a batch (without its noise and budget); Golatkar et al., CVPR 2020, arXiv 1911.04933.
    """
    checks.non_negative("weight_decay", weight_decay)
    checks.at_least_one("steps", steps)
    _curvature.check_solver(damping=damping, iterations=iterations, tolerance=tolerance, batch_size=batch_size)

    def unlearn(key, state, request):
        flat, unravel = ravel_pytree(state.params)
        loss = _curvature.summed_loss(model, state, request, unravel)
        length = request.retain.length

        def mean(zero, value):
            sums = _curvature.total(zero, request.retain, value, batch_size)
            return jax.tree.map(lambda leaf: leaf / length, sums)

        direction = functools.partial(
            _curvature.newton_direction, loss, mean=mean, weight_decay=weight_decay, damping=damping,
            iterations=iterations, tolerance=tolerance,
        )  # fmt: skip

        def step(_, carry):
            weights, _, passes = carry
            move, value, products = direction(weights)
            return weights + move, value, passes + products + 1

        start = (flat, jnp.zeros(()), jnp.zeros((), jnp.int32))
        flat, value, passes = jax.lax.fori_loop(0, steps, step, start)
        return state._replace(params=unravel(flat)), Info(value, passes.astype(jnp.float32) * length)

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "influence": Algorithm(
        influence,
        "untraining",
        _common.BOTH,
        "Koh and Liang, ICML 2017, arXiv 1703.04730; Bae et al., NeurIPS 2022",
        words="how would the model's predictions change if we did not have this training point?",
        ranges={"scale": (0.1, 30.0), "damping": (1e-5, 1.0)},
    ),
    "newton": Algorithm(
        newton,
        "untraining",
        _common.R,
        "Guo et al., ICML 2020, arXiv 1911.03030",
        words="cannot be distinguished from a model that never observed the data to begin with",
        ranges={"damping": (1e-4, 10.0), "weight_decay": (1e-6, 1e-2)},
    ),
}
