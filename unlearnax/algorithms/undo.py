"""Suppressed, then distilled into a noised copy of itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jax.nn.initializers import glorot_uniform

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, UnlearnFn


def undo(
    model: Model,
    *,
    alpha: float = 0.3,
    beta: float = 0.1,
    suppress_rate: float = 3e-5,
    suppress_epochs: int = 1,
    learning_rate: float = 9e-4,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """UNDO: suppresses S, perturbs the weights, and distils the suppressed model into what is left of it.

    1. Suppress: θ_s minimises E_S KL(uniform ‖ p_θ) + E_R ℓ(θ) from θ0 (MaxEnt), by Adam.
    2. Perturb: θ ← (1 − α) θ_s + α β ξ, ξ Xavier-uniform for kernels and 0 for vectors (biases, scales).
    3. Distil: minimises E_S KL(p_s ‖ p_θ) + E_R KL(p_s ‖ p_θ) by Adam, the suppressed model its constant teacher.

    Steps 1 and 3 are passes over R, batches of S cycled beside.  A larger α costs more distillation and makes relearning
    slower; α = 1, β = 1 distils into a fresh network.  The released code distils until the loss on R is within 5 % of the
    teacher's, and its learning rate warms up and decays: here it is a number of epochs at a constant rate.

    Args:
        alpha: α in [0, 1].
        beta: β ≥ 0.
        suppress_rate, learning_rate: of steps 1 and 3, as in the released code for language models.
        suppress_epochs, epochs: passes over R in steps 1 and 3; ours.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Lee et al., "Distillation robustifies unlearning", NeurIPS 2025, arXiv 2506.06278; noise, data of the
    distillation and MaxEnt as in the released code.
    """
    checks.in_range("alpha", alpha, 0, 1)
    checks.non_negative("beta", beta)
    checks.positive("suppress_rate", suppress_rate)
    checks.at_least_one("suppress_epochs", suppress_epochs)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    suppressing, distilling = optax.adam(suppress_rate), optax.adam(learning_rate)

    def perturbed(key, params):
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(key, len(leaves))
        noise = [
            glorot_uniform()(k, leaf.shape, leaf.dtype) if leaf.ndim > 1 else jnp.zeros_like(leaf)
            for k, leaf in zip(keys, leaves, strict=True)
        ]
        mixed = [(1 - alpha) * leaf + alpha * beta * each for leaf, each in zip(leaves, noise, strict=True)]
        return jax.tree.unflatten(structure, mixed)

    def unlearn(key, original, request):
        key_suppress, key_noise, key_distil = jax.random.split(key, 3)

        def suppress(params, model_state, key, step, retained, forgotten):
            key_retained, key_forgotten = jax.random.split(key)
            kept, model_state = _common.training_loss(model, params, model_state, key_retained, request, retained)
            x, _ = _common.batch(request, forgotten)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key_forgotten)
            return _common.divergence(jnp.zeros_like(logits), logits, 1.0) + kept, model_state

        carry = _common.optimise(
            key_suppress, _common.begin(original, suppressing), suppressing, suppress, request.retain,
            batch_size=batch_size, passes=suppress_epochs, beside=(request.forget,),
        )  # fmt: skip
        teacher, _, examples = carry

        def imitate(params, model_state, key, step, *batches):
            apart = jnp.zeros(())
            for key_batch, rows in zip(jax.random.split(key), batches, strict=True):
                x, _ = _common.batch(request, rows)
                taught, _ = model.apply(teacher.params, teacher.model_state, x, train=False, key=None)
                logits, model_state = model.apply(params, model_state, x, train=True, key=key_batch)
                apart = apart + _common.divergence(taught, logits, 1.0)
            return apart, model_state

        student = teacher._replace(params=perturbed(key_noise, teacher.params))
        carry = _common.optimise(
            key_distil, _common.begin(student, distilling, examples), distilling, imitate, request.retain,
            batch_size=batch_size, passes=epochs, beside=(request.forget,),
        )  # fmt: skip
        return _common.end(carry)

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "undo": Algorithm(
        undo,
        "unlearning",
        _common.BOTH,
        "Lee et al., NeurIPS 2025, arXiv 2506.06278",
        words="robust capability removal: distills an unlearned model into a noised copy of itself",
        ranges=_common.ADAM_RANGES | {"suppress_rate": (1e-5, 3e-2), "alpha": ("uniform", 0.1, 1.0)},
    ),
}
