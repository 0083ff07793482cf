"""One experiment: a frozen spec, and the run that turns it into populations, scores and rows."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from tyro.conf import Suppress

from unlearnax import checks, data, memorization, models, plugins, problems, results
from unlearnax.algorithms import ALGORITHMS
from unlearnax.costs import example_flops
from unlearnax.digests import digest
from unlearnax.evaluation import problem_layout
from unlearnax.external import read_array
from unlearnax.matching import match_oracle
from unlearnax.measuring import Observer, Seen, describe_probes, measure, neighbour_slices
from unlearnax.members import PLANS
from unlearnax.populations import Population, Progress, check_world, fit, predict, untrained, world_digest
from unlearnax.probes import PROBES, Probe
from unlearnax.provenance import environment
from unlearnax.recipes import Args, Recipe, freeze
from unlearnax.results import ProblemRow, Row
from unlearnax.scoring import CandidateLogits, OracleLogits, Scorecard, score
from unlearnax.store import Store
from unlearnax.suite import describe, select
from unlearnax.types import Algorithm, Metric, Model, Oracle, Problem, Splits, TrainState, World
from unlearnax.unlearning import Unlearned, bind, check_needs, unlearn

ESTIMANDS = {"originals": "M originals × 1 run each", "runs": "1 original × M runs"}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What to measure.

    name: of the run's folder and rows.
    dataset, dataset_args: a name in `data.DATASETS` and its keywords.
    problem, problem_args: a name in `problems.PROBLEMS` and its keywords, discovery rate and seed apart.
    discovery_rates: one problem each; empty for builders without a rate.
    recipe: the training algorithm A.
    algorithms: (name in `algorithms.ALGORITHMS` or "file.py:factory", hyperparameters) pairs; "name@label" tells several
        settings of one algorithm apart.
    oracles: names in `oracles.ORACLES` or "file.py:function".
    metrics: names in `metrics.METRICS` or "file.py:metric"; "default", "all" and "none" stand for several.
    probes: names in `probes.PROBES`: interventions on every population before it is measured.
    probe_args: (probe, hyperparameters) pairs where the defaults do not suit.
    estimand: "originals": M originals × 1 run each, or "runs": 1 original × M runs.  Numbers of the latter hold for that
        original only.
    oracle_matching: whether to add the controls that are taught each oracle's outputs, see `matching`.
    members: M originals and candidates; each oracle gets M references and M held-out controls.
    seed: of the forget sets and of all training.
    margin: share of the scale that a candidate must stay below to "reach" an oracle.
    damage: share of the damage scale beyond which retained or other-test outputs count as damaged.
    plan: how members run, see `members`.
    store: keep populations in the cache folder and use those that are there.
    tuning: how the hyperparameters were chosen, for the page.
    """

    name: str
    dataset: str = "digits"
    dataset_args: Suppress[Args] = ()
    problem: str = "concept"
    problem_args: Suppress[Args] = ()
    discovery_rates: tuple[float, ...] = (0.1, 0.5, 1.0)
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    algorithms: Suppress[tuple[tuple[str, Args], ...]] = ()
    oracles: tuple[str, ...] = ("retrain", "concept_free")
    metrics: tuple[str, ...] = ("default",)
    probes: tuple[str, ...] = ()
    probe_args: Suppress[tuple[tuple[str, Args], ...]] = ()
    estimand: str = "originals"
    oracle_matching: bool = False
    members: int = 64
    seed: int = 0
    margin: float = 0.1
    damage: float = 0.2
    plan: str = "auto"
    store: bool = True
    tuning: Suppress[str] = "defaults of the papers, not tuned"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset_args", freeze(self.dataset_args))
        object.__setattr__(self, "problem_args", freeze(self.problem_args))
        for name in ("algorithms", "probe_args"):
            pairs = tuple((entry, freeze(args)) for entry, args in getattr(self, name))
            object.__setattr__(self, name, pairs)
        checks.at_least_one("members", self.members)
        if self.members < 3:
            raise ValueError(f"Expected members={self.members} to be at least 3: intervals leave members out.")
        if self.seed < 0:
            raise ValueError(f"Expected seed={self.seed} to be at least 0.")
        for name in ("margin", "damage"):
            checks.in_range(name, getattr(self, name), 0, 1, open_low=True, open_high=True)
        checks.one_of("plan", self.plan, PLANS)
        checks.one_of("estimand", self.estimand, ESTIMANDS)
        for rate in self.discovery_rates:
            checks.in_range("discovery_rate", rate, 0, 1, open_low=True)


