"""Ascent on the forget set in one objective with a term that holds the retained set.

Batches of R and of S pass through the network one after the other, each normalised by its own batch statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Array, Key, Model, Request, TrainState, UnlearnFn

# held(original, request, params, model_state, key, rows of R [B]) -> (value, new model_state)
Held = Callable[[TrainState, Request, PyTree, PyTree, Key, Array], tuple[jax.Array, PyTree]]


def _ascent_held(
    model: Model, held: Held, *, alpha: Any, learning_rate: Any, momentum: Any, weight_decay: Any, epochs: int,
    batch_size: int,
) -> UnlearnFn:  # fmt: skip
    """Minimises −E_S ℓ(θ) + α E_R held(θ) by SGD over passes of S, batches of R beside."""
    checks.non_negative("alpha", alpha)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, original, request):
        def objective(params, model_state, key, step, forgotten, retained):
            key_retained, key_forgotten = jax.random.split(key)
            kept, model_state = held(original, request, params, model_state, key_retained, retained)
            lost, model_state = _common.training_loss(model, params, model_state, key_forgotten, request, forgotten)
            return alpha * kept - lost, model_state

        return _common.minimise(
            key, original, optimizer, objective, request.forget, batch_size=batch_size, epochs=epochs,
            beside=(request.retain,),
        )  # fmt: skip

    return unlearn


def grad_diff(
    model: Model,
    *,
    alpha: float = 1.0,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """GradDiff: minimises −E_S ℓ(θ) + α E_R ℓ(θ) by SGD over passes of S, batches of R beside.

    NegGrad+ has the same two terms, but over passes of R.

    Args:
        alpha: α ≥ 0, weight of the retained loss.
        learning_rate, momentum, weight_decay: ours, for classifiers by SGD; the papers treat language models.
        epochs: passes over S, 5 in TOFU.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Liu, Liu and Stone, "Continual learning and private unlearning", CoLLAs 2022, arXiv 2203.12817; α = 1 as the
    "gradient difference" of Maini et al., "TOFU", COLM 2024, arXiv 2401.06121.
    """

    def held(original, request, params, model_state, key, rows):
        return _common.training_loss(model, params, model_state, key, request, rows)

    return _ascent_held(
        model, held, alpha=alpha, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay,
        epochs=epochs, batch_size=batch_size,
    )  # fmt: skip


def ascent_kl(
    model: Model,
    *,
    alpha: float = 1.0,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """GA+KL: minimises −E_S ℓ(θ) + α E_R KL(p_θ0 ‖ p_θ) by SGD over passes of S, batches of R beside.

    Args:
        alpha: α ≥ 0, weight of the divergence.
        learning_rate, momentum, weight_decay: ours, for classifiers by SGD; the paper treats language models.
        epochs: passes over S, 5 in TOFU.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: "KL minimization" of Maini et al., "TOFU", COLM 2024, arXiv 2401.06121.
    """

    def held(original, request, params, model_state, key, rows):
        x, _ = _common.batch(request, rows)
        before, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
        logits, model_state = model.apply(params, model_state, x, train=True, key=key)
        return _common.divergence(before, logits, 1.0), model_state

    return _ascent_held(
        model, held, alpha=alpha, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay,
        epochs=epochs, batch_size=batch_size,
    )  # fmt: skip


ALGORITHMS: dict[str, Algorithm] = {
    "grad_diff": Algorithm(
        grad_diff,
        "ambiguous",
        _common.BOTH,
        "Liu et al., CoLLAs 2022, arXiv 2203.12817; Maini et al., COLM 2024, arXiv 2401.06121",
        words="behave as if they were never trained on the forget data at all",
        ranges={"learning_rate": (1e-5, 0.1), "alpha": (0.3, 30.0)},
    ),
    "ascent_kl": Algorithm(
        ascent_kl,
        "ambiguous",
        _common.BOTH,
        "Maini et al., COLM 2024, arXiv 2401.06121",
        words="behave as if they were never trained on the forget data at all",
        ranges={"learning_rate": (1e-5, 0.1), "alpha": (0.3, 30.0)},
    ),
}
