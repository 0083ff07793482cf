"""Residual networks for images of about 32 × 32: ResNet-9, and ResNet-18 with the stem for small images."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.models.adapters import from_linen
from unlearnax.models.conv import conv_general_dilated
from unlearnax.models.pooling import max_pool
from unlearnax.types import InputSpec, Model


class ConvNorm(nn.Module):
    """Convolution without bias (with one, where nothing normalises), BatchNorm."""

    width: int
    batch_norm: bool
    dtype: str
    kernel: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        pad = self.kernel // 2
        x = nn.Conv(
            self.width, (self.kernel, self.kernel), strides=self.stride, padding=pad, use_bias=not self.batch_norm,
            dtype=self.dtype, name="conv", conv_general_dilated=conv_general_dilated,
        )(x)  # fmt: skip
        if self.batch_norm:
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name="norm")(x)
        return x


class _Stage9(nn.Module):
    """Convolution, pooling, and perhaps two more convolutions around which the input is added."""

    width: int
    pool: bool
    residual: bool
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        part = functools.partial(ConvNorm, self.width, self.batch_norm, self.dtype)
        x = nn.relu(part(name="first")(x, train))
        if self.pool:
            x = max_pool(x)
        if self.residual:
            y = nn.relu(part(name="second")(x, train))
            x = x + nn.relu(part(name="third")(y, train))
        return x


class _ResNet9(nn.Module):
    num_classes: int
    width: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, features: bool = False) -> jax.Array:
        x = x.astype(self.dtype)
        for i, (factor, residual) in enumerate(((1, False), (2, True), (4, False), (8, True))):
            stage = _Stage9(factor * self.width, i > 0, residual, self.batch_norm, self.dtype, name=f"stage{i}")
            x = stage(x, train)
        x = 0.125 * x.max(axis=(1, 2))
        if features:
            return x.astype(jnp.float32)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


class _Block18(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x)))))), the shortcut a 1 × 1 convolution where the shape changes."""

    width: int
    stride: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        part = functools.partial(ConvNorm, self.width, self.batch_norm, self.dtype)
        y = nn.relu(part(stride=self.stride, name="first")(x, train))
        y = part(name="second")(y, train)
        if self.stride > 1 or x.shape[-1] != self.width:
            x = part(kernel=1, stride=self.stride, name="shortcut")(x, train)
        return nn.relu(x + y)


class _ResNet18(nn.Module):
    num_classes: int
    width: int
    batch_norm: bool
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, features: bool = False) -> jax.Array:
        x = nn.relu(ConvNorm(self.width, self.batch_norm, self.dtype, name="stem")(x.astype(self.dtype), train))
        for i in range(8):
            stride = 2 if i in (2, 4, 6) else 1
            x = _Block18(self.width * 2 ** (i // 2), stride, self.batch_norm, self.dtype, name=f"block{i}")(x, train)
        x = x.mean(axis=(1, 2))
        if features:
            return x.astype(jnp.float32)
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x)


@functools.cache
def _build(name: str, inputs: InputSpec, num_classes: int, width: int, batch_norm: bool, dtype: str) -> Model:
    if name == "resnet9":
        layers = (*(f"stage{i}" for i in range(4)), "head")
        return from_linen(name, _ResNet9(num_classes, width, batch_norm, dtype), inputs, num_classes, layers)
    layers = ("stem", *(f"block{i}" for i in range(8)), "head")
    return from_linen(name, _ResNet18(num_classes, width, batch_norm, dtype), inputs, num_classes, layers)


def _checked(name: str, inputs: InputSpec, num_classes: int, width: int, batch_norm: bool, dtype: str) -> Model:
    checks.image("inputs.shape", inputs.shape)
    checks.at_least_one("width", width)
    checks.one_of("dtype", dtype, ("float32", "bfloat16"))
    if min(inputs.shape[:2]) < 8:
        raise ValueError(
            f"Expected inputs.shape={inputs.shape} to be of at least 8 × 8 pixels: they are halved three times."
        )
    return _build(name, inputs, num_classes, int(width), bool(batch_norm), dtype)


def resnet9(
    inputs: InputSpec, num_classes: int, *, width: int = 64, batch_norm: bool = True, dtype: str = "float32"
) -> Model:
    """ResNet-9: convolutions of w, 2w (+ 2 residual), 4w, 8w (+ 2 residual) channels, each but the first pooled by two.

    The largest value of each channel, times 1/8, goes to the head.  6,573,130 parameters for 32 × 32 × 3 and 10 classes.

    Args:
        width: w.  batch_norm: without it, convolutions have biases.

    Raises:
        ValueError: inputs that are no images of at least 8 × 8, a width below 1, an unknown compute dtype.

    Source: D. Page, "How to train your ResNet", 2018, the network of its last parts; the head has a bias here.
    """
    return _checked("resnet9", inputs, num_classes, width, batch_norm, dtype)


def resnet18(
    inputs: InputSpec, num_classes: int, *, width: int = 64, batch_norm: bool = True, dtype: str = "float32"
) -> Model:
    """ResNet-18 for small images: a 3 × 3 stem without pooling, four stages of two basic blocks, mean, head.

    11,173,962 parameters for 32 × 32 × 3 and 10 classes.

    Args:
        width: channels of the first stage.  batch_norm: without it, convolutions have biases.

    Raises:
        ValueError: inputs that are no images of at least 8 × 8, a width below 1, an unknown compute dtype.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, arXiv 1512.03385; the stem is the one
    that is usual for CIFAR, shortcuts are 1 × 1 convolutions (option B).
    """
    return _checked("resnet18", inputs, num_classes, width, batch_norm, dtype)
