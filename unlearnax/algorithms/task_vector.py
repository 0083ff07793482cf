"""Arithmetic on weights: task-vector negation."""

from __future__ import annotations

import jax
import optax

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, UnlearnFn


def task_vector(
    model: Model,
    *,
    scale: float = 1.0,
    learning_rate: float = 1e-5,
    weight_decay: float = 0.1,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """Task-vector negation: θ0 − λ(θ_ft − θ0), θ_ft the original fine-tuned on S, E_S ℓ, by AdamW.

    Batch statistics are the original's.  The paper warms the learning rate up and lets it fall as a cosine: here it is
    constant.

    Args:
        scale: λ ≥ 0; the paper picks it on held-out data, at most 1 (default unverified).
        weight_decay: decoupled; its pull towards 0 is part of the vector.
        epochs: ours; 2000 steps of 128 examples in the paper.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Ilharco et al., "Editing models with task arithmetic", ICLR 2023, arXiv 2212.04089, section 3.
    """
    checks.non_negative("scale", scale)
    _common.check_optimisation(
        learning_rate=learning_rate, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = optax.adamw(learning_rate, weight_decay=weight_decay)

    def unlearn(key, original, request):
        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        tuned, info = _common.minimise(
            key, original, optimizer, objective, request.forget, batch_size=batch_size, epochs=epochs
        )
        params = jax.tree.map(lambda before, after: before - scale * (after - before), original.params, tuned.params)
        return tuned._replace(params=params, model_state=original.model_state), info

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "task_vector": Algorithm(
        task_vector,
        "unlearning",
        _common.S,
        "Ilharco et al., ICLR 2023, arXiv 2212.04089",
        words="decreases performance on the target task, with little change in model behavior on control tasks",
        ranges=_common.ADAM_RANGES | {"scale": ("uniform", 0.0, 1.0)},
    ),
}
