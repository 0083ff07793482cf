"""A convolution that is fast inside compiled training loops on CPU.

XLA's CPU backend has a fast forward convolution, but its gradients inside a loop are far from what the machine does on a
matrix product of the same size: the weight gradient by 10 to 300 times, the input gradient by 6 (stride 1) to 25 (stride
2).  Here each of the three is a form that stays near it, the same function otherwise:

* forward: native; where the patches of the whole batch fit into the cache, one product of patches and weights.
* input gradient: stride 1 the native forward convolution with a kernel that is flipped beforehand (XLA's own flips inside
  the convolution, which leaves the fast path); otherwise one product, its patches added into place.
* weight gradient: products of patches and the output's gradient.  Patches are `h w` times as large as the image, so they
  are made a few images at a time; with many channels a product for each kernel tap needs none.

Other backends use the native form unless a plan asks for products (`members`): under `vmap` they are batched matrix products,
where native convolutions become grouped ones.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")

# Bytes of patches that are made at once, and below which those of the whole batch are; input channels from which on a
# product for each tap is faster.  Measured on ResNet-9 and on a small CNN, see docs/speed.md.
TILE, WHOLE, MANY_CHANNELS = 2 << 20, 8 << 20, 256


FORMS = ("native", "products")  # of a convolution and its gradients

_form = contextvars.ContextVar("form", default="")


@contextlib.contextmanager
def convolution_form(form: str) -> Iterator[None]:
    """Traces all convolutions in one of `FORMS`, whatever the backend's own.

    "native" is what counts FLOPs: the compiler counts the body of a loop once.
    """
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)


def form() -> str:
    """The form that is traced now: by default products on CPU, native elsewhere."""
    return _form.get() or ("products" if jax.default_backend() == "cpu" else "native")


def convolves(call: Callable[..., Any], *given: Any) -> bool:
    """Whether a function of arrays (or their shapes) has convolutions whose form can be chosen; traced only."""
    with convolution_form("native"):
        return "conv_general_dilated[" in str(jax.make_jaxpr(call)(*given))


def conv_general_dilated(
    lhs: jax.Array, rhs: jax.Array, window_strides: Any, padding: Any, *, lhs_dilation: Any = None,
    rhs_dilation: Any = None, dimension_numbers: Any = None, feature_group_count: int = 1, precision: Any = None,
    **options: Any,
) -> jax.Array:  # fmt: skip
    """Drop-in for `jax.lax.conv_general_dilated` in `flax.linen.Conv(conv_general_dilated=...)`.

    lhs: `[B, H, W, C]`.  rhs: `[h, w, C, K]`.  Returns `[B, H', W', K]`.  Dilated or grouped convolutions, other layouts and
    a stated precision take the native form, whatever is traced.  Reverse-mode derivatives of any order work; forward mode
    (`jax.jvp`) raises in the form of products.
    """
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    plain = (
        form() == "products"
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


Pads = tuple[tuple[int, int], ...]


def _native(x: jax.Array, w: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    return lax.conv_general_dilated(x, w, strides, pads, dimension_numbers=LAYOUT)


def _whole() -> float:
    """Bytes of patches below which those of the whole batch are made: caches count on a CPU, numbers of calls elsewhere."""
    return WHOLE if jax.default_backend() == "cpu" else math.inf


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Matrix product summed in float32 at least: bfloat16 is too narrow for sums over B · H' · W' terms."""
    return jnp.matmul(a, b, preferred_element_type=jnp.promote_types(b.dtype, jnp.float32))


def _taps(x: jax.Array, kernel: tuple[int, ...], strides: tuple[int, ...], pads: Pads, out: tuple[int, ...]):
    """For each place in the kernel `[B, H', W', C]`: the inputs that meet it, by one strided slice."""
    (top, bottom), (left, right) = pads
    # Like the convolution, and unlike `jnp.pad`, `lax.pad` takes negative widths.
    padded = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0)))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            stop = (i + (out[0] - 1) * strides[0] + 1, j + (out[1] - 1) * strides[1] + 1)
            yield lax.slice(padded, (0, i, j, 0), (x.shape[0], *stop, x.shape[3]), (1, *strides, 1))


