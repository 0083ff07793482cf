"""Preferences over labels: the true one is disliked, alone or against a refusal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, TrainState, UnlearnFn

_nll = optax.softmax_cross_entropy_with_integer_labels  # logits [B, C], labels [B] -> [B]

# dislike(original, x [B, ...], y [B], logits [B, C]) -> scalar
Dislike = Callable[[TrainState, jax.Array, jax.Array, jax.Array], jax.Array]


def _beside_retained(
    model: Model, dislike: Dislike, *, beta: Any, alpha: Any, learning_rate: Any, momentum: Any, weight_decay: Any,
    epochs: int, batch_size: int,
) -> UnlearnFn:  # fmt: skip
    """Minimises E_S dislike(θ) + α E_R ℓ(θ) by SGD over passes of R, S cycled beside: the frame of NPO."""
    checks.positive("beta", beta)
    checks.non_negative("alpha", alpha)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, original, request):
        def objective(params, model_state, key, step, retained, forgotten):
            key_retained, key_forgotten = jax.random.split(key)
            kept, model_state = _common.training_loss(model, params, model_state, key_retained, request, retained)
            x, y = _common.batch(request, forgotten)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key_forgotten)
            return dislike(original, x, y, logits) + alpha * kept, model_state

        return _common.minimise(
            key, original, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs,
            beside=(request.forget,),
        )  # fmt: skip

    return unlearn


def sim_npo(
    model: Model,
    *,
    beta: float = 4.5,
    delta: float = 0.0,
    alpha: float = 1.0,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """SimNPO: minimises −(2/β) E_S log σ(β(ℓ(θ) − δ)) + α E_R ℓ(θ) over passes of R, S cycled beside.

    NPO without its reference: an example is let go once its loss, not its loss's rise over the original's, is far above
    δ.  The paper divides ℓ by the length of the answer, here 1, and writes γ = βδ.

    Args:
        beta: β > 0, 2.5 to 4.5 in the paper.
        delta: δ, finite, the loss from which on the push fades.
        alpha: α ≥ 0, weight of the retained loss; the common implementation for language models weighs the first term
            by 1/8 instead.
        learning_rate, momentum, weight_decay, epochs: ours, for classifiers by SGD; the paper treats language models.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Fan et al., "Simplicity prevails: rethinking negative preference optimization for LLM unlearning",
    NeurIPS 2025, arXiv 2410.07163.
    """
    checks.in_range("delta", delta, -math.inf, math.inf, open_low=True, open_high=True)

    def dislike(original, x, y, logits):
        return -2 / beta * jax.nn.log_sigmoid(beta * (_nll(logits, y) - delta)).mean()

    return _beside_retained(
        model, dislike, beta=beta, alpha=alpha, learning_rate=learning_rate, momentum=momentum,
        weight_decay=weight_decay, epochs=epochs, batch_size=batch_size,
    )  # fmt: skip


def dpo(
    model: Model,
    *,
    refusal: str = "uniform",
    beta: float = 0.1,
    alpha: float = 1.0,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """DPO: minimises −(2/β) E_S log σ(β[r_win − r_lose]) + α E_R ℓ(θ) over passes of R, S cycled beside.

    r(label) = log p_θ(label|x) / p_θ0(label|x); the true label loses to a refusal, where a language model would answer "I
    don't know": label k uniformly at random, r_win = (1/C) Σ_k r(k), or the original's best label that is not the true one.

    Args:
        refusal: "uniform" or "next_best", our two forms of a classifier's refusal.
        beta: β > 0.
        alpha: α ≥ 0, weight of the retained loss.
        learning_rate, momentum, weight_decay, epochs: ours, for classifiers by SGD; the papers treat language models.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Rafailov et al., "Direct preference optimization", NeurIPS 2023, arXiv 2305.18290, eq. 7; as an unlearning
    baseline, with the factor 2 and β = 0.1, Zhang et al., "Negative preference optimization", COLM 2024, arXiv 2404.05868;
    with refusals, Maini et al., "TOFU", COLM 2024, arXiv 2401.06121.
    """
    checks.one_of("refusal", refusal, ("uniform", "next_best"))

    def dislike(original, x, y, logits):
        before, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
        ratio = jax.nn.log_softmax(logits) - jax.nn.log_softmax(before)
        lose = jax.nn.one_hot(y, logits.shape[-1])
        best = jnp.where(lose > 0, -jnp.inf, before).argmax(-1)
        win = jax.nn.one_hot(best, logits.shape[-1]) if refusal == "next_best" else 1 / logits.shape[-1]
        return -2 / beta * jax.nn.log_sigmoid(beta * (ratio * (win - lose)).sum(-1)).mean()

    return _beside_retained(
        model, dislike, beta=beta, alpha=alpha, learning_rate=learning_rate, momentum=momentum,
        weight_decay=weight_decay, epochs=epochs, batch_size=batch_size,
    )  # fmt: skip


ALGORITHMS: dict[str, Algorithm] = {
    "sim_npo": Algorithm(
        sim_npo,
        "unlearning",
        _common.BOTH,
        "Fan et al., NeurIPS 2025, arXiv 2410.07163",
        words="remove unwanted data influences and associated model capabilities",
        ranges={"learning_rate": (1e-3, 0.1), "beta": (0.3, 10.0), "alpha": (0.3, 10.0)},
    ),
    "dpo": Algorithm(
        dpo,
        "unlearning",
        _common.BOTH,
        "Rafailov et al., NeurIPS 2023, arXiv 2305.18290; Maini et al., COLM 2024, arXiv 2401.06121",
        words="answer 'I don't know' to questions about the forget set",
        ranges={"learning_rate": (1e-3, 0.1), "beta": (0.03, 10.0), "alpha": (0.3, 10.0)},
    ),
}
