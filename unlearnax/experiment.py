"""One experiment: a frozen spec, and the run that turns it into populations, scores and rows."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tyro.conf import Suppress

from unlearnax import bystanders, checks, data, hosts, memorization, models, plugins, predictions, problems, results
from unlearnax.algorithms import ALGORITHMS
from unlearnax.digests import digest
from unlearnax.evaluation import problem_layout
from unlearnax.external import read_array
from unlearnax.ground import (
    NOTHING,
    Candidate,
    Ground,
    Others,
    apply_algorithm,
    bystander_rows,
    match_oracles,
    score_candidates,
    tell_examples,
)
from unlearnax.measuring import Observer, Seen, describe_probes
from unlearnax.members import check_plan
from unlearnax.populations import Population, Progress, check_world, fit, identity, predict, untrained, world_digest
from unlearnax.probes import PROBES, Probe
from unlearnax.provenance import environment
from unlearnax.recipes import Args, Recipe, freeze
from unlearnax.results import ProblemRow
from unlearnax.scoring import CandidateLogits, OracleLogits, Scorecard
from unlearnax.store import Store
from unlearnax.suite import describe, select
from unlearnax.types import Algorithm, Metric, Model, Oracle, Problem, Splits, TrainState, World
from unlearnax.unlearning import bind, check_needs

ESTIMANDS = {"originals": "M originals × 1 run each", "runs": "1 original × M runs"}
ORIGINAL = "original"  # the originals' role
PARTS = ("reference", "held-out")  # of every oracle


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
    examples: so many examples of each slice, and as many of those in which algorithms differ most from oracles, are told
        one by one, with their pictures; 0: none.
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
    examples: int = 16
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
        if self.examples < 0:
            raise ValueError(f"Expected examples={self.examples} to be at least 0.")
        for name in ("margin", "damage"):
            checks.in_range(name, getattr(self, name), 0, 1, open_low=True, open_high=True)
        check_plan(self.plan)
        checks.one_of("estimand", self.estimand, ESTIMANDS)
        for rate in self.discovery_rates:
            checks.in_range("discovery_rate", rate, 0, 1, open_low=True)


def on_seeds(*experiments: Experiment) -> tuple[Experiment, ...]:
    """The experiments on seeds 0, 1 and 2, which draw forget sets and members anew: a claim is judged on each of them."""
    return tuple(dataclasses.replace(each, seed=seed) for seed in (0, 1, 2) for each in experiments)


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


def needs_scores(experiment: Experiment) -> bool:
    """Whether its problems rest on memorization scores that have to be estimated."""
    build = plugins.resolve("problem", experiment.problem, problems.PROBLEMS)
    return "scores" in inspect.signature(build).parameters and "scores" not in dict(experiment.problem_args)


def build_problems(
    experiment: Experiment, splits: Splits | None = None, progress: Progress | None = None, *, dry: bool = False
) -> list[Problem]:
    """The problems of an experiment, one a discovery rate, on the host.

    A builder that takes `scores` of the training rows and is given none gets memorization scores, estimated with the
    experiment's recipe: `members` and `fraction` in problem_args are then those of `memorization.estimate`.  `scores` may
    name an .npy file.

    Args:
        dry: with random scores in the place of estimated ones, which shows what is wrong with a spec without training.
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
        args = _with_scores(experiment, splits, lambda given: make(given, rates[0]), args, progress, dry)
    return [make(args, rate) for rate in rates]


