"""Scorecard: distances of candidate populations to every oracle, with floors, intervals, p-values and verdicts.

Members are the unit of resampling throughout.  M originals × 1 run each: member i of a candidate comes from member i of the
originals ("paired").  1 original × M runs: nothing is paired, and what is found holds for that original.  References and
controls of an oracle are trained with seeds of their own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import jax
import numpy as np

from unlearnax import checks
from unlearnax.evaluation import POOLED, Layout, accuracies
from unlearnax.jackknife import Distance, combine, interval, mean_estimate, signed_root
from unlearnax.metrics.energy import FORMS, as_extreme, energy_from_distances, random_splits
from unlearnax.results import Row, VerdictRow
from unlearnax.scale import (
    Floors,
    Scale,
    Scored,
    distances_between,
    energy_by_slice,
    make_scale,
    null_energies,
    scored,
)
from unlearnax.types import Array
from unlearnax.verdicts import Bound, Outcome, decide, reaches

PERMUTATIONS_PER_TEST = 40  # with Holm over K tests the smallest adjusted p-value is K / (40 K) = .025
MIN_PERMUTATIONS = 1999

# (form, slice, oracle) -> energy distance in units of the scale's energy
Squared = dict[tuple[str, str, str], Distance]


@dataclasses.dataclass(frozen=True, eq=False)
class OracleLogits:
    """Two disjoint-seed populations of one oracle, `[M, U, C]` each, and the goal it stands for.

    reference: what candidates are compared with.  control: held out; it poses as a candidate and gives the floor.
    """

    reference: Array
    control: Array
    goal: str


@dataclasses.dataclass(frozen=True, eq=False)
class CandidateLogits:
    """A population to be scored, `[M, U, C]`.

    kind: "original", "algorithm" or "control".  goal: its declared goal.  paired: member i came from original i.
    """

    logits: Array
    kind: str
    goal: str = ""
    paired: bool = True
    hyperparameters: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Scorecard:
    """Everything known about the candidates of one problem.

    scale: what one unit of distance is.  nothing_to_untrain: the originals reach the untraining oracle.
    rows, verdicts: see `results`.
    """

    scale: str
    nothing_to_untrain: bool
    rows: list[Row]
    verdicts: list[VerdictRow]


def _check(oracles: dict[str, OracleLogits], candidates: dict[str, CandidateLogits], layout: Layout) -> None:
    shapes = {f"oracle {name}": o.reference.shape for name, o in oracles.items()}
    shapes |= {f"held-out {name}": o.control.shape for name, o in oracles.items()}
    shapes |= {f"candidate {name}": c.logits.shape for name, c in candidates.items()}
    if not oracles or not candidates:
        raise ValueError(f"Expected at least one oracle and one candidate, got {list(oracles)} and {list(candidates)}.")
    columns, classes = next(iter(shapes.values()))[-2:]
    for name, shape in shapes.items():
        if len(shape) != 3 or shape[1:] != (columns, classes):
            raise ValueError(f"Expected logits of {name}, {shape}, to have shape [M, {columns}, {classes}].")
        if shape[0] < 3:
            raise ValueError(f"Expected at least 3 members for an interval, {name} has {shape[0]}.")
    if layout.rows.max() >= columns:
        raise ValueError(f"Expected slice rows in [0, {columns}), got {layout.rows.max()}.")
    if layout.labels.min() < 0 or layout.labels.max() >= classes:
        raise ValueError(f"Expected labels in [0, {classes}), got {layout.labels.min()} to {layout.labels.max()}.")


def _check_finite(oracles: dict[str, OracleLogits]) -> None:
    for name, oracle in oracles.items():
        if not (np.isfinite(oracle.reference).all() and np.isfinite(oracle.control).all()):
            raise ValueError(f"Expected finite logits of oracle {name}.")


def score(
    problem: str,
    layout: Layout,
    oracles: dict[str, OracleLogits],
    candidates: dict[str, CandidateLogits],
    *,
    coincide: bool = False,
    margin: float = 0.1,
    damage: float = 0.2,
    seed: int = 0,
    only: Collection[str] | None = None,
    among: int | None = None,
    known: dict[Any, Any] | None = None,
) -> Scorecard:
    """Scores candidates against oracles on every slice, in both forms.

    Args:
        problem: name for the rows.
        layout: the slices, over the logits' columns.
        oracles: name -> reference and held-out logits; the held-out ones are added to the candidates as controls.
        candidates: name -> logits; "do_nothing" holds the originals and is needed where the oracles coincide.
        coincide: the untraining and unlearning oracles describe one world; the unit is then original to oracle.
        margin: share of the root scale below which every interval must end to "reach" an oracle, in (0, 1).
        damage: share of the damage scale beyond which a slice that should stay counts as damaged, in (0, 1).
        seed: of the permutations.
        only: candidates to give rows and verdicts of (default all); the others still make the scale and the pairs.
        among: how many candidates the p-values will be adjusted over, where others are scored elsewhere (`with_holm`).
        known: what an earlier call with the same layout, oracles, originals and options found out about these, used and
            added to: where candidates are scored one by one, most of the work.

    Raises:
        ValueError: shapes that disagree, labels or rows out of range, fewer than 3 members, non-finite oracles.
    """
    checks.in_range("margin", margin, 0, 1, open_low=True, open_high=True)
    checks.in_range("damage", damage, 0, 1, open_low=True, open_high=True)
    _check(oracles, candidates, layout)
    controls = {
        f"held-out {name}": CandidateLogits(oracle.control, "control", paired=False) for name, oracle in oracles.items()
    }
    candidates = candidates | controls
    known = {} if known is None else known

    def once(what: Any, find: Callable[[], Any]) -> Any:
        if what not in known:
            known[what] = find()
        return known[what]

    once("finite", lambda: _check_finite(oracles))
    references: dict[str, Scored] = once(
        "references",
        lambda: {name: scored(f"oracle {name}", o.reference, layout) for name, o in oracles.items()},
    )
    goals = {name: oracle.goal for name, oracle in oracles.items()}
    tests = (among or len(candidates)) * len(oracles) * len(layout.slices) * len(FORMS)
    permutations = max(MIN_PERMUTATIONS, PERMUTATIONS_PER_TEST * tests)
    key_null, key_floor = jax.random.split(jax.random.key(seed))
    held_out = {name: oracle.control for name, oracle in oracles.items()}
    floors: Floors = once("floors", lambda: Floors(key_floor, references, held_out, layout))
    originals = next((c.logits for c in candidates.values() if c.kind == "original"), None)
    scale: Scale = once("scale", lambda: make_scale(layout, references, goals, originals, coincide, floors))

    def splits(p: int, q: int) -> tuple[jax.Array, jax.Array]:
        return once((p, q, permutations),
                    lambda: random_splits(key_null, p=p, q=q, pooled=p + q, count=permutations))  # fmt: skip

    def compared(
        name: str, candidate: CandidateLogits, alive: np.ndarray
    ) -> tuple[list[Row], list[jax.Array], Squared]:
        """Rows without p-values, and what these are made of, which the device counts meanwhile."""
        group = "originals" if candidate.paired and alive.all() else name
        population = scored(group, np.asarray(candidate.logits)[alive], layout)
        pairs = {(oracle, form): reference for oracle, reference in references.items() for form in FORMS}
        between = distances_between(population, references, layout)
        tails: list[jax.Array] = []
        for (oracle, form), reference in pairs.items():
            matrices = population.within[form], between[oracle, form], reference.within[form]
            null = null_energies(*matrices, splits(population.members, reference.members))
            tails.append(as_extreme(energy_from_distances(*matrices), null))
        rows: list[Row] = []
        squared: Squared = {}
        for (oracle, form), reference in pairs.items():
            floor = floors.of(oracle, population.members)
            for part, distance in energy_by_slice(population, reference, form, between[oracle, form], layout).items():
                squared[form, part, oracle] = distance.over(scale.unit[form, part, oracle])
                rows.append(Row(problem, name, candidate.kind, candidate.goal, f"energy/{form}", oracle, part,
                                distance.energy.value, *distance.interval, floor[form, part]))  # fmt: skip
        return rows, tails, squared

    rows: list[Row] = []
    counted: list[tuple[int, list[jax.Array]]] = []  # of the rows from a place on
    verdicts: list[VerdictRow] = []
    squared: dict[str, Squared] = {}
    reaches_untraining = False
    for name, candidate in candidates.items():
        if only is not None and name not in only and candidate.kind != "original":
            continue
        alive = np.asarray(np.isfinite(np.asarray(candidate.logits)).all((1, 2)))
        if alive.sum() < 3:
            outcome = Outcome("damages the model", f"{(~alive).sum()} of {len(alive)} members are not finite", None)
        else:
            find = functools.partial(compared, name, candidate, alive)
            original = candidate.kind == "original"
            found, tails, squared[name] = once((name, permutations), find) if original else find()
            counted.append((len(rows), tails))
            rows.extend(found)
            if original:
                near = functools.partial(_reaches_untraining, squared[name], goals, layout, margin)
                reaches_untraining = once("reaches untraining", near)
                if only is not None and name not in only:
                    continue
            bounds = _bounds(squared[name], layout)
            outcome = decide(
                {oracle: [b for _, b in bounds[oracle]] for oracle in oracles},
                goals,
                None if coincide else _closer(squared[name], goals),
                {o: [b for form, b in bounds[o] if form == "output" and b.name.split("/")[0] in layout.damage]
                 for o in oracles} if layout.damage else {},
                share=margin, damage_share=damage, members=len(alive), diverged=int((~alive).sum()), coincide=coincide,
            )  # fmt: skip
        rows.extend(_accuracy_rows(problem, name, candidate, layout))
        verdicts.append(VerdictRow(problem, name, candidate.kind, candidate.goal, outcome.verdict, outcome.detail,
                                   margin, len(alive), outcome.members_needed, int((~alive).sum()),
                                   candidate.hyperparameters))  # fmt: skip
    for name, oracle in oracles.items():
        if only is None or f"oracle {name}" in only:
            rows.extend(_accuracy_rows(problem, f"oracle {name}", CandidateLogits(oracle.reference, "oracle"), layout))
    wanted = {name: found for name, found in squared.items() if only is None or name in only}
    for first, tails in counted:
        for place, tail in enumerate(np.concatenate(tails), first):
            rows[place] = dataclasses.replace(rows[place], p=float(tail + 1) / (permutations + 1))
    rows = with_holm(rows) + list(_distance_rows(problem, candidates, wanted))
    rows += _paired_rows(problem, candidates, squared)
    if only is not None:
        rows = [row for row in rows if row.candidate in only]
        verdicts = [verdict for verdict in verdicts if verdict.candidate in only]
    return Scorecard(scale.label, reaches_untraining, rows, verdicts)


def _bounds(squared: Squared, layout: Layout) -> dict[str, list[tuple[str, Bound]]]:
    """oracle -> (form, bound) for every slice; the pool is left out, its parts are in."""
    bounds: dict[str, list[tuple[str, Bound]]] = {}
    for (form, part, oracle), distance in squared.items():
        if part != POOLED:
            bound = Bound(f"{part}/{form}", distance.energy.value, *distance.interval)
            bounds.setdefault(oracle, []).append((form, bound))
    return bounds


def _reaches_untraining(squared: Squared, goals: dict[str, str], layout: Layout, margin: float) -> bool:
    bounds = _bounds(squared, layout)
    return any(reaches([b for _, b in bounds[o]], margin) for o, goal in goals.items() if goal == "untraining")


def _closer(squared: Squared, goals: dict[str, str]) -> dict[str, tuple[float, float]] | None:
    by_goal = {goal: name for name, goal in goals.items()}
    if not {"untraining", "unlearning"} <= set(by_goal):
        return None
    first, second = by_goal["untraining"], by_goal["unlearning"]
    pairs = {form: (squared[form, POOLED, first].energy, squared[form, POOLED, second].energy) for form in FORMS}
    return {form: interval(combine(np.subtract, *pair)) for form, pair in pairs.items()}


def _distance_rows(problem: str, candidates: dict[str, CandidateLogits], squared: dict[str, Squared]) -> Iterator[Row]:
    for name, found in squared.items():
        candidate = candidates[name]
        for (form, part, oracle), distance in found.items():
            low, high = (signed_root(bound) for bound in distance.interval)
            yield Row(problem, name, candidate.kind, candidate.goal, f"distance/{form}", oracle, part,
                      signed_root(distance.energy.value), low, high)  # fmt: skip


def _paired_rows(problem: str, candidates: dict[str, CandidateLogits], squared: dict[str, Squared]) -> Iterator[Row]:
    """How much nearer than the originals an algorithm's members are, each paired with the original that it came from."""
    baseline = next((name for name, c in candidates.items() if c.kind == "original" and name in squared), None)
    for name, found in squared.items():
        candidate = candidates[name]
        if baseline is None or candidate.kind != "algorithm" or not candidate.paired:
            continue
        for (form, part, oracle), distance in found.items():
            gain = combine(np.subtract, squared[baseline][form, part, oracle].energy, distance.energy)
            yield Row(problem, name, candidate.kind, candidate.goal, f"gain/{form}", oracle, part, gain.value,
                      *interval(gain))  # fmt: skip


def _accuracy_rows(problem: str, name: str, candidate: CandidateLogits, layout: Layout) -> Iterator[Row]:
    for part, values in accuracies(candidate.logits, layout).items():
        low, high = interval(mean_estimate(values, name))
        yield Row(problem, name, candidate.kind, candidate.goal, "accuracy", "", part, float(values.mean()),
                  max(low, 0.0), min(high, 1.0))  # fmt: skip


def holm(p: Array) -> np.ndarray:
    """Holm's step-down adjustment of p-values `[K]`.  Source: Holm, Scand. J. Stat. 6 (1979)."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def with_holm(rows: list[Row]) -> list[Row]:
    """Rows with the p-values among them adjusted together."""
    tested = [i for i, row in enumerate(rows) if row.p is not None]
    adjusted = holm(np.array([rows[i].p for i in tested]))
    new = dict(zip(tested, adjusted, strict=True))
    return [dataclasses.replace(row, p_adjusted=float(new[i])) if i in new else row for i, row in enumerate(rows)]
