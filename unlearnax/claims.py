"""Published statements as checks on result rows: reproduced, not reproduced here, or inconclusive.

An experiment's file names its claims in `CLAIMS`.  A check reads the runs of one forget set and compares intervals, never
points; a claim about algorithms is checked on every forget set (seed) of its experiment, and holds if it holds on all.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unlearnax import plugins
from unlearnax.report.load import Run, load
from unlearnax.results import Row

REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NO_NUMBER = (
    "reproduced", "not reproduced here", "inconclusive", "no number",
)  # fmt: skip
NAMED = 8  # pairs that swap, at most
# Flags of a run that leave what is measured as it is; seeds are forget sets, which are judged together.
NOT_FIELDS = ("--size", "--seed", "--out", "--plan", "--store", "--no-store", "--distributed")


class Number(NamedTuple):
    """A measured number with its 95 % interval over members; the ends are the value itself where none was measured."""

    value: float
    low: float
    high: float


class Finding(NamedTuple):
    """What a check found: one of the four outcomes, the number that it rests on, and words where a number is not enough."""

    outcome: str
    number: Number | None = None
    note: str = ""


class Missing(LookupError):
    """The runs do not hold a number that a check asks for."""


Runs = Mapping[str, Run]  # of one forget set, by the name of the experiment
Check = Callable[[Runs], Finding]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement that can turn out wrong.

    text: the statement.  source: authors, year, arXiv id, table or figure.  published: the published numbers, or "none".
    check: what it says about our rows.  setting: where ours differs from the published setting, for readers.
    """

    text: str
    source: str
    published: str
    check: Check
    setting: str = ""


@dataclasses.dataclass(frozen=True)
class At:
    """Where a number stands: the fields of `results.Row`, the experiment's name and the problem's discovery rate.

    run and rate may be left out where there is one only; a rate is matched to the nearest within 0.02.
    """

    metric: str
    candidate: str = "do_nothing"
    oracle: str = ""
    slice: str = ""
    rate: float | None = None
    run: str = ""

    def row(self, runs: Runs) -> Row:
        """The row that holds the number.

        Raises:
            Missing: there is none.
        """
        run, problem = _problem(runs, self.run, self.rate)
        row = run.row(problem, self.candidate, self.metric, self.oracle, self.slice)
        if row is None:
            raise Missing(f"{self.candidate}: no {self.metric} {self.oracle} {self.slice}".rstrip())
        return row

    def __call__(self, runs: Runs) -> Number:
        """The number, as it stands in the rows; raises Missing where they do not hold it."""
        row = self.row(runs)
        low, high = (row.value if end is None or not math.isfinite(end) else end for end in (row.low, row.high))
        return Number(row.value, low, high)


@dataclasses.dataclass(frozen=True)
class Examples:
    """How often members are right on the examples of a slice that are told one by one, those drawn at random.

    label: of these the ones of this class, "" all.  run, rate: see `At`.
    """

    candidate: str
    slice: str
    label: str = ""
    rate: float | None = None
    run: str = ""

    def __call__(self, runs: Runs) -> Number:
        """Their mean, and that of their intervals' ends: as wide as if members erred on all of them together.

        Raises:
            Missing: there are no such examples.
        """
        run, problem = _problem(runs, self.run, self.rate)
        found = [
            e
            for e in run.examples
            if (e.problem, e.candidate, e.slice) == (problem, self.candidate, self.slice)
            and e.at_random
            and self.label in ("", e.label)
        ]
        if not found:
            raise Missing(f"{self.candidate}: no example of {self.slice} {self.label}".rstrip())
        return Number(*(sum(getattr(e, end) for e in found) / len(found) for end in ("right", "low", "high")))


Source = Callable[[Runs], Number]  # an `At`, or something made of several


