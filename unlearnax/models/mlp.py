"""Multi-layer perceptron."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.models.adapters import from_linen
from unlearnax.types import InputSpec, Model


class _MLP(nn.Module):
    widths: tuple[int, ...]
    num_classes: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, features: bool = False) -> jax.Array:
        x = x.reshape((x.shape[0], -1)).astype(self.dtype)
        for i, width in enumerate(self.widths):
            x = nn.Dense(width, dtype=self.dtype, name=f"dense{i}")(x)
            if self.batch_norm:
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name=f"norm{i}")(x)
            x = nn.relu(x)
        if features:
            return x.astype(jnp.float32)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


@functools.cache
def _build(inputs: InputSpec, num_classes: int, widths: tuple[int, ...], batch_norm: bool, dtype: str) -> Model:
    each = ("dense", "norm") if batch_norm else ("dense",)
    layers = (*(f"{part}{i}" for i in range(len(widths)) for part in each), "head")
    return from_linen("mlp", _MLP(widths, num_classes, batch_norm, dtype), inputs, num_classes, layers)


def mlp(
    inputs: InputSpec,
    num_classes: int,
    *,
    widths: Sequence[int] = (128,),
    batch_norm: bool = False,
    dtype: str = "float32",
) -> Model:
    """Fully connected ReLU layers of the given widths on flattened inputs, then a linear head.

    Raises:
        ValueError: a width below 1 or an unknown compute dtype.
    """
    for width in widths:
        checks.at_least_one("width", width)
    checks.one_of("dtype", dtype, ("float32", "bfloat16"))
    return _build(inputs, num_classes, tuple(map(int, widths)), batch_norm, dtype)
