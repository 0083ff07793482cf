"""Entry of the NeurIPS 2023 unlearning competition, place 4: the smallest weights redrawn, entropies matched.

The details are those of the winner's notebook as ported in the code of Cadet et al., "Deep unlearn", 2024, arXiv
2410.01276; the notebook itself was not seen.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import checks
from unlearnax.algorithms import _common, _neurips2023
from unlearnax.algorithms._neurips2023 import (
    class_counts,
    smallest,
)
from unlearnax.types import Algorithm, Model, UnlearnFn


def prune_match(
    model: Model,
    *,
    fraction: float = 0.99,
    learning_rate: float = 5e-4,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 3,
    batch_size: int = 64,
) -> UnlearnFn:
    """Prune, reinitialise, match entropies, quantise: draws the smallest weights anew and holds the entropy on R.

    Of all kernels (rank 2 and more) together, the share `fraction` of weights with the smallest |θ0| is drawn from the
    uniform distribution on ±1/√(inputs of a unit).  Then SGD on Σ w_y ℓ / Σ w_y + E_R (H(p_θ) − H(p_θ0))², sums over the
    batch, H the entropy and w_c = n_c^(−1/10) for n_c rows of R in class c; at the end θ is rounded to 16-bit floats.

    The released code ranks biases too and leaves those it prunes at 0, and runs 3.2 epochs.

    Args:
        fraction: in [0, 1].

    Raises:
        ValueError: a hyperparameter out of range.

    Source: fourth place (Sebastian Oleszko) in Triantafillou et al., "Are we making progress in unlearning?", 2024, arXiv
    2406.09073; PRMQ in Cadet et al., 2024, arXiv 2410.01276, with the defaults of its code.
    """
    checks.in_range("fraction", fraction, 0, 1)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def entropy(logits):
        log_p = jax.nn.log_softmax(logits)
        return -(jnp.exp(log_p) * log_p).sum(-1)

    def unlearn(key, original, request):
        key_init, key_passes = jax.random.split(key)
        counts = class_counts(model, original, request)
        weights = jnp.where(counts > 0, jnp.maximum(counts, 1) ** -0.1, 0.0)
        leaves, structure = jax.tree.flatten(original.params)
        flat = jnp.concatenate([jnp.abs(leaf).ravel() for leaf in leaves if leaf.ndim > 1])
        pruned, start, drawn = smallest(flat, fraction), 0, []
        for leaf, key_leaf in zip(leaves, jax.random.split(key_init, len(leaves)), strict=True):
            if leaf.ndim > 1:
                bound = (leaf.size / leaf.shape[-1]) ** -0.5
                fresh = jax.random.uniform(key_leaf, leaf.shape, leaf.dtype, -bound, bound)
                leaf, start = (
                    jnp.where(pruned[start : start + leaf.size].reshape(leaf.shape), fresh, leaf),
                    start + leaf.size,
                )
            drawn.append(leaf)

        def objective(params, model_state, key, step, rows):
            x, y = _common.batch(request, rows)
            before, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            each = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            loss = (weights[y] * each).sum() / weights[y].sum()
            return loss + jnp.square(entropy(logits) - entropy(before)).mean(), model_state

        state = original._replace(params=jax.tree.unflatten(structure, drawn))
        state, info = _common.minimise(
            key_passes, state, optimizer, objective, request.retain, batch_size=batch_size, epochs=epochs
        )
        rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.float16).astype(leaf.dtype), state.params)
        return state._replace(params=rounded), info

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "prune_match": Algorithm(
        prune_match,
        "untraining",
        _common.R,
        _neurips2023.COMPETITION.format(4),
        words=_neurips2023.LIKE_RETRAINED,
        ranges=_common.SGD_RANGES | {"fraction": ("uniform", 0.1, 1.0)},
    ),
}
