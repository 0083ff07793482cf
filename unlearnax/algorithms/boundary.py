"""For a whole class: its examples trained on labels across the nearest boundary.

Inputs are raw here, and a model does not tell its constants of normalisation: steps in input space are in units of the
inputs that an algorithm is handed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Model, Request, Subset, UnlearnFn


def input_range(request: Request, rows: Subset) -> tuple[jax.Array, jax.Array]:
    """Smallest and largest value of the inputs of a subset."""
    x = jnp.asarray(request.x)[rows.index].reshape(len(rows.index), -1)
    inside = jnp.arange(len(rows.index)) < rows.length
    low, high = (extreme(x, axis=1).astype(jnp.float32) for extreme in (jnp.min, jnp.max))
    return jnp.where(inside, low, jnp.inf).min(), jnp.where(inside, high, -jnp.inf).max()


def boundary_shrink(
    model: Model,
    *,
    bound: float = 0.1,
    learning_rate: float = 1e-5,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """Boundary shrink: minimises E_S ℓ(θ; x, y') by SGD, y' the label across the nearest decision boundary of θ0.

    y' = argmax p_θ0(clip(x + ε w sign ∇_x ℓ(θ0; x, y))), with [low, low + w] the range of all inputs of S, to which the
    clip is: one step of the fast gradient sign method.  Where the step does not cross the boundary y' = y.  Labels are
    found once, with the running batch statistics.

    Args:
        bound: ε ≥ 0 as a share of the width w.  The paper's 0.1 is for pixels in [0, 1], so this is the same step wherever
            S has a black and a white pixel, whatever the raw units.
        learning_rate, momentum, epochs: as in the released code.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Chen et al., "Boundary unlearning", CVPR 2023, arXiv 2303.11570; the released code also rounds x' to bytes.
    """
    checks.non_negative("bound", bound)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, original, request):
        forget = request.forget
        low, high = input_range(request, forget)

        def before(x):
            return model.apply(original.params, original.model_state, x, train=False, key=None)[0]

        def relabel(i, labels):
            rows = batching.take_batch(jnp.asarray(forget.index), forget, i, batch_size)
            x, y = _common.batch(request, rows)
            x = x.astype(jnp.float32)
            uphill = jnp.sign(jax.grad(lambda x: _common.cross_entropy(before(x), y))(x))
            across = before(jnp.clip(x + bound * (high - low) * uphill, low, high)).argmax(-1)
            return labels.at[rows].set(across.astype(labels.dtype))

        batches = (forget.length + batch_size - 1) // batch_size
        shrunk = request._replace(y=jax.lax.fori_loop(0, batches, relabel, jnp.asarray(request.y)))

        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, shrunk, rows)

        carry = _common.begin(original, optimizer, batches * batch_size)
        return _common.end(
            _common.optimise(key, carry, optimizer, objective, forget, batch_size=batch_size, passes=epochs)
        )

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "boundary_shrink": Algorithm(
        boundary_shrink,
        "unlearning",
        _common.S,
        "Chen et al., CVPR 2023, arXiv 2303.11570",
        words="shift the decision boundary to imitate the decision behavior of the model retrained from scratch",
        needs=frozenset({"one class"}),
        ranges={"learning_rate": (1e-5, 0.1), "bound": (0.01, 1.0)},
    ),
}
