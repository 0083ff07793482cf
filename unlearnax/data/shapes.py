"""Procedural images of simple shapes with random size, position, rotation and noise."""

from __future__ import annotations

import numpy as np

from unlearnax import checks
from unlearnax.data.validate import check_splits
from unlearnax.types import Dataset, InputSpec, Splits

SHAPES = ("circle", "square", "triangle", "star", "cross")
CHUNK = 256  # images rasterised at once: bounds memory, changes no value


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Membership of points in a shape of radius 1 around the origin, `u` and `v` of any one shape."""
    if shape == "circle":
        return u**2 + v**2 <= 1
    if shape == "square":
        return np.maximum(abs(u), abs(v)) <= 0.8
    if shape == "cross":
        return (np.minimum(abs(u), abs(v)) <= 0.3) & (np.maximum(abs(u), abs(v)) <= 1)
    angle, radius = np.arctan2(v, u), np.hypot(u, v)
    if shape == "triangle":  # distance of the edge from the centre is ½ in the middle of each third of the circle
        third = 2 * np.pi / 3
        return radius * np.cos((angle % third) - third / 2) <= 0.55
    # A five-pointed star: the edge runs straight from a tip (radius 1) to a notch (radius .4) over a tenth of the circle.
    tenth = np.pi / 5
    turn = abs((angle + tenth) % (2 * tenth) - tenth)
    notch = 0.4
    return radius * (notch * np.sin(tenth - turn) + np.sin(turn)) <= notch * np.sin(tenth)


def draw(shape: str, count: int, size: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    """`count` images `[count, size, size, 1]` float32 in [0, 1], anti-aliased by 3 × 3 samples a pixel."""
    checks.one_of("shape", shape, SHAPES)
    radius = rng.uniform(0.22, 0.40, (count, 1, 1)) * size
    centre = rng.uniform(0.40, 0.60, (2, count, 1, 1)) * size
    turn = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    ticks = (np.arange(3 * size) + 0.5) / 3
    image = np.empty((count, size, size), np.float32)
    for start in range(0, count, CHUNK):
        rows = slice(start, start + CHUNK)
        du, dv = ticks[None, None, :] - centre[0, rows], ticks[None, :, None] - centre[1, rows]
        u = (np.cos(turn[rows]) * du + np.sin(turn[rows]) * dv) / radius[rows]
        v = (np.cos(turn[rows]) * dv - np.sin(turn[rows]) * du) / radius[rows]
        fine = _inside(shape, u, v).astype(np.float32)
        image[rows] = fine.reshape(-1, size, 3, size, 3).mean((2, 4))
    brightness = rng.uniform(0.7, 1.0, (count, 1, 1))
    return np.clip(image * brightness + noise * rng.standard_normal(image.shape), 0, 1)[..., None].astype(np.float32)


def _counts(name: str, given: int | tuple[int, ...], classes: tuple[str, ...]) -> list[int]:
    counts = list(given) if isinstance(given, tuple | list) else [given] * len(classes)
    if len(counts) != len(classes):
        raise ValueError(f"Expected {name}={given} to be one number, or one for each of {', '.join(classes)}.")
    for count in counts:
        checks.at_least_one(name, count)
    return [int(count) for count in counts]


def shapes(
    *,
    classes: tuple[str, ...] = ("circle", "square", "triangle", "star"),
    per_class: int | tuple[int, ...] = 300,
    test_per_class: int | tuple[int, ...] = 100,
    size: int = 16,
    noise: float = 0.1,
    seed: int = 0,
) -> Splits:
    """Images of shapes, float32 `[N, size, size, 1]` in [0, 1]; the concept of an example is its class.

    Args:
        classes: names from `SHAPES`.
        per_class, test_per_class: images of each class in train and test, one number for all or one for each class.
            Validation holds a tenth of train's, at least 1 of each class.
        size: pixels a side.  noise: standard deviation of each pixel.  seed: of all drawing.

    Raises:
        ValueError: an unknown or repeated shape, counts or size below 1, negative noise.
    """
    classes = tuple(classes)
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise ValueError(f"Expected classes={classes} to be at least 2 different shapes.")
    for shape in classes:
        checks.one_of("shape", shape, SHAPES)
    checks.at_least_one("size", size)
    checks.non_negative("noise", noise)
    size, train = int(size), _counts("per_class", per_class, classes)
    counts = (train, [max(count // 10, 1) for count in train], _counts("test_per_class", test_per_class, classes))
    parts = []
    for part, each in enumerate(counts):
        rng = np.random.default_rng([seed, part])
        x = np.concatenate([draw(shape, n, size, noise, rng) for shape, n in zip(classes, each, strict=True)])
        y = np.repeat(np.arange(len(classes), dtype=np.int32), each)
        parts.append(Dataset(x, y, y))
    # About what the default images have, rounded: constants, whatever is drawn.
    spec = InputSpec((size, size, 1), 0.2, 0.35)
    return check_splits(Splits("shapes", parts[0], parts[1], parts[2], len(classes), classes, classes, spec))
