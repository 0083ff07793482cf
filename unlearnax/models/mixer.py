"""Small MLP-mixer."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.models.adapters import from_linen
from unlearnax.types import InputSpec, Model


class _Block(nn.Module):
    """Mixes tokens, then channels, each with a normalised residual branch."""

    hidden: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        def norm(name: str, x: jax.Array) -> jax.Array:
            if self.batch_norm:
                return nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name=name)(x)
            return nn.LayerNorm(dtype=self.dtype, name=name)(x)

        def branch(name: str, x: jax.Array) -> jax.Array:
            wide = nn.gelu(nn.Dense(self.hidden, dtype=self.dtype, name=f"{name}_in")(x))
            return nn.Dense(x.shape[-1], dtype=self.dtype, name=f"{name}_out")(wide)

        x = x + branch("tokens", norm("norm_tokens", x).swapaxes(1, 2)).swapaxes(1, 2)
        return x + branch("channels", norm("norm_channels", x))


class _Mixer(nn.Module):
    num_classes: int
    patch: int
    width: int
    depth: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, features: bool = False) -> jax.Array:
        n, h, w, c = x.shape
        p = self.patch
        # Cutting patches by reshaping keeps the whole network to matrix products.
        x = x.astype(self.dtype).reshape(n, h // p, p, w // p, p, c).transpose(0, 1, 3, 2, 4, 5)
        x = nn.Dense(self.width, dtype=self.dtype, name="embed")(x.reshape(n, (h // p) * (w // p), p * p * c))
        for i in range(self.depth):
            x = _Block(2 * self.width, self.batch_norm, self.dtype, name=f"block{i}")(x, train)
        x = nn.LayerNorm(dtype=self.dtype, name="norm")(x).mean(axis=1)
        if features:
            return x.astype(jnp.float32)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


@functools.cache
def _build(
    inputs: InputSpec, num_classes: int, patch: int, width: int, depth: int, batch_norm: bool, dtype: str
) -> Model:
    layers = ("embed", *(f"block{i}" for i in range(depth)), "norm", "head")
    return from_linen("mixer", _Mixer(num_classes, patch, width, depth, batch_norm, dtype), inputs, num_classes, layers)


def mixer(
    inputs: InputSpec,
    num_classes: int,
    *,
    patch: int = 4,
    width: int = 64,
    depth: int = 2,
    batch_norm: bool = False,
    dtype: str = "float32",
) -> Model:
    """MLP-mixer: patches of `patch` × `patch` pixels as tokens, `depth` blocks that mix tokens and channels, mean, head.

    Args:
        batch_norm: BatchNorm in the blocks in place of LayerNorm.

    Raises:
        ValueError: inputs that are not images, a patch that does not divide them, counts below 1, an unknown dtype.

    Source: Tolstikhin et al., "MLP-Mixer", NeurIPS 2021, arXiv 2105.01601, eq. 1.
    """
    checks.image("inputs.shape", inputs.shape)
    for name, value in (("patch", patch), ("width", width), ("depth", depth)):
        checks.at_least_one(name, value)
    if inputs.shape[0] % patch or inputs.shape[1] % patch:
        raise ValueError(f"Expected patch={patch} to divide images of shape {inputs.shape}.")
    checks.one_of("dtype", dtype, ("float32", "bfloat16"))
    return _build(inputs, num_classes, int(patch), int(width), int(depth), batch_norm, dtype)