def _with_scores(
    experiment: Experiment,
    splits: Splits,
    make: Callable[[dict[str, Any]], Problem],
    args: dict[str, Any],
    progress: Progress | None,
    dry: bool,
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
    if dry:
        return args | {"scores": scores}
    recipe = experiment.recipe
    model = models.build(recipe, splits.inputs, splits.num_classes)
    store = Store() if experiment.store else None
    found = memorization.estimate(model, recipe, splits.train, seed=experiment.seed, plan=experiment.plan, store=store,
                                  progress=progress, **how)  # fmt: skip
    return args | {"scores": found.memorization}


@dataclasses.dataclass(frozen=True, eq=False)
class Content:
    """What a spec's names stand for, found and checked; nothing is trained yet.

    chosen: (name for rows, algorithm, hyperparameters).  oracles, metrics: by name.  probes: (name, hyperparameters).
    """

    experiment: Experiment
    splits: Splits
    model: Model
    chosen: list[tuple[str, Algorithm, dict[str, Any]]]
    oracles: dict[str, Oracle]
    metrics: dict[str, Metric]
    probes: tuple[tuple[str, Args], ...]


def resolve(
    experiment: Experiment, more_algorithms: Mapping[str, Algorithm] | None = None, splits: Splits | None = None
) -> Content:
    """Looks every name of a spec up and tries every factory.

    Args:
        more_algorithms: see `run`.  splits: the experiment's data, where they are loaded already.

    Raises:
        ValueError: an unknown name, hyperparameters that do not suit.
    """
    chosen = [(name.rpartition(":")[2], resolve_algorithm(name), dict(args)) for name, args in experiment.algorithms]
    chosen += [(name, algorithm, {}) for name, algorithm in (more_algorithms or {}).items()]
    oracles = {plugins.oracle_name(name): plugins.resolve_oracle(name) for name in experiment.oracles}
    metrics = select(experiment.metrics)
    probes = tuple((name, dict(experiment.probe_args).get(name, ())) for name in experiment.probes)
    for name in experiment.probes:
        checks.one_of("probe", name, PROBES)
    for name, _ in experiment.probe_args:
        checks.one_of("probe_args", name, experiment.probes)
    splits = load_splits(experiment) if splits is None else splits
    model = models.build(experiment.recipe, splits.inputs, splits.num_classes)
    for name, algorithm, args in chosen:
        _try_factory(name, algorithm, model, bind(name, algorithm, args, experiment.recipe))
    for name, args in probes:
        _try_factory(name, PROBES[name], model, dict(args))
    return Content(experiment, splits, model, chosen, oracles, metrics, probes)


def check_problems(content: Content, all_problems: Iterable[Problem]) -> None:
    """Raises ValueError where a problem does not suit an algorithm or the estimand, or a world cannot be trained on."""
    for problem in all_problems:
        for name, algorithm, _ in content.chosen:
            check_needs(name, algorithm, problem)
        if problem.bystanders is not None and content.experiment.estimand != "originals":
            raise ValueError(
                f"Expected estimand={content.experiment.estimand!r} to be 'originals' for a problem with bystanders: an "
                "attack on them compares models trained on them with others."
            )
        for world in populations_of(problem, content.oracles).values():
            check_world(world, content.experiment.recipe)


def populations_of(problem: Problem, oracles: Mapping[str, Oracle]) -> dict[str, World]:
    """The populations that a problem's candidates start from and are compared with: role -> the world they train in."""
    found = {ORIGINAL: World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))}
    for name, oracle in (dict(oracles) | {bystanders.NAME: bystanders.ORACLE}).items():
        if oracle.applies(problem):
            world = oracle.world(problem)
            found |= {f"{name} {part}": world for part in PARTS}
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Engine:
    """What every population of an experiment shares; holds each trained one once."""

    content: Content
    store: Store | None
    progress: Progress | None = None
    trained: dict[str, Population] = dataclasses.field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        return self.content.experiment

    @property
    def model(self) -> Model:
        return self.content.model

    @functools.cached_property
    def untrained(self) -> TrainState:
        e = self.experiment
        return untrained(self.model, e.recipe, e.members, seed=e.seed, plan=e.plan)

    def population(self, world: World, role: str) -> Population:
        """Trains a population, or takes what the store has of it."""
        e = self.experiment
        key = digest(role, world_digest(world))
        if key not in self.trained:
            capacity = max(len(self.content.splits.train.x), len(world.index))
            self.trained[key] = fit(
                self.model, e.recipe, world, e.members, seed=e.seed, role=role, plan=e.plan, capacity=capacity,
                store=self.store, progress=self.progress,
            )  # fmt: skip
        return self.trained[key]

    def _predictions(self, population: str, x: np.ndarray, classes: int) -> tuple[str, str, jax.ShapeDtypeStruct]:
        """Where the store has a population's predictions, and their shape."""
        shape = (self.experiment.members, len(x), classes)
        key = digest("predictions", population, self.experiment.members, x)
        return key, "logits", jax.ShapeDtypeStruct(shape, np.float32)

    def logits(self, population: Population, x: np.ndarray, classes: int, role: str) -> np.ndarray:
        """Predictions `[M, U, C]` of a population, from the store where they are there."""
        where = self._predictions(population.digest, x, classes)
        found = predictions.held(self.store, *where, population)
        if not hosts.agree(str(found is None)) or found is None:  # another host's store may lack them
            found = predict(self.model, population.states, x, plan=self.experiment.plan)
            about = {"role": role, "seed": self.experiment.seed}
            predictions.keep(self.store, *where[:2], found, population, about)
        return found

    def outputs(self, world: World, role: str, x: np.ndarray, classes: int) -> np.ndarray:
        """Predictions `[M, U, C]` for those who need no weights: if the store has them, nothing is trained for them."""
        e = self.experiment
        population = identity(self.model, e.recipe, world, seed=e.seed, role=role)
        found = predictions.held(self.store, *self._predictions(population, x, classes))
        if not hosts.agree(str(found is None)):
            found = None
        return self.logits(self.population(world, role), x, classes, role) if found is None else found


