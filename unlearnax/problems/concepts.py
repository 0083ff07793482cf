"""Problems that say which rows: concepts at their discovery rates, masks, random subsets, the most memorized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unlearnax import checks
from unlearnax.problems.make import MAX_SLICE, count_of, discovered, draw, make_problem
from unlearnax.types import Array, Problem, Splits


def _concept_id(given: Any, splits: Splits) -> int:
    """The id of a concept, given by id or name, that some training row shows."""
    present = [int(each) for each in np.unique(splits.train.concept) if each >= 0]
    if isinstance(given, str):
        checks.one_of("concept", given, [splits.concept_names[each] for each in present])
        return splits.concept_names.index(given)
    checks.one_of("concept", given, present)
    return int(given)


def concept(
    splits: Splits,
    concepts: int | str | Mapping[int | str, float] | Sequence[tuple[int | str, float]],
    discovery_rate: float | None = None,
    *,
    seed: int = 0,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """A class or subclass, or several at different rates (Figure 1 of Triantafillou et al. 2026, arXiv 2604.07962).

    Args:
        concepts: id or name of one concept, or a mapping (or pairs) concept -> its own discovery rate.
        discovery_rate: of a single concept, |S|/|F| in (0, 1]; default 1.
        seed: of the draw of S; for one seed, S at a lower rate lies inside S at a higher one.
        max_slice: see `make_problem`.

    F is every training row of these concepts, S a random round(rate · n) of each concept's n, at least 1.

    Raises:
        ValueError: an unknown concept, one named twice, a rate outside (0, 1] or given twice, and what `make_problem`
            raises.
    """
    if isinstance(concepts, str) or not isinstance(concepts, Mapping | Sequence):
        pairs = [(concepts, 1.0 if discovery_rate is None else discovery_rate)]
    else:
        pairs = list(concepts.items() if isinstance(concepts, Mapping) else concepts)
        if discovery_rate is not None:
            raise ValueError(f"Expected no discovery_rate={discovery_rate} beside concepts={concepts} with their own.")
        if not pairs or any(np.shape(pair) != (2,) for pair in pairs):
            raise ValueError(f"Expected concepts={concepts} to give each of at least one concept a rate.")
    ids = [_concept_id(given, splits) for given, _ in pairs]
    if len(set(ids)) != len(ids):
        raise ValueError(f"Expected concepts={concepts} to name each concept once.")
    members = [np.flatnonzero(splits.train.concept == each) for each in ids]
    forget = [discovered(rows, rate, seed) for rows, (_, rate) in zip(members, pairs, strict=True)]
    label = "+".join(f"{splits.concept_names[each]}-rate{rate:g}" for each, (_, rate) in zip(ids, pairs, strict=True))
    return make_problem(
        f"{splits.name}-{label}", splits, np.concatenate(forget), np.concatenate(members),
        np.flatnonzero(np.isin(splits.test.concept, ids)), max_slice=max_slice,
    )  # fmt: skip


def from_masks(
    splits: Splits,
    forget_mask: Array,
    concept_mask: Array,
    concept_test_mask: Array | None = None,
    *,
    name: str = "masks",
    max_slice: int = MAX_SLICE,
) -> Problem:
    """A problem of your own, from boolean masks over the examples.

    Args:
        forget_mask, concept_mask: over train, `[N]` bool, S ⊂ F.  concept_test_mask: over test, `[N]` bool; default
            none of it shows the concept.
        name: of the problem, behind the dataset's.  max_slice: see `make_problem`.

    Raises:
        ValueError: masks of another type or shape, and what `make_problem` raises.
    """
    if concept_test_mask is None:
        concept_test_mask = np.zeros(len(splits.test.x), bool)
    rows = []
    for field, mask, part in (
        ("forget_mask", forget_mask, splits.train),
        ("concept_mask", concept_mask, splits.train),
        ("concept_test_mask", concept_test_mask, splits.test),
    ):
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (len(part.x),):
            raise ValueError(
                f"Expected {field} of shape {mask.shape}, {mask.dtype}, to be bool of shape ({len(part.x)},)."
            )
        rows.append(np.flatnonzero(mask))
    return make_problem(f"{splits.name}-{name}", splits, *rows, max_slice=max_slice)


def random_subset(
    splits: Splits,
    size: int | float,
    *,
    bystanders: int | float | None = None,
    seed: int = 0,
    max_slice: int = MAX_SLICE,
) -> Problem:
    """A random subset, every example its own concept: F = S, no held-out concept.

    Args:
        size: a count (whole number), or a fraction of train in (0, 1).
        bystanders: so many of the other rows, or this fraction of train, have their privacy followed, see `bystanders`.
        seed: of the draw; for one seed a smaller subset lies inside a larger one.  max_slice: see `make_problem`.

    Raises:
        ValueError: a size out of range, and what `make_problem` raises.
    """
    count = count_of("size", size, len(splits.train.x))
    everyone = np.arange(len(splits.train.x))
    rows = draw(everyone, count, seed, 2)
    near = None
    if bystanders is not None:
        most = count_of("bystanders", bystanders, len(everyone))
        near = draw(np.setdiff1d(everyone, rows), most, seed, 7)
    name = f"{splits.name}-random{count}"
    return make_problem(name, splits, rows, rows, bystanders=near, max_slice=max_slice)


def most_memorized(
    splits: Splits, scores: Array, size: int | float, *, lowest: bool = False, max_slice: int = MAX_SLICE
) -> Problem:
    """The examples with the highest (or lowest) of given scores: F = S, no held-out concept.

    Args:
        scores: memorization (`memorization.estimate`) or any other number of each training row, `[N]`; of equal ones,
            the earlier row is taken.  An experiment that gives none has them estimated.
        size: a count (whole number), or a fraction of train in (0, 1).
        lowest: take the lowest instead.  max_slice: see `make_problem`.

    Raises:
        ValueError: scores of another shape or not finite, a size out of range, and what `make_problem` raises.
    """
    scores = np.asarray(scores, np.float64)
    if scores.shape != (len(splits.train.x),) or not np.isfinite(scores).all():
        raise ValueError(f"Expected scores of shape {scores.shape} to be finite, shape ({len(splits.train.x)},).")
    count = count_of("size", size, len(scores))
    rows = np.argsort(scores if lowest else -scores, kind="stable")[:count]
    name = f"{splits.name}-{'least' if lowest else 'most'}-memorized{count}"
    return make_problem(name, splits, rows, rows, max_slice=max_slice)
