"""Checks that every dataset passes, whoever made it, and the one way that rows are split."""

from __future__ import annotations

import math

import numpy as np

from unlearnax import checks
from unlearnax.types import Dataset, Splits


def _range(name: str, values: np.ndarray, low: int, high: int) -> None:
    """Raises ValueError unless all `values` lie in [low, high)."""
    wrong = np.flatnonzero((values < low) | (values >= high))
    if len(wrong):
        raise ValueError(f"Expected {name}={values[wrong[0]]} in [{low}, {high}), at row {wrong[0]}.")


def check_dataset(
    name: str, part: Dataset, shape: tuple[int, ...], num_classes: int, num_concepts: int | None = None
) -> None:
    """Checks that inputs, labels and concepts fit together.

    Args:
        name: of the part, for the message.  shape: of one example.  num_classes: C.
        num_concepts: how many concepts have a name; None: any id is fine.

    Raises:
        ValueError: no examples, wrong shapes or types, lengths that differ, labels or concepts out of range, NaN or
            infinite inputs.
    """
    x, y, concept = part
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"Expected {name}.x of type {x.dtype} to be floating or uint8.")
    if x.ndim < 1 or x.shape[1:] != shape:
        raise ValueError(f"Expected {name}.x of shape {x.shape} to have shape {('N', *shape)}.".replace("'N'", "N"))
    for field, values in (("y", y), ("concept", concept)):
        if values.dtype != np.int32:
            raise ValueError(f"Expected {name}.{field} of type {values.dtype} to be int32.")
        if values.shape != (len(x),):
            raise ValueError(f"Expected {name}.{field} of shape {values.shape} to have shape ({len(x)},), as {name}.x.")
    if len(x) == 0:
        raise ValueError(f"Expected {name} with 0 examples to be non-empty.")
    _range(f"{name}.y", y, 0, num_classes)
    _range(f"{name}.concept", concept, -1, 2**31 if num_concepts is None else num_concepts)
    if np.issubdtype(x.dtype, np.floating) and not np.isfinite(x).all():
        wrong = np.flatnonzero(~np.isfinite(x).reshape(len(x), -1).all(1))
        raise ValueError(f"Expected {name}.x to be finite; {len(wrong)} examples are not, the first is row {wrong[0]}.")


def check_splits(splits: Splits) -> Splits:
    """Returns the splits once every part has passed `check_dataset`.

    Raises:
        ValueError: what `check_dataset` raises, parts of different types, a name missing for a class, fewer than two
            classes, constants that cannot normalise.
    """
    checks.positive("std", splits.inputs.std)
    if not math.isfinite(splits.inputs.mean):
        raise ValueError(f"Expected mean={splits.inputs.mean} to be finite.")
    checks.in_range("num_classes", splits.num_classes, 2)
    if len(splits.class_names) != splits.num_classes:
        raise ValueError(f"Expected class_names={splits.class_names} to name num_classes={splits.num_classes} classes.")
    for name in ("train", "validation", "test"):
        part: Dataset = getattr(splits, name)
        check_dataset(name, part, splits.inputs.shape, splits.num_classes, len(splits.concept_names))
        if part.x.dtype != splits.train.x.dtype:  # one pair of constants normalises all parts
            raise ValueError(
                f"Expected {name}.x of type {part.x.dtype} to have train.x's type, {splits.train.x.dtype}."
            )
    return splits


def stratified(y: np.ndarray, sizes: tuple[int, ...], seed: int) -> list[np.ndarray]:
    """Disjoint random row sets of the given sizes with every class in proportion (to within rounding).

    Rows are put in an order in which each class is spread evenly, and the order is cut: for one seed, a smaller first
    set lies inside a larger one.
    """
    rng = np.random.default_rng(seed)
    rank = np.empty(len(y))
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        rank[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    order = np.argsort(rank, kind="stable")
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes))[: len(sizes)]]


def held_out(
    y: np.ndarray, validation: int, published: int, train_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the train and validation splits of a training file `y` `[N]`, fixed and stratified (seed 0).

    Args:
        validation: of the `published` rows; of another number, the same share, at least 1.
        train_size: keep a stratified subset of that many training rows, the smaller inside the larger; None keeps all.

    Raises:
        ValueError: a `train_size` above what there is.
    """
    held = max(len(y) * validation // published, 1)
    rows, train = stratified(y, (held, len(y) - held), seed=0)
    if train_size is not None:
        if train_size > len(train):
            raise ValueError(f"Expected train_size={train_size} to be at most {len(train)}.")
        train = train[stratified(y[train], (int(train_size),), seed=1)[0]]
    return train, rows
