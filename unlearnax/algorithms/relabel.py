"""Training the forget set on other labels."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Model, UnlearnFn


def random_label(
    model: Model,
    *,
    learning_rate: float = 1e-4,
    epochs: int = 3,
    batch_size: int = 64,
) -> UnlearnFn:
    """Random label (Amnesiac relabelling): a wrong label drawn once for each example of S, then training on S ∪ R by Adam.

    Source: Graves et al., "Amnesiac machine learning", AAAI 2021, arXiv 2010.10981, section "Unlearning".
    """
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unlearn(key, state, request):
        key_labels, key_passes = jax.random.split(key)
        classes = jax.eval_shape(
            lambda: model.apply(state.params, state.model_state, request.x[:1], train=False, key=None)[0]
        ).shape[-1]
        # A shift of 1 to C−1 gives every wrong label the same probability.  Rows outside S keep theirs: the padding of
        # the index repeats some row, so it is pointed past the end, where a scatter drops it.
        shift = jax.random.randint(key_labels, request.forget.index.shape, 1, classes)
        valid = jnp.arange(len(request.forget.index)) < request.forget.length
        rows = jnp.where(valid, request.forget.index, len(request.y))
        wrong = (request.y[request.forget.index] + shift) % classes
        labels = request.y.at[rows].set(wrong.astype(request.y.dtype), mode="drop")

        def objective(params, model_state, key, step, rows):
            logits, model_state = model.apply(params, model_state, request.x[rows], train=True, key=key)
            return _common.cross_entropy(logits, labels[rows]), model_state

        carry = _common.begin(state, optimizer)
        rows = batching.union(request.forget, request.retain)
        return _common.end(
            _common.optimise(key_passes, carry, optimizer, objective, rows, batch_size=batch_size, passes=epochs)
        )

    return unlearn


def saliency_mask(model: Model, state, request, fraction, batch_size: int):
    """0/1 tree like params: 1 on the top `fraction` of |Σ_batches ∇ℓ_S(θ0)|, one threshold for all parameters."""

    def loss(params, rows):
        logits, _ = model.apply(params, state.model_state, request.x[rows], train=False, key=None)
        return _common.cross_entropy(logits, request.y[rows])

    def add(total, key, step, rows):
        return jax.tree.map(jnp.add, total, jax.grad(loss)(state.params, rows))

    zero = jax.tree.map(jnp.zeros_like, state.params)
    total = batching.run_passes(jax.random.key(0), zero, request.forget, add, batch_size=batch_size, passes=1)
    sizes = jnp.concatenate([jnp.abs(leaf).ravel() for leaf in jax.tree.leaves(total)])
    kept = jnp.clip(jnp.round(fraction * sizes.size).astype(int), 0, sizes.size)
    threshold = jnp.append(jnp.sort(sizes)[::-1], -jnp.inf)[jnp.maximum(kept - 1, 0)]
    return jax.tree.map(lambda leaf: ((jnp.abs(leaf) >= threshold) & (kept > 0)).astype(leaf.dtype), total)


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
    """SalUn: random labels for S (uniform, the true one included, drawn anew each batch) on the salient weights only.

    Each epoch is a pass over S with random labels, then a pass over R.  The mask multiplies the update itself, so that
    neither momentum nor weight decay moves the other weights.

    Args:
        fraction: share of weights that may move, in [0, 1].

    Source: Fan et al., "SalUn", ICLR 2024, arXiv 2310.12508, eq. 3 to 5; passes and labels as in the released code.
    """
    checks.in_range("fraction", fraction, 0, 1)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, momentum=momentum,
                               weight_decay=weight_decay)  # fmt: skip
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, state, request):
        mask = saliency_mask(model, state, request, fraction, batch_size)
        key_forget, key_retain = jax.random.split(key)

        def objective(labels_of):
            def value(params, model_state, key, step, rows):
                logits, model_state = model.apply(params, model_state, request.x[rows], train=True, key=key)
                return _common.cross_entropy(logits, labels_of(key, rows, logits.shape[-1])), model_state

            return value

        on_forget = objective(lambda key, rows, classes: jax.random.randint(key, rows.shape, 0, classes))
        on_retain = objective(lambda key, rows, classes: request.y[rows])

        def epoch(number, carry):
            for key, goal, rows in ((key_forget, on_forget, request.forget), (key_retain, on_retain, request.retain)):
                carry = _common.optimise(key, carry, optimizer, goal, rows, batch_size=batch_size,
                                         passes=(number, number + 1), mask=mask)  # fmt: skip
            return carry

        return _common.end(jax.lax.fori_loop(0, epochs, epoch, _common.begin(state, optimizer)))

    return unlearn
