"""Vision transformer for small images."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.models.adapters import from_linen
from unlearnax.types import InputSpec, Model


class _Embed(nn.Module):
    """Patches as tokens, a class token before them, positions added."""

    width: int
    patch: int
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        p = self.patch
        # Cutting patches by reshaping keeps the whole network to matrix products.
        x = x.reshape(n, h // p, p, w // p, p, c).transpose(0, 1, 3, 2, 4, 5)
        x = nn.Dense(self.width, dtype=self.dtype, name="patches")(x.reshape(n, (h // p) * (w // p), p * p * c))
        first = self.param("token", nn.initializers.zeros, (1, 1, self.width))
        place = self.param("position", nn.initializers.normal(0.02), (1, x.shape[1] + 1, self.width))
        x = jnp.concatenate([jnp.broadcast_to(first.astype(x.dtype), (n, 1, self.width)), x], axis=1)
        return x + place.astype(x.dtype)


class _Block(nn.Module):
    """Attention, then a layer four times as wide, each behind a LayerNorm and beside a shortcut."""

    heads: int
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.LayerNorm(dtype=self.dtype, name="norm0")(x)
        x = x + nn.MultiHeadDotProductAttention(self.heads, dtype=self.dtype, name="attention")(y, y)
        y = nn.LayerNorm(dtype=self.dtype, name="norm1")(x)
        y = nn.gelu(nn.Dense(4 * x.shape[-1], dtype=self.dtype, name="wide")(y))
        return x + nn.Dense(x.shape[-1], dtype=self.dtype, name="narrow")(y)


class _ViT(nn.Module):
    num_classes: int
    patch: int
    width: int
    depth: int
    heads: int
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, features: bool = False) -> jax.Array:
        x = _Embed(self.width, self.patch, self.dtype, name="embed")(x.astype(self.dtype))
        for i in range(self.depth):
            x = _Block(self.heads, self.dtype, name=f"block{i}")(x)
        x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)[:, 0]
        if features:
            return x.astype(jnp.float32)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


@functools.cache
def _build(inputs: InputSpec, num_classes: int, patch: int, width: int, depth: int, heads: int, dtype: str) -> Model:
    layers = ("embed", *(f"block{i}" for i in range(depth)), "norm", "head")
    return from_linen("vit", _ViT(num_classes, patch, width, depth, heads, dtype), inputs, num_classes, layers)


def vit(
    inputs: InputSpec,
    num_classes: int,
    *,
    patch: int = 4,
    width: int = 192,
    depth: int = 12,
    heads: int = 3,
    dtype: str = "float32",
) -> Model:
    """Vision transformer; by default ViT-Tiny on patches of 4 × 4, 5,362,762 parameters for 32 × 32 × 3 and 10 classes.

    A class token, learned positions, LayerNorm before attention and before the wide layer; no dropout.

    Raises:
        ValueError: inputs that are not images, a patch that does not divide them, heads that do not divide the width,
            counts below 1, an unknown compute dtype.

    Source: Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, arXiv 2010.11929; the sizes of ViT-Tiny from
    Touvron et al., "Training data-efficient image transformers", ICML 2021, arXiv 2012.12877, table 1.
    """
    checks.image("inputs.shape", inputs.shape)
    for name, value in (("patch", patch), ("width", width), ("depth", depth), ("heads", heads)):
        checks.at_least_one(name, value)
    if inputs.shape[0] % patch or inputs.shape[1] % patch:
        raise ValueError(f"Expected patch={patch} to divide images of shape {inputs.shape}.")
    if width % heads:
        raise ValueError(f"Expected heads={heads} to divide width={width}.")
    checks.one_of("dtype", dtype, ("float32", "bfloat16"))
    return _build(inputs, num_classes, int(patch), int(width), int(depth), int(heads), dtype)
