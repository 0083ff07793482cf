"""The metric suite: every metric on every candidate against every oracle, with floors and intervals over members.

A candidate's interval leaves groups of members out of it and of the oracle (Shao & Wu, Ann. Stat. 17 (1989): leaving out
√M or more at a time also suits statistics that are not smooth, as maxima and percentiles).  The floor is the null's 95th
percentile (5th, where higher is better) between disjoint-seed populations of the same oracle, of the comparison's sizes.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from unlearnax import plugins
from unlearnax.evaluation import Layout
from unlearnax.jackknife import Estimate, combine, cross_estimate, interval, mean_estimate
from unlearnax.metrics import METRICS
from unlearnax.metrics.energy import margins
from unlearnax.results import MetricRow, Row
from unlearnax.types import Array, Metric, View

FLOOR_SPLITS = 100
MOST_GROUPS = 10
SELECTIONS = ("default", "all", "none")
EVERY_SLICE = ("forget", "concept_rest", "concept_test", "concept", "retain", "other_test")


@dataclasses.dataclass(frozen=True, eq=False)
class Posed:
    """A population to be measured.  kind, goal: see `results.Row`.  view: `[M, ...]`, members with finite outputs only."""

    view: View
    kind: str
    goal: str = ""


def select(names: Iterable[str]) -> dict[str, Metric]:
    """Metrics by name, "file.py:metric", or "default", "all", "none".

    A file's metric is a `Metric`, or a function of two populations' margins, `[M, n]` and `[R, n]`, to `[n]` or a number,
    which is then measured on every slice.

    Raises:
        ValueError: an unknown name, with the nearest ones; a plug-in that is neither.
    """
    chosen: dict[str, Metric] = {}
    for name in names:
        if name in SELECTIONS:
            chosen |= {n: m for n, m in METRICS.items() if name == "all" or (name == "default" and m.default)}
            continue
        found = plugins.resolve("metric", name, METRICS)
        chosen[name.rpartition(":")[2]] = found if isinstance(found, Metric) else _of_margins(name, found)
    return chosen


def _of_margins(name: str, function: Any) -> Metric:
    if not callable(function):
        raise ValueError(f"Expected metric {name!r} to be a Metric or a function, got {type(function).__name__}.")

    def measure(candidate: View, oracle: View, part: str) -> Any:
        return function(candidate.margins[part], oracle.margins[part])

    summary = (inspect.getdoc(function) or "").split("\n")[0]
    return Metric(
        function, measure, "population", EVERY_SLICE, answers="either", question=summary, use_when="", caution="",
        better="lower", at_untraining="", at_unlearning="", estimand="either", members=2, citation=f"from {name}",
    )  # fmt: skip


def describe(metrics: Mapping[str, Metric]) -> list[MetricRow]:
    """What readers must know about each metric, as rows."""
    return [
        MetricRow(name, m.unit, m.answers, m.question, m.use_when, m.caution, m.better, m.at_untraining,
                  m.at_unlearning, m.estimand, m.members, m.citation, m.default)
        for name, m in metrics.items()
    ]  # fmt: skip


def make_view(
    layout: Layout,
    logits: Array,
    *,
    fresh: Array | None = None,
    features: Array | None = None,
    weights: Array | None = None,
    extra: Mapping[str, np.ndarray] | None = None,
) -> View:
    """One population's arrays by slice.

    Args:
        layout: scored examples.
        logits, fresh: `[M, U, C]` and features: `[M, U, H]` over the layout's columns.  weights: `[M, P]`.
        extra: more slices: name -> positions among the layout's examples.
    """
    slices = dict(layout.slices) | dict(extra or {})
    labels = {name: layout.labels[positions] for name, positions in slices.items()}

    def by_slice(values: Array | None) -> dict[str, np.ndarray]:
        if values is None:
            return {}
        return {name: np.asarray(values)[:, layout.rows[positions]] for name, positions in slices.items()}

    everything = np.asarray(logits)[:, layout.rows]
    all_margins = np.asarray(margins(everything, layout.labels))
    right = everything.argmax(-1) == layout.labels

    def by_position(values: np.ndarray) -> dict[str, np.ndarray]:
        return {name: values[:, positions] for name, positions in slices.items()}

    return View(
        by_slice(logits), by_position(all_margins), by_position(right), labels, by_slice(features), by_slice(fresh),
        None if weights is None else np.asarray(weights),
    )  # fmt: skip


class _Some(Mapping):
    """Some members of arrays by slice, copied only when they are asked for: most metrics read one slice of one kind."""

    def __init__(self, arrays: Mapping[str, np.ndarray], members: np.ndarray) -> None:
        self._arrays, self._members = arrays, members

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name][self._members]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def take(view: View, members: np.ndarray) -> View:
    """The view of some members."""
    weights = None if view.weights is None else view.weights[members]
    logits, margins_, correct, features, fresh = (
        _Some(arrays, members) for arrays in (view.logits, view.margins, view.correct, view.features, view.fresh)
    )
    return View(logits, margins_, correct, view.labels, features, fresh, weights)


def join(first: View, second: View) -> View:
    """Members of both, one behind the other."""

    def both(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.concatenate([a[name], b[name]]) for name in a}

    weights = (
        None if first.weights is None or second.weights is None else np.concatenate([first.weights, second.weights])
    )
    return View(
        both(first.logits, second.logits), both(first.margins, second.margins), both(first.correct, second.correct),
        first.labels, both(first.features, second.features), both(first.fresh, second.fresh), weights,
    )  # fmt: skip


def members_of(view: View) -> int:
    """M."""
    return len(next(iter(view.margins.values())))


def groups(*members: int) -> list[tuple[np.ndarray, ...]]:
    """Jackknife groups of several populations: for each group, those outside it, population by population.

    As many groups for all, about the root of the smallest population, at most `MOST_GROUPS`.
    """
    fewest = min(members)
    count = min(max(math.isqrt(fewest), 4), MOST_GROUPS, fewest)
    return [tuple(np.flatnonzero(np.arange(m) % count != group) for m in members) for group in range(count)]


def splits(pooled: int, p: int, q: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Random pairs of disjoint sets of p and q out of `pooled` members, always the same ones."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(pooled) for _ in range(FLOOR_SPLITS)]
    return [(order[:p], order[p : p + q]) for order in orders]


def numbers(measured: Any) -> dict[str, float]:
    """What is reported of a population metric: suffix -> number (mean and 95th percentile of per-example values)."""
    if isinstance(measured, Mapping):
        return {f"/{name}{rest}": n for name, value in measured.items() for rest, n in numbers(value).items()}
    values = np.asarray(measured, np.float64)
    if values.ndim == 0:
        return {"": float(values)}
    return {"": float(values.mean()), "/p95": float(np.percentile(values, 95))}


def _worst(metric: Metric, null: Array) -> float:
    return float(np.percentile(null, 5 if metric.better == "higher" else 95))


Floors = dict[tuple[str, str, str], dict[int, dict[str, float]]]
"""(metric, slice, oracle) -> members -> suffix -> floor."""


def measure_suite(
    problem: str,
    metrics: Mapping[str, Metric],
    oracles: Mapping[str, tuple[View, View]],
    candidates: Mapping[str, Posed],
    *,
    progress: Callable[[str, int, int], None] | None = None,
    floors: Floors | None = None,
    only: Collection[str] | None = None,
) -> list[Row]:
    """Measures candidates, and the oracles' own values of "member" metrics.

    Args:
        metrics: from `select`.
        oracles: name -> views of its reference and held-out members.
        candidates: name -> population; the held-out members of every oracle are added as controls by the caller.
        floors: those of an earlier call with the same oracles, used and added to: they cost more than a candidate does.
        only: candidates to give rows of (default all); the others still make the floors of gaps.

    Returns:
        Rows, see `results.Row`.  Where a metric cannot be had (too few members, examples missing) the row's value is NaN
        and its note says why; where a problem lacks the slices or arrays that a metric reads there is no row.
    """
    tasks = [
        (name, metric, part)
        for name, metric in metrics.items()
        for part in metric.slices
        if metric.unit != "scorecard" and all(_has(metric, part, reference) for reference, _ in oracles.values())
    ]
    rows: list[Row] = []
    for done, task in enumerate(tasks):  # threads were no faster: the arrays are small
        rows += _measure(problem, *task, oracles, candidates, {} if floors is None else floors, only)
        if progress:
            progress("metrics", done + 1, len(tasks))
    return rows


def _has(metric: Metric, part: str, view: View) -> bool:
    there = set(view.logits) | {field for field in ("features", "fresh") if getattr(view, field)}
    there |= {"weights"} if view.weights is not None else set()
    return {part, *metric.needs} <= there


def _measure(
    problem: str,
    name: str,
    metric: Metric,
    part: str,
    oracles: Mapping[str, tuple[View, View]],
    candidates: Mapping[str, Posed],
    known_floors: Floors,
    only: Collection[str] | None,
) -> Iterator[Row]:
    if metric.unit == "member":
        found = _by_member(problem, name, metric, part, oracles, candidates)
        yield from (row for row in found if only is None or row.candidate in only)
        return
    compare = _pairs if metric.unit == "pair" else _populations
    for oracle, (reference, control) in oracles.items():
        floors = known_floors.setdefault((name, part, oracle), {})
        for candidate, posed in candidates.items():
            if only is not None and candidate not in only:
                continue
            row = Row(problem, candidate, posed.kind, posed.goal, name, oracle, part, math.nan)
            members = members_of(posed.view)
            if note := _too_few(metric, members, members_of(reference)):
                yield dataclasses.replace(row, note=note)
                continue
            try:
                found = compare(metric, part, posed.view, reference)
            except ValueError as error:
                yield dataclasses.replace(row, note=str(error))
                continue
            if members not in floors:
                try:
                    floors[members] = _floor(metric, part, members, reference, control)
                except ValueError:  # too few held-out members for the metric: a value without a floor
                    floors[members] = {}
            for suffix, (value, low, high) in found.items():
                yield dataclasses.replace(row, metric=name + suffix, value=value, low=low, high=high,
                                          floor=floors[members].get(suffix))  # fmt: skip


def _too_few(metric: Metric, *counts: int) -> str:
    if min(counts) >= metric.members:
        return ""
    return f"needs at least {metric.members} members, has {' and '.join(map(str, counts))}"


Found = dict[str, tuple[float, float | None, float | None]]


def _populations(metric: Metric, part: str, candidate: View, reference: View) -> Found:
    values = numbers(metric.measure(candidate, reference, part))
    left = groups(members_of(candidate), members_of(reference))
    if min(len(kept) for each in left for kept in each) < max(metric.members, 2):
        return {suffix: (value, None, None) for suffix, value in values.items()}
    without = [numbers(metric.measure(take(candidate, a), take(reference, b), part)) for a, b in left]
    found: Found = {}
    for suffix, value in values.items():
        if any(suffix not in each for each in without):
            found[suffix] = (value, None, None)
            continue
        estimate = Estimate(value, {"groups": np.array([each[suffix] for each in without])})
        found[suffix] = (value, *interval(estimate))
    return found


def _pairs(metric: Metric, part: str, candidate: View, reference: View) -> Found:
    matrix = np.asarray(metric.measure(candidate, reference, part), np.float64)
    if min(matrix.shape) < 2:
        return {"": (float(matrix.mean()), None, None)}
    estimate = cross_estimate(matrix, "candidate", "oracle")
    return {"": (estimate.value, *interval(estimate))}


def _floor(metric: Metric, part: str, members: int, reference: View, control: View) -> dict[str, float]:
    pooled, size = join(control, reference), members_of(reference)
    total = members_of(pooled)
    drawn = splits(total, min(members, total - size), size)
    if metric.unit == "pair":
        matrix = np.asarray(metric.measure(pooled, pooled, part), np.float64)
        return {"": _worst(metric, np.array([matrix[np.ix_(p, q)].mean() for p, q in drawn]))}
    null = [numbers(metric.measure(take(pooled, p), take(pooled, q), part)) for p, q in drawn]
    shared = set.intersection(*(set(each) for each in null))
    return {suffix: _worst(metric, np.array([each[suffix] for each in null])) for suffix in shared}


def _by_member(
    problem: str,
    name: str,
    metric: Metric,
    part: str,
    oracles: Mapping[str, tuple[View, View]],
    candidates: Mapping[str, Posed],
) -> list[Row]:
    posed = {f"oracle {oracle}": Posed(reference, "oracle") for oracle, (reference, _) in oracles.items()}
    posed = {**candidates, **posed}
    values: dict[str, np.ndarray | str] = {}
    for candidate, each in posed.items():
        values[candidate] = _too_few(metric, members_of(each.view))
        if not values[candidate]:
            try:
                values[candidate] = np.asarray(metric.measure(each.view, part), np.float64)
            except ValueError as error:
                values[candidate] = str(error)
    kinds = {candidate: (each.kind, each.goal) for candidate, each in posed.items()}
    return list(member_rows(problem, name, part, values, kinds, list(oracles)))


def member_rows(
    problem: str,
    name: str,
    part: str,
    values: Mapping[str, np.ndarray | str],
    kinds: Mapping[str, tuple[str, str]],
    oracles: Iterable[str],
) -> Iterator[Row]:
    """Rows of what is one number for each model: a population's mean, and how far it is above each oracle's, ``…/gap``.

    Args:
        values: candidate -> `[M]`, or why there are none; an oracle's own stand under "oracle NAME", those of its
            held-out members, which give the gap's floor, under "held-out NAME".
        kinds: candidate -> (kind, declared goal).  oracles: their names.
    """
    for candidate, found in values.items():
        row = Row(problem, candidate, *kinds[candidate], name, "", part, math.nan)
        if isinstance(found, str):
            yield dataclasses.replace(row, note=found)
            continue
        estimate = mean_estimate(found, candidate) if len(found) > 1 else Estimate(float(found.mean()), {})
        low, high = interval(estimate) if estimate.without else (None, None)
        yield dataclasses.replace(row, value=estimate.value, low=low, high=high)
    for oracle in oracles:
        own, held_out = values.get(f"oracle {oracle}", ""), values.get(f"held-out {oracle}", "")
        if isinstance(own, str) or len(own) < 2:
            continue
        pooled = own if isinstance(held_out, str) else np.concatenate([held_out, own])
        for candidate, found in values.items():
            if isinstance(found, str) or len(found) < 2 or kinds[candidate][0] == "oracle":
                continue
            count = min(len(found), len(pooled) - len(own))
            drawn = splits(len(pooled), count, len(own)) if count else []
            null = [abs(pooled[p].mean() - pooled[q].mean()) for p, q in drawn]
            gap = combine(np.subtract, mean_estimate(found, candidate), mean_estimate(own, "oracle"))
            yield Row(problem, candidate, *kinds[candidate], f"{name}/gap", oracle, part, gap.value, *interval(gap),
                      floor=float(np.percentile(null, 95)) if null else None)  # fmt: skip
