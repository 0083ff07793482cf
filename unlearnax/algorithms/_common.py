"""Pieces that algorithms share: losses, one optimiser step, passes that keep a running mean of the objective.

Students run in train mode and carry their batch statistics along; teachers and importances are those of the original,
with train=False.  A pass drops its last incomplete batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from unlearnax import batching, checks
from unlearnax.types import Array, Info, Key, Model, Request, Subset, TrainState

# What an algorithm reads, for its metadata.
NOTHING, S, R, BOTH = (frozenset(names.split()) for names in ("", "forget", "retain", "forget retain"))
# Ranges of a search for the learning rate, of SGD and of Adam.
SGD_RANGES: dict[str, tuple] = {"learning_rate": (1e-4, 0.2)}
ADAM_RANGES: dict[str, tuple] = {"learning_rate": (1e-5, 3e-2)}

# objective(params, model_state, key, step, *rows) -> (value, new model_state); step counts from the first pass on
Objective = Callable[..., tuple[jax.Array, PyTree]]


def batch(request: Request, rows: Array) -> tuple[jax.Array, jax.Array]:
    """Inputs `[B, ...]` and labels `[B]` of rows `[B]`; a request of NumPy arrays is fine outside of jit too."""
    return jnp.asarray(request.x)[rows], jnp.asarray(request.y)[rows]


def cross_entropy(logits: Array, labels: Array) -> jax.Array:
    """Mean of −log p_y over a batch: logits `[B, C]`, labels `[B]`."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def divergence(p_logits: Array, q_logits: Array, temperature: Any) -> jax.Array:
    """Batch mean of KL(p ‖ q), summed over classes, of softmax outputs at temperature T: logits `[B, C]`, p constant.

    Its gradient by the logits of q, (q − p) / T, is written out, differences below 1e-6 counting as none: a student that
    starts as its own teacher has no gradient, and out of rounding errors Adam would make steps of full size.
    """
    log_p, log_q = (jax.nn.log_softmax(logits / temperature) for logits in (p_logits, q_logits))
    value = (jnp.exp(log_p) * (log_p - log_q)).sum(-1).mean()
    apart = jnp.exp(log_q) - jnp.exp(log_p)
    slope = jnp.where(jnp.abs(apart) < 1e-6, 0.0, apart) / temperature
    linear = (jax.lax.stop_gradient(slope) * q_logits).sum(-1).mean()
    return jax.lax.stop_gradient(value - linear) + linear


def training_loss(
    model: Model, params: PyTree, model_state: PyTree, key: Key, request: Request, rows: Array
) -> tuple[jax.Array, PyTree]:
    """Mean ℓ over a batch in train mode, and the new batch statistics."""
    x, y = batch(request, rows)
    logits, model_state = model.apply(params, model_state, x, train=True, key=key)
    return cross_entropy(logits, y), model_state


def frozen_loss(model: Model, state: TrainState, request: Request) -> Callable[[PyTree, Array], jax.Array]:
    """Mean ℓ over a batch with the original's statistics, as ``loss(params, rows)``."""

    def loss(params: PyTree, rows: Array) -> jax.Array:
        x, y = batch(request, rows)
        return cross_entropy(model.apply(params, state.model_state, x, train=False, key=None)[0], y)

    return loss


def check_optimisation(
    *, learning_rate: Any, epochs: int, batch_size: int, momentum: Any = 0.0, weight_decay: Any = 0.0
) -> None:
    """Raises ValueError where one of the hyperparameters that most algorithms have is out of range."""
    checks.positive("learning_rate", learning_rate)
    checks.in_range("momentum", momentum, 0, 1, open_high=True)
    checks.non_negative("weight_decay", weight_decay)
    checks.at_least_one("epochs", epochs)
    checks.at_least_one("batch_size", batch_size)


def sgd(learning_rate: Any, momentum: Any, weight_decay: Any) -> optax.GradientTransformation:
    """SGD with momentum and coupled L2 decay; every argument may be traced."""
    decay = optax.add_decayed_weights(weight_decay)
    return optax.chain(decay, optax.trace(decay=momentum), optax.scale(-learning_rate))


Carry = tuple[TrainState, jax.Array, jax.Array]


def begin(state: TrainState, optimizer: optax.GradientTransformation, examples: Array | float = 0.0) -> Carry:
    """What passes carry: the state with a fresh optimiser, the last pass's mean objective, examples so far."""
    state = state._replace(opt_state=optimizer.init(state.params))
    return state, jnp.zeros(()), jnp.asarray(examples, jnp.float32)


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
        mean = jnp.where(within == 0, value, mean + (value - mean) / (within + 1))  # each pass begins its own mean
        state = TrainState(params, model_state, opt_state, state.step + 1, state.log)
        return state, mean, examples + size

    return batching.run_passes(key, carry, rows, step, batch_size=batch_size, passes=passes, beside=beside)


def minimise(
    key: Key,
    state: TrainState,
    optimizer: optax.GradientTransformation,
    objective: Objective,
    rows: Subset,
    *,
    batch_size: int,
    epochs: int,
    beside: tuple[Subset, ...] = (),
) -> tuple[TrainState, Info]:
    """A whole algorithm that is one objective over passes of `rows`."""
    carry = begin(state, optimizer)
    return end(optimise(key, carry, optimizer, objective, rows, batch_size=batch_size, passes=epochs, beside=beside))


def sum_over_batches(
    key: Key, zero: PyTree, rows: Subset, value: Callable[[jax.Array], PyTree], batch_size: int
) -> tuple[PyTree, jax.Array]:
    """Σ value(rows `[B]`) over the batches of one pass, a tree like `zero`, and the number of batches."""

    def add(total: PyTree, key: Key, step: jax.Array, rows: jax.Array) -> PyTree:
        return jax.tree.map(jnp.add, total, value(rows))

    total = batching.run_passes(key, zero, rows, add, batch_size=batch_size, passes=1)
    return total, batching.steps_per_pass(rows, batch_size)
