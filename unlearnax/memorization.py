"""Memorization scores of training examples, from a population of members each trained on a random subset of its own."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from unlearnax import checks, predictions
from unlearnax.digests import digest
from unlearnax.metrics.memorization import check_included, memorization, standard_error
from unlearnax.populations import Population, Progress, fit, predict
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.types import Array, Dataset, Model, World

MEMBERS = 256
FRACTION = 0.7  # Feldman & Zhang 2020, arXiv 2008.03703
AT_ONCE = 32  # members whose predictions are held at a time


class Scores(NamedTuple):
    """memorization, standard_error: `[N]`.  right, included: `[K, N]` bool, what they were estimated from."""

    memorization: np.ndarray
    standard_error: np.ndarray
    right: np.ndarray
    included: np.ndarray


def subset_rows(size: int, fraction: float, seed: int, member: int) -> np.ndarray:
    """The rows of one member's subset, round(fraction · size) of them, sorted; member i's do not depend on the others'."""
    count = max(1, min(size - 1, round(fraction * size)))
    return np.sort(np.random.default_rng([seed, 5, member]).permutation(size)[:count])


def draw_subsets(size: int, *, members: int = MEMBERS, fraction: float = FRACTION, seed: int = 0) -> np.ndarray:
    """Which of `size` rows each member sees, `[K, N]` bool.

    Raises:
        ValueError: a fraction out of range, fewer than two rows.
    """
    checks.in_range("fraction", fraction, 0, 1, open_low=True, open_high=True)
    checks.at_least_one("members", members)
    if size < 2:
        raise ValueError(f"Expected at least 2 rows to leave some out, got {size}.")
    included = np.zeros((members, size), bool)
    for member in range(members):
        included[member, subset_rows(size, fraction, seed, member)] = True
    return included


def fit_subsets(
    model: Model,
    recipe: Recipe,
    x: Array,
    y: Array,
    *,
    members: int = MEMBERS,
    fraction: float = FRACTION,
    seed: int = 0,
    plan: str = "auto",
    store: Store | None = None,
    progress: Progress | None = None,
) -> tuple[Population, np.ndarray]:
    """Trains members on random subsets of one size, all in one program.

    Args:
        x, y: `[N, ...]`, `[N]`.  fraction: share of the rows that each member sees, in (0, 1).
        members, seed, plan, store, progress: see `populations.fit`; more members later keep the first ones.

    Returns:
        The population, and which rows each member saw, `[K, N]` bool.

    Raises:
        ValueError: a fraction out of range, fewer than two rows, a batch larger than a subset.
    """
    included = draw_subsets(len(x), members=members, fraction=fraction, seed=seed)
    # The role tells fractions apart to the last digit: they may differ by a single row.
    population = fit(
        model, recipe, World(x, y, np.arange(len(x))), members, seed=seed, role=f"subsets {float(fraction)}", plan=plan,
        store=store, progress=progress, rows_of=lambda member: np.flatnonzero(included[member]),
    )  # fmt: skip
    return population, included


def estimate(
    model: Model,
    recipe: Recipe,
    train: Dataset,
    *,
    members: int = MEMBERS,
    fraction: float = FRACTION,
    seed: int = 0,
    plan: str = "auto",
    store: Store | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Memorization of every training row, with its standard error; from the store where it is there.

    Raises:
        ValueError: before training, as `fit_subsets`; too few members, so that some row is in all subsets or in none.

    Source: Feldman & Zhang 2020, arXiv 2008.03703.
    """
    check_included(draw_subsets(len(train.x), members=members, fraction=fraction, seed=seed))
    population, included = fit_subsets(
        model, recipe, train.x, train.y, members=members, fraction=fraction, seed=seed, plan=plan, store=store,
        progress=progress,
    )  # fmt: skip
    key = digest("subset decisions", population.digest, members)
    right = predictions.held(store, key, "right", jax.ShapeDtypeStruct(included.shape, np.bool_), population)
    if right is None:
        right = np.empty(included.shape, bool)
        for start in range(0, members, AT_ONCE):
            some = jax.tree.map(lambda a, s=start: a[s : s + AT_ONCE], population.states)
            right[start : start + AT_ONCE] = predict(model, some, train.x, plan=plan).argmax(-1) == train.y
        about = {"role": f"subsets {float(fraction)}", "seed": seed}
        predictions.keep(store, key, "right", right, population, about)
    return Scores(memorization(right, included), standard_error(right, included), right, included)
