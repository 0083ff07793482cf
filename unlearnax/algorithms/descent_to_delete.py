"""Untraining with a proof, for convex losses: gradient steps on R, then noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax.algorithms import _common
from unlearnax.algorithms._certified import retained_loss, rule_values
from unlearnax.certificates import descent_noise
from unlearnax.recipes import Recipe
from unlearnax.training.descent_to_delete import descent_to_delete as descent_rule
from unlearnax.training.full_batch import add_noise, descent_step
from unlearnax.types import Algorithm, Info, Model, UnlearnFn


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


ALGORITHMS: dict[str, Algorithm] = {
    "descent_to_delete": Algorithm(
        descent_to_delete,
        "untraining",
        _common.R,
        "Neel et al., ALT 2021, arXiv 2007.02923",
        words="statistically indistinguishable from the output that would have resulted from retraining",
        needs=frozenset({"rule descent_to_delete"}),
    ),
}