def run(
    experiment: Experiment,
    folder: Path | str,
    *,
    command: str = "",
    origin: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    more_algorithms: Mapping[str, Algorithm] | None = None,
) -> list[Scorecard]:
    """Trains what the store lacks, applies every algorithm, scores, and writes rows with provenance to `folder`.

    Args:
        command: shown on the page.  origin: the "file" and "size" that the spec stands in, where `claims` looks for claims.
        progress: ``progress(label, done, total)``.
        more_algorithms: name -> algorithm with default hyperparameters, beside the experiment's own.

    Raises:
        ValueError: anything wrong with the spec, before training starts.
    """
    started = time.perf_counter()
    content = resolve(experiment, more_algorithms)
    all_problems = build_problems(experiment, content.splits, progress)
    check_problems(content, all_problems)
    engine = Engine(content, Store() if experiment.store else None, progress)
    cards, plans = [], {}
    followed = bystanders.METRIC if any(problem.bystanders is not None for problem in all_problems) else {}
    records: list[Any] = describe(followed | content.metrics) + describe_probes(experiment.probes)
    for problem in all_problems:
        ground = lay_ground(engine, problem)
        candidates = match_oracles(engine, ground)
        for number, (name, algorithm, args) in enumerate(content.chosen):
            candidates[name] = apply_algorithm(engine, ground, name, algorithm, args)
            if progress:
                progress("algorithms", number + 1, len(content.chosen))
        card = score_candidates(engine, ground, candidates)
        plans[problem.name] = ground.originals.plan
        cards.append(card)
        records += [problem_row(problem, experiment, card), *card.rows, *card.verdicts]
        records += tell_examples(ground, candidates, experiment.examples)
    facts = describe_spec(experiment) | {
        "command": command, "origin": dict(origin or {}), "plan": plans,
        "problem_digests": {problem.name: problem.digest for problem in all_problems},
        "wall_seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    if hosts.leads():
        results.write(folder, records, environment() | facts)
    return cards


def describe_spec(experiment: Experiment) -> dict[str, Any]:
    """Facts of a run that stand in its spec, as provenance."""
    return {
        "experiment": experiment.name, "members": experiment.members, "seed": experiment.seed,
        "margin": experiment.margin, "damage": experiment.damage, "tuning": experiment.tuning,
        "recipe": experiment.recipe.to_json(),
        "budget after removal": experiment.recipe.budget, "recipe_digest": digest(experiment.recipe.to_json()),
        "oracle sources": {name: plugins.source_digest(str(name)) or "built in" for name in experiment.oracles},
        "estimand": ESTIMANDS[experiment.estimand],
    }  # fmt: skip


def _try_factory(name: str, algorithm: Algorithm | Probe, model: Model, args: dict[str, Any]) -> None:
    try:
        made = algorithm.make(model, **args)
    except (TypeError, ValueError) as error:
        takes = [each for each in inspect.signature(algorithm.make).parameters if each != "model"]
        unknown = f" (it takes {', '.join(takes)})" if set(args) - {*takes} else ""
        raise ValueError(f"Expected hyperparameters {args} to suit {name!r}: {error}{unknown}") from error
    if not callable(made):
        raise ValueError(f"Expected the factory of algorithm {name!r} to return a function, got {type(made).__name__}.")


def problem_row(problem: Problem, experiment: Experiment, card: Scorecard) -> ProblemRow:
    """What a run says about a problem."""
    train, concept = len(problem.train.x), len(problem.concept)
    return ProblemRow(problem.name, problem.discovery_rate, experiment.seed, problem.digest, len(problem.forget), concept,
                      train - concept, len(problem.test.x), card.scale, card.nothing_to_untrain)  # fmt: skip


def lay_ground(engine: Engine, problem: Problem) -> Ground:
    """Trains or loads a problem's originals and oracles, and looks at them."""
    experiment, model, content = engine.experiment, engine.model, engine.content
    layout, x = problem_layout(problem)
    worlds = populations_of(problem, content.oracles)
    originals = engine.population(worlds[ORIGINAL], ORIGINAL)
    states, logits = originals.states, engine.logits(originals, x, problem.num_classes, ORIGINAL)
    paired = experiment.estimand == "originals"
    if not paired:
        states, logits = jax.tree.map(
            lambda a: np.repeat(np.asarray(a)[:1], experiment.members, axis=0), (states, logits)
        )
    fresh = predict(model, engine.untrained, x, plan=experiment.plan)
    observer = Observer(model, problem, layout, x, fresh, content.metrics, content.probes, experiment.plan,
                        experiment.seed)  # fmt: skip
    oracle_logits: dict[str, OracleLogits] = {}
    seen: dict[str, tuple[Seen, Seen]] = {}
    teachers: dict[str, TrainState] = {}
    for name, oracle in content.oracles.items():
        roles = [f"{name} {part}" for part in PARTS]
        if roles[0] not in worlds:
            continue

        def look(role: str) -> Seen:
            if not observer.reads_weights:
                return observer.see(None, engine.outputs(worlds[role], role, x, problem.num_classes))
            trained = engine.population(worlds[role], role)
            return observer.see(trained.states, engine.logits(trained, x, problem.num_classes, role))

        reference, control = map(look, roles)
        seen[name] = reference, control
        if experiment.oracle_matching:  # candidates are compared with the reference members only
            teachers[name] = engine.population(worlds[roles[1]], roles[1]).states
        oracle_logits[name] = OracleLogits(reference.logits, control.logits, oracle.goal)
    nothing, others, costs = CandidateLogits(logits, "original", "control", paired), None, []
    if problem.bystanders is not None:
        roles = [f"{bystanders.NAME} {part}" for part in PARTS]
        reference, control = (engine.population(worlds[role], role).states for role in roles)
        others = Others(bystanders.without(problem), (reference, control))
        costs = bystander_rows(engine, problem, NOTHING, nothing, states, others.states)
    coincide = _coincide({name: worlds[f"{name} {PARTS[0]}"] for name in seen}, content.oracles)
    return Ground(problem, layout, x, observer, originals, states, paired, oracle_logits, seen, teachers,
                  Candidate(nothing, observer.see(states, logits), costs), observer.see(engine.untrained, fresh),
                  coincide, others)  # fmt: skip


def _coincide(worlds: Mapping[str, World], oracles: Mapping[str, Oracle]) -> bool:
    """Whether the untraining and the unlearning oracle describe one world."""
    goals = {oracles[name].goal: world for name, world in worlds.items()}
    pair = [world_digest(goals[goal]) for goal in ("untraining", "unlearning") if goal in goals]
    return len(pair) == 2 and pair[0] == pair[1]
