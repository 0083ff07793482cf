"""Only the last layers trained on R: CF-k, and EU-k that draws them anew first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from unlearnax import checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Key, Model, TrainState, UnlearnFn


def _last_layers(model: Model, k: int | str) -> tuple[str, ...]:
    """Names of the last k layers, or of the layer named k and all after it.

    Raises:
        ValueError: a name that is none of `Model.layers`, no whole number of at least 1, more layers than there are.
    """
    if isinstance(k, str):
        checks.one_of("k", k, model.layers)
        return model.layers[model.layers.index(k) :]
    checks.at_least_one("k", k)
    if k > len(model.layers):
        names = ", ".join(model.layers) or "none that are named"
        raise ValueError(f"Expected k={k!r} to be at most the number of layers, {len(model.layers)}: {names}.")
    return model.layers[-int(k) :]


def _train_last(
    model: Model, k: int | str, begin: Callable[[Key, TrainState, Callable[[Any], bool]], TrainState], *,
    learning_rate: Any, momentum: Any, weight_decay: Any, epochs: int, batch_size: int,
) -> UnlearnFn:  # fmt: skip
    """E_R ℓ(θ) by SGD in the last layers only, from ``begin(key, state, whether a tree's path is in those layers)``."""
    trained = _last_layers(model, k)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def inside(path: Any) -> bool:
        """The first name on the path that is a layer's decides: a model's state may keep its layers one level down."""
        names = (getattr(part, "key", None) for part in path)
        return next((name for name in names if name in model.layers), None) in trained

    def held(params: PyTree) -> PyTree:
        """No gradient is computed below the first layer that is trained."""
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf if inside(path) else jax.lax.stop_gradient(leaf), params
        )

    def unlearn(key, state, request):
        key_begin, key_passes = jax.random.split(key)
        state = begin(key_begin, state, inside)
        mask = jax.tree_util.tree_map_with_path(lambda path, leaf: jnp.full_like(leaf, inside(path)), state.params)

        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, held(params), model_state, key, request, rows)

        carry = _common.optimise(
            key_passes, _common.begin(state, optimizer), optimizer, objective, request.retain, batch_size=batch_size,
            passes=epochs, mask=mask,
        )  # fmt: skip
        return _common.end(carry)

    return unlearn


def cf_k(
    model: Model,
    *,
    k: int | str = 1,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """CF-k: minimises E_R ℓ(θ) by SGD in the last k layers; the others stay at θ0.

    The mask multiplies the update itself, so that weight decay does not move the other layers either.  Batch statistics
    of all layers go on, as in every pass in train mode.

    Args:
        k: how many entries of `Model.layers`, normalisation layers among them, or the name of the first one trained
            (default unverified).
        learning_rate, momentum, weight_decay, epochs: as for fine-tuning (defaults unverified).

    Raises:
        ValueError: a hyperparameter out of range, a layer that the model does not have.

    Source: Goel et al., "Towards adversarial evaluations for inexact machine unlearning", 2022, arXiv 2201.06640:
    catastrophic forgetting of the last k layers.
    """
    return _train_last(
        model, k, lambda key, state, inside: state, learning_rate=learning_rate, momentum=momentum,
        weight_decay=weight_decay, epochs=epochs, batch_size=batch_size,
    )  # fmt: skip


def eu_k(
    model: Model,
    *,
    k: int | str = 1,
    learning_rate: float = 1e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """EU-k: draws the last k layers anew, their batch statistics too, then minimises E_R ℓ(θ) by SGD in them alone.

    With k the number of layers this is retraining, at this learning rate.  What is trained and what moves: see `cf_k`.

    Args:
        k: how many entries of `Model.layers`, normalisation layers among them, or the name of the first one drawn anew
            (default unverified).
        learning_rate, momentum, weight_decay, epochs: as for fine-tuning (defaults unverified).

    Raises:
        ValueError: a hyperparameter out of range, a layer that the model does not have.

    Source: Goel et al., "Towards adversarial evaluations for inexact machine unlearning", 2022, arXiv 2201.06640: exact
    unlearning of the last k layers.
    """

    def begin(key, state, inside):
        fresh = model.init(key)
        params, model_state = jax.tree_util.tree_map_with_path(
            # The first part of the path tells parameters from state.
            lambda path, old, new: new if inside(path[1:]) else old, (state.params, state.model_state), fresh
        )  # fmt: skip
        return state._replace(params=params, model_state=model_state)

    return _train_last(
        model, k, begin, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs,
        batch_size=batch_size,
    )  # fmt: skip


ALGORITHMS: dict[str, Algorithm] = {
    "cf_k": Algorithm(
        cf_k,
        "untraining",
        _common.R,
        "Goel et al., 2022, arXiv 2201.06640",
        words="post-hoc deletion of affected training data from a learned model",
        needs=frozenset({"layers"}),
        ranges=_common.SGD_RANGES,
    ),
    "eu_k": Algorithm(
        eu_k,
        "untraining",
        _common.R,
        "Goel et al., 2022, arXiv 2201.06640",
        words="post-hoc deletion of affected training data from a learned model",
        needs=frozenset({"layers"}),
        ranges=_common.SGD_RANGES,
    ),
}
