"""Untraining with a proof, for convex losses: noisy gradient steps on R."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.algorithms._certified import retained_loss, rule_values
from unlearnax.recipes import Recipe
from unlearnax.training.langevin import langevin as langevin_rule
from unlearnax.training.langevin import langevin_step
from unlearnax.types import Algorithm, Info, Model, UnlearnFn


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


ALGORITHMS: dict[str, Algorithm] = {
    "langevin": Algorithm(
        langevin,
        "untraining",
        _common.R,
        "Chien et al., NeurIPS 2024, arXiv 2401.10371",
        words="privacy is defined as statistical indistinguishability to retraining from scratch",
        needs=frozenset({"rule langevin"}),
    ),
}
