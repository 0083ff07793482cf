"""Entries of the NeurIPS 2023 unlearning competition, places 3 and 5: convolutions shaken or transposed.

The details are those of the winners' notebooks as ported in the code of Cadet et al., "Deep unlearn", 2024, arXiv
2410.01276; the notebooks themselves were not seen.
Convolution kernels are the parameters of rank 4, `[h, w, C, K]`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common, _neurips2023
from unlearnax.algorithms._neurips2023 import (
    check_convolutions,
    class_counts,
    cosine,
    key_tree,
    scheduled_sgd,
    shapes,
)
from unlearnax.types import Algorithm, Model, UnlearnFn


def class_weighted_noise(
    model: Model,
    *,
    sigma: float = 0.6,
    final_sigma: float = 0.005,
    learning_rate: float = 7e-4,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 4,
    batch_size: int = 64,
) -> UnlearnFn:
    """Confuse, fine-tune, weighted: noise on convolutions, then SGD on E_R w_y ℓ, with a little more noise at the end.

    θ ← θ0 + σ ξ on the outermost convolution kernels, then E epochs at rate η (1 + cos(π e / E)) / 2, e = 0 … E − 1,
    and before the last of several σ_E ξ on the same kernels.  w_c = |R| / (C' n_c), n_c the rows of R in class c and C' the
    number of classes among them.

    Outermost are those nearest to the root of the tree of parameters: the released code looks at the direct children of
    the network, in a ResNet the first convolution alone, in a plain stack all of them.  It multiplies the mean loss of a
    batch by the mean weight of its rows; here each row has its own.  The competition's weights were set by hand: 1 for
    its most frequent class (unverified), .05 for the others; the balanced ones are of Cadet et al.

    Args:
        sigma, final_sigma: σ, σ_E ≥ 0.

    Raises:
        ValueError: a hyperparameter out of range, or a model without convolutions.

    Source: third place (Seif Achour; name unverified) in Triantafillou et al., "Are we making progress in unlearning?",
    2024, arXiv 2406.09073; CFW in Cadet et al., 2024, arXiv 2410.01276, with the defaults of its code.
    """
    checks.non_negative("sigma", sigma)
    checks.non_negative("final_sigma", final_sigma)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    check_convolutions(model)
    outermost = min(len(path) for path, leaf in jax.tree_util.tree_leaves_with_path(shapes(model)) if leaf.ndim == 4)

    def noisy(key, state, sigma):
        def add(path, leaf, key):
            chosen = leaf.ndim == 4 and len(path) == outermost
            return leaf + sigma * jax.random.normal(key, leaf.shape, leaf.dtype) if chosen else leaf

        params = jax.tree_util.tree_map_with_path(add, state.params, key_tree(key, state.params))
        return state._replace(params=params)

    def unlearn(key, state, request):
        key_noise, key_final, key_passes = jax.random.split(key, 3)
        counts = class_counts(model, state, request)
        weights = request.retain.length / ((counts > 0).sum() * jnp.maximum(counts, 1))

        def objective(params, model_state, key, step, rows):
            x, y = _common.batch(request, rows)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            each = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return (weights[y] * each).mean(), model_state

        steps = batching.steps_per_pass(request.retain, batch_size)
        optimizer = scheduled_sgd(learning_rate, momentum, weight_decay, cosine(epochs), steps)

        def train(carry, passes):
            return _common.optimise(
                key_passes, carry, optimizer, objective, request.retain, batch_size=batch_size, passes=passes
            )

        carry = _common.begin(noisy(key_noise, state, sigma), optimizer)
        if epochs > 1:
            state, mean, examples = train(carry, (0, epochs - 1))
            carry = noisy(key_final, state, final_sigma), mean, examples
        return _common.end(train(carry, (epochs - 1, epochs)))

    return unlearn


def transpose_kernels(
    model: Model,
    *,
    learning_rate: float = 1e-3,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 3,
    batch_size: int = 64,
) -> UnlearnFn:
    """Convolution transpose: swaps height and width of every convolution kernel, then minimises E_R ℓ by SGD.

    The rate of epoch e = 0 … E − 1 is η (1 + cos(π e / E)) / 2.  Kernels of 1 × 1 stay what they are.

    Raises:
        ValueError: a hyperparameter out of range, a model without convolutions, or kernels that are not square.

    Source: fifth place (team toshi_k & marvelworld; name unverified) in Triantafillou et al., "Are we making progress in
    unlearning?", 2024, arXiv 2406.09073; CT in Cadet et al., 2024, arXiv 2410.01276, with the defaults of its code.
    """
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    check_convolutions(model, square=True)

    def unlearn(key, state, request):
        def objective(params, model_state, key, step, rows):
            return _common.training_loss(model, params, model_state, key, request, rows)

        turned = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1) if leaf.ndim == 4 else leaf, state.params)
        steps = batching.steps_per_pass(request.retain, batch_size)
        optimizer = scheduled_sgd(learning_rate, momentum, weight_decay, cosine(epochs), steps)
        return _common.minimise(
            key, state._replace(params=turned), optimizer, objective, request.retain, batch_size=batch_size,
            epochs=epochs,
        )  # fmt: skip

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "class_weighted_noise": Algorithm(
        class_weighted_noise,
        "untraining",
        _common.R,
        _neurips2023.COMPETITION.format(3),
        words=_neurips2023.LIKE_RETRAINED,
        needs=frozenset({"convolutions"}),
        ranges=_common.SGD_RANGES | {"sigma": (0.01, 1.0), "final_sigma": (1e-4, 0.1)},
    ),
    "transpose_kernels": Algorithm(
        transpose_kernels,
        "untraining",
        _common.R,
        _neurips2023.COMPETITION.format(5),
        words=_neurips2023.LIKE_RETRAINED,
        needs=frozenset({"convolutions"}),
        ranges=_common.SGD_RANGES,
    ),
}