def _problem(runs: Runs, name: str, rate: float | None) -> tuple[Run, str]:
    if name not in runs and (name or len(runs) != 1):
        raise Missing(f"no run {name!r} among {', '.join(runs)}")
    run = runs[name] if name in runs else next(iter(runs.values()))
    problems = run.problems
    if rate is not None:
        problems = [p for p in sorted(problems, key=lambda p: abs(p.rate - rate)) if abs(p.rate - rate) <= 0.02][:1]
    if len(problems) != 1:
        raise Missing(f"{len(problems)} problems" + (f" of rate {rate}" if rate is not None else ", and no rate given"))
    return run, problems[0].problem


def difference(first: Source, second: Source) -> Source:
    """First minus second, as if they were independent: wider than a paired interval, where members are paired."""

    def of(runs: Runs) -> Number:
        a, b = first(runs), second(runs)
        value = a.value - b.value
        down, up = math.hypot(a.value - a.low, b.high - b.value), math.hypot(a.high - a.value, b.value - b.low)
        return Number(value, value - down, value + up)

    return of


def mean(sources: Sequence[Source]) -> Source:
    """The mean of several numbers of different populations."""

    def of(runs: Runs) -> Number:
        found = [source(runs) for source in sources]
        value = sum(n.value for n in found) / len(found)
        down = math.hypot(*(n.value - n.low for n in found)) / len(found)
        up = math.hypot(*(n.high - n.value for n in found)) / len(found)
        return Number(value, value - down, value + up)

    return of


def constant(value: float) -> Source:
    """A number that is known, such as a hyperparameter to rank by."""
    return lambda runs: Number(value, value, value)


def within(source: Source, low: float = -math.inf, high: float = math.inf) -> Check:
    """The whole interval lies between the bounds; not reproduced where it lies outside, inconclusive where it straddles."""

    def check(runs: Runs) -> Finding:
        found = source(runs)
        if low <= found.low and found.high <= high:
            return Finding(REPRODUCED, found)
        return Finding(NOT_REPRODUCED if found.high < low or found.low > high else INCONCLUSIVE, found)

    return check


def above(source: Source, bound: float = 0.0) -> Check:
    """The whole interval lies above the bound, not on it."""
    return within(source, low=math.nextafter(bound, math.inf))


def below(source: Source, bound: float = 0.0) -> Check:
    """The whole interval lies below the bound, not on it."""
    return within(source, high=math.nextafter(bound, -math.inf))


def greater(first: Source, second: Source, by: float = 0.0) -> Check:
    """First exceeds second by more than `by`."""
    return above(difference(first, second), by)


def at_floor(at: At) -> Check:
    """No higher than the null's 95th percentile: what 19 of 20 pairs of populations of the oracle itself stay below.

    Not reproduced where the whole interval is above it, inconclusive where the value is and the interval is not.
    """

    def check(runs: Runs) -> Finding:
        row, found = at.row(runs), at(runs)
        if row.floor is None or not math.isfinite(row.floor):
            raise Missing(f"{at.candidate}: no floor of {at.metric} {at.oracle} {at.slice}".rstrip())
        note = f"floor {row.floor:.3g}"
        if found.value <= row.floor:
            return Finding(REPRODUCED, found, note)
        return Finding(NOT_REPRODUCED if found.low > row.floor else INCONCLUSIVE, found, note)

    return check


def verdict(candidate: str, words: str, *, rate: float | None = None, run: str = "") -> Check:
    """The scorecard's verdict on a candidate begins with `words`; inconclusive where the verdict is."""

    def check(runs: Runs) -> Finding:
        found, problem = _problem(runs, run, rate)
        row = found.verdict(problem, candidate)
        if row is None:
            raise Missing(f"no verdict on {candidate}")
        outcome = REPRODUCED if row.verdict.startswith(words) else NOT_REPRODUCED
        return Finding(INCONCLUSIVE if row.verdict == INCONCLUSIVE != words else outcome, note=row.verdict)

    return check


