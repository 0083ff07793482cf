"""Applying an unlearning algorithm to a population: one program for all members, rates and float hyperparameters."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unlearnax import batching
from unlearnax.digests import stable_hash
from unlearnax.members import Prepared, member_keys
from unlearnax.recipes import Args, freeze
from unlearnax.types import Algorithm, Model, Problem, Request, TrainState


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
    def one(member, shared):
        (key, state), (request, floats) = member, shared
        return make(model, **dict(static), **floats)(key, state, jax.tree.map(jnp.asarray, request))

    return one


def split_floats(hyperparameters: Mapping[str, Any]) -> tuple[dict[str, np.float32], Args]:
    """Floats are arguments of the compiled program, everything else is part of it."""
    floats = {name: np.float32(value) for name, value in hyperparameters.items() if isinstance(value, float)}
    return floats, freeze({name: value for name, value in hyperparameters.items() if name not in floats})


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
) -> Unlearned:
    """Applies an algorithm to each of M originals (`[M, ...]` stacked), which are left as they are.

    Args:
        hyperparameters: keywords of the algorithm's factory.
        name: goes into the keys, so that no two algorithms share their randomness.

    Raises:
        ValueError: hyperparameters out of range, before anything is compiled.
        TypeError: a hyperparameter that the factory does not have.
    """
    hyperparameters = dict(hyperparameters or {})
    algorithm.make(model, **hyperparameters)  # checks the Python values
    floats, static = split_floats(hyperparameters)
    members = jax.tree.leaves(originals)[0].shape[0]
    keys = member_keys(seed, stable_hash("unlearn", name, problem.digest), range(members))
    shared = (make_request(problem), floats)
    start = time.perf_counter()
    prepared = Prepared(_unlearn_fn(algorithm.make, model, static), (keys, originals), shared, plan)
    compiled = time.perf_counter()
    shared = prepared.place_shared(shared)
    states, info = prepared((keys, originals), shared)
    took = time.perf_counter() - compiled
    return Unlearned(states, np.asarray(info.loss), np.asarray(info.examples), took / members, compiled - start)
