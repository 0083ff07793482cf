"""Ascent on the forget set, alone, beside descent, or bounded by a preference loss.

Batches of R and of S pass through the network one after the other, as in the released code of NegGrad+: each is
normalised by its own batch statistics.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, UnlearnFn


def gradient_ascent(
    model: Model,
    *,
    learning_rate: float = 1e-4,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """Gradient ascent: maximises E_S ℓ(θ) by SGD over passes of S.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Graves et al., "Amnesiac machine learning", AAAI 2021, arXiv 2010.10981; Thudi et al., "Unrolling SGD",
    EuroS&P 2022, arXiv 2109.13398.
    """
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        def objective(params, model_state, key, step, rows):
            loss, model_state = _common.training_loss(model, params, model_state, key, request, rows)
            return -loss, model_state

        return _common.minimise(key, state, optimizer, objective, request.forget, batch_size=batch_size, epochs=epochs)

    return unlearn


def neg_grad_plus(
    model: Model,
    *,
    alpha: float = 0.95,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """NegGrad+: minimises α E_R ℓ(θ) − (1 − α) E_S ℓ(θ) by SGD over passes of R, batches of S cycled beside.

    Args:
        alpha: α in [0, 1].
        epochs: passes over R; S is passed as often as the steps ask for.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Kurmanji et al., "Towards unbounded machine unlearning", NeurIPS 2023, arXiv 2302.09880, as a baseline.
    """
    checks.in_range("alpha", alpha, 0, 1)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        def objective(params, model_state, key, step, retained, forgotten):
            key_retained, key_forgotten = jax.random.split(key)
            kept, model_state = _common.training_loss(model, params, model_state, key_retained, request, retained)
            lost, model_state = _common.training_loss(model, params, model_state, key_forgotten, request, forgotten)
            return alpha * kept - (1 - alpha) * lost, model_state

        return _common.minimise(
            key, state, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs,
            beside=(request.forget,),
        )  # fmt: skip

    return unlearn


def npo(
    model: Model,
    *,
    beta: float = 0.1,
    alpha: float = 1.0,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """NPO: minimises −(2/β) E_S log σ(−β log[p_θ(y|x) / p_θ0(y|x)]) + α E_R ℓ(θ) over passes of R, S cycled beside.

    Its gradient tends to that of ascent on S as β → 0; a growing β damps examples that are already forgotten.

    Args:
        beta: β > 0.
        alpha: α ≥ 0, weight of the retained loss.
        learning_rate, momentum, weight_decay, epochs: ours, for classifiers by SGD; the paper treats language models.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Zhang et al., "Negative preference optimization", COLM 2024, arXiv 2404.05868.
    """
    checks.positive("beta", beta)
    checks.non_negative("alpha", alpha)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, original, request):
        def log_p(logits, y):
            return jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)[:, 0]

        def objective(params, model_state, key, step, retained, forgotten):
            key_retained, key_forgotten = jax.random.split(key)
            kept, model_state = _common.training_loss(model, params, model_state, key_retained, request, retained)
            x, y = _common.batch(request, forgotten)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key_forgotten)
            before, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
            ratio = log_p(logits, y) - log_p(before, y)
            return -2 / beta * jax.nn.log_sigmoid(-beta * ratio).mean() + alpha * kept, model_state

        return _common.minimise(
            key, original, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs,
            beside=(request.forget,),
        )  # fmt: skip

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "gradient_ascent": Algorithm(
        gradient_ascent,
        "ambiguous",
        _common.S,
        "Graves et al., AAAI 2021, arXiv 2010.10981",
        words="remove learned data; named as a baseline by Graves et al.",
        ranges={"learning_rate": (1e-5, 0.1)},
    ),
    "neg_grad_plus": Algorithm(
        neg_grad_plus,
        "ambiguous",
        _common.BOTH,
        "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880",
        words="applications with metrics of their own: removing biases, resolving confusion, user privacy",
        ranges={"learning_rate": (1e-3, 0.1), "alpha": ("uniform", 0.6, 0.999)},
    ),
    "npo": Algorithm(
        npo,
        "unlearning",
        _common.BOTH,
        "Zhang et al., COLM 2024, arXiv 2404.05868",
        words="unlearn undesirable data without the catastrophic collapse of gradient ascent",
        ranges={"learning_rate": (1e-3, 0.1), "beta": (0.03, 10.0), "alpha": (0.3, 10.0)},
    ),
}
