"""Augmentation of image batches, on the device and inside the compiled step: raw images in, raw images out.

A recipe lists ``(name, arguments)`` pairs, applied in order, each with its own key at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unlearnax import checks
from unlearnax.types import Key

Mix = tuple[jax.Array, jax.Array]
# An augmentation: (key, x [B, H, W, C]) -> (x, None), or (x, (partner [B], weight)): labels are mixed as the images were.
Augmentation = Callable[[Key, jax.Array], tuple[jax.Array, Mix | None]]


def crop(*, padding: int = 4, fill: float = 0.0) -> Augmentation:
    """A window of the image's own size, uniformly placed on the image padded by that many pixels of value `fill`.

    Raises:
        ValueError: a padding below 1.
    """
    checks.at_least_one("padding", padding)

    def apply(key: Key, x: jax.Array) -> tuple[jax.Array, None]:
        around = (0, 0), (padding, padding), (padding, padding), (0, 0)
        padded = jnp.pad(x, around, constant_values=fill)
        corners = jax.random.randint(key, (len(x), 2), 0, 2 * padding + 1)
        window = lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), image_shape)  # noqa: E731
        image_shape = x.shape[1:]
        return jax.vmap(window)(padded, corners), None

    return apply


def flip() -> Augmentation:
    """Left and right exchanged, with probability one half for each image."""

    def apply(key: Key, x: jax.Array) -> tuple[jax.Array, None]:
        chosen = jax.random.bernoulli(key, shape=(len(x), 1, 1, 1))
        return jnp.where(chosen, x[:, :, ::-1], x), None

    return apply


def cutout(*, size: int = 8, fill: float = 0.0) -> Augmentation:
    """A square of that side around a uniformly drawn pixel, the part of it inside the image, set to `fill` (raw units).

    Raises:
        ValueError: a size below 1.

    Source: DeVries and Taylor, 2017, arXiv 1708.04552.
    """
    checks.at_least_one("size", size)

    def apply(key: Key, x: jax.Array) -> tuple[jax.Array, None]:
        count, height, width, _ = x.shape
        centres = jax.random.randint(key, (count, 2), 0, jnp.array([height, width]))

        def inside(length: int, centre: jax.Array) -> jax.Array:
            """Whether each of the pixels along one axis is in the square, `[B, length]`."""
            from_start = jnp.arange(length) - (centre[:, None] - size // 2)
            return (from_start >= 0) & (from_start < size)

        hole = inside(height, centres[:, 0])[:, :, None, None] & inside(width, centres[:, 1])[:, None, :, None]
        return jnp.where(hole, jnp.asarray(fill, x.dtype), x), None

    return apply


def mixup(*, alpha: float = 0.2) -> Augmentation:
    """λ x + (1 − λ) x[π], labels likewise in the loss; λ ~ Beta(α, α) and the permutation π drawn for each batch.

    Raises:
        ValueError: α that is not positive.

    Source: Zhang et al., ICLR 2018, arXiv 1710.09412.
    """
    checks.positive("alpha", alpha)

    def apply(key: Key, x: jax.Array) -> tuple[jax.Array, Mix]:
        key_weight, key_partner = jax.random.split(key)
        weight = jax.random.beta(key_weight, alpha, alpha)
        partner = jax.random.permutation(key_partner, len(x))
        x = x.astype(jnp.float32)
        return weight * x + (1 - weight) * x[partner], (partner, weight)

    return apply


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {"crop": crop, "flip": flip, "cutout": cutout, "mixup": mixup}


def make_augment(chosen: tuple[tuple[str, Any], ...]) -> Augmentation:
    """All of a recipe's augmentations as one.

    Raises:
        ValueError: an unknown name, arguments that it does not take or that are out of range, mixup that is not last.
    """
    made = []
    for position, (name, arguments) in enumerate(chosen):
        checks.one_of("augment", name, AUGMENTATIONS)
        if name == "mixup" and position != len(chosen) - 1:
            names = [each for each, _ in chosen]
            raise ValueError(f"Expected augment={names} to end in mixup, which mixes what it is given.")
        try:
            made.append(AUGMENTATIONS[name](**dict(arguments)))
        except TypeError as error:
            raise ValueError(f"Expected the arguments {dict(arguments)} to suit augment {name!r}: {error}.") from error

    def apply(key: Key, x: jax.Array) -> tuple[jax.Array, Mix | None]:
        mix = None
        for number, each in enumerate(made):
            x, mix = each(jax.random.fold_in(key, number), x)
        return x, mix

    return apply
