"""A student taught by the original on R and against it, or by an ignorant teacher, on S."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from unlearnax import batching, checks
from unlearnax.algorithms import _common
from unlearnax.types import Algorithm, Key, Model, Request, Subset, TrainState, UnlearnFn


def check_scrub(*, alpha: Any, gamma: Any, temperature: Any, max_epochs: int) -> None:
    """Raises ValueError where one of SCRUB's own hyperparameters is out of range."""
    checks.non_negative("alpha", alpha)
    checks.non_negative("gamma", gamma)
    checks.positive("temperature", temperature)
    checks.at_least_zero("max_epochs", max_epochs)


def scrub_epoch(
    model: Model, key: Key, teacher: TrainState, request: Request, optimizer: optax.GradientTransformation, *,
    alpha: Any, gamma: Any, temperature: Any, max_epochs: int, batch_size: int,
) -> Callable[[jax.Array, _common.Carry], _common.Carry]:  # fmt: skip
    """``carry = epoch(number, carry)`` of SCRUB, numbers counting from 0; see `scrub`."""
    key_forget, key_retain = jax.random.split(key)

    def compare(params, model_state, key, rows):
        x, y = _common.batch(request, rows)
        taught, _ = model.apply(teacher.params, teacher.model_state, x, train=False, key=None)
        logits, model_state = model.apply(params, model_state, x, train=True, key=key)
        apart = temperature**2 * _common.divergence(taught, logits, temperature)
        return apart, _common.cross_entropy(logits, y), model_state

    def push(params, model_state, key, step, rows):
        apart, _, model_state = compare(params, model_state, key, rows)
        return -apart, model_state

    def hold(params, model_state, key, step, rows):
        apart, loss, model_state = compare(params, model_state, key, rows)
        return gamma * loss + alpha * apart, model_state

    def epoch(number, carry):
        last = jnp.where(number < max_epochs, number + 1, number)  # an empty range of passes once m is over
        carry = _common.optimise(
            key_forget, carry, optimizer, push, request.forget, batch_size=batch_size, passes=(number, last)
        )
        return _common.optimise(
            key_retain, carry, optimizer, hold, request.retain, batch_size=batch_size, passes=(number, number + 1)
        )

    return epoch


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

    With d = T² KL(p_θ0 ‖ p_θ) at temperature T: in epochs 1 … m, first a pass over S that maximises E_S d; in every
    epoch, a pass over R that minimises γ E_R ℓ(θ) + α E_R d.  The released code uses Adam at small scale and SGD at
    large, and a learning rate that falls by steps: here it is Adam at a constant rate, without weight decay.

    Without BatchNorm and dropout the student begins as its own teacher, where ∇d = 0: the first pass over S changes
    nothing and the push begins with the second.

    Args:
        alpha, gamma: α, γ ≥ 0.
        temperature: T > 0.
        max_epochs: m ≥ 0, how many epochs begin with the pass over S.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Kurmanji et al., "Towards unbounded machine unlearning", NeurIPS 2023, arXiv 2302.09880.
    """
    check_scrub(alpha=alpha, gamma=gamma, temperature=temperature, max_epochs=max_epochs)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unlearn(key, teacher, request):
        epoch = scrub_epoch(
            model, key, teacher, request, optimizer, alpha=alpha, gamma=gamma, temperature=temperature,
            max_epochs=max_epochs, batch_size=batch_size,
        )  # fmt: skip
        return _common.end(jax.lax.fori_loop(0, epochs, epoch, _common.begin(teacher, optimizer)))

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

    Minimises E KL(u p_bad + (1 − u) p_θ0 ‖ p_θ), u = 1 on S and 0 on R, over passes of S ∪ (part of R); all softmax
    outputs at temperature T.  The KL is summed over classes; the released code averages over them too, a constant
    factor that Adam cancels.

    Args:
        retain_fraction: share of R that takes part, drawn once, in [0, 1].
        temperature: T > 0.

    Raises:
        ValueError: a hyperparameter out of range.

    Source: Chundawat et al., "Can bad teaching induce forgetting?", AAAI 2023, arXiv 2205.08096.
    """
    checks.in_range("retain_fraction", retain_fraction, 0, 1)
    checks.positive("temperature", temperature)
    _common.check_optimisation(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size)
    optimizer = optax.adam(learning_rate)

    def unlearn(key, original, request):
        key_bad, key_part, key_passes = jax.random.split(key, 3)
        bad_params, bad_state = model.init(key_bad)
        length = jnp.floor(retain_fraction * request.retain.length).astype(jnp.int32)
        part = Subset(batching.shuffle(key_part, request.retain), length)
        forget, count = request.forget, len(request.y)
        valid = jnp.arange(len(forget.index)) < forget.length
        in_forget = jnp.zeros(count, bool).at[jnp.where(valid, forget.index, count)].set(True, mode="drop")

        def objective(params, model_state, key, step, rows):
            x, _ = _common.batch(request, rows)
            good, _ = model.apply(original.params, original.model_state, x, train=False, key=None)
            bad, _ = model.apply(bad_params, bad_state, x, train=False, key=None)
            taught = jnp.where(in_forget[rows][:, None], bad, good)
            logits, model_state = model.apply(params, model_state, x, train=True, key=key)
            return _common.divergence(taught, logits, temperature), model_state

        rows = batching.union(forget, part)
        return _common.minimise(key_passes, original, optimizer, objective, rows, batch_size=batch_size, epochs=epochs)

    return unlearn


ALGORITHMS: dict[str, Algorithm] = {
    "scrub": Algorithm(
        scrub,
        "ambiguous",
        _common.BOTH,
        "Kurmanji et al., NeurIPS 2023, arXiv 2302.09880",
        words="applications with metrics of their own: removing biases, resolving confusion, user privacy",
        ranges=_common.ADAM_RANGES | {"alpha": (0.01, 2.0), "gamma": (0.1, 10.0)},
    ),
    "bad_teacher": Algorithm(
        bad_teacher,
        "ambiguous",
        _common.BOTH,
        "Chundawat et al., AAAI 2023, arXiv 2205.08096",
        words="forget the information about the forget set, with outputs like those of a model that never saw it",
        ranges=_common.ADAM_RANGES | {"retain_fraction": ("uniform", 0.1, 1.0)},
    ),
}