def resolve_algorithm(name: str) -> Algorithm:
    """An entry of `ALGORITHMS`, or an `Algorithm` or bare factory in a file; "name@label" is the same under a label."""
    name = name.partition("@")[0]
    found = plugins.resolve("algorithm", name, ALGORITHMS)
    if isinstance(found, Algorithm):
        return found
    return Algorithm(found, "ambiguous", frozenset({"forget", "retain", "validation"}), citation=f"from {name}")


def load_splits(experiment: Experiment) -> Splits:
    """An experiment's data."""
    checks.one_of("dataset", experiment.dataset, data.DATASETS)
    given = dict(experiment.dataset_args)
    try:
        return data.load(experiment.dataset, **given)
    except TypeError as error:
        raise ValueError(f"Expected dataset_args={given} to suit dataset {experiment.dataset!r}: {error}.") from error


def build_problems(
    experiment: Experiment, splits: Splits | None = None, progress: Progress | None = None
) -> list[Problem]:
    """The problems of an experiment, one a discovery rate, on the host.

    A builder that takes `scores` of the training rows and is given none gets memorization scores, estimated with the
    experiment's recipe: `members` and `fraction` in problem_args are then those of `memorization.estimate`.  `scores` may
    name an .npy file.
    """
    splits = load_splits(experiment) if splits is None else splits
    build = plugins.resolve("problem", experiment.problem, problems.PROBLEMS)
    takes = inspect.signature(build).parameters
    args = dict(experiment.problem_args) | ({"seed": experiment.seed} if "seed" in takes else {})
    if experiment.discovery_rates and "discovery_rate" not in takes:
        raise ValueError(
            f"Expected discovery_rates={experiment.discovery_rates} to be empty: problem {experiment.problem!r} has none."
        )
    rates = [{"discovery_rate": rate} for rate in experiment.discovery_rates] or [{}]

    def make(args: dict[str, Any], rate: dict[str, float]) -> Problem:
        try:
            return build(splits, **args, **rate)
        except TypeError as error:
            asked = dict(experiment.problem_args)
            raise ValueError(
                f"Expected problem_args={asked} to suit problem {experiment.problem!r}: {error}."
            ) from error

    if "scores" in takes:
        args = _with_scores(experiment, splits, lambda given: make(given, rates[0]), args, progress)
    return [make(args, rate) for rate in rates]


def _with_scores(
    experiment: Experiment,
    splits: Splits,
    make: Callable[[dict[str, Any]], Problem],
    args: dict[str, Any],
    progress: Progress | None,
) -> dict[str, Any]:
    if isinstance(args.get("scores"), str | Path):
        return args | {"scores": read_array(args["scores"])}
    if "scores" in args:
        return args
    how = {name: args.pop(name) for name in ("members", "fraction") if name in args}
    # What is wrong with the rest shows before training.  Scores in random order: equal ones would take the first rows,
    # which are whole classes in sorted data, and a threshold would find none.
    scores = np.random.default_rng(0).permutation(np.linspace(-1, 1, len(splits.train.x)))
    make(args | {"scores": scores})
    recipe = experiment.recipe
    model = models.build(recipe, splits.inputs, splits.num_classes)
    store = Store() if experiment.store else None
    found = memorization.estimate(model, recipe, splits.train, seed=experiment.seed, plan=experiment.plan, store=store,
                                  progress=progress, **how)  # fmt: skip
    return args | {"scores": found.memorization}


@dataclasses.dataclass(frozen=True, eq=False)
class _Engine:
    """What every population of a run shares; holds each trained or predicted one once."""

    experiment: Experiment
    model: Model
    capacity: int
    store: Store | None
    progress: Progress | None
    trained: dict[str, Population] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def untrained(self) -> TrainState:
        e = self.experiment
        return untrained(self.model, e.recipe, e.members, seed=e.seed, plan=e.plan)

    def population(self, world: World, role: str) -> Population:
        e = self.experiment
        key = digest(role, world_digest(world))
        if key not in self.trained:
            self.trained[key] = fit(
                self.model, e.recipe, world, e.members, seed=e.seed, role=role, plan=e.plan,
                capacity=max(self.capacity, len(world.index)), store=self.store, progress=self.progress,
            )  # fmt: skip
        return self.trained[key]

    def logits(self, population: Population, x: np.ndarray, classes: int) -> np.ndarray:
        shape = (self.experiment.members, len(x), classes)
        key = digest("predictions", population.digest, self.experiment.members, x)
        if self.store is not None:
            found = self.store.load(key, "logits", jax.ShapeDtypeStruct(shape, np.float32))
            if found is not None:
                return np.asarray(found[0])
        logits = predict(self.model, population.states, x, plan=self.experiment.plan)
        if self.store is not None:
            self.store.save(key, "logits", logits, {"population": population.digest, "members": shape[0]})
        return logits


