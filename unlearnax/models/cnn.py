"""Small convolutional network."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.models.adapters import from_linen
from unlearnax.models.conv import conv_general_dilated
from unlearnax.types import InputSpec, Model


class _CNN(nn.Module):
    widths: tuple[int, ...]
    num_classes: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, features: bool = False) -> jax.Array:
        x = x.astype(self.dtype)
        for i, width in enumerate(self.widths):
            x = nn.Conv(
                width, (3, 3), strides=2, dtype=self.dtype, name=f"conv{i}", conv_general_dilated=conv_general_dilated
            )(x)
            if self.batch_norm:
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name=f"norm{i}")(x)
            x = nn.relu(x)
        x = x.reshape((x.shape[0], -1))
        if features:
            return x.astype(jnp.float32)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


@functools.cache
def _build(inputs: InputSpec, num_classes: int, widths: tuple[int, ...], batch_norm: bool, dtype: str) -> Model:
    each = ("conv", "norm") if batch_norm else ("conv",)
    layers = (*(f"{part}{i}" for i in range(len(widths)) for part in each), "head")
    return from_linen("cnn", _CNN(widths, num_classes, batch_norm, dtype), inputs, num_classes, layers)


def cnn(
    inputs: InputSpec,
    num_classes: int,
    *,
    widths: Sequence[int] = (16, 32, 32),
    batch_norm: bool = False,
    dtype: str = "float32",
) -> Model:
    """3 × 3 convolutions of the given widths with stride 2 and ReLU, then a linear head on all remaining pixels.

    Raises:
        ValueError: inputs that are not images, a width below 1, an unknown compute dtype.
    """
    checks.image("inputs.shape", inputs.shape)
    for width in widths:
        checks.at_least_one("width", width)
    checks.one_of("dtype", dtype, ("float32", "bfloat16"))
    return _build(inputs, num_classes, tuple(map(int, widths)), batch_norm, dtype)
