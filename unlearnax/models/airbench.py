"""A small net that trains on CIFAR-10 in seconds."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.models.adapters import from_linen
from unlearnax.models.conv import conv_general_dilated
from unlearnax.models.pooling import max_pool
from unlearnax.types import InputSpec, Model


def dirac(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    """Convolution weights `[h, w, C, K]` whose first min(C, K) outputs pass the inputs on; the others uniform ±1/√(h w C)."""
    height, width, channels, outputs = shape
    bound = (height * width * channels) ** -0.5
    weights = jax.random.uniform(key, shape, dtype, -bound, bound)
    passed = min(channels, outputs)
    centre = (
        jnp.zeros((height, width, channels, passed), dtype).at[height // 2, width // 2].set(jnp.eye(channels, passed))
    )
    return weights.at[..., :passed].set(centre)


class _Group(nn.Module):
    """Convolution, pooling, norm, GELU, convolution, norm, GELU."""

    width: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for i in range(2):
            x = nn.Conv(
                self.width, (3, 3), use_bias=not self.batch_norm, dtype=self.dtype, kernel_init=dirac, name=f"conv{i}",
                conv_general_dilated=conv_general_dilated,
            )(x)  # fmt: skip
            if i == 0:
                x = max_pool(x)
            if self.batch_norm:
                x = nn.BatchNorm(
                    use_running_average=not train, momentum=0.6, use_scale=False, dtype=self.dtype, name=f"norm{i}"
                )(x)
            x = nn.gelu(x, approximate=False)
        return x


class _Airbench(nn.Module):
    num_classes: int
    widths: tuple[int, ...]
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, features: bool = False) -> jax.Array:
        x = x.astype(self.dtype)
        x = nn.Conv(
            8 * x.shape[-1], (2, 2), padding="VALID", dtype=self.dtype, name="stem", conv_general_dilated=conv_general_dilated
        )(x)  # fmt: skip
        x = nn.gelu(x, approximate=False)
        for i, width in enumerate(self.widths):
            x = _Group(width, self.batch_norm, self.dtype, name=f"group{i}")(x, train)
        x = x.max(axis=(1, 2)) / 9
        if features:
            return x.astype(jnp.float32)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


@functools.cache
def _build(inputs: InputSpec, num_classes: int, widths: tuple[int, ...], batch_norm: bool, dtype: str) -> Model:
    layers = ("stem", *(f"group{i}" for i in range(len(widths))), "head")
    return from_linen("airbench", _Airbench(num_classes, widths, batch_norm, dtype), inputs, num_classes, layers)


def airbench(
    inputs: InputSpec,
    num_classes: int,
    *,
    widths: tuple[int, ...] = (64, 256, 256),
    batch_norm: bool = True,
    dtype: str = "float32",
) -> Model:
    """airbench94's network: a 2 × 2 stem of 8 channels for each of the image's, groups of two convolutions, max, head.

    Convolutions start by passing their inputs on, BatchNorm has no scale, what goes to the head is divided by 9.  1,971,650
    parameters for 32 × 32 × 3 and 10 classes.  The paper computes the stem from patches of the training images (whitening)
    and freezes it: here it is a layer like the others, since a model's initial weights depend on its key alone.

    Args:
        widths: channels of the groups; every group halves the image.

    Raises:
        ValueError: inputs that are no images or too small for the groups, a width below 1, an unknown compute dtype.

    Source: Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", 2024, arXiv 2404.00498; the head has a bias here.
    """
    checks.image("inputs.shape", inputs.shape)
    for width in widths:
        checks.at_least_one("width", width)
    checks.one_of("dtype", dtype, ("float32", "bfloat16"))
    if min(inputs.shape[:2]) - 1 < 2 ** len(widths):
        raise ValueError(
            f"Expected inputs.shape={inputs.shape} to be of more than {2 ** len(widths)} pixels a side: groups halve them."
        )
    return _build(inputs, num_classes, tuple(map(int, widths)), bool(batch_norm), dtype)
