"""What must go is redirected to new channels, which are then dropped: REM."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common, _curvature
from unlearnax.types import Algorithm, Model, Request, Subset, TrainState, UnlearnFn


def rem(
    model: Model,
    *,
    p_mem: float = 0.2,
    beta: float = 1.0,
    threshold: float = 0.2,
    max_purges: int = 100,
    learning_rate: float = 5e-3,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    epochs: int = 10,
    batch_size: int = 64,
) -> UnlearnFn:
    """REM: purges S from the old channels by NPO and fine-tunes on all of D with new channels beside, which are then dropped.

    The old network's logits are f_θ(x), those of the widened one f_θ(x) + (m_i ∘ h_φ(x)) K: φ a freshly initialised copy of
    the network, K a new head, m_i the mask of example i, ones with chance p_mem.  All of S shares one mask.  ℓ_i(θ) and
    ℓ_i(θ, φ) are the losses of the two, ℓ⁰_i that of the widened network as it starts.  An epoch is

    1. while the old network's accuracy on S is above γ, at most `max_purges` times: a pass of S that minimises
       −(2/β) E_S log σ(β(ℓ_i(θ) − ℓ⁰_i)) in θ;
    2. a pass of D = S ∪ R that minimises (2/β) E_D [log σ(β(ℓ_i(θ, φ) − ℓ⁰_i)) − 1[i ∈ S] log σ(β(ℓ_i(θ) − ℓ⁰_i))].

    Corruption of D that S does not name is learned again in step 2, where S pushes it out of θ: it goes the way that the
    shared mask keeps open.  θ is returned, of the epoch with the highest (accuracy on R)(1 − max(γ, accuracy on S)).

    The paper adds channels to every layer, connected to the old ones; here old and new channels meet in the logits only,
    which suits every architecture.  The copy's batch statistics stay as they were initialised.

    Args:
        p_mem: share of new channels in a mask, in [0, 1].
        beta: β > 0.
        threshold: γ in [0, 1).
        max_purges: at least 1.
        learning_rate, momentum, weight_decay, epochs: of SGD, one optimiser for both steps; these and the above as in the
            released code for a ResNet-9 on CIFAR-10, which takes batches of 512.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Schoepf et al., "Redirection for erasing memory (REM)", ICLR 2026, arXiv 2505.17730, algorithm 1; released code
    github.com/google-deepmind/rem, whose reading of the loss (differences of cross-entropies) is followed.
    """
    checks.in_range("p_mem", p_mem, 0, 1)
    checks.positive("beta", beta)
    checks.in_range("threshold", threshold, 0, 1, open_high=True)
    checks.at_least_one("max_purges", max_purges)
    _common.check_optimisation(
        learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay, epochs=epochs, batch_size=batch_size
    )
    optimizer = _common.sgd(learning_rate, momentum, weight_decay)

    def unlearn(key, original, request):
        key_new, key_head, key_masks, key_passes = jax.random.split(key, 4)
        everything, in_forget = batching.union(request.forget, request.retain), _members(request)
        new, new_state = model.init(key_new)
        one = jnp.zeros(1, int)
        width, classes = (jax.eval_shape(shape, one).shape[-1] for shape in (
            lambda rows: model.features(new, new_state, _common.batch(request, rows)[0]),
            lambda rows: model.apply(new, new_state, _common.batch(request, rows)[0], train=False, key=None)[0],
        ))  # fmt: skip
        head = jax.random.normal(key_head, (width, classes)) / jnp.sqrt(width)
        start = {"old": original.params, "new": new, "head": head}

        def redirected(params, rows):
            """(m ∘ h) K, `[B, C]`."""
            owner = jnp.where(in_forget[rows], len(request.x), rows)  # no row has the number of the mask that S shares
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key_masks, owner)
            masks = jax.vmap(lambda k: jax.random.bernoulli(k, p_mem, (width,)))(keys)
            features = model.features(params["new"], new_state, _common.batch(request, rows)[0])
            return jnp.where(masks, features, 0.0) @ params["head"]

        def risen(logits, rows):
            """log σ(β(ℓ − ℓ⁰)), `[B]`."""
            x, y = _common.batch(request, rows)
            before, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
            before += redirected(start, rows)
            now, then = (optax.softmax_cross_entropy_with_integer_labels(z, y) for z in (logits, before))
            return jax.nn.log_sigmoid(beta * (now - then))

        def old_logits(params, model_state, key, rows):
            return model.apply(params["old"], model_state, _common.batch(request, rows)[0], train=True, key=key)

        def purge(params, model_state, key, step, rows):
            logits, model_state = old_logits(params, model_state, key, rows)
            return -2 / beta * risen(logits, rows).mean(), model_state

        def redirect(params, model_state, key, step, rows):
            logits, model_state = old_logits(params, model_state, key, rows)
            learned = risen(logits + redirected(params, rows), rows)
            pushed = jnp.where(in_forget[rows], risen(logits, rows), 0.0)
            return 2 / beta * (learned - pushed).mean(), model_state

        def accuracy(state: TrainState, subset: Subset) -> jax.Array:
            def correct(rows, weights):
                x, y = _common.batch(request, rows)
                logits, _ = model.apply(state.params["old"], state.model_state, x, train=False, key=None)
                return (weights * (logits.argmax(-1) == y)).sum()

            return _curvature.total(jnp.zeros(()), subset, correct, batch_size) / subset.length

        only_old = {name: jax.tree.map(lambda p, n=name: jnp.full_like(p, n == "old"), start[name]) for name in start}

        def epoch(number, carry):
            carry, best, best_score = carry
            key_purges, key_redirect = jax.random.split(jax.random.fold_in(key_passes, number))

            def unfinished(purged):
                return (purged[0] < max_purges) & (purged[2] > threshold)

            def once(purged):
                key = jax.random.fold_in(key_purges, purged[0])
                carry = _common.optimise(
                    key, purged[1], optimizer, purge, request.forget, batch_size=batch_size, passes=1, mask=only_old
                )
                return purged[0] + 1, carry, accuracy(carry[0], request.forget)

            _, carry, _ = jax.lax.while_loop(unfinished, once, (0, carry, accuracy(carry[0], request.forget)))
            carry = _common.optimise(
                key_redirect, carry, optimizer, redirect, everything, batch_size=batch_size, passes=1
            )
            state = carry[0]
            lost = jnp.maximum(accuracy(state, request.forget), threshold)
            score = accuracy(state, request.retain) * (1 - lost)
            found = state.params["old"], state.model_state
            best = jax.tree.map(lambda a, b: jnp.where(score > best_score, a, b), found, best)
            return carry, best, jnp.maximum(score, best_score)

        carry = _common.begin(original._replace(params=start), optimizer)
        best = original.params, original.model_state
        carry, best, _ = jax.lax.fori_loop(0, epochs, epoch, (carry, best, jnp.full((), -1.0)))
        state, info = _common.end(carry)
        return state._replace(params=best[0], model_state=best[1]), info

    return unlearn


def _members(request: Request) -> jax.Array:
    """Whether each row of a request is one of S, `[N]` bool."""
    inside = jnp.arange(len(request.forget.index)) < request.forget.length
    return jnp.zeros(len(request.x), bool).at[request.forget.index].max(inside)


ALGORITHMS: dict[str, Algorithm] = {
    "rem": Algorithm(
        rem,
        "unlearning",
        _common.BOTH,
        "Schoepf et al., ICLR 2026, arXiv 2505.17730",
        words="redirect corrupted data to dedicated neurons, then discard these to suppress its influence",
        ranges=_common.SGD_RANGES | {"beta": (0.1, 10.0), "p_mem": ("uniform", 0.05, 0.5)},
    ),
}
