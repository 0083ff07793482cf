"""The ground on which candidates of one problem meet: its originals and oracles; candidates made and scored on it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unlearnax import bystanders
from unlearnax.costs import example_flops
from unlearnax.evaluation import Layout
from unlearnax.examples import Shown, example_records
from unlearnax.matching import match_oracle
from unlearnax.measuring import Observer, Seen, measure, neighbour_slices
from unlearnax.populations import Population, predict
from unlearnax.results import ExampleRow, ImageRow, Row
from unlearnax.scoring import CandidateLogits, OracleLogits, Scorecard, score
from unlearnax.suite import Floors
from unlearnax.types import Algorithm, Problem, TrainState
from unlearnax.unlearning import Unlearned, unlearn

if TYPE_CHECKING:  # which lays the ground, and so imports this file
    from unlearnax.experiment import Engine

NOTHING = "do_nothing"  # the originals as a candidate


class Candidate(NamedTuple):
    """A population to be scored: its logits, what metrics and probes took of it, and rows of what it cost.

    costs: in time, operations, and in bystanders' privacy where a problem has any.
    """

    given: CandidateLogits
    seen: Seen
    costs: list[Row]


class Others(NamedTuple):
    """The world without a problem's bystanders.

    problem: as it is there.  states: `[M, ...]` each, what algorithms are applied to: those to compare with, and held-out.
    """

    problem: Problem
    states: tuple[TrainState, TrainState]


@dataclasses.dataclass(frozen=True, eq=False)
class Ground:
    """What all candidates of one problem start from and are compared with.

    originals: as trained; states: what algorithms are applied to, the first original M times under the estimand "runs".
    logits, seen: of every oracle's reference and held-out members.  nothing: the originals as a candidate.
    teachers: held-out members of the oracles that are matched.  scratch: of untrained members.
    coincide: the untraining and the unlearning oracle describe one world.  others: where the problem has bystanders.
    floors, known: of the metrics and of the scorecard, kept from one call of `score_candidates` for the next.
    """

    problem: Problem
    layout: Layout
    x: np.ndarray
    observer: Observer
    originals: Population
    states: TrainState
    paired: bool
    logits: dict[str, OracleLogits]
    seen: dict[str, tuple[Seen, Seen]]
    teachers: dict[str, TrainState]
    nothing: Candidate
    scratch: Seen
    coincide: bool
    others: Others | None = None
    floors: Floors = dataclasses.field(default_factory=dict)
    known: dict[Any, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def neighbours(self) -> dict[str, np.ndarray]:
        return neighbour_slices(self.layout, self.nothing.given.logits, self.observer.near(self.originals.states))


def match_oracles(engine: Engine, ground: Ground) -> dict[str, Candidate]:
    """The controls that are taught each oracle's outputs, where the experiment asks for them."""
    e, found = engine.experiment, {}
    for name, teacher in ground.teachers.items():
        done = match_oracle(engine.model, ground.states, teacher, ground.problem, oracle=name, seed=e.seed, plan=e.plan)
        logits = predict(engine.model, done.states, ground.x, plan=e.plan)
        given = CandidateLogits(logits, "control", "control", ground.paired)
        found[f"matched {name}"] = Candidate(given, ground.observer.see(done.states, logits), [])
    return found


def apply_algorithm(
    engine: Engine, ground: Ground, name: str, algorithm: Algorithm, args: Mapping[str, Any]
) -> Candidate:
    """Applies one setting of an algorithm to a problem's originals."""
    e = engine.experiment

    def ask(problem: Problem, originals: TrainState, name: str) -> Unlearned:
        return unlearn(algorithm, engine.model, originals, problem, args, name=name, seed=e.seed, plan=e.plan,
                       recipe=e.recipe)  # fmt: skip

    done = ask(ground.problem, ground.states, name)
    logits = predict(engine.model, done.states, ground.x, plan=e.plan)
    shown = ", ".join(f"{key}={value}" for key, value in args.items())
    given = CandidateLogits(logits, "algorithm", algorithm.goal, ground.paired, shown)
    costs = _cost_rows(engine, ground.problem, name, algorithm, done, ground.originals)
    if ground.others:
        reference, control = ground.others.states
        outside = ask(ground.others.problem, reference, name), ask(ground.others.problem, control, f"{name} held-out")
        costs += bystander_rows(engine, ground.problem, name, given, done.states, [each.states for each in outside])
    return Candidate(given, ground.observer.see(done.states, logits), costs)


def bystander_rows(
    engine: Engine,
    problem: Problem,
    name: str,
    given: CandidateLogits,
    inside: TrainState,
    outside: Sequence[TrainState],
) -> list[Row]:
    """What a candidate tells of the bystanders.

    inside: of originals that were trained on them.  outside: two populations of originals that were not.
    """
    x = problem.train.x[problem.bystanders]
    logits, reference, control = (
        predict(engine.model, states, x, plan=engine.experiment.plan) for states in (inside, *outside)
    )
    return bystanders.rows(problem, name, given.kind, given.goal, logits, (reference, control))


def score_candidates(
    engine: Engine,
    ground: Ground,
    candidates: Mapping[str, Candidate],
    *,
    only: Collection[str] | None = None,
    among: int | None = None,
) -> Scorecard:
    """Scores candidates, beside doing nothing and the oracles' held-out members.

    Args:
        only, among: see `scoring.score`; the metrics too are measured for the named candidates only.
    """
    experiment, observer = engine.experiment, ground.observer
    everybody = {NOTHING: ground.nothing} | dict(candidates)
    card = score(
        ground.problem.name, ground.layout, ground.logits, {name: each.given for name, each in everybody.items()},
        coincide=ground.coincide, margin=experiment.margin, damage=experiment.damage, seed=experiment.seed,
        only=only, among=among, known=ground.known,
    )  # fmt: skip
    card.rows.extend(row for name, each in everybody.items() if only is None or name in only for row in each.costs)
    if observer.metrics or observer.probes:
        pairs = {name: (each.given, each.seen) for name, each in everybody.items()}
        card.rows.extend(
            measure(ground.problem.name, ground.layout, observer.metrics, ground.seen, pairs, fresh=ground.scratch,
                    extra=ground.neighbours, progress=engine.progress, floors=ground.floors, only=only)
        )  # fmt: skip
    return card


def tell_examples(ground: Ground, candidates: Mapping[str, Candidate], count: int) -> list[ExampleRow | ImageRow]:
    """Rows about single examples, of candidates, doing nothing, and the oracles' reference members; none where count is 0."""
    everybody = {NOTHING: ground.nothing} | dict(candidates)
    shown = {name: Shown(each.given.logits, each.given.kind) for name, each in everybody.items()}
    shown |= {f"oracle {name}": Shown(each.reference, "oracle") for name, each in ground.logits.items()}
    return example_records(ground.problem, ground.layout, ground.x, shown, count) if count else []


def _cost_rows(
    engine: Engine, problem: Problem, name: str, algorithm: Algorithm, done: Unlearned, originals: Population
) -> list[Row]:
    """Cost of one algorithm per member; the retrain it is a share of is the originals' own training."""
    recipe, examples = engine.experiment.recipe, float(done.examples.mean())
    retrain = recipe.total_steps(len(problem.train.x)) * recipe.batch_size
    values = {"cost/seconds": done.seconds, "cost/share": done.seconds / originals.seconds, "cost/examples": examples,
              "cost/flops": examples * example_flops(engine.model, problem.inputs),
              "cost/flop_share": examples / retrain}  # fmt: skip
    return [
        Row(problem.name, name, "algorithm", algorithm.goal, metric, "", "", value) for metric, value in values.items()
    ]
