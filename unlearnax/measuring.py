"""From populations to the metric suite: arrays taken while weights are at hand, neighbour slices, views, rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from unlearnax import populations
from unlearnax.evaluation import POOLED, Layout
from unlearnax.metrics.neighbours import confused_class, nearest
from unlearnax.populations import Progress
from unlearnax.probes import PROBES, Probe, probe_arrays
from unlearnax.recipes import Args
from unlearnax.results import MetricRow, Row
from unlearnax.scoring import CandidateLogits
from unlearnax.suite import Floors, Posed, make_view, measure_suite, member_rows, take
from unlearnax.types import Array, Metric, Model, Problem, TrainState, View

# The share of the other test examples that counts as near the concept, and the originals whose features tell which.
NEAR = 0.1
NEAR_MEMBERS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What is kept of a population once its weights are gone.

    logits: `[M, U, C]`.  features: `[M, U, H]` and weights: `[M, P]`, None unless a metric reads them.
    probed: probe -> name -> `[M, ...]` from `probes.probe_arrays`, or why the problem cannot be probed.
    """

    logits: Array
    features: Array | None = None
    weights: Array | None = None
    probed: Mapping[str, Mapping[str, np.ndarray] | str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Observer:
    """Looks at populations of one problem alike.

    x: raw inputs `[U, ...]` of the layout's columns.  fresh: logits `[M, U, C]` of untrained members.
    metrics: from `suite.select`.  probes: (name, hyperparameters) pairs.
    """

    model: Model
    problem: Problem
    layout: Layout
    x: np.ndarray
    fresh: Array
    metrics: Mapping[str, Metric]
    probes: tuple[tuple[str, Args], ...]
    plan: str
    seed: int

    @property
    def reads_weights(self) -> bool:
        """Whether logits alone are not enough for the metrics and probes."""
        return bool(self.probes) or bool({"features", "weights"} & self._needs())

    def _needs(self) -> set[str]:
        return {need for metric in self.metrics.values() for need in metric.needs}

    def see(self, states: TrainState | None, logits: Array) -> Seen:
        """Takes what the metrics and probes need of a population with these logits; states: None unless they read it."""
        if states is None:
            return Seen(logits)
        needs = self._needs()
        features = populations.features(self.model, states, self.x, plan=self.plan) if "features" in needs else None
        return Seen(logits, features, _flat(states.params) if "weights" in needs else None, self._probe(states))

    def _probe(self, states: TrainState) -> dict[str, Mapping[str, np.ndarray] | str]:
        found: dict[str, Mapping[str, np.ndarray] | str] = {}
        for name, args in self.probes:
            try:
                found[name] = probe_arrays(PROBES[name], self.model, states, self.problem, dict(args), seed=self.seed,
                                           plan=self.plan)  # fmt: skip
            except ValueError as error:
                found[name] = str(error)
        return found

    def near(self, originals: TrainState) -> np.ndarray:
        """What closeness to the concept is judged on: features of some originals side by side, `[U, …]`."""
        few = jax.tree.map(lambda a: a[:NEAR_MEMBERS], originals)
        stacked = populations.features(self.model, few, self.x, plan=self.plan)
        return np.moveaxis(stacked, 0, 1).reshape(len(self.x), -1)


def describe_probes(names: Iterable[str]) -> list[MetricRow]:
    """What readers must know about each probe, as rows."""
    same = "the oracle's own value"
    return [
        MetricRow(name, "member", "similarity", PROBES[name].question, "forgetting may only be hidden",
                  PROBES[name].caution, "oracle", same, same, "either", 1, PROBES[name].citation, False)
        for name in names
    ]  # fmt: skip


def _flat(params: Any) -> np.ndarray:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def neighbour_slices(layout: Layout, originals: Array, near: Array) -> dict[str, np.ndarray]:
    """The concept's neighbours among the other test examples, as positions in the layout.

    "confused_class": of the class that the originals take concept examples for most, next to their own.
    "near_concept": the tenth that is nearest to the concept.

    Args:
        originals: logits `[M, U, C]`.  near: features `[U, H]` to judge closeness on.
    """
    other = layout.slices.get("other_test")
    if other is None:
        return {}
    concept = layout.slices[POOLED]
    rows = layout.rows
    label = confused_class(np.asarray(originals)[:, rows[concept]], layout.labels[concept])
    count = max(1, round(NEAR * len(other)))
    slices = {
        "confused_class": other[layout.labels[other] == label],
        "near_concept": other[np.sort(nearest(near[rows[other]], near[rows[concept]], count))],
    }
    return {name: positions for name, positions in slices.items() if len(positions)}


def measure(
    problem: str,
    layout: Layout,
    metrics: Mapping[str, Metric],
    oracles: Mapping[str, tuple[Seen, Seen]],
    candidates: Mapping[str, tuple[CandidateLogits, Seen]],
    *,
    fresh: Seen | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
    progress: Progress | None = None,
    floors: Floors | None = None,
    only: Collection[str] | None = None,
) -> list[Row]:
    """Rows of the metric suite and of the probes.

    Args:
        oracles: name -> reference and held-out members, of which the latter also pose as a candidate.
        candidates: name -> what was scored, and what was seen of it.
        fresh: of untrained members.  extra: more slices, see `neighbour_slices`.
        floors, only: see `suite.measure_suite`.
    """

    def view(seen: Seen) -> View:
        made = make_view(
            layout, seen.logits, fresh=fresh.logits if fresh else None, features=seen.features, weights=seen.weights,
            extra=extra,
        )  # fmt: skip
        alive = np.isfinite(np.asarray(seen.logits)).all((1, 2))
        return made if alive.all() else take(made, np.flatnonzero(alive))

    posed = {name: Posed(view(seen), given.kind, given.goal) for name, (given, seen) in candidates.items()}
    views = {name: (view(reference), view(control)) for name, (reference, control) in oracles.items()}
    posed |= {f"held-out {name}": Posed(control, "control") for name, (_, control) in views.items()}
    rows = measure_suite(problem, metrics, views, posed, progress=progress, floors=floors, only=only)
    seen = {name: found for name, (_, found) in candidates.items()}
    kinds = {name: (given.kind, given.goal) for name, (given, _) in candidates.items()}
    for name, (reference, control) in oracles.items():
        seen |= {f"held-out {name}": control, f"oracle {name}": reference}
        kinds |= {f"held-out {name}": ("control", ""), f"oracle {name}": ("oracle", "")}
    if fresh:
        seen, kinds = seen | {"untrained": fresh}, kinds | {"untrained": ("oracle", "")}
    probed = _probe_rows(problem, seen, kinds, list(oracles))
    return rows + [row for row in probed if only is None or row.candidate in only]


def _probe_rows(
    problem: str, seen: Mapping[str, Seen], kinds: Mapping[str, tuple[str, str]], oracles: list[str]
) -> list[Row]:
    rows: list[Row] = []
    for name in dict.fromkeys(name for each in seen.values() for name in each.probed):
        arrays = {candidate: each.probed[name] for candidate, each in seen.items() if name in each.probed}
        reasons: dict[str, np.ndarray | str] = {c: why for c, why in arrays.items() if isinstance(why, str)}
        known = {c: found for c, found in arrays.items() if not isinstance(found, str)}
        if not known:
            rows += member_rows(problem, name, "", reasons, kinds, oracles)
            continue
        probe = PROBES.get(name)
        numbers = {c: probe.numbers(found) if probe else dict(found) for c, found in known.items()}
        for number in next(iter(numbers.values())):
            values = reasons | {c: _finite(found[number]) for c, found in numbers.items()}
            rows += member_rows(problem, f"{name}/{number}", "", values, kinds, oracles)
        if probe and probe.compare and "do_nothing" in known:
            rows += _compared(problem, name, probe, known, kinds, oracles)
    return rows


def _finite(values: np.ndarray) -> np.ndarray | str:
    wrong = int((~np.isfinite(values)).sum())
    return f"{wrong} of {len(values)} members have no finite number" if wrong else values


def _compared(
    problem: str,
    name: str,
    probe: Probe,
    known: Mapping[str, Mapping[str, np.ndarray]],
    kinds: Mapping[str, tuple[str, str]],
    oracles: list[str],
) -> Iterator[Row]:
    assert probe.compare is not None
    for oracle in (o for o in oracles if f"oracle {o}" in known):
        for candidate, mine in known.items():
            if candidate == f"oracle {oracle}":
                continue
            for number, values in probe.compare(mine, known[f"oracle {oracle}"], known["do_nothing"]).items():
                values = values if isinstance(values, str) else _finite(values)
                row = member_rows(problem, f"{name}/{number}", "", {candidate: values}, kinds, [])
                yield from (dataclasses.replace(each, oracle=oracle) for each in row)
