"""What every builder ends in: a validated `Problem` from row numbers, and the draws that builders share."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import numpy as np

from unlearnax import checks
from unlearnax.data.validate import check_dataset, check_splits
from unlearnax.digests import digest
from unlearnax.types import Array, Dataset, Problem, Slice, Splits

# Retained and other-test slices are scored on at most this many examples: the cost of distances grows with them.
MAX_SLICE = 2000


def _rows(name: str, rows: Array | Sequence[int], size: int) -> np.ndarray:
    """Sorted row numbers `[n]` int64 in [0, size), each once."""
    rows = np.asarray(rows)
    if rows.ndim != 1 or (len(rows) and not np.issubdtype(rows.dtype, np.integer)):
        raise ValueError(f"Expected {name} of shape {rows.shape} and type {rows.dtype} to be a list of row numbers.")
    wrong = rows[(rows < 0) | (rows >= size)]
    if len(wrong):
        raise ValueError(f"Expected {name}={wrong[0]} in [0, {size}), the rows there are.")
    distinct = np.unique(rows.astype(np.int64))
    if len(distinct) != len(rows):
        raise ValueError(f"Expected {name} to name each row once, got {len(rows) - len(distinct)} repeats.")
    return distinct


def _capped(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of `rows`, a fixed random part."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def _check_repair(splits: Splits, concept: np.ndarray, repaired: Dataset, test_true: np.ndarray | None) -> None:
    """Raises ValueError unless the repair is valid data that changes rows of the concept only."""
    train = splits.train
    check_dataset("repaired", repaired, splits.inputs.shape, splits.num_classes)
    if repaired.x.shape != train.x.shape or repaired.x.dtype != train.x.dtype:
        raise ValueError(
            f"Expected repaired.x of shape {repaired.x.shape}, {repaired.x.dtype}, to be as train.x: "
            f"{train.x.shape}, {train.x.dtype}."
        )
    changed = (train.y != repaired.y) | (train.x != repaired.x).reshape(len(train.x), -1).any(1)
    outside = np.setdiff1d(np.flatnonzero(changed), concept)
    if len(outside):
        raise ValueError(
            f"Expected repaired to differ from train in rows of the concept only, got row {outside[0]} too."
        )
    if test_true is not None:
        check_dataset("test_true", splits.test._replace(y=test_true), splits.inputs.shape, splits.num_classes)


def make_problem(
    name: str,
    splits: Splits,
    forget: Array | Sequence[int],
    concept: Array | Sequence[int],
    concept_test: Array | Sequence[int] | None = None,
    *,
    repaired: Dataset | None = None,
    test_true: np.ndarray | None = None,
    bystanders: Array | Sequence[int] | None = None,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """A problem from row numbers: every builder ends here.

    Args:
        name: for rows, figures and folders.
        splits: the data as trained on (with corrupted values, where there are any).
        forget, concept: rows of train, S ⊂ F.  concept_test: rows of test that show the concept.
        repaired: train with corruption put right; concept slices whose labels were corrupted then get a second form scored
            on the true ones, ``forget_true`` and so on.
        test_true: true labels of the test rows, `[N]` int32, where the concept's test rows carry others.
        bystanders: rows of train outside the concept whose privacy is followed, see `bystanders`.
        max_slice: at most so many examples of `retain` and `other_test` are scored, a fixed random part (a smaller part
            lies inside a larger one).  Training and `Request` always hold every row.

    Slices, in this order and only where they have rows: ``forget`` (S), ``concept_rest`` (F∖S), ``concept_test``, their
    true forms, ``retain`` (D∖F), ``other_test``.

    Raises:
        ValueError: an empty forget or retain set, rows that repeat or do not exist, a forget set outside the concept,
            bystanders inside it or all that is outside, a label of the retained slices that no retained training row has, a
            repair outside the concept, invalid data.
    """
    check_splits(splits)
    checks.at_least_one("max_slice", max_slice)
    train, test = splits.train, splits.test
    forget, concept = (_rows(n, r, len(train.x)) for n, r in (("forget", forget), ("concept", concept)))
    concept_test = _rows("concept_test", [] if concept_test is None else concept_test, len(test.x))
    if len(forget) == 0:
        raise ValueError("Expected forget with 0 rows to be non-empty.")
    outside = np.setdiff1d(forget, concept)
    if len(outside):
        raise ValueError(f"Expected forget to lie inside the concept; {len(outside)} rows do not, as row {outside[0]}.")
    retain = np.setdiff1d(np.arange(len(train.x)), concept)
    if len(retain) == 0:  # D∖S holds D∖F, so it is not empty either
        raise ValueError(
            f"Expected the retain set to be non-empty; the concept holds all {len(concept)} training rows."
        )
    if bystanders is not None:
        bystanders = _rows("bystanders", bystanders, len(train.x))
        inside = np.intersect1d(bystanders, concept)
        if len(inside) or not 0 < len(bystanders) < len(retain):
            raise ValueError(
                f"Expected bystanders to be some of the {len(retain)} training rows outside the concept, but not all; got "
                f"{len(bystanders)} rows, {len(inside)} of them inside it."
            )
    if repaired is not None:
        _check_repair(splits, concept, repaired, test_true)
    rest = np.setdiff1d(concept, forget)
    other_test = np.setdiff1d(np.arange(len(test.x)), concept_test)
    slices = {
        "forget": Slice("train", forget, train.y[forget], "concept"),
        "concept_rest": Slice("train", rest, train.y[rest], "concept"),
        "concept_test": Slice("test", concept_test, test.y[concept_test], "concept"),
    }
    if repaired is not None:
        true_test = test.y if test_true is None else test_true
        true_forms = {
            "forget_true": Slice("train", forget, repaired.y[forget], "concept"),
            "concept_rest_true": Slice("train", rest, repaired.y[rest], "concept"),
            "concept_test_true": Slice("test", concept_test, true_test[concept_test], "concept"),
        }
        # Where only inputs were corrupted they would be the plain slices once more, and count twice in the pool.
        slices |= {name: s for name, s in true_forms.items() if (s.labels != slices[name[:-5]].labels).any()}
    scored_retain, scored_other = _capped(retain, int(max_slice)), _capped(other_test, int(max_slice))
    slices |= {
        "retain": Slice("train", scored_retain, train.y[scored_retain], "damage"),
        "other_test": Slice("test", scored_other, test.y[scored_other], "damage"),
    }
    slices = {part: each for part, each in slices.items() if len(each.index)}
    lost = np.setdiff1d(test.y[other_test], train.y[retain])
    if len(lost):
        raise ValueError(
            f"Expected every label of slice 'other_test' to occur outside the concept; label {lost[0]} "
            f"({splits.class_names[lost[0]]}) does not, so the concept-free world could not learn it."
        )
    contents = digest(
        train, splits.validation, test, forget, concept, concept_test, repaired, {k: tuple(v) for k, v in slices.items()},
        splits.num_classes, splits.inputs,
    )  # fmt: skip
    if bystanders is not None:
        contents = digest(contents, bystanders)
    return Problem(
        name, train, splits.validation, test, forget, concept, concept_test, slices, splits.num_classes,
        splits.class_names, splits.inputs, repaired, contents, bystanders,
    )  # fmt: skip


def discovered(rows: np.ndarray, discovery_rate: float, seed: int) -> np.ndarray:
    """A random round(rate · n) of `rows`, at least 1; for one seed a smaller rate's part lies inside a larger one's.

    Raises:
        ValueError: a rate outside (0, 1].
    """
    checks.in_range("discovery_rate", discovery_rate, 0, 1, open_low=True)
    return draw(rows, max(1, round(discovery_rate * len(rows))), seed, 1)


def draw(rows: np.ndarray, count: int, seed: int, use: int) -> np.ndarray:
    """The first `count` of one permutation of `rows`, sorted: draws are nested in `count`, and independent for each use."""
    return np.sort(np.random.default_rng([seed, use]).permutation(rows)[:count])


def count_of(name: str, size: int | float, total: int) -> int:
    """A number of rows from a count or a fraction of `total`."""
    if isinstance(size, numbers.Integral) and not isinstance(size, bool):
        checks.at_least_one(name, size)
        if size >= total:
            raise ValueError(f"Expected {name}={size} to be below the {total} rows there are.")
        return int(size)
    checks.in_range(name, size, 0, 1, open_low=True, open_high=True)
    return max(1, round(size * total))


def class_id(name: str, label: int, splits: Splits) -> int:
    """A class that there is; raises ValueError otherwise."""
    checks.one_of(name, label, range(splits.num_classes))
    return int(label)
