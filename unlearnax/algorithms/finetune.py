"""Controls and fine-tuning on what is retained."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Info, Model, UnlearnFn


def do_nothing(model: Model) -> UnlearnFn:
    """Control: the original itself."""
    del model
    return lambda key, state, request: (state, Info(jnp.zeros(()), jnp.zeros(())))


def fine_tune(
    model: Model,
    *,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """Fine-tuning: minimises E_R ℓ(θ) by SGD, and hopes that S is forgotten.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Golatkar et al., "Eternal sunshine of the spotless net", CVPR 2020, arXiv 1911.04933, as a baseline.
    """
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        return _common.minimise(key, state, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs)

    return unlearn


def l1_sparse(
    model: Model,
    *,
    gamma: float = 5e-4,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """ℓ1-sparse: minimises E_R ℓ(θ) + γ (1 − t/T) ‖θ‖₁ by SGD, t of T steps done; ‖θ‖₁ runs over all parameters.

    The released code lowers the penalty once an epoch; here it falls at every step.

    Args:
        gamma: γ ≥ 0 (default unverified).

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Jia et al., "Model sparsity can simplify machine unlearning", NeurIPS 2023, arXiv 2304.04934.
    """
    checks.non_negative("gamma", gamma)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        total = epochs * batching.steps_per_pass(request.retain, batch_size)

        def objective(params, model_state, key, step, rows):
            loss, model_state = _common.training_loss(model, params, model_state, key, request, rows)
            norm = sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(params))
            return loss + gamma * (1 - step / total) * norm, model_state

        return _common.minimise(key, state, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs)

    return unlearn


def gaussian_noise(
    model: Model,
    *,
    sigma: float = 0.01,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 0,
    batch_size: int = 64,
) -> UnlearnFn:
    """Control: θ0 + σ ξ with ξ ~ N(0, I), then, where epochs are asked for, E_R ℓ(θ) by SGD from there.

    Args:
        sigma: σ ≥ 0, in units of the weights (ours).
        epochs: of fine-tuning; 0 leaves the noise as it is.

    Raises:
        ValueError: a hyperparameter out of range.
    """
    checks.non_negative("sigma", sigma)
    checks.at_least_zero("epochs", epochs)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs or 1,
        batch_size=batch_size,
    )  # fmt: skip
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        key_noise, key_passes = jax.random.split(key)
        flat, unravel = ravel_pytree(state.params)
        state = state._replace(params=unravel(flat + sigma * jax.random.normal(key_noise, flat.shape)))

        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        return _common.minimise(
            key_passes, state, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs
        )

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "do_nothing": Algorithm(do_nothing, "control", _common.NOTHING, "the original"),
    "fine_tune": Algorithm(
        fine_tune,
        "untraining",
        _common.R,
        "Golatkar et al., CVPR 2020, arXiv 1911.04933",
        words="catastrophic forgetting of what is no longer trained on, the baseline of scrubbing",
        ranges=_common.SGD_RANGES,
    ),
    "l1_sparse": Algorithm(
        l1_sparse,
        "untraining",
        _common.R,
        "Jia et al., NeurIPS 2023, arXiv 2304.04934",
        words="close the gap to exact unlearning, that is retraining from scratch, by sparsity",
        ranges=_common.SGD_RANGES | {"gamma": (1e-6, 1e-3)},
    ),
    "gaussian_noise": Algorithm(
        gaussian_noise, "control", _common.R, "noise on the weights, then fine-tuning", ranges={"sigma": (1e-3, 1.0)}
    ),
}
