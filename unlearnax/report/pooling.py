"""Runs of one experiment that differ in their seed only, as one: means over seeds, with intervals of what seeds vary by."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import scipy.special

from unlearnax.report.load import Run, finite
from unlearnax.results import ProblemRow, Row, VerdictRow

# What must be equal for runs to be pooled; those that do not say where they come from are not.
ALIKE = (
    "experiment", "title", "recipe_digest", "budget after removal", "margin", "damage", "members", "estimand",
    "oracle sources", "git commit",
)  # fmt: skip
DIFFER = "seeds differ"


@dataclasses.dataclass(frozen=True)
class Pool:
    """Runs of one experiment.  indices: into the runs given.  seeds: theirs, ascending.  run: what they say together."""

    indices: tuple[int, ...]
    seeds: tuple[int, ...]
    run: Run


def over_seeds(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of a number over at least 2 seeds, and its 95 % Student interval.

    A seed draws the forget set and trains the members anew, so that what seeds vary by holds both.
    """
    found = np.asarray(values, np.float64)
    half = scipy.special.stdtrit(len(found) - 1, 0.975) * found.std(ddof=1) / math.sqrt(len(found))
    return float(found.mean()), float(found.mean() - half), float(found.mean() + half)


def _set_otherwise(runs: Sequence[Run], problem: str) -> set[str]:
    """Candidates whose hyperparameters are not the same in all runs: no seed makes up for that."""
    found: dict[str, set[str]] = {}
    for run in runs:
        for name in run.candidates():
            if (verdict := run.verdict(problem, name)) is not None:
                found.setdefault(name, set()).add(verdict.hyperparameters)
    return {name for name, settings in found.items() if len(settings) > 1}


def _rows(runs: Sequence[Run], problem: str) -> list[Row]:
    """Means of the numbers that all runs have."""
    found, odd = [], _set_otherwise(runs, problem)
    for first in runs[0].rows:
        if first.problem != problem or first.candidate in odd:
            continue
        mine = [run.row(problem, first.candidate, first.metric, first.oracle, first.slice) for run in runs]
        values = [row.value for row in mine if row is not None]
        if len(values) == len(runs):
            value, low, high = over_seeds(values)
            rest = {"floor": None, "p": None, "p_adjusted": None, "note": ""}  # of single comparisons
            found.append(dataclasses.replace(first, value=value, low=low, high=high, **rest))
        elif not finite(first.value) and len(values) == 0:
            found.append(first)  # with its note why there is none
    return found


def _verdicts(runs: Sequence[Run], seeds: Sequence[int], problem: str) -> list[VerdictRow]:
    """The verdict that all seeds share, or that they differ, with the verdict of each."""
    found, odd = [], _set_otherwise(runs, problem)
    for name in runs[0].candidates():
        mine = [run.verdict(problem, name) for run in runs]
        there = [verdict for verdict in mine if verdict is not None]
        if len(there) < len(runs) or name in odd:
            continue
        said = [v.verdict for v in there]
        detail = "; ".join(f"seed {seed}: {verdict}" for seed, verdict in zip(seeds, said, strict=True))
        found.append(dataclasses.replace(
            there[0], verdict=said[0] if len(set(said)) == 1 else DIFFER, detail=detail, members_needed=None,
            members=min(v.members for v in there), diverged=sum(v.diverged for v in there),
        ))  # fmt: skip
    return found


def _problems(runs: Sequence[Run]) -> list[ProblemRow]:
    """Problems that all runs have, of the same sizes and on the same scale."""
    like = lambda p: (p.scale, p.rate, p.forget, p.concept, p.retain, p.test)  # noqa: E731
    known = [{p.problem: p for p in run.problems} for run in runs]
    return [
        dataclasses.replace(p, nothing_to_untrain=all(each[p.problem].nothing_to_untrain for each in known))
        for p in runs[0].problems
        if all(p.problem in each and like(each[p.problem]) == like(p) for each in known)
    ]


def pool(runs: Sequence[Run], seeds: Sequence[int]) -> Run:
    """What at least 2 runs say together, as a run; without single examples, which each has of its own."""
    problems = _problems(runs)
    records = [r for p in problems for r in (*_rows(runs, p.problem), *_verdicts(runs, seeds, p.problem))]
    return Run.of([*problems, *records, *runs[0].metrics], runs[0].provenance)


def pools(runs: Sequence[Run]) -> list[Pool]:
    """Runs of one experiment together, where they have several seeds; of one seed twice the later counts."""
    groups: dict[tuple, dict[int, int]] = {}
    for i, run in enumerate(runs):
        facts = run.provenance
        if "experiment" in facts and isinstance(facts.get("seed"), int):
            origin = facts.get("origin") or {}
            key = (*(str(facts.get(name)) for name in ALIKE), str(origin.get("size")))
            groups.setdefault(key, {})[facts["seed"]] = i
    found = []
    for by_seed in groups.values():
        seeds = tuple(sorted(by_seed))
        if len(seeds) > 1:
            indices = tuple(by_seed[seed] for seed in seeds)
            pooled = pool([runs[i] for i in indices], seeds)
            if pooled.problems:
                found.append(Pool(indices, seeds, pooled))
    return found
