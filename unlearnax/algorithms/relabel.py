"""Training the forget set on other labels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Key, Model, Request, TrainState, UnlearnFn


def wrong_labels(key: Key, request: Request, num_classes: int) -> jax.Array:
    """Labels `[N]` in which every example of S has one of its C−1 wrong labels, uniformly; all others keep theirs."""
    forget, y = request.forget, jnp.asarray(request.y)
    shift = jax.random.randint(key, forget.index.shape, 1, num_classes)
    wrong = (y[forget.index] + shift) % num_classes
    # The padding of the index repeats some row: it is pointed past the end, where a scatter drops it.
    valid = jnp.arange(len(forget.index)) < forget.length
    return y.at[jnp.where(valid, forget.index, len(y))].set(wrong.astype(y.dtype), mode="drop")


def random_label(
    model: Model,
    *,
    learning_rate: float = 1e-4,
    epochs: int = 3,
    batch_size: int = 64,
) -> UnlearnFn:
    """Random label: a wrong label drawn once for each example of S, then E_{S∪R} ℓ(θ) by Adam, S shuffled with R.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Graves et al., "Amnesiac machine learning", AAAI 2021, arXiv 2010.10981 (its relabelling form).
    """
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unlearn(key, state, request):
        key_labels, key_passes = jax.random.split(key)

        def logits_of_one(params):
            return model.apply(params, state.model_state, request.x[:1], train=False, key=None)[0]

        num_classes = jax.eval_shape(logits_of_one, state.params).shape[-1]  # shapes only: nothing is read
        relabelled = request._replace(y=wrong_labels(key_labels, request, num_classes))

        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, relabelled, rows)

        rows = batching.union(request.forget, request.retain)
        return _common.minimise(key_passes, state, optimizer, objective, rows, batch_size=batch_size, epochs=epochs)

    return unlearn


def saliency_mask(
    key: Key, model: Model, state: TrainState, request: Request, fraction: Any, batch_size: int
) -> tuple[PyTree, jax.Array]:
    """0/1 tree like params, 1 on the ⌊fraction · P⌋ of all P weights with the largest |Σ_batches ∇ℓ_S(θ0)|.

    By rank, not by threshold: weights on constant inputs and of silent units share a gradient of exactly 0, and where
    they are the majority a threshold would let all of them through.  Also returns the number of examples passed.
    """
    gradient = jax.grad(_common.frozen_loss(model, state, request))
    zero = jax.tree.map(jnp.zeros_like, state.params)
    total, batches = _common.sum_over_batches(
        key, zero, request.forget, lambda rows: gradient(state.params, rows), batch_size
    )
    flat, unravel = ravel_pytree(total)
    largest_first = jnp.argsort(-jnp.abs(flat), stable=True)
    chosen = jnp.arange(flat.size) < jnp.floor(fraction * flat.size)
    return unravel(jnp.zeros_like(flat).at[largest_first].set(chosen.astype(flat.dtype))), batches * batch_size


def salun(
    model: Model,
    *,
    fraction: float = 0.5,
    learning_rate: float = 1.3e-2,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """SalUn: random labels for S, trained on salient weights only.

    Each epoch is a pass over S with labels uniform over all C (the true one included) and drawn anew for each batch,
    then a pass over R; both are SGD steps θ ← θ + m ⊙ Δθ, m the saliency mask.  The mask multiplies the update itself,
    so that neither momentum nor weight decay moves the other weights.  All of its gradients are taken at θ0, as in the
    paper; the released code steps the model in between.

    Args:
        fraction: share of weights that may move, in [0, 1].

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Fan et al., "SalUn", ICLR 2024, arXiv 2310.12508; passes and labels as in the released code for CIFAR-10.
    """
    checks.in_range("fraction", fraction, 0, 1)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        key_mask, key_forget, key_retain = jax.random.split(key, 3)
        mask, examples = saliency_mask(key_mask, model, state, request, fraction, batch_size)

        def on_forget(params, model_state, key, step, rows):
            key_apply, key_labels = jax.random.split(key)
            x, _ = _common.batch(request, rows)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key_apply)
            labels = jax.random.randint(key_labels, rows.shape, 0, logits.shape[-1])
            return _common.cross_entropy(logits, labels), model_state

        def on_retain(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        def epoch(number, carry):
            now = (number, number + 1)
            for key, goal, rows in ((key_forget, on_forget, request.forget), (key_retain, on_retain, request.retain)):
                carry = _common.optimise(
                    key, carry, optimizer, goal, rows, batch_size=batch_size, passes=now, mask=mask
                )
            return carry

        return _common.end(jax.lax.fori_loop(0, epochs, epoch, _common.begin(state, optimizer, examples)))

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "random_label": Algorithm(
        random_label,
        "ambiguous",
        _common.BOTH,
        "Graves et al., AAAI 2021, arXiv 2010.10981",
        words="remove learned data from a model, protecting against membership inference",
        ranges=_common.ADAM_RANGES,
    ),
    "salun": Algorithm(
        salun,
        "ambiguous",
        _common.BOTH,
        "Fan et al., ICLR 2024, arXiv 2310.12508",
        words="narrow the gap to exact unlearning; also forget concepts of image generators",
        ranges={"learning_rate": (1e-4, 0.1), "fraction": ("uniform", 0.05, 1.0)},
    ),
}