def _patches(
    x: jax.Array, kernel: tuple[int, ...], strides: tuple[int, ...], pads: Pads, out: tuple[int, ...]
) -> jax.Array:
    """`[B · H' · W', h · w · C]`: for every output pixel the inputs it saw."""
    taps = jnp.concatenate([*_taps(x, kernel, strides, pads, out)], axis=-1)
    return taps.reshape(-1, taps.shape[-1])


def _patch_bytes(x: jax.Array, kernel: tuple[int, ...], out: tuple[int, ...]) -> int:
    """Of one image."""
    return math.prod((*kernel, *out, x.shape[3])) * x.dtype.itemsize


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv(x: jax.Array, w: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    shape = jax.eval_shape(lambda x, w: _native(x, w, strides, pads), x, w).shape
    if x.shape[0] * _patch_bytes(x, w.shape[:2], shape[1:3]) > _whole():
        return _native(x, w, strides, pads)
    patches = _patches(x, w.shape[:2], strides, pads, shape[1:3])
    return _product(patches, w.reshape(-1, w.shape[-1])).reshape(shape).astype(x.dtype)


def _input_gradient(x: jax.Array, w: jax.Array, g: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    """Gradient `[B, H, W, C]` of the convolution's input, given that of its output `[B, H', W', K]`."""
    kernel, out, size = w.shape[:2], g.shape[1:3], x.shape[1:3]
    if set(strides) == {1}:
        low = [k - 1 - pad for k, (pad, _) in zip(kernel, pads, strict=True)]
        around = tuple((a, n - o - a + k - 1) for a, n, o, k in zip(low, size, out, kernel, strict=True))
        return _conv(g, w[::-1, ::-1].swapaxes(2, 3), (1, 1), around)
    patches = _product(g.reshape(-1, g.shape[-1]), w.reshape(-1, w.shape[-1]).T).reshape(*g.shape[:3], *w.shape[:3])
    total = jnp.zeros((), patches.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            places = [(0, 0, 0)]
            for at, pad, n, o, s in zip((i, j), pads, size, out, strides, strict=True):
                low = at - pad[0]
                places.append((low, n - low - (o - 1) * s - 1, s - 1))
            total += lax.pad(patches[:, :, :, i, j], jnp.zeros((), patches.dtype), (*places, (0, 0, 0)))
    return total.astype(x.dtype)


def _weight_gradient(x: jax.Array, w: jax.Array, g: jax.Array, strides: tuple[int, ...], pads: Pads) -> jax.Array:
    """Gradient `[h, w, C, K]` of the kernel, given that of the convolution's output `[B, H', W', K]`."""
    kernel, out, batch = w.shape[:2], g.shape[1:3], x.shape[0]

    def product(x: jax.Array, g: jax.Array) -> jax.Array:
        return _product(_patches(x, kernel, strides, pads, out).T, g.reshape(-1, g.shape[-1]))

    image = _patch_bytes(x, kernel, out)
    if batch * image <= _whole():
        found = product(x, g)
    elif x.shape[3] >= MANY_CHANNELS:
        flat = g.reshape(-1, g.shape[-1])
        taps = _taps(x, kernel, strides, pads, out)
        found = jnp.stack([_product(tap.reshape(-1, tap.shape[-1]).T, flat) for tap in taps])
    else:
        tile = max(n for n in range(1, batch + 1) if batch % n == 0 and (n == 1 or n * image <= TILE))
        tiles = [a.reshape(batch // tile, tile, *a.shape[1:]) for a in (x, g)]
        shape = jax.eval_shape(product, x, g)
        found, _ = lax.scan(
            lambda total, tile: (total + product(*tile), None), jnp.zeros(shape.shape, shape.dtype), tiles
        )
    return found.reshape(w.shape).astype(w.dtype)


def _forward(x, w, strides, pads):
    return _conv(x, w, strides, pads), (x, w)


def _backward(strides, pads, residuals, g):
    x, w = residuals
    return _input_gradient(x, w, g, strides, pads), _weight_gradient(x, w, g, strides, pads)


_conv.defvjp(_forward, _backward)
