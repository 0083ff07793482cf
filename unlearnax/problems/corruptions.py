"""Problems that change data: wrong labels, triggers, Gaussian poison; `repaired` holds them put right."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from unlearnax import checks
from unlearnax.problems.make import MAX_SLICE, class_id, count_of, discovered, draw, make_problem
from unlearnax.types import Dataset, Problem, Splits


def mislabelled(
    splits: Splits,
    fraction: float,
    discovery_rate: float = 1.0,
    *,
    classes: tuple[int, int] | None = None,
    seed: int = 0,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """Wrong labels on a random share of the training rows; F is all of them, S the discovered part.

    Args:
        fraction: share of the eligible rows that is mislabelled, in (0, 1).
        discovery_rate: |S|/|F| in (0, 1].
        classes: ids of two classes to swap labels between, and only these (interclass confusion).  The held-out concept
            is then every test row of the two, with the swapped label.  Default: any row gets any wrong class, all
            equally likely, and there is no held-out concept.
        seed: of which rows, which labels and which are discovered.  max_slice: see `make_problem`.

    `train` carries the wrong labels, `repaired` the true ones.

    Raises:
        ValueError: a share or rate out of range, unknown or equal classes, and what `make_problem` raises.
    """
    checks.in_range("fraction", fraction, 0, 1, open_low=True, open_high=True)
    rng = np.random.default_rng([seed, 3])
    y = splits.train.y
    wrong, test_labels = y.copy(), splits.test.y.copy()
    concept_test, kind = np.array([], int), ""
    if classes is None:
        rows = rng.permutation(len(y))[: max(1, round(fraction * len(y)))]
        wrong[rows] = (y[rows] + rng.integers(1, splits.num_classes, len(rows))) % splits.num_classes
    else:
        a, b = (class_id("class", label, splits) for label in classes)
        if a == b:
            raise ValueError(f"Expected classes={classes} to be two different ones.")
        eligible = np.flatnonzero(np.isin(y, (a, b)))
        rows = rng.permutation(eligible)[: max(1, round(fraction * len(eligible)))]
        wrong[rows] = a + b - y[rows]
        concept_test = np.flatnonzero(np.isin(splits.test.y, (a, b)))
        test_labels[concept_test] = a + b - test_labels[concept_test]
        kind = f"-{splits.class_names[a]}+{splits.class_names[b]}"
    changed = dataclasses.replace(
        splits, train=splits.train._replace(y=wrong), test=splits.test._replace(y=test_labels)
    )
    return make_problem(
        f"{splits.name}-mislabelled{fraction:g}{kind}-rate{discovery_rate:g}", changed,
        discovered(np.sort(rows), discovery_rate, seed), rows, concept_test, repaired=splits.train,
        test_true=splits.test.y, max_slice=max_slice,
    )  # fmt: skip


def triggered(
    splits: Splits,
    target: int,
    fraction: float,
    discovery_rate: float = 1.0,
    *,
    patch: int = 3,
    value: float | None = None,
    seed: int = 0,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """A backdoor: a bright corner patch on a share of the non-target rows, which are then labelled `target`.

    Args:
        target: id of a class.  fraction: share of the non-target training rows, in (0, 1).
        discovery_rate: |S|/|F| in (0, 1].
        patch: pixels a side, in the lower right corner of every channel.
        value: of the patch; default 255 for uint8 inputs, else mean + std of the dataset's constants: 1 after
            normalisation, and the top of the range where data from 0 to v are declared with mean 0 and std v.  The
            largest training value would be a statistic of rows that some worlds exclude.
        seed: of which rows and which are discovered.  max_slice: see `make_problem`.

    `repaired` has clean inputs and labels.  The test split keeps its clean examples and gains, behind them, a triggered
    copy of every non-target one, labelled `target`: the held-out concept.

    Raises:
        ValueError: inputs that are not images, a patch larger than they are, a value that the inputs cannot hold, a
            share or rate out of range, an unknown target, and what `make_problem` raises.
    """
    target = class_id("target", target, splits)
    checks.in_range("fraction", fraction, 0, 1, open_low=True, open_high=True)
    checks.at_least_one("patch", patch)
    shape, patch = splits.inputs.shape, int(patch)
    checks.image("shape", shape)
    if patch > min(shape[:2]):
        raise ValueError(f"Expected patch={patch} to fit images of shape {shape}.")
    train, test = splits.train, splits.test
    if train.x.dtype == np.uint8:
        value = 255 if value is None else value
        checks.in_range("value", value, 0, 255)
    else:
        value = splits.inputs.mean + splits.inputs.std if value is None else value
        if not math.isfinite(value):
            raise ValueError(f"Expected value={value} to be finite.")
    eligible = np.flatnonzero(train.y != target)
    rows = draw(eligible, max(1, round(fraction * len(eligible))), seed, 4)
    sources = np.flatnonzero(test.y != target)

    def stamped(part: Dataset, rows: np.ndarray) -> Dataset:
        x, y = part.x.copy(), part.y.copy()
        x[rows, -patch:, -patch:] = value
        y[rows] = target
        return Dataset(x, y, part.concept)

    both = Dataset(*(np.concatenate([values, values[sources]]) for values in test))
    copies = np.arange(len(test.x), len(both.x))
    changed = dataclasses.replace(splits, train=stamped(train, rows), test=stamped(both, copies))
    return make_problem(
        f"{splits.name}-trigger{fraction:g}-{splits.class_names[target]}-rate{discovery_rate:g}", changed,
        discovered(rows, discovery_rate, seed), rows, copies, repaired=train, test_true=both.y, max_slice=max_slice,
    )  # fmt: skip


def gaussian_poison(
    splits: Splits,
    size: int | float,
    epsilon: float,
    *,
    discovery_rate: float = 1.0,
    seed: int = 0,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """Noise ξ ~ N(0, ε²I) on the inputs of random training rows, labels untouched: F = the poisoned rows.

    Args:
        size: a count (whole number), or a fraction of train in (0, 1).
        epsilon: standard deviation of each value's noise, in the units of the raw inputs.  Nothing is clipped, and
            uint8 inputs are made float32: rounded and clipped noise is not Gaussian any more.
        discovery_rate: |S|/|F| in (0, 1].
        seed: of which rows, their noise, and which are discovered; for one seed a smaller size's poisoned rows are among a
            larger one's, with the same noise.
        max_slice: see `make_problem`.

    `repaired` has the clean inputs.  There is no held-out concept.

    Raises:
        ValueError: a size, epsilon or rate out of range, and what `make_problem` raises.

    Source: Pawelczyk et al., ICLR 2025, arXiv 2406.17216, who poison 1.5 to 2.5 % of CIFAR-10 with ε² = 0.32.
    """
    checks.positive("epsilon", epsilon)
    if not np.issubdtype(splits.train.x.dtype, np.floating):
        parts = (splits.train, splits.validation, splits.test)
        floating = (part._replace(x=part.x.astype(np.float32)) for part in parts)
        splits = dataclasses.replace(splits, **dict(zip(("train", "validation", "test"), floating, strict=True)))
    train = splits.train
    rows = np.random.default_rng([seed, 5]).permutation(len(train.x))[: count_of("size", size, len(train.x))]
    noise = epsilon * np.random.default_rng([seed, 6]).normal(size=(len(rows), *train.x.shape[1:]))
    x = train.x.copy()
    x[rows] = (x[rows] + noise).astype(x.dtype)
    return make_problem(
        f"{splits.name}-poison{len(rows)}-epsilon{epsilon:g}-rate{discovery_rate:g}",
        dataclasses.replace(splits, train=train._replace(x=x)), discovered(np.sort(rows), discovery_rate, seed), rows,
        repaired=train, max_slice=max_slice,
    )  # fmt: skip
