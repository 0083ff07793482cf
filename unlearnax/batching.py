"""Passes over subsets of rows: one traced program serves every subset size.

Lengths are traced scalars that are never batched: under vmap over members a batched loop bound would run masked work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from unlearnax.types import Array, Key, Subset

Carry = TypeVar("Carry")


def subset(rows: Array, capacity: int | None = None) -> Subset:
    """Pads row numbers `[n]` to `capacity` (default n).

    Raises:
        ValueError: more rows than capacity.
    """
    rows = np.asarray(rows, np.int32)
    capacity = len(rows) if capacity is None else capacity
    if len(rows) > capacity:
        raise ValueError(f"Expected capacity={capacity} to be at least the number of rows, {len(rows)}.")
    return Subset(np.pad(rows, (0, capacity - len(rows))), np.asarray(len(rows), np.int32))


def union(first: Subset, second: Subset) -> Subset:
    """The rows of two disjoint subsets as one, padding last."""
    index = jnp.concatenate([jnp.asarray(first.index), jnp.asarray(second.index)])
    place = jnp.arange(len(index))
    inside = jnp.where(place < len(first.index), place < first.length, place - len(first.index) < second.length)
    return Subset(index[jnp.argsort(~inside, stable=True)], first.length + second.length)


def shuffle(key: Key, rows: Subset) -> jax.Array:
    """Returns the index `[capacity]` with its first `length` entries in uniformly random order, padding last.

    Sorts random 31-bit keys; padding holds the largest key of all.
    """
    bits = jax.random.bits(key, rows.index.shape, jnp.uint32) >> 1
    valid = jnp.arange(rows.index.shape[0]) < rows.length
    order = jnp.argsort(jnp.where(valid, bits, jnp.uint32(2**32 - 1)))
    return jnp.asarray(rows.index)[order]


def steps_per_pass(rows: Subset, batch_size: int) -> jax.Array:
    """Number of batches in one pass, dropping the last incomplete one; a subset smaller than a batch gives 1."""
    return jnp.maximum(jnp.asarray(rows.length) // batch_size, 1)


def take_batch(order: jax.Array, rows: Subset, position: Array, batch_size: int) -> jax.Array:
    """Batch number `position` of a shuffled `order`, `[B]`; past the end it starts over.

    A subset smaller than a batch is therefore repeated within the batch, each row equally often to within one.
    """
    return order[(position * batch_size + jnp.arange(batch_size)) % rows.length]


def run_passes(
    key: Key,
    carry: Carry,
    rows: Subset,
    body: Callable[..., Carry],
    *,
    batch_size: int,
    passes: int | tuple[Array, Array],
    max_steps: Array | None = None,
    beside: tuple[Subset, ...] = (),
) -> Carry:
    """Runs ``carry = body(carry, key, step, *batches)`` over shuffled passes of `rows`, compiled as two nested loops.

    Args:
        key: pass p uses ``fold_in(key, p)``, so cutting a run into segments of passes changes nothing.
        rows: the subset whose size sets the number of steps in a pass.
        body: gets the step's key, the step's number since pass 0, and one `[B]` array of row numbers for `rows`
            and one for each subset in `beside`.
        passes: how many, or the half-open range of passes to run.
        max_steps: total number of steps since pass 0 after which nothing more runs (None: no limit).
        beside: other subsets, each reshuffled at every pass of `rows` and cycled through as often as needed.
    """
    first, last = passes if isinstance(passes, tuple) else (0, passes)
    subsets = (rows, *beside)
    steps = steps_per_pass(rows, batch_size)

    def one_pass(number: jax.Array, carry: Carry) -> Carry:
        key_orders, key_steps = jax.random.split(jax.random.fold_in(key, number))
        orders = [shuffle(k, s) for k, s in zip(jax.random.split(key_orders, len(subsets)), subsets, strict=True)]

        def one_step(i: jax.Array, carry: Carry) -> Carry:
            taken = [take_batch(order, s, i, batch_size) for order, s in zip(orders, subsets, strict=True)]
            return body(carry, jax.random.fold_in(key_steps, i), number * steps + i, *taken)

        stop = steps if max_steps is None else jnp.minimum(steps, max_steps - number * steps)
        return jax.lax.fori_loop(0, stop, one_step, carry)

    return jax.lax.fori_loop(first, last, one_pass, carry)
