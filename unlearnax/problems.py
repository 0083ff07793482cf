"""Forget-set and concept builders: `Splits -> Problem`, on the host, validated at construction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from unlearnax import checks
from unlearnax.data.validate import check_splits
from unlearnax.digests import digest
from unlearnax.types import Array, Dataset, Problem, Slice, Splits

# Retained and other-test slices are scored on at most this many examples: the cost of distances grows with them.
MAX_SLICE = 2000


def _rows(name: str, rows: Array | list[int], size: int) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.ndim != 1 or (len(rows) and not np.issubdtype(rows.dtype, np.integer)):
        raise ValueError(f"Expected {name} of shape {rows.shape} and type {rows.dtype} to be a list of row numbers.")
    rows = rows.astype(np.int64)
    if len(np.unique(rows)) != len(rows):
        raise ValueError(f"Expected {name} to name each row once, got {len(rows) - len(np.unique(rows))} repeats.")
    if len(rows) and (rows.min() < 0 or rows.max() >= size):
        raise ValueError(f"Expected {name} in [0, {size}), got {rows.min()} to {rows.max()}.")
    return np.sort(rows)


def _capped(rows: np.ndarray, most: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).permutation(rows)[:most])


def make_problem(
    name: str,
    splits: Splits,
    forget: Array,
    concept: Array,
    concept_test: Array | None = None,
    *,
    repaired: Dataset | None = None,
    test_true: np.ndarray | None = None,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """A problem from row numbers: every builder ends here.

    Args:
        splits: the data as trained on (with corrupted values, where there are any).
        forget, concept: rows of train, S ⊂ F.  concept_test: rows of test that show the concept.
        repaired: train with corruption put right; concept slices then get a second form scored on the true labels.
        test_true: true labels of the test rows, `[N]`, where the concept's test rows carry others.
        max_slice: at most so many examples of `retain` and `other_test` are scored, a fixed random part.

    Raises:
        ValueError: an empty forget or retain set, rows that repeat or do not exist, a forget set outside the concept, a
            label of the retained slices that no retained training row has, invalid data.
    """
    check_splits(splits)
    train, test = splits.train, splits.test
    forget, concept = (_rows(n, r, len(train.x)) for n, r in (("forget", forget), ("concept", concept)))
    concept_test = _rows("concept_test", [] if concept_test is None else concept_test, len(test.x))
    if len(forget) == 0:
        raise ValueError("Expected forget with 0 rows to be non-empty.")
    outside = np.setdiff1d(forget, concept)
    if len(outside):
        raise ValueError(f"Expected forget to lie inside the concept; {len(outside)} rows do not, as row {outside[0]}.")
    retain = np.setdiff1d(np.arange(len(train.x)), concept)
    if len(retain) == 0:
        raise ValueError(
            f"Expected the retain set to be non-empty; the concept holds all {len(concept)} training rows."
        )
    rest = np.setdiff1d(concept, forget)
    other_test = np.setdiff1d(np.arange(len(test.x)), concept_test)
    slices = {
        "forget": Slice("train", forget, train.y[forget], "concept"),
        "concept_rest": Slice("train", rest, train.y[rest], "concept"),
        "concept_test": Slice("test", concept_test, test.y[concept_test], "concept"),
    }
    if repaired is not None:
        true_test = test.y if test_true is None else test_true
        slices |= {
            "forget_true": Slice("train", forget, repaired.y[forget], "concept"),
            "concept_rest_true": Slice("train", rest, repaired.y[rest], "concept"),
            "concept_test_true": Slice("test", concept_test, true_test[concept_test], "concept"),
        }
    scored_retain, scored_other = _capped(retain, max_slice), _capped(other_test, max_slice)
    slices |= {
        "retain": Slice("train", scored_retain, train.y[scored_retain], "damage"),
        "other_test": Slice("test", scored_other, test.y[scored_other], "damage"),
    }
    slices = {name: part for name, part in slices.items() if len(part.index)}
    kept = np.unique(train.y[retain])
    for part in ("retain", "other_test"):
        lost = np.setdiff1d(slices[part].labels, kept) if part in slices else np.array([])
        if len(lost):
            raise ValueError(
                f"Expected every label of slice {part!r} to occur outside the concept; label {lost[0]} "
                f"({splits.class_names[lost[0]]}) does not, so the concept-free world could not learn it."
            )
    contents = digest(
        train, splits.validation, test, forget, concept, concept_test, repaired, {k: tuple(v) for k, v in slices.items()},
        splits.num_classes, splits.inputs,
    )  # fmt: skip
    return Problem(
        name, train, splits.validation, test, forget, concept, concept_test, slices, splits.num_classes,
        splits.class_names, splits.inputs, repaired, contents,
    )  # fmt: skip


def discovered(rows: np.ndarray, discovery_rate: float, seed: int) -> np.ndarray:
    """A random round(rate · n) of `rows`, at least 1; for one seed a smaller rate's part lies inside a larger one's.

    Raises:
        ValueError: a rate outside (0, 1].
    """
    checks.in_range("discovery_rate", discovery_rate, 0, 1, open_low=True)
    count = max(1, round(discovery_rate * len(rows)))
    return np.sort(np.random.default_rng([seed, 1]).permutation(rows)[:count])


def _count(name: str, size: int | float, total: int) -> int:
    """A number of rows from a count or a fraction of `total`."""
    if isinstance(size, float):
        checks.in_range(name, size, 0, 1, open_low=True, open_high=True)
        return max(1, round(size * total))
    checks.at_least_one(name, size)
    if size >= total:
        raise ValueError(f"Expected {name}={size} to be below the {total} rows there are.")
    return size


def concept(
    splits: Splits,
    concepts: int | str | Mapping[int | str, float],
    discovery_rate: float = 1.0,
    *,
    seed: int = 0,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """A class or subclass, or several at different rates (Figure 1 of Triantafillou et al. 2026, arXiv 2604.07962).

    Args:
        concepts: id or name of one concept, discovered at `discovery_rate`; or a mapping concept -> rate.
        seed: of the draw of S; for one seed, S at a lower rate lies inside S at a higher one.

    Raises:
        ValueError: an unknown concept, a rate outside (0, 1], and what `make_problem` raises.
    """
    rates = dict(concepts) if isinstance(concepts, Mapping) else {concepts: discovery_rate}
    ids = {}
    for each, rate in rates.items():
        if isinstance(each, str):
            checks.one_of("concept", each, splits.concept_names)
            each = splits.concept_names.index(each)
        checks.one_of("concept", int(each), np.unique(splits.train.concept[splits.train.concept >= 0]).tolist())
        ids[int(each)] = rate
    members = {each: np.flatnonzero(splits.train.concept == each) for each in ids}
    forget = np.concatenate([discovered(members[each], rate, seed) for each, rate in ids.items()])
    test = np.flatnonzero(np.isin(splits.test.concept, list(ids)))
    label = "+".join(f"{splits.concept_names[each]}-rate{rate:g}" for each, rate in ids.items())
    return make_problem(
        f"{splits.name}-{label}", splits, forget, np.concatenate(list(members.values())), test, max_slice=max_slice
    )


def from_masks(
    splits: Splits, forget: Array, concept: Array, concept_test: Array | None = None, *, name: str = "masks"
) -> Problem:
    """A problem from boolean masks over train `[N]` (and over test for `concept_test`)."""
    masks = (("forget", forget, splits.train), ("concept", concept, splits.train),
             ("concept_test", concept_test, splits.test))  # fmt: skip
    rows = []
    for field, mask, part in masks:
        mask = np.zeros(len(part.x), bool) if mask is None else np.asarray(mask)
        if mask.dtype != bool or mask.shape != (len(part.x),):
            raise ValueError(
                f"Expected {field} of shape {mask.shape}, {mask.dtype}, to be bool of shape ({len(part.x)},)."
            )
        rows.append(np.flatnonzero(mask))
    return make_problem(f"{splits.name}-{name}", splits, *rows)


def random_subset(splits: Splits, size: int | float, *, seed: int = 0) -> Problem:
    """A random subset, every example its own concept: F = S, no held-out concept.

    Args:
        size: a count, or a fraction of train in (0, 1).
    """
    count = _count("size", size, len(splits.train.x))
    rows = np.random.default_rng([seed, 2]).permutation(len(splits.train.x))[:count]
    return make_problem(f"{splits.name}-random{count}", splits, rows, rows)


def most_memorized(splits: Splits, scores: Array, size: int | float, *, lowest: bool = False) -> Problem:
    """The examples with the highest (or lowest) of the given scores `[N]` over train: F = S.

    Raises:
        ValueError: scores of another shape or not finite, and what `make_problem` raises.
    """
    scores = np.asarray(scores, np.float64)
    if scores.shape != (len(splits.train.x),) or not np.isfinite(scores).all():
        raise ValueError(f"Expected scores of shape {scores.shape} to be finite, shape ({len(splits.train.x)},).")
    count = _count("size", size, len(scores))
    rows = np.argsort(scores if lowest else -scores, kind="stable")[:count]
    return make_problem(f"{splits.name}-{'least' if lowest else 'most'}-memorized{count}", splits, rows, rows)


def mislabelled(
    splits: Splits,
    fraction: float,
    discovery_rate: float = 1.0,
    *,
    classes: tuple[int, int] | None = None,
    seed: int = 0,
) -> Problem:
    """Wrong labels on a random share of the training rows; F is all of them, S the discovered part.

    Args:
        fraction: share of the eligible rows that is mislabelled, in (0, 1).
        classes: swap labels between these two only (interclass confusion; test rows of the two are then the held-out
            concept).  Default: any row, to any wrong class; then there is no held-out concept.

    `train` carries the wrong labels, `repaired` the true ones.
    """
    checks.in_range("fraction", fraction, 0, 1, open_low=True, open_high=True)
    rng = np.random.default_rng([seed, 3])
    y = splits.train.y
    wrong = y.copy()
    concept_test = np.array([], int)
    if classes is None:
        rows = rng.permutation(len(y))[: max(1, round(fraction * len(y)))]
        wrong[rows] = (y[rows] + rng.integers(1, splits.num_classes, len(rows))) % splits.num_classes
    else:
        a, b = classes
        for label in classes:
            checks.one_of("class", label, range(splits.num_classes))
        if a == b:
            raise ValueError(f"Expected classes={classes} to be two different ones.")
        eligible = np.flatnonzero(np.isin(y, classes))
        rows = rng.permutation(eligible)[: max(1, round(fraction * len(eligible)))]
        wrong[rows] = a + b - y[rows]
        concept_test = np.flatnonzero(np.isin(splits.test.y, classes))
    corrupted = splits.train._replace(y=wrong)
    test_labels = splits.test.y.copy()
    if classes is not None:
        test_labels[concept_test] = sum(classes) - test_labels[concept_test]
    changed = _with_parts(splits, corrupted, splits.test._replace(y=test_labels))
    rate = f"-rate{discovery_rate:g}"
    return make_problem(
        f"{splits.name}-mislabelled{fraction:g}{rate}", changed, discovered(np.sort(rows), discovery_rate, seed), rows,
        concept_test, repaired=splits.train, test_true=splits.test.y,
    )  # fmt: skip


def triggered(
    splits: Splits,
    target: int,
    fraction: float,
    discovery_rate: float = 1.0,
    *,
    patch: int = 2,
    value: float | None = None,
    seed: int = 0,
) -> Problem:
    """A backdoor: a bright corner patch on a share of the non-target rows, which are then labelled `target`.

    Args:
        target: class.  fraction: share of the non-target training rows, in (0, 1).
        patch: pixels a side, in the lower right corner.
        value: of the patch; default 255 for uint8 inputs, else mean + 2 std of the dataset's constants (a constant, so
            that nothing is computed from training rows).

    `repaired` has clean inputs and labels.  The test split keeps its clean examples and gains a triggered copy of every
    non-target one, labelled `target`: the held-out concept.

    Raises:
        ValueError: inputs that are not images, a patch larger than they are, and what `make_problem` raises.
    """
    checks.one_of("target", target, range(splits.num_classes))
    checks.in_range("fraction", fraction, 0, 1, open_low=True, open_high=True)
    checks.at_least_one("patch", patch)
    shape = splits.inputs.shape
    if len(shape) != 3 or patch > min(shape[:2]):
        raise ValueError(
            f"Expected patch={patch} to fit images [height, width, channels], got inputs of shape {shape}."
        )
    bright = 255 if splits.train.x.dtype == np.uint8 else splits.inputs.mean + 2 * splits.inputs.std
    bright = bright if value is None else value
    train, test = splits.train, splits.test
    eligible = np.flatnonzero(train.y != target)
    rng = np.random.default_rng([seed, 4])
    rows = np.sort(rng.permutation(eligible)[: max(1, round(fraction * len(eligible)))])
    x, y = train.x.copy(), train.y.copy()
    x[rows, -patch:, -patch:] = bright
    y[rows] = target
    sources = np.flatnonzero(test.y != target)
    stamped = test.x[sources].copy()
    stamped[:, -patch:, -patch:] = bright
    labels = np.full(len(sources), target, np.int32)
    both = Dataset(
        np.concatenate([test.x, stamped]),
        np.concatenate([test.y, labels]),
        np.concatenate([test.concept, test.concept[sources]]),
    )
    changed = _with_parts(splits, train._replace(x=x, y=y), both)
    return make_problem(
        f"{splits.name}-trigger{fraction:g}-rate{discovery_rate:g}", changed, discovered(rows, discovery_rate, seed), rows,
        np.arange(len(test.x), len(both.x)), repaired=train, test_true=np.concatenate([test.y, test.y[sources]]),
    )  # fmt: skip


def _with_parts(splits: Splits, train: Dataset, test: Dataset) -> Splits:
    return Splits(splits.name, train, splits.validation, test, splits.num_classes, splits.class_names,
                  splits.concept_names, splits.inputs)  # fmt: skip


PROBLEMS: dict[str, Callable[..., Problem]] = {
    "concept": concept,
    "from_masks": from_masks,
    "random_subset": random_subset,
    "most_memorized": most_memorized,
    "mislabelled": mislabelled,
    "triggered": triggered,
}