def run(
    experiment: Experiment,
    folder: Path | str,
    *,
    command: str = "",
    progress: Progress | None = None,
    more_algorithms: Mapping[str, Algorithm] | None = None,
) -> list[Scorecard]:
    """Trains what the store lacks, applies every algorithm, scores, and writes rows with provenance to `folder`.

    Args:
        command: shown on the page.  progress: ``progress(label, done, total)``.
        more_algorithms: name -> algorithm with default hyperparameters, beside the experiment's own.

    Raises:
        ValueError: anything wrong with the spec, before training starts.
    """
    started = time.perf_counter()
    chosen = [(name.rpartition(":")[2], resolve_algorithm(name), dict(args)) for name, args in experiment.algorithms]
    chosen += [(name, algorithm, {}) for name, algorithm in (more_algorithms or {}).items()]
    oracles = {plugins.oracle_name(name): plugins.resolve_oracle(name) for name in experiment.oracles}
    metrics = select(experiment.metrics)
    probes = tuple((name, dict(experiment.probe_args).get(name, ())) for name in experiment.probes)
    for name in experiment.probes:
        checks.one_of("probe", name, PROBES)
    for name, _ in experiment.probe_args:
        checks.one_of("probe_args", name, experiment.probes)
    splits = load_splits(experiment)
    model = models.build(experiment.recipe, splits.inputs, splits.num_classes)
    for name, algorithm, args in chosen:
        _try_factory(name, algorithm, model, bind(name, algorithm, args, experiment.recipe))
    for name, args in probes:
        _try_factory(name, PROBES[name], model, dict(args))
    all_problems = build_problems(experiment, splits, progress)
    for name, algorithm, _ in chosen:
        for problem in all_problems:
            check_needs(name, algorithm, problem)
    for problem in all_problems:
        for oracle in oracles.values():
            if oracle.applies(problem):
                check_world(oracle.world(problem), experiment.recipe)
    store = Store() if experiment.store else None
    engine = _Engine(experiment, model, len(splits.train.x), store, progress)
    cards, plans = [], {}
    records: list[Any] = describe(metrics) + describe_probes(experiment.probes)
    for problem in all_problems:
        card, population = _score_problem(engine, problem, oracles, chosen, metrics, probes, progress)
        plans[problem.name] = population.plan
        cards.append(card)
        records += [_problem_row(problem, experiment, card), *card.rows, *card.verdicts]
    provenance = environment() | {
        "experiment": experiment.name, "command": command, "members": experiment.members, "seed": experiment.seed,
        "margin": experiment.margin, "damage": experiment.damage, "tuning": experiment.tuning, "plan": plans,
        "recipe": experiment.recipe.to_json(),
        "budget after removal": experiment.recipe.budget, "recipe_digest": digest(experiment.recipe.to_json()),
        "problem_digests": {problem.name: problem.digest for problem in all_problems},
        "oracle sources": {name: plugins.source_digest(str(name)) or "built in" for name in experiment.oracles},
        "estimand": ESTIMANDS[experiment.estimand], "wall_seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    results.write(folder, records, provenance)
    return cards


def _try_factory(name: str, algorithm: Algorithm | Probe, model: Model, args: dict[str, Any]) -> None:
    try:
        made = algorithm.make(model, **args)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected hyperparameters {args} to suit {name!r}: {error}") from error
    if not callable(made):
        raise ValueError(f"Expected the factory of algorithm {name!r} to return a function, got {type(made).__name__}.")


def _problem_row(problem: Problem, experiment: Experiment, card: Scorecard) -> ProblemRow:
    train, concept = len(problem.train.x), len(problem.concept)
    return ProblemRow(problem.name, problem.discovery_rate, experiment.seed, problem.digest, len(problem.forget), concept,
                      train - concept, len(problem.test.x), card.scale, card.nothing_to_untrain)  # fmt: skip


def _score_problem(
    engine: _Engine,
    problem: Problem,
    oracles: Mapping[str, Oracle],
    chosen: list[tuple[str, Algorithm, dict[str, Any]]],
    metrics: Mapping[str, Metric],
    probes: tuple[tuple[str, Args], ...],
    progress: Progress | None,
) -> tuple[Scorecard, Population]:
    experiment, model = engine.experiment, engine.model
    layout, x = problem_layout(problem)
    everything = World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))
    trained = engine.population(everything, "original")
    states = trained.states
    original_logits = engine.logits(trained, x, problem.num_classes)
    paired = experiment.estimand == "originals"
    if not paired:
        states, original_logits = jax.tree.map(
            lambda a: np.repeat(np.asarray(a)[:1], experiment.members, axis=0), (states, original_logits)
        )
    fresh = predict(model, engine.untrained, x, plan=experiment.plan)
    observer = Observer(model, problem, layout, x, fresh, metrics, probes, experiment.plan, experiment.seed)
    worlds = {name: oracle.world(problem) for name, oracle in oracles.items() if oracle.applies(problem)}
    oracle_logits: dict[str, OracleLogits] = {}
    seen_oracles: dict[str, tuple[Seen, Seen]] = {}
    teachers: dict[str, TrainState] = {}
    for name, world in worlds.items():
        both = [engine.population(world, f"{name} {part}") for part in ("reference", "held-out")]
        reference, control = (
            observer.see(each.states, engine.logits(each, x, problem.num_classes)) for each in both
        )  # fmt: skip
        seen_oracles[name] = reference, control
        teachers[name] = both[1].states  # candidates are compared with the reference members only
        oracle_logits[name] = OracleLogits(reference.logits, control.logits, oracles[name].goal)
    candidates = {"do_nothing": CandidateLogits(original_logits, "original", "control", paired)}
    seen = {"do_nothing": observer.see(states, original_logits)}
    costs: list[Row] = []
    for name, teacher in teachers.items() if experiment.oracle_matching else ():
        done = match_oracle(model, states, teacher, problem, oracle=name, seed=experiment.seed, plan=experiment.plan)
        logits = predict(model, done.states, x, plan=experiment.plan)
        candidates[f"matched {name}"] = CandidateLogits(logits, "control", "control", paired)
        seen[f"matched {name}"] = observer.see(done.states, logits)
    for number, (name, algorithm, args) in enumerate(chosen):
        done = unlearn(algorithm, model, states, problem, args, name=name, seed=experiment.seed, plan=experiment.plan,
                       recipe=experiment.recipe)  # fmt: skip
        logits = predict(model, done.states, x, plan=experiment.plan)
        shown = ", ".join(f"{key}={value}" for key, value in args.items())
        candidates[name] = CandidateLogits(logits, "algorithm", algorithm.goal, paired, shown)
        seen[name] = observer.see(done.states, logits)
        costs += _cost_rows(engine, problem, name, algorithm, done, trained)
        if progress:
            progress("algorithms", number + 1, len(chosen))
    card = score(
        problem.name, layout, oracle_logits, candidates,
        coincide=_coincide(worlds, oracles), margin=experiment.margin,
        damage=experiment.damage, seed=experiment.seed,
    )  # fmt: skip
    card.rows.extend(costs)
    if metrics or probes:
        extra = neighbour_slices(layout, original_logits, observer.near(trained.states))
        pairs = {name: (candidates[name], seen[name]) for name in seen}
        scratch = observer.see(engine.untrained, fresh)
        card.rows.extend(
            measure(problem.name, layout, metrics, seen_oracles, pairs, fresh=scratch, extra=extra, progress=progress)
        )
    return card, trained


def _coincide(worlds: Mapping[str, World], oracles: Mapping[str, Oracle]) -> bool:
    """Whether the untraining and the unlearning oracle describe one world."""
    goals = {oracles[name].goal: world for name, world in worlds.items()}
    pair = [world_digest(goals[goal]) for goal in ("untraining", "unlearning") if goal in goals]
    return len(pair) == 2 and pair[0] == pair[1]


def _cost_rows(
    engine: _Engine, problem: Problem, name: str, algorithm: Algorithm, done: Unlearned, originals: Population
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


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Progress]:
    """A bar for each population and algorithm run with the time left, shown on `console` while the context lasts."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def update(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)
            if done >= total:
                bars.remove_task(tasks.pop(label))

        yield update
