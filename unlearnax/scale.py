"""Distances between populations, their floors, and the unit that they are told in."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import jax
import numpy as np

from unlearnax.evaluation import POOLED, Layout
from unlearnax.jackknife import (
    Distance,
    Estimate,
    combine,
    embedding_noise,
    energy_estimates,
    mean_estimate,
    within_estimate,
)
from unlearnax.metrics.energy import FORMS, pairwise, permuted_energies, random_splits, represent
from unlearnax.types import Array

FLOOR_PERMUTATIONS = 1999


@dataclasses.dataclass(frozen=True, eq=False)
class Scored:
    """One population on the examples of a layout.

    name: jackknife group.  points: form -> `[M, N, K]`.  within: form -> `[S, M, M]` distances.
    """

    name: str
    points: Mapping[str, Array]
    within: dict[str, np.ndarray]

    @functools.cached_property
    def noise(self) -> dict[str, np.ndarray]:
        """form -> `[S]`, see `jackknife.embedding_noise`."""
        return {form: embedding_noise(distances) for form, distances in self.within.items()}

    @property
    def members(self) -> int:
        return self.points["margin"].shape[0]


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """What one unit is: label for readers; (form, slice, oracle) -> energy estimate."""

    label: str
    unit: dict[tuple[str, str, str], Estimate]


def scored(name: str, logits: Array, layout: Layout) -> Scored:
    """A population from its logits `[M, U, C]`; name: see `Scored`."""
    logits = np.asarray(logits)[:, layout.rows]
    points = {form: represent(logits, layout.labels, form) for form in FORMS}
    within = jax.device_get({form: pairwise(p, p, layout.weights) for form, p in points.items()})
    return Scored(name, points, within)


def distances_between(p: Scored, qs: Mapping[str, Scored], layout: Layout) -> dict[tuple[str, str], np.ndarray]:
    """(name, form) -> distances to each population; all are under way before the first is waited for."""
    return jax.device_get(
        {
            (name, form): pairwise(p.points[form], q.points[form], layout.weights)
            for name, q in qs.items()
            for form in FORMS
        }
    )


def energy_by_slice(p: Scored, q: Scored, form: str, between: np.ndarray, layout: Layout) -> dict[str, Distance]:
    """slice -> energy distance.  between: `[S, P, Q]`, of `distances_between`."""
    noise = p.noise[form] + q.noise[form]
    found = energy_estimates(p.within[form], between, q.within[form], p.name, q.name, noise)
    return dict(zip(layout.slices, found, strict=True))


def _pooled_energies(p: Scored, qs: Mapping[str, Scored], layout: Layout) -> dict[tuple[str, str], Estimate]:
    """(name, form) -> squared distance to each population, the concept pooled."""
    between = distances_between(p, qs, layout).items()
    return {(q, form): energy_by_slice(p, qs[q], form, found, layout)[POOLED].energy for (q, form), found in between}


def _uninformed(reference: Scored, form: str, layout: Layout, classes: int) -> dict[str, Estimate]:
    """Energy between an oracle and a model that gives every class the same probability: the scale of damage."""
    flat = represent(np.zeros((1, len(layout.rows), classes), np.float32), layout.labels, form)
    to_flat = np.asarray(pairwise(reference.points[form], flat, layout.weights), np.float64)[:, :, 0]
    parts = zip(layout.slices, to_flat, reference.within[form], strict=True)
    return {
        name: combine(
            lambda away, spread: 2 * away - spread,
            mean_estimate(away, reference.name),
            within_estimate(within, reference.name),
        )
        for name, away, within in parts
    }


def null_energies(
    within_p: np.ndarray, between: np.ndarray, within_q: np.ndarray, splits: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """`[S, permutations]` energies of two populations whose members are mixed, from the distances within and between them."""
    pooled = np.block([[within_p, between], [between.swapaxes(1, 2), within_q]])
    return permuted_energies(pooled, *splits)


class Floors:
    """Null 95th percentiles of E between disjoint-seed populations of one oracle, by splitting its 2M members at random.

    The sizes are those of the comparison, as far as the oracle's members reach.
    """

    def __init__(
        self, key: jax.Array, references: Mapping[str, Scored], controls: Mapping[str, Array], layout: Layout
    ) -> None:
        """controls: logits of the oracles' held-out members."""
        self._key, self._parts, self._made = key, tuple(layout.slices), {}
        self._pooled = {}
        for name, reference in references.items():
            control = scored("control", controls[name], layout)
            self._pooled[name] = reference, control, distances_between(control, {name: reference}, layout)

    def of(self, oracle: str, members: int) -> dict[tuple[str, str], float]:
        """(form, slice) -> E, for a candidate of so many members."""
        if (oracle, members) not in self._made:
            reference, control, between = self._pooled[oracle]
            pooled = reference.members + control.members
            p = min(members, pooled - reference.members)
            splits = random_splits(self._key, p=p, q=reference.members, pooled=pooled, count=FLOOR_PERMUTATIONS)
            self._made[oracle, members] = {
                (form, part): float(value)
                for form in FORMS
                for part, value in zip(
                    self._parts,
                    np.percentile(
                        null_energies(control.within[form], between[oracle, form], reference.within[form], splits),
                        95,
                        axis=1,
                    ),
                    strict=True,
                )
            }
        return self._made[oracle, members]


def make_scale(
    layout: Layout,
    references: Mapping[str, Scored],
    goals: Mapping[str, str],
    originals: Array | None,
    coincide: bool,
    floors: Floors,
) -> Scale:
    """The unit of each (form, slice, oracle).

    originals: their logits, where they are known.

    Concept slices share one unit, so that a candidate's slices compare: the two oracles' distance on all concept slices
    pooled; where they coincide, or there is one oracle, the originals' distance to the oracle; where that is not beyond
    twice its floor in every case, so that it could be noise, the oracle's distance to an uninformed model, which gives
    every class the same probability.
    Damage slices each have the distance of the oracle to an uninformed model on that slice.
    """
    by_goal = {goal: references[name] for name, goal in goals.items()}
    first, second = by_goal.get("untraining"), by_goal.get("unlearning")
    pairs = [(oracle, form) for oracle in references for form in FORMS]
    label, apart = "uninformed to oracle", {}
    if first is not None and second is not None and not coincide:
        label = "oracle to oracle"
        each = _pooled_energies(first, {"second": second}, layout)
        apart = {(oracle, form): each["second", form] for oracle, form in pairs}
    elif originals is not None and np.isfinite(originals).all():
        label = "original to oracle"
        apart = _pooled_energies(scored("originals", originals, layout), references, layout)
    if not all(
        unit.value > 2 * floors.of(oracle, references[oracle].members)[form, POOLED]
        for (oracle, form), unit in apart.items()
    ):
        label, apart = "uninformed to oracle", {}
    unit: dict[tuple[str, str, str], Estimate] = {}
    for oracle, form in pairs:
        reference = references[oracle]
        uninformed = _uninformed(reference, form, layout, reference.points["output"].shape[-1])
        for part in layout.slices:
            concept = apart.get((oracle, form), uninformed[POOLED])
            unit[form, part, oracle] = uninformed[part] if part in layout.damage else concept
    return Scale(label, unit)