def at_least(count: int, checks: Mapping[str, Check]) -> Check:
    """`count` of the named checks hold; those that do are named."""

    def check(runs: Runs) -> Finding:
        found = {name: each(runs).outcome for name, each in checks.items()}
        holds = [name for name, outcome in found.items() if outcome == REPRODUCED]
        possible = len(holds) + sum(outcome == INCONCLUSIVE for outcome in found.values())
        outcome = REPRODUCED if len(holds) >= count else INCONCLUSIVE if possible >= count else NOT_REPRODUCED
        number = Number(len(holds), len(holds), possible)
        return Finding(outcome, number, f"of {len(found)}: {', '.join(holds) or 'none'}")

    return check


def all_of(checks: Mapping[str, Check]) -> Check:
    """Every one of the named checks holds."""
    return at_least(len(checks), checks)


def rank_correlation(first: Mapping[str, Source], second: Mapping[str, Source]) -> Source:
    """Kendall's τ-b between two rankings of the same candidates.

    Interval, the page's own (docs/scoring.md): a pair that either ranking leaves open, its numbers no farther apart than
    the interval of their difference reaches, may stand in either order; from all of those reversed to all of them alike.
    """

    def of(runs: Runs) -> Number:
        from scipy.stats import kendalltau  # half a second to import

        names = list(first)
        sides = [np.array([side[name](runs) for name in names]) for side in (first, second)]  # [n, 3]
        tau = float(np.asarray(kendalltau(*(side[:, 0] for side in sides)))[0])
        if math.isnan(tau):  # a ranking of equals
            return Number(tau, tau, tau)
        (ranks, open_), (other, also_open) = map(_pairs, sides)
        open_ |= also_open
        known, settled = math.sqrt(np.sum((ranks != 0) | open_) * np.sum((other != 0) | open_)), ranks * other * ~open_
        low, high = (float(np.clip((settled.sum() + end * open_.sum()) / known, -1, 1)) for end in (-1, 1))
        return Number(tau, min(low, tau), max(high, tau))

    return of


