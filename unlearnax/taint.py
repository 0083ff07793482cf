"""The taint test: an oracle is exact when what it promises to exclude cannot reach a trained member.

What is excluded is overwritten in the raw data, twice in different ways, before the oracle's function runs; the members
trained in the two worlds must be finite and equal to the last bit, while originals trained on the same two must differ.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.types import Exclusion, Model, Oracle, Problem, World


class TaintReport(NamedTuple):
    """exact: the oracle holds its promise.  reason: what was seen, in a sentence."""

    exact: bool
    reason: str


def taint(problem: Problem, exclusion: Exclusion, variant: int) -> Problem:
    """The problem with excluded raw values overwritten: floating inputs by NaN in variant 1, all else by random fills."""
    rng = np.random.default_rng([variant, 7])
    x, y = problem.train.x.copy(), problem.train.y.copy()
    shape = (len(exclusion.x_rows), *x.shape[1:])
    if np.issubdtype(x.dtype, np.floating):
        x[exclusion.x_rows] = np.nan if variant == 1 else rng.normal(size=shape)
    else:
        x[exclusion.x_rows] = rng.integers(0, np.iinfo(x.dtype).max, shape, dtype=x.dtype, endpoint=True)
    y[exclusion.y_rows] = (y[exclusion.y_rows] + rng.integers(1, problem.num_classes, len(exclusion.y_rows))) % (
        problem.num_classes
    )
    if variant == 1:  # two random labels may agree: shift all, so that the two variants differ in every row
        first = taint(problem, exclusion, 0).train.y
        y[exclusion.y_rows] = (first[exclusion.y_rows] + 1) % problem.num_classes
    return dataclasses.replace(problem, train=problem.train._replace(x=x, y=y))


def _same(a: object, b: object) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(p), np.asarray(q)) for p, q in pairs)


def _finite(tree: object) -> bool:
    return all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(tree))


def verify_oracle(oracle: Oracle, problem: Problem, model: Model, recipe: Recipe, *, members: int = 2) -> TaintReport:
    """Runs the taint test on one oracle, without store and finite check, with one key stream for every run.

    Args:
        oracle: needs an `excludes` promise.
        problem, model, recipe: any small case; the promise is about the oracle's function, not about them.
        members: trained in each of the four runs.
    """
    if oracle.excludes is None:
        return TaintReport(False, "it states no promise: define excludes(problem) beside it")
    exclusion = oracle.excludes(problem)
    if len(exclusion.x_rows) + len(exclusion.y_rows) == 0:
        return TaintReport(False, "its promise excludes nothing in this problem, so that nothing can be tested")

    def trained(world: World, tainted: Problem) -> object:
        capacity = len(tainted.train.x)
        population = fit(model, recipe, world, members, stream=1, capacity=capacity, check_finite=False)
        return population.states.params, population.states.model_state

    worlds, originals = [], []
    for variant in (0, 1):
        tainted = taint(problem, exclusion, variant)
        worlds.append(trained(oracle.world(tainted), tainted))
        everything = World(tainted.train.x, tainted.train.y, np.arange(len(tainted.train.x)))
        originals.append(trained(everything, tainted))
    if _same(*originals):
        return TaintReport(False, "the taint did not reach even the originals: the test itself is void here")
    if not all(_finite(world) for world in worlds):
        return TaintReport(False, "members trained in its world are not finite: tainted values reached them")
    if not _same(*worlds):
        return TaintReport(False, "members trained in its world changed with values that it promises to exclude")
    rows = len(np.union1d(exclusion.x_rows, exclusion.y_rows))
    return TaintReport(
        True, f"{members} members bit-identical and finite under taint of {rows} rows; originals changed"
    )
