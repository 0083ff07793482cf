"""Full gradient descent, of which a copy under noise is published: see `training.full_batch`."""

from __future__ import annotations

import jax

from unlearnax import checks
from unlearnax.certificates import descent_noise
from unlearnax.recipes import Recipe
from unlearnax.training.full_batch import add_noise, by_steps, descent_step, mean_loss
from unlearnax.types import Model, Training


def descent_to_delete(
    recipe: Recipe,
    model: Model,
    *,
    lipschitz: float,
    smoothness: float,
    strong_convexity: float = 1e-2,
    unlearning_steps: int = 10,
    epsilon: float = 1.0,
    delta: float = 1e-5,
    deletions: int = 1,
) -> Training:
    """Gradient descent θ ← θ − η ∇f(θ), η = 2/(M + m); what is published is θ + N(0, σ² I), σ = `certificates.descent_noise`.

    This is the paper's basic algorithm for strongly convex losses with its weaker promise: what is *published* after I
    steps on R is (ε, δ)-indistinguishable from what would be published after retraining on R.  The weights without
    noise are kept as a secret state, in `TrainState.log`, where S may still be found; the paper's stronger promise, of
    the whole state, needs another σ and fresh noise in the state, which is not done here.  n in σ is the number of rows
    that the member was trained on, so that a candidate has exactly its oracle's noise.

    The promise also needs T ≥ I + ln(d m n / 2L) / ln(1/γ) epochs (`certificates.descent_training_steps`).  The paper
    projects onto a bounded set, within which its L holds; without that, L is the loss's alone (`certificates`).

    Args:
        lipschitz: L > 0 of each ℓ_i.  smoothness: M > m of f; both from `certificates.softmax_constants`.
        strong_convexity: m > 0, the decay; ours (released code of arXiv 2401.10371 has 1e-6 n, 1.2e-2 on its MNIST).
        unlearning_steps: I ≥ 1, steps that a request will get.  epsilon, delta: ε > 0, δ in (0, 1).  Ours.
        deletions: examples that one request may take out, ours; the paper has requests of one.

    Raises:
        ValueError: arguments out of range, a recipe with `steps`, a model with batch statistics.

    Source: Neel et al., "Descent-to-Delete: gradient-based methods for machine unlearning", ALT 2021, arXiv 2007.02923,
    algorithms 1 and 2.
    """
    checks.at_least_one("unlearning_steps", unlearning_steps)
    given = {"steps": unlearning_steps, "epsilon": epsilon, "delta": delta, "lipschitz": lipschitz}
    given |= {"smoothness": smoothness, "strong_convexity": strong_convexity, "deletions": deletions}
    descent_noise(1, **given)  # checks the values
    step_size = 2 / (smoothness + strong_convexity)

    def update(key, state, x, y, rows):
        slope = mean_loss(model, state, x, y, rows, recipe.batch_size)
        return descent_step(state.params, slope, step_size, strong_convexity)

    def finish(key, state, rows):
        published = add_noise(jax.random.fold_in(key, 2), state.params, descent_noise(rows.length, **given))
        return state._replace(params=published, log=state.params)

    training = by_steps("descent_to_delete", recipe, model, update, log=lambda key, params: params)
    return training._replace(finish=finish)
