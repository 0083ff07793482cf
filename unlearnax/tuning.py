"""Hyperparameters by random search: fair, on seeds of its own, a whole search in one program.

Chosen on a tuning forget set and tuning members that no reported run may use; reported on others.  The examples that
settings are scored on are the problem's slices, test examples among them, as in a report: members are the unit of every
interval, and it is they and S that differ.  An algorithm never sees any of this but through its hyperparameters.

Every algorithm gets the same number of trials, at its own declared ranges, and passes whatever examples its settings pass:
the cost is reported.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearnax import checks, models, plugins
from unlearnax.evaluation import POOLED, Layout, problem_layout
from unlearnax.experiment import Experiment, build_problems, resolve_algorithm
from unlearnax.jackknife import signed_root
from unlearnax.metrics.energy import FORMS, energy_from_distances, pairwise, represent
from unlearnax.populations import fit, predict
from unlearnax.recipes import Args, freeze
from unlearnax.types import Array, World
from unlearnax.unlearning import unlearn_grid

GOALS = {"untraining": "retrain", "unlearning": "concept_free"}


@dataclasses.dataclass(frozen=True)
class Tuned:
    """One algorithm tuned towards one goal.

    hyperparameters: the best point.  objective: the worst of its root distances to the goal's oracle, over both forms and
        over the pooled concept, retained and other-test slices; do_nothing: the same of the originals.
    trials: points tried.  examples: passed forward and backward by one member in all trials.  seconds: wall time of the
        whole search, compilation included.
    """

    algorithm: str
    goal: str
    hyperparameters: dict[str, Any]
    objective: float
    do_nothing: float
    trials: int
    examples: float
    seconds: float


def save(path: Path | str, found: Sequence[Tuned], *, about: Mapping[str, Any]) -> None:
    """Writes the search's result as JSON for experiments to read; what the file holds of other algorithms or goals stays.

    about: how the search was made (seed, members, trials, rate, command), the same for all that `found` holds.
    """
    new = {f"{each.algorithm}@{each.goal}": dataclasses.asdict(each) | {"about": dict(about)} for each in found}
    old = json.loads(Path(path).read_text()) if Path(path).exists() else {}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(dict(sorted((old | new).items())), indent=1) + "\n")


def chosen(path: Path | str) -> tuple[tuple[str, Args], ...]:
    """An experiment's `algorithms` from a file of `save`: ("name@goal", hyperparameters), in alphabetical order."""
    found = json.loads(Path(path).read_text())
    return tuple((name, freeze(each["hyperparameters"])) for name, each in found.items())


def draw(rng: np.random.Generator, ranges: Mapping[str, tuple]) -> dict[str, float]:
    """One point: (low, high) is log-uniform, ("uniform", low, high) uniform; three significant digits."""
    point = {}
    for name, spec in ranges.items():
        low, high = spec[-2:]
        value = rng.uniform(low, high) if spec[0] == "uniform" else low * (high / low) ** rng.random()
        point[name] = float(f"{value:.3g}")
    return point


@dataclasses.dataclass(frozen=True, eq=False)
class _Target:
    """An oracle to be near to: its points by form, and the unit of each (form, slice)."""

    layout: Layout
    points: Mapping[str, Array]
    unit: Mapping[tuple[str, str], float]

    def objective(self, logits: Array) -> float:
        """Worst root distance over forms and slices; ∞ for outputs that are not finite."""
        if not np.isfinite(logits).all():
            return float("inf")
        found = _points(logits, self.layout)
        worst = -np.inf
        for form in FORMS:
            for part, energy in _energies(found[form], self.points[form], self.layout).items():
                if (form, part) in self.unit:
                    worst = max(worst, signed_root(energy / self.unit[form, part]))
        return float(worst)


def _points(logits: Array, layout: Layout) -> dict[str, np.ndarray]:
    return {form: np.asarray(represent(np.asarray(logits)[:, layout.rows], layout.labels, form)) for form in FORMS}


def _energies(p: Array, q: Array, layout: Layout) -> dict[str, float]:
    each = [np.asarray(pairwise(a, b, layout.weights)) for a, b in ((p, p), (p, q), (q, q))]
    return dict(zip(layout.slices, energy_from_distances(*each), strict=True))


