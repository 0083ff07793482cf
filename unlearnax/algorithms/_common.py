"""Pieces that algorithms share: losses, one optimiser step, passes that keep a running mean of the objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from unlearnax import batching, checks
from unlearnax.types import Array, Info, Key, Subset, TrainState

# objective(params, model_state, key, step, *rows) -> (value, new model_state); step counts from the first pass on
Objective = Callable[..., tuple[jax.Array, PyTree]]


def cross_entropy(logits: Array, labels: Array) -> jax.Array:
    """Mean of −log p_y over a batch: logits `[B, C]`, labels `[B]`."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def divergence(p_logits: Array, q_logits: Array, temperature: Any = 1.0) -> jax.Array:
    """Batch mean of KL(p ‖ q) between softmax outputs at a temperature, summed over classes, times temperature²."""
    log_p, log_q = (jax.nn.log_softmax(logits / temperature) for logits in (p_logits, q_logits))
    return (jnp.exp(log_p) * (log_p - log_q)).sum(-1).mean() * temperature**2


def check_optimisation(*, learning_rate: Any, epochs: int, batch_size: int, momentum: Any = 0.0, weight_decay: Any = 0.0):
    """Raises ValueError on the hyperparameters that most algorithms have, out of range."""
    checks.positive("learning_rate", learning_rate)
    checks.in_range("momentum", momentum, 0, 1, open_high=True)
    checks.non_negative("weight_decay", weight_decay)
    checks.at_least_one("epochs", epochs)
    checks.at_least_one("batch_size", batch_size)


def sgd(learning_rate: Any, momentum: Any, weight_decay: Any) -> optax.GradientTransformation:
    """SGD with momentum and coupled L2 decay; every argument may be traced."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.trace(decay=momentum), optax.scale(-learning_rate))


Carry = tuple[TrainState, jax.Array, jax.Array]


def begin(state: TrainState, optimizer: optax.GradientTransformation) -> Carry:
    """What passes carry: the state with a fresh optimiser, the last pass's mean objective, examples so far."""
    return state._replace(opt_state=optimizer.init(state.params)), jnp.zeros(()), jnp.zeros(())


def end(carry: Carry) -> tuple[TrainState, Info]:
    """The edited member, without its optimiser's state, and the observed facts."""
    state, loss, examples = carry
    return state._replace(opt_state=()), Info(loss, examples)


def optimise(
    key: Key,
    carry: Carry,
    optimizer: optax.GradientTransformation,
    objective: Objective,
    rows: Subset,
    *,
    batch_size: int,
    passes: int | tuple[Array, Array],
    beside: tuple[Subset, ...] = (),
    mask: PyTree | None = None,
) -> Carry:
    """Minimises an objective over passes of `rows`, with batches of the subsets `beside` next to each.

    mask: 0/1 tree like params; multiplies the final update, so that neither momentum nor decay moves masked weights.
    """
    size = batch_size * (1 + len(beside))

    def step(carry: Carry, key: Key, number: jax.Array, *batches: jax.Array) -> Carry:
        state, mean, examples = carry
        (value, model_state), grads = jax.value_and_grad(objective, has_aux=True)(
            state.params, state.model_state, key, number, *batches
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        if mask is not None:
            updates = jax.tree.map(jnp.multiply, updates, mask)
        params = optax.apply_updates(state.params, updates)
        within = number % batching.steps_per_pass(rows, batch_size)
        mean = mean + (value - mean) / (within + 1)  # the first step of a pass replaces what was there
        return TrainState(params, model_state, opt_state, state.step + 1), mean, examples + size

    return batching.run_passes(key, carry, rows, step, batch_size=batch_size, passes=passes, beside=beside)