def _pairs(side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each two rows (value, low, high): which is larger (-1, 0, 1), and whether errors leave that open."""
    i, j = np.triu_indices(len(side), 1)
    swap = side[i, 0] > side[j, 0]
    lower, higher = side[np.where(swap, j, i)], side[np.where(swap, i, j)]
    apart = higher[:, 0] - lower[:, 0]
    return np.where(swap, 1, -1) * (apart > 0), apart < np.hypot(lower[:, 2] - lower[:, 0], higher[:, 0] - higher[:, 1])


def opposite(source: Source) -> Source:
    """Minus the number: to rank by what is better where it is higher."""

    def of(runs: Runs) -> Number:
        found = source(runs)
        return Number(-found.value, -found.high, -found.low)

    return of


def swaps(first: Mapping[str, Source], second: Mapping[str, Source]) -> Check:
    """Some pair of the named candidates stands one way by the first numbers and the other way by the second.

    Only pairs whose intervals are apart on both sides count; some are named, the one that is less by the first numbers in
    front.  Not reproduced where all pairs are apart on both sides and none swaps, inconclusive where intervals overlap.
    """

    def check(runs: Runs) -> Finding:
        sides = [{name: source(runs) for name, source in side.items()} for side in (first, second)]
        pairs = list(itertools.permutations(sides[0], 2))
        less = [{(low, high) for low, high in pairs if side[low].high < side[high].low} for side in sides]
        found = [f"{low} < {high}" for low, high in pairs if (low, high) in less[0] and (high, low) in less[1]]
        overlap = len(pairs) // 2 - len({frozenset(pair) for pair in less[0]} & {frozenset(pair) for pair in less[1]})
        named = ", ".join(found[:NAMED]) + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
        note = f"{len(found)} of {len(pairs) // 2} pairs: {named or f'none, {overlap} overlap'}"
        return Finding(REPRODUCED if found else INCONCLUSIVE if overlap else NOT_REPRODUCED, note=note)

    return check


def of_algorithms(make: Callable[[list[str]], Check]) -> Check:
    """A check made for the algorithms that the runs hold, in the order of the rows: sizes hold more or fewer.

    Without any there is no number, whatever `make` would find of none.
    """

    def check(runs: Runs) -> Finding:
        there = {name: record for run in runs.values() for name, record in run.candidates().items()}
        names = [name for name, record in there.items() if record.kind == "algorithm"]
        if not names:
            raise Missing("no algorithms")
        return make(names)(runs)

    return check


def judge(claim: Claim, by_seed: Mapping[int, Runs]) -> dict[int, Finding]:
    """What the claim's check finds on every forget set; a number that is not there is an outcome of its own."""
    found = {}
    for seed, runs in sorted(by_seed.items()):
        try:
            found[seed] = claim.check(runs)
        except Missing as error:
            found[seed] = Finding(NO_NUMBER, note=str(error))
    return found


def together(findings: Iterable[Finding]) -> str:
    """One outcome of several forget sets': the one that all share, else inconclusive."""
    outcomes = {finding.outcome for finding in findings}
    if not outcomes:
        return NO_NUMBER
    return outcomes.pop() if len(outcomes) == 1 else INCONCLUSIVE


@dataclasses.dataclass(frozen=True)
class Judged:
    """A claim with what was found on every forget set.

    experiment: its file's stem.  flags: of the fields that its runs override.  commands: what made the numbers.
    """

    experiment: str
    size: str
    flags: str
    commands: tuple[str, ...]
    claim: Claim
    findings: dict[int, Finding]

    @property
    def outcome(self) -> str:
        return together(self.findings.values())


def overridden(command: str) -> str:
    """The flags of a ``run`` command that change what is measured, sorted: not its size, seed, folder or way to run."""
    flags: list[list[str]] = []
    for word in shlex.split(command):
        if word.startswith("--"):
            name, _, value = word.partition("=")
            flags.append([name.replace("_", "-"), *([value] if value else [])])
        elif flags:
            flags[-1].append(word)
    return " ".join(sorted(shlex.join(flag) for flag in flags if flag[0] not in NOT_FIELDS))


class Judgement(NamedTuple):
    """Claims with what was found.  notes: one line for each folder whose claims could not be read."""

    judged: list[Judged]
    notes: list[str]


def judge_folders(folders: Iterable[Path | str]) -> Judgement:
    """Judges the claims of every experiment file that the runs in `folders` come from.

    Runs of one file, size and overridden fields belong together; where one was made twice, the later date counts.

    Raises:
        FileNotFoundError: a folder that holds no results.
    """
    groups: dict[tuple[Path, str, str], dict[tuple[int, str], Run]] = {}
    notes = []
    for folder in folders:
        run = load(folder)
        facts = run.provenance
        origin = facts.get("origin") or {}
        if not origin:
            continue
        file = Path(origin["file"]).resolve()
        if not file.is_file():
            notes.append(f"{folder}: claims stand in the experiment's file, which is not there now: {origin['file']}")
            continue
        group = groups.setdefault((file, origin["size"], overridden(facts.get("command", ""))), {})
        key = (int(facts["seed"]), facts["experiment"])
        if key not in group or facts.get("date", "") >= group[key].provenance.get("date", ""):
            group[key] = run
    judged = []
    for (file, size, flags), group in groups.items():
        commands = tuple(dict.fromkeys(run.provenance.get("command", "") for run in group.values()))
        by_seed: dict[int, dict[str, Run]] = {}
        for (seed, name), run in group.items():
            by_seed.setdefault(seed, {})[name] = run
        for claim in getattr(plugins.load_file(file), "CLAIMS", ()):
            judged.append(Judged(file.stem, size, flags, commands, claim, judge(claim, by_seed)))
    return Judgement(judged, notes)
