"""Linear systems in matrices that are only ever multiplied with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def conjugate_gradients(
    product: Callable[[jax.Array], jax.Array], b: jax.Array, *, iterations: int, tolerance: Any
) -> tuple[jax.Array, jax.Array]:
    """Solves A x = b, ``product(v) = A v``: x `[P]` and the number of products.

    Stops where ‖b − A x‖ ≤ tolerance · ‖b‖, after `iterations` products, or at a direction of curvature ≤ 0, with what it
    has by then (with b itself if that is the first direction).  Numbers that are not finite never count as an end, so
    that they reach x.

    (`jax.scipy.sparse.linalg.cg` is not used: its first product is with zeros, and with a product that sums over batches in
    a loop its compiled form on CPU, jax 0.10.2, gave other numbers at every call, of the order of 10¹⁰.)

    Source: Nocedal and Wright, "Numerical optimization", 2006, Algorithm 7.1 (its inner loop).
    """
    b_squared = jnp.square(b).sum()

    def unfinished(carry):
        count, *_, done = carry
        return (count < iterations) & ~done

    def iterate(carry):
        count, x, r, p, r_squared, _ = carry
        a_p = product(p)
        curvature = (p * a_p).sum()
        concave = curvature <= 0
        step = r_squared / jnp.where(concave, 1.0, curvature)
        x = jnp.where(concave, jnp.where(count == 0, b, x), x + step * p)
        r = r - step * a_p
        after = jnp.square(r).sum()
        done = concave | (after <= tolerance**2 * b_squared)
        return count + 1, x, r, r + after / r_squared * p, after, done

    start = (jnp.zeros((), jnp.int32), jnp.zeros_like(b), b, b, b_squared, b_squared == 0)
    count, x, *_ = jax.lax.while_loop(unfinished, iterate, start)
    return x, count
