"""Entry of the NeurIPS 2023 unlearning competition, place 2: weights that S and R pull least apart, redrawn.

The details are those of the winner's notebook as ported in the code of Cadet et al., "Deep unlearn", 2024, arXiv
2410.01276; the notebook itself was not seen.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import batching, checks
from unlearnax.algorithms import _common, _neurips2023
from unlearnax.algorithms._neurips2023 import (
    key_tree,
    scheduled_sgd,
    shapes,
    smallest,
)
from unlearnax.types import Algorithm, Model, Subset, UnlearnFn


def magnitude_gradient(
    model: Model,
    *,
    fraction: float = 0.3,
    slowdown: float = 0.1,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """Masked small gradients: re-initialises the weights of each convolution that S and R pull least apart, fine-tunes.

    In each kernel, the share `fraction` of weights with the smallest |∇(E_R' ℓ − E_S ℓ)| at θ0 is drawn anew from
    N(0, 2 / (h w K)), R' a random part of R as large as S; where that gradient is not a number, neither is the weight.
    Then SGD on E_R ℓ, the gradient of the other weights of these kernels times `slowdown`; weight decay acts on all.
    With A = ⌊(E + 1) / 2⌋, the rate of epoch e = 1 … E is η times e / A up to e = A and (E + 1 − e) / (E + 1 − A) after
    it.  A model without convolutions has every kernel (rank 2 and more) treated so, which is ours.

    Args:
        fraction: in [0, 1].
        slowdown: in [0, 1].

    Raises:
        ValueError: a hyperparameter out of range.

    Source: second place (team kookmin; name unverified) in Triantafillou et al., "Are we making progress in unlearning?",
    2024, arXiv 2406.09073; MSG in Cadet et al., 2024, arXiv 2410.01276, with the defaults of its code.
    """
    checks.in_range("fraction", fraction, 0, 1)
    checks.in_range("slowdown", slowdown, 0, 1)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    convolutional = any(leaf.ndim == 4 for leaf in jax.tree.leaves(shapes(model)))
    peak = (epochs + 1) // 2

    def rate(epoch):
        return jnp.where(epoch < peak, (epoch + 1) / peak, (epochs - epoch) / (epochs + 1 - peak))

    def unlearn(key, state, request):
        key_part, key_retain, key_forget, key_init, key_passes = jax.random.split(key, 5)
        loss, zero = _common.frozen_loss(model, state, request), jax.tree.map(jnp.zeros_like, state.params)

        def slope(key, rows):
            total, batches = _common.sum_over_batches(
                key, zero, rows, lambda rows: jax.grad(loss)(state.params, rows), batch_size
            )
            return jax.tree.map(lambda leaf: leaf / batches, total), batches * batch_size

        size = jnp.minimum(request.forget.length, request.retain.length)
        on_retain, some = slope(key_retain, Subset(batching.shuffle(key_part, request.retain), size))
        on_forget, others = slope(key_forget, request.forget)

        def again(score):
            chosen = score.ndim == 4 if convolutional else score.ndim > 1
            return smallest(score, fraction) if chosen else jnp.zeros((), bool)

        def draw(key, old, new, score):
            if new.ndim == 0:
                return old
            fresh = jnp.sqrt(2 * old.shape[-2] / old.size) * jax.random.normal(key, old.shape, old.dtype)
            return jnp.where(jnp.isnan(score), score, jnp.where(new, fresh, old))  # NaN would sort last, unseen

        scores = jax.tree.map(lambda retained, forgotten: jnp.abs(retained - forgotten), on_retain, on_forget)
        anew = jax.tree.map(again, scores)
        speed = jax.tree.map(lambda new: jnp.where(new, 1.0, slowdown) if new.ndim else jnp.ones(()), anew)
        params = jax.tree.map(draw, key_tree(key_init, state.params), state.params, anew, scores)

        def objective(params, model_state, key, step, rows):
            # the value of p, the gradient of p times its speed: momentum sees the slowed gradient, decay does not
            slowed = jax.tree.map(lambda p, m: p + (m - 1) * (p - jax.lax.stop_gradient(p)), params, speed)
            return _common.training_loss(model, slowed, model_state, key, request, rows)

        steps = batching.steps_per_pass(request.retain, batch_size)
        optimizer = scheduled_sgd(learning_rate, momentum, weight_decay, rate, steps)
        carry = _common.begin(state._replace(params=params), optimizer, some + others)
        return _common.end(
            _common.optimise(
                key_passes, carry, optimizer, objective, request.retain, batch_size=batch_size, passes=epochs
            )
        )

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "magnitude_gradient": Algorithm(
        magnitude_gradient,
        "untraining",
        _common.BOTH,
        _neurips2023.COMPETITION.format(2),
        words=_neurips2023.LIKE_RETRAINED,
        ranges=_common.SGD_RANGES | {"fraction": ("uniform", 0.05, 1.0), "slowdown": ("uniform", 0.0, 1.0)},
    ),
}
