"""A convolution that is fast inside compiled training loops on CPU.

Inside a loop XLA's CPU backend runs the weight gradient of a convolution 10 to 40 times slower than a matrix product of
the same size.  Here the forward pass and the input gradient stay native, and the weight gradient is one product of the
image's patches with the output's gradient.  Other backends use the native form throughout.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_general_dilated(
    lhs: jax.Array, rhs: jax.Array, window_strides: Any, padding: Any, *, lhs_dilation: Any = None,
    rhs_dilation: Any = None, dimension_numbers: Any = None, feature_group_count: int = 1, precision: Any = None,
    **options: Any,
) -> jax.Array:  # fmt: skip
    """Drop-in for `jax.lax.conv_general_dilated` in `flax.linen.Conv(conv_general_dilated=...)`.

    lhs: `[B, H, W, C]`.  rhs: `[h, w, C, K]`.  Returns `[B, H', W', K]`.  Dilated or grouped convolutions, other layouts,
    a stated precision, and every backend but CPU take the native form.  Reverse-mode derivatives of any order work;
    forward mode (`jax.jvp`) raises on CPU.
    """
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    plain = (
        jax.default_backend() == "cpu"
        and lhs.ndim == 4
        and numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, LAYOUT)
        and set(lhs_dilation or (1,)) == {1}
        and set(rhs_dilation or (1,)) == {1}
        and feature_group_count == 1
        and precision is None
        and options.get("batch_group_count", 1) == 1
        and options.get("preferred_element_type") is None
    )
    if not plain:
        return lax.conv_general_dilated(
            lhs, rhs, window_strides, padding, lhs_dilation=lhs_dilation, rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers, feature_group_count=feature_group_count, precision=precision, **options,
        )  # fmt: skip
    strides = tuple(window_strides)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], strides, padding)
    return _conv(lhs, rhs, strides, tuple((int(low), int(high)) for low, high in padding))


def _native(x: jax.Array, w: jax.Array, strides: tuple[int, ...], pads: tuple[tuple[int, int], ...]) -> jax.Array:
    return lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=LAYOUT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x, w, strides, pads):
    return _native(x, w, strides, pads)


def _forward(x, w, strides, pads):
    return _native(x, w, strides, pads), (x, w)


def _patches(
    x: jax.Array, kernel: tuple[int, int], strides: tuple[int, ...], pads: Any, out: tuple[int, int]
) -> jax.Array:
    """`[B · H' · W', h · w · C]`: for every output pixel the inputs it saw, by one strided slice for each kernel tap."""
    (top, bottom), (left, right) = pads
    # Like the convolution, and unlike `jnp.pad`, `lax.pad` takes negative widths.
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))
    taps = [
        lax.slice(
            padded,
            (0, i, j, 0),
            (x.shape[0], i + (out[0] - 1) * strides[0] + 1, j + (out[1] - 1) * strides[1] + 1, x.shape[3]),
            (1, *strides, 1),
        )
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]
    return jnp.concatenate(taps, axis=-1).reshape(-1, kernel[0] * kernel[1] * x.shape[3])


def _backward(strides, pads, residuals, g):
    x, w = residuals
    (dx,) = jax.linear_transpose(lambda x: _native(x, w, strides, pads), x)(g)
    columns = _patches(x, w.shape[:2], strides, pads, g.shape[1:3])
    wide = jnp.promote_types(g.dtype, jnp.float32)  # bfloat16 is too narrow for sums over B · H' · W' terms
    dw = jnp.matmul(columns.T, g.reshape(-1, g.shape[-1]), preferred_element_type=wide)
    return dx, dw.reshape(w.shape).astype(w.dtype)


_conv.defvjp(_forward, _backward)
