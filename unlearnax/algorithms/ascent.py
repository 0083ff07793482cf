"""Ascent on the forget set, alone, beside descent, or bounded by a preference loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Model, UnlearnFn


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

    Source: Graves et al., "Amnesiac machine learning", AAAI 2021, arXiv 2010.10981; Thudi et al., "Unrolling SGD",
    EuroS&P 2022, arXiv 2109.13398.
    """
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, momentum=momentum,
                               weight_decay=weight_decay)  # fmt: skip
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        def objective(params, model_state, key, step, rows):
            logits, model_state = model.apply(params, model_state, request.x[rows], train=True, key=key)
            return -_common.cross_entropy(logits, request.y[rows]), model_state

        carry = _common.begin(state, optimizer)
        return _common.end(
            _common.optimise(key, carry, optimizer, objective, request.forget, batch_size=batch_size, passes=epochs)
        )

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

    Source: Kurmanji et al., "Towards unbounded machine unlearning", NeurIPS 2023, arXiv 2302.09880, section 4 (NegGrad+).
    """
    checks.in_range("alpha", alpha, 0, 1)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, momentum=momentum,
                               weight_decay=weight_decay)  # fmt: skip
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        def objective(params, model_state, key, step, retained, forgotten):
            rows = jnp.concatenate([retained, forgotten])
            logits, model_state = model.apply(params, model_state, request.x[rows], train=True, key=key)
            kept, lost = (_common.cross_entropy(z, y) for z, y in zip(
                jnp.split(logits, 2), jnp.split(request.y[rows], 2), strict=True))  # fmt: skip
            return alpha * kept - (1 - alpha) * lost, model_state

        carry = _common.begin(state, optimizer)
        return _common.end(
            _common.optimise(key, carry, optimizer, objective, request.retain, batch_size=batch_size, passes=epochs,
                             beside=(request.forget,))  # fmt: skip
        )

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
        beta: β > 0.  alpha: α ≥ 0, weight of the retained loss.
        learning_rate, momentum, epochs: for classifiers, ours; the paper treats language models.

    Source: Zhang et al., "Negative preference optimization", COLM 2024, arXiv 2404.05868, eq. 3.
    """
    checks.positive("beta", beta)
    checks.non_negative("alpha", alpha)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, momentum=momentum,
                               weight_decay=weight_decay)  # fmt: skip
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        original = state

        def log_likelihood(logits, labels):
            return jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]

        def objective(params, model_state, key, step, retained, forgotten):
            rows = jnp.concatenate([retained, forgotten])
            logits, model_state = model.apply(params, model_state, request.x[rows], train=True, key=key)
            kept, lost = jnp.split(logits, 2)
            before, _ = model.apply(original.params, original.model_state, request.x[forgotten], train=False, key=None)
            labels = request.y[forgotten]
            ratio = log_likelihood(lost, labels) - log_likelihood(before, labels)
            preference = -2 / beta * jax.nn.log_sigmoid(-beta * ratio).mean()
            return preference + alpha * _common.cross_entropy(kept, request.y[retained]), model_state

        carry = _common.begin(state, optimizer)
        return _common.end(
            _common.optimise(key, carry, optimizer, objective, request.retain, batch_size=batch_size, passes=epochs,
                             beside=(request.forget,))  # fmt: skip
        )

    return unlearn
