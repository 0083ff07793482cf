"""A student taught by the original on R and against it, or by an ignorant teacher, on S."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Model, Subset, UnlearnFn


def scrub(
    model: Model,
    *,
    alpha: float = 0.5,
    gamma: float = 1.0,
    temperature: float = 4.0,
    max_epochs: int = 3,
    learning_rate: float = 5e-4,
    epochs: int = 5,
    batch_size: int = 64,
) -> UnlearnFn:
    """SCRUB: a student pushed away from the frozen original on S and held to it on R, by Adam.

    In epochs 1 … m, first a pass over S that maximises KL(p_teacher ‖ p_student); in every epoch a pass over R that
    minimises γ ℓ + α KL(p_teacher ‖ p_student).  Both divergences at temperature T, times T².

    Args:
        alpha, gamma: α, γ ≥ 0.  temperature: T > 0.  max_epochs: m ≥ 0, epochs that begin with the pass over S.

    Source: Kurmanji et al., "Towards unbounded machine unlearning", NeurIPS 2023, arXiv 2302.09880, eq. 3, algorithm 1.
    """
    checks.non_negative("alpha", alpha)
    checks.non_negative("gamma", gamma)
    checks.positive("temperature", temperature)
    checks.in_range("max_epochs", max_epochs, 0, epochs)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unlearn(key, state, request):
        teacher = state
        key_forget, key_retain = jax.random.split(key)

        def both(params, model_state, key, rows):
            taught, _ = model.apply(teacher.params, teacher.model_state, request.x[rows], train=False, key=None)
            logits, model_state = model.apply(params, model_state, request.x[rows], train=True, key=key)
            return _common.divergence(taught, logits, temperature), logits, model_state

        def push(params, model_state, key, step, rows):
            apart, _, model_state = both(params, model_state, key, rows)
            return -apart, model_state

        def hold(params, model_state, key, step, rows):
            apart, logits, model_state = both(params, model_state, key, rows)
            return gamma * _common.cross_entropy(logits, request.y[rows]) + alpha * apart, model_state

        def epoch(number, carry):
            last = jnp.where(number < max_epochs, number + 1, number)  # an empty range of passes once m is over
            carry = _common.optimise(key_forget, carry, optimizer, push, request.forget, batch_size=batch_size,
                                     passes=(number, last))  # fmt: skip
            return _common.optimise(key_retain, carry, optimizer, hold, request.retain, batch_size=batch_size,
                                    passes=(number, number + 1))  # fmt: skip

        return _common.end(jax.lax.fori_loop(0, epochs, epoch, _common.begin(state, optimizer)))

    return unlearn


def bad_teacher(
    model: Model,
    *,
    retain_fraction: float = 0.3,
    temperature: float = 1.0,
    learning_rate: float = 1e-4,
    epochs: int = 1,
    batch_size: int = 64,
) -> UnlearnFn:
    """Bad teacher: distils S from a randomly initialised model and a random part of R from the original, by Adam.

    Minimises KL(u p_bad + (1 − u) p_θ0 ‖ p_θ) with u = 1 on S, over passes of S ∪ (part of R).

    Args:
        retain_fraction: share of R that takes part, in [0, 1].  temperature: T > 0 of all softmax outputs.

    Source: Chundawat et al., "Can bad teaching induce forgetting?", AAAI 2023, arXiv 2205.08096, eq. 4.
    """
    checks.in_range("retain_fraction", retain_fraction, 0, 1)
    checks.positive("temperature", temperature)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unlearn(key, state, request):
        key_bad, key_part, key_passes = jax.random.split(key, 3)
        bad_params, bad_state = model.init(key_bad)
        part = Subset(
            batching.shuffle(key_part, request.retain),
            jnp.floor(retain_fraction * request.retain.length).astype(jnp.int32),
        )
        valid = jnp.arange(len(request.forget.index)) < request.forget.length
        in_forget = jnp.zeros(len(request.y), bool).at[jnp.where(valid, request.forget.index, len(request.y))].set(
            True, mode="drop")  # fmt: skip

        def objective(params, model_state, key, step, rows):
            x = request.x[rows]
            good, _ = model.apply(state.params, state.model_state, x, train=False, key=None)
            bad, _ = model.apply(bad_params, bad_state, x, train=False, key=None)
            taught = jnp.where(in_forget[rows][:, None], bad, good)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            return _common.divergence(taught, logits, temperature), model_state

        carry = _common.begin(state, optimizer)
        rows = batching.union(request.forget, part)
        return _common.end(
            _common.optimise(key_passes, carry, optimizer, objective, rows, batch_size=batch_size, passes=epochs)
        )

    return unlearn
