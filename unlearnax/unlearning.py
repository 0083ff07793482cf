"""Applying an unlearning algorithm to a population: one program for all members, rates and float hyperparameters."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unlearnax import batching, hosts
from unlearnax.digests import stable_hash
from unlearnax.members import Prepared, member_keys
from unlearnax.recipes import Args, Recipe, freeze
from unlearnax.types import Algorithm, Model, Problem, Request, TrainState

# Sizes that a float of the compiled program can have, besides 0.
SMALLEST, LARGEST = (float(bound) for bound in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))


def make_request(problem: Problem) -> Request:
    """All that an algorithm may see of a problem.

    The subsets are padded to |F| and N rows, so that every discovery rate of one concept shares the programs.
    """
    train, validation = problem.train, problem.validation
    rows = len(train.x)
    retain = np.setdiff1d(np.arange(rows), problem.forget)
    return Request(
        x=np.concatenate([train.x, validation.x]),
        y=np.concatenate([train.y, validation.y]),
        forget=batching.subset(problem.forget, len(problem.concept)),
        retain=batching.subset(retain, rows),
        validation=batching.subset(np.arange(rows, rows + len(validation.x))),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Unlearned:
    """A candidate population.

    states: stacked, `[M, ...]`.  loss, examples: `[M]`, see `types.Info`.
    seconds: wall seconds per member, compilation apart.  compile_seconds: what compiling took, 0 where it was compiled.
    """

    states: TrainState
    loss: np.ndarray
    examples: np.ndarray
    seconds: float
    compile_seconds: float


@functools.cache
def _unlearn_fn(make: Callable, model: Model, static: Args) -> Callable:
    def one(member, request):
        key, state, floats = member
        return make(model, **dict(static), **floats)(key, state, jax.tree.map(jnp.asarray, request))

    return one


def split_floats(hyperparameters: Mapping[str, Any]) -> tuple[dict[str, np.float32], Args]:
    """Floats are arguments of the compiled program, everything else is part of it.

    Raises:
        ValueError: a float that is finite, or not 0, but is not so any more as the float32 of the program.
    """
    given = {name: float(value) for name, value in hyperparameters.items() if isinstance(value, float | np.floating)}
    for name, value in given.items():
        if math.isfinite(value) and value != 0 and not SMALLEST <= abs(value) <= LARGEST:
            raise ValueError(
                f"Expected {name}={value!r} to be 0 or of a size between {SMALLEST:.3g} and {LARGEST:.3g}."
            )
    floats = {name: np.float32(value) for name, value in given.items()}
    return floats, freeze({name: value for name, value in hyperparameters.items() if name not in floats})


def needed_rule(algorithm: Algorithm) -> str | None:
    """The training rule that an algorithm's members must be trained under, if it needs one."""
    return next((need.removeprefix("rule ") for need in algorithm.needs if need.startswith("rule ")), None)


def bind(name: str, algorithm: Algorithm, hyperparameters: Mapping[str, Any], recipe: Recipe | None) -> dict[str, Any]:
    """The keywords of an algorithm's factory: its hyperparameters, and the originals' recipe where it needs a rule.

    Raises:
        ValueError: members trained under another rule than the one that it needs.
    """
    rule = needed_rule(algorithm)
    if rule is None:
        return dict(hyperparameters)
    if recipe is None or recipe.rule != rule:
        found = "an unknown one" if recipe is None else repr(recipe.rule)
        raise ValueError(
            f"Expected the originals of algorithm {name!r} to be trained under rule {rule!r}, got {found}."
        )
    return dict(hyperparameters) | {"recipe": recipe}


def check_needs(name: str, algorithm: Algorithm, problem: Problem) -> None:
    """Raises ValueError where a problem is not what an algorithm was made for; its factory looks at the model."""
    labels = np.unique(problem.train.y[problem.forget])
    if "one class" in algorithm.needs and len(labels) > 1:
        raise ValueError(
            f"Expected the forget set of problem {problem.name!r} to be of one class for {name!r}, it has {len(labels)}."
        )


def unlearn(
    algorithm: Algorithm,
    model: Model,
    originals: TrainState,
    problem: Problem,
    hyperparameters: Mapping[str, Any] | None = None,
    *,
    name: str = "algorithm",
    seed: int = 0,
    plan: str = "auto",
    recipe: Recipe | None = None,
) -> Unlearned:
    """Applies an algorithm to each of M originals (`[M, ...]` stacked), which are left as they are.

    Args:
        hyperparameters: keywords of the algorithm's factory.
        name: goes into the keys, so that no two algorithms share their randomness.
        recipe: what the originals were trained with; algorithms that need a training rule must know it.

    Raises:
        ValueError: hyperparameters out of range, members trained under another rule, before anything is compiled.
        TypeError: a hyperparameter that the factory does not have.
    """
    points = [hyperparameters or {}]
    return unlearn_grid(algorithm, model, originals, problem, points, name=name, seed=seed, plan=plan, recipe=recipe)[0]


def unlearn_grid(
    algorithm: Algorithm,
    model: Model,
    originals: TrainState,
    problem: Problem,
    points: Sequence[Mapping[str, Any]],
    *,
    name: str = "algorithm",
    seed: int = 0,
    plan: str = "auto",
    recipe: Recipe | None = None,
) -> list[Unlearned]:
    """Applies an algorithm with G settings of its float hyperparameters, G × M runs in one program.

    Member i has the same key at every point, so that points differ by their hyperparameters only.

    Args:
        points: hyperparameters; what is no float must be the same in all.  The rest: see `unlearn`.

    Returns:
        One population for each point; `seconds` is the whole program's time shared out equally.

    Raises:
        ValueError, TypeError: as `unlearn`; no points, or points that differ in more than floats.
    """
    if not points:
        raise ValueError("Expected points to hold at least one setting of hyperparameters, got none.")
    check_needs(name, algorithm, problem)
    points = [bind(name, algorithm, point, recipe) for point in points]
    for point in points:
        algorithm.make(model, **point)  # checks the Python values
    split = [split_floats(point) for point in points]
    static = split[0][1]
    if any(other != static or set(floats) != set(split[0][0]) for floats, other in split):
        raise ValueError("Expected all points to agree in everything but the values of floats.")
    count, members = len(points), jax.tree.leaves(originals)[0].shape[0]
    keys = member_keys(seed, stable_hash("unlearn", name, problem.digest), range(members))
    # Point by point: all members of the first one, then of the second.
    floats = {key: np.repeat([each[key] for each, _ in split], members) for key in split[0][0]}
    if count > 1:
        keys = jnp.tile(keys, count)
        originals = jax.tree.map(lambda a: np.concatenate([np.asarray(a)] * count), originals)
    start = time.perf_counter()
    request = make_request(problem)
    runs = (keys, originals, floats)
    prepared = Prepared(_unlearn_fn(algorithm.make, model, static), hosts.mine(runs), request, plan)
    compiled = time.perf_counter()
    states, info = hosts.spread(lambda mine: prepared(mine, prepared.place_shared(request)), runs)
    took = time.perf_counter() - compiled
    parts = (slice(i * members, (i + 1) * members) for i in range(count))
    return [
        Unlearned(jax.tree.map(lambda a, p=part: a[p], states) if count > 1 else states, np.asarray(info.loss)[part],
                  np.asarray(info.examples)[part], took / (count * members), compiled - start)
        for part in parts
    ]  # fmt: skip
