"""Dampening that finds its own threshold: a percentile of I_S / I_D, once or until S is no longer predicted."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from unlearnax import checks
from unlearnax.algorithms import _common, _curvature
from unlearnax.algorithms.dampening import dampen, importances, output_norm
from unlearnax.types import Algorithm, Info, Model, UnlearnFn


def percentile_from_top(overall: PyTree, forgotten: PyTree) -> Callable[[jax.Array], jax.Array]:
    """``share -> the (100 − share)th percentile`` of all finite I_S / I_D together, interpolated linearly."""
    (i_d, _), (i_s, _) = ravel_pytree(overall), ravel_pytree(forgotten)
    ratio = i_s / i_d
    finite = jnp.isfinite(ratio)
    descending = -jnp.sort(jnp.where(finite, -ratio, jnp.inf))

    def threshold(share: jax.Array) -> jax.Array:
        # Counted from the top: 100 − share would round a small share away.
        place = jnp.minimum(share / 100, 1.0) * jnp.maximum(finite.sum() - 1, 0)
        above = jnp.floor(place).astype(jnp.int32)
        below = jnp.ceil(place).astype(jnp.int32)
        return descending[above] + (place - above) * (descending[below] - descending[above])

    return threshold


def assd(model: Model, *, dampening: float = 1.0, batch_size: int = 64, per_example: bool = False) -> UnlearnFn:
    """Adaptive SSD: SSD whose α is the percentile 100 − ln(1 + 100 |S|/n) of I_S / I_D over all weights, n = |D|.

    Ratios that are not finite (0/0) are left out of the percentile, as released.

    Args:
        dampening: λ > 0; always 1 in the paper.
        per_example: the importance of single examples.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Schoepf et al., "Parameter-tuning-free data entry error unlearning with adaptive selective synaptic
    dampening", 2024, arXiv 2402.10098.
    """
    checks.positive("dampening", dampening)
    checks.at_least_one("batch_size", batch_size)

    def unlearn(key, state, request):
        overall, forgotten, examples = importances(
            key, state, request, _common.frozen_loss(model, state, request), jnp.square,
            batch_size=batch_size, per_example=per_example,
        )  # fmt: skip
        size = request.forget.length
        share = jnp.log1p(100 * size / (size + request.retain.length))
        alpha = percentile_from_top(overall, forgotten)(share)
        params = dampen(state.params, overall, forgotten, alpha, dampening)
        return state._replace(params=params), Info(jnp.zeros(()), examples)

    return unlearn


def potion(
    model: Model,
    *,
    rho: float = 0.2,
    dampening: float = 1.0,
    start: float = 0.04,
    growth: float = 1.1,
    max_trials: int = 500,
    batch_size: int = 64,
) -> UnlearnFn:
    """Potion: ASSD without labels in its importances, with more and more selected until S is no longer predicted.

    For s = s₀ |S|/n, then s ← g s: θ is θ0 dampened above the percentile 100 − ln(1 + 100 s) of I_S / I_D, until
    Acc_S(θ) ≤ ρ Acc_S(θ0), for at most `max_trials` trials; the last one stays.  The importance is
    E |∇ E_batch ‖f(x)‖₂|, f the logits: the norm is not squared, which bounds the part of outliers.

    I_D is over S ∪ R as in SSD; the released code's training data there are R alone.

    Args:
        rho: ρ in [0, 1] (default unverified; the released script runs 0 to 0.75).
        dampening: λ > 0; always 1 in the paper.
        start: s₀ > 0.
        growth: g ≥ 1.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Schoepf et al., "Potion: towards poison unlearning", 2024, arXiv 2406.09173; s₀ = 1/25, g and the number of
    trials as in the released code.
    """
    checks.in_range("rho", rho, 0, 1)
    checks.positive("dampening", dampening)
    checks.positive("start", start)
    checks.in_range("growth", growth, 1, math.inf, open_high=True)
    checks.at_least_one("max_trials", max_trials)
    checks.at_least_one("batch_size", batch_size)

    def unlearn(key, state, request):
        overall, forgotten, examples = importances(
            key, state, request, output_norm(model, state, request, 1), jnp.abs, batch_size=batch_size
        )
        threshold = percentile_from_top(overall, forgotten)
        size = request.forget.length

        def correct(params):
            def count(rows, weights):
                x, y = _common.batch(request, rows)
                logits = model.apply(params, state.model_state, x, train=False, key=None)[0]
                return (weights * (logits.argmax(-1) == y)).sum()

            return _curvature.total(jnp.zeros(()), request.forget, count, batch_size)

        def dampened(trial):
            s = start * growth**trial * size / (size + request.retain.length)
            return dampen(state.params, overall, forgotten, threshold(jnp.log1p(100 * s)), dampening)

        enough = rho * correct(state.params)

        def unfinished(carry):
            trials, _, left = carry
            return (trials < max_trials) & (left > enough)

        def another(carry):
            trials, *_ = carry
            params = dampened(trials)
            return trials + 1, params, correct(params)

        _, params, _ = jax.lax.while_loop(unfinished, another, another((0, state.params, enough)))
        return state._replace(params=params), Info(jnp.zeros(()), examples)

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "assd": Algorithm(
        assd,
        "untraining",
        _common.BOTH,
        "Schoepf et al., 2024, arXiv 2402.10098",
        words="unlearning the influence of the erroneous data without needing to completely retrain the model",
        ranges={"dampening": (0.1, 10.0)},
    ),
    "potion": Algorithm(
        potion,
        "unlearning",
        _common.BOTH,
        "Schoepf et al., 2024, arXiv 2406.09173",
        words="unlearn poison triggers from already trained models with only a subset of the poison data available",
        ranges={"rho": ("uniform", 0.0, 0.95), "dampening": (0.1, 10.0)},
    ),
}