def _targets(layout: Layout, oracles: Mapping[str, Array]) -> dict[str, _Target]:
    """The unit of the concept is the oracles' distance, of a damage slice an uninformed model's."""
    points = {goal: _points(logits, layout) for goal, logits in oracles.items()}
    classes = next(iter(oracles.values())).shape[-1]
    columns = int(layout.rows.max()) + 1
    flat = _points(np.zeros((2, columns, classes), np.float32), layout)
    targets = {}
    for goal in points:
        unit = {}
        for form in FORMS:
            away = _energies(flat[form], points[goal][form], layout)
            unit |= {(form, part): away[part] for part in layout.damage}
            apart = _energies(points["untraining"][form], points["unlearning"][form], layout)[POOLED]
            unit[form, POOLED] = apart if apart > 0 else away[POOLED]
        targets[goal] = _Target(layout, points[goal], unit)
    return targets


def tune(
    experiment: Experiment,
    *,
    goals: Mapping[str, tuple[str, ...]] | None = None,
    seed: int = 1000,
    members: int = 16,
    trials: int = 32,
    rate: float | None = 0.5,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Tuned]:
    """Searches the declared ranges of an experiment's algorithms.

    Args:
        experiment: its own hyperparameters stand for those without a range.
        goals: algorithm's name -> goals to tune towards; default its declared one, both for an ambiguous one.
        seed: of tuning members and forget set; it must not be the experiment's.
        members: tuning members a population.  trials: points for each algorithm and goal; the same points for both goals.
        rate: discovery rate of the tuning problem, None for problems without one.

    Raises:
        ValueError: the experiment's own seed, an unknown goal, an algorithm without ranges, and what the experiment raises.
    """
    checks.at_least_one("trials", trials)
    if seed == experiment.seed:
        raise ValueError(
            f"Expected seed={seed} to be another than the experiment's: what is tuned on is not reported on."
        )
    rates = () if rate is None else (rate,)
    (problem,) = build_problems(dataclasses.replace(experiment, seed=seed, discovery_rates=rates))
    algorithms = {name.partition("@")[0]: dict(args) for name, args in experiment.algorithms}
    wanted = {name: _goals_of(name, goals) for name in algorithms}
    for name in algorithms:
        if not resolve_algorithm(name).ranges:
            raise ValueError(f"Expected algorithm {name!r} to declare ranges for its hyperparameters.")
    model = models.build(experiment.recipe, problem.inputs, problem.num_classes)
    layout, x = problem_layout(problem)

    def population(world: World, role: str) -> Any:
        return fit(model, experiment.recipe, world, members, seed=seed, role=role, plan=experiment.plan,
                   capacity=len(problem.train.x)).states  # fmt: skip

    everything = World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))
    originals = population(everything, "tuning original")
    oracles = {
        goal: predict(model, population(plugins.resolve_oracle(name).world(problem), f"tuning {goal}"), x)
        for goal, name in GOALS.items()
    }
    targets = _targets(layout, oracles)
    nothing = {goal: target.objective(predict(model, originals, x)) for goal, target in targets.items()}
    found: list[Tuned] = []
    for number, (name, given) in enumerate(algorithms.items()):
        algorithm, start = resolve_algorithm(name), time.perf_counter()
        rng = np.random.default_rng(seed)
        fixed = {key: value for key, value in given.items() if key not in algorithm.ranges}
        points = [fixed | draw(rng, algorithm.ranges) for _ in range(trials)]
        grid = unlearn_grid(algorithm, model, originals, problem, points, name=name, seed=seed, plan=experiment.plan,
                            recipe=experiment.recipe)  # fmt: skip
        scores = []
        for done in grid:
            logits = predict(model, done.states, x)
            scores.append({goal: targets[goal].objective(logits) for goal in wanted[name]})
        examples = float(sum(done.examples.mean() for done in grid))
        for goal in wanted[name]:
            best = min(range(trials), key=lambda i, g=goal: scores[i][g])
            found.append(Tuned(name, goal, points[best], scores[best][goal], nothing[goal], trials, examples,
                               time.perf_counter() - start))  # fmt: skip
        if progress:
            progress("tuning", number + 1, len(algorithms))
    return found


def _goals_of(name: str, goals: Mapping[str, tuple[str, ...]] | None) -> tuple[str, ...]:
    chosen = (goals or {}).get(name)
    if chosen is None:
        declared = resolve_algorithm(name).goal
        chosen = (declared,) if declared in GOALS else tuple(GOALS)
    for goal in chosen:
        checks.one_of("goal", goal, GOALS)
    return tuple(chosen)
