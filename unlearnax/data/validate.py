"""Checks that every dataset passes, whoever made it."""

from __future__ import annotations

import numpy as np

from unlearnax.types import Dataset, Splits


def check_dataset(name: str, part: Dataset, shape: tuple[int, ...], num_classes: int) -> None:
    """Raises ValueError where inputs, labels and concepts do not fit together.

    Args:
        name: of the part, for the message.  shape: of one example.  num_classes: C.
    """
    x, y, concept = part
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"Expected {name}.x of type {x.dtype} to be floating or uint8.")
    if x.shape[1:] != shape:
        raise ValueError(f"Expected {name}.x of shape {x.shape} to have shape [N, {', '.join(map(str, shape))}].")
    for field, values in (("y", y), ("concept", concept)):
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"Expected {name}.{field} of type {values.dtype} to be integers.")
        if values.shape != (len(x),):
            raise ValueError(f"Expected {name}.{field} of shape {values.shape} to have shape ({len(x)},), as {name}.x.")
    if len(x) == 0:
        raise ValueError(f"Expected {name} with 0 examples to be non-empty.")
    if y.min() < 0 or y.max() >= num_classes:
        raise ValueError(f"Expected {name}.y from {y.min()} to {y.max()} in [0, {num_classes}).")
    if concept.min() < -1:
        raise ValueError(f"Expected {name}.concept from {concept.min()} to be at least -1 (none).")
    if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
        bad = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))
        raise ValueError(f"Expected {name}.x to be finite; {len(bad)} examples are not, the first is row {bad[0]}.")


def check_splits(splits: Splits) -> Splits:
    """Returns the splits once every part has passed `check_dataset`."""
    if splits.inputs.std == 0 or not np.isfinite([splits.inputs.mean, splits.inputs.std]).all():
        raise ValueError(f"Expected mean={splits.inputs.mean} and std={splits.inputs.std} to be finite, std not 0.")
    for name in ("train", "validation", "test"):
        check_dataset(name, getattr(splits, name), splits.inputs.shape, splits.num_classes)
    return splits


def stratified(y: np.ndarray, sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Disjoint random row sets of the given sizes with every class in proportion (to within rounding).

    Rows are put in an order in which each class is spread evenly, and the order is cut.
    """
    rng = np.random.default_rng(seed)
    rank = np.empty(len(y))
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        rank[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    order = np.argsort(rank, kind="stable")
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes))[: len(sizes)]]
