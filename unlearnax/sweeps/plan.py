"""From a sweep to tasks with stable ids: everything that can be wrong with a spec shows here, before work starts."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections.abc import Iterable
from typing import Any

import jax

from unlearnax import plugins
from unlearnax.digests import digest
from unlearnax.experiment import (
    Content,
    Experiment,
    build_problems,
    check_problems,
    load_splits,
    needs_scores,
    populations_of,
    resolve,
)
from unlearnax.populations import NUMERICS, TRAINING_VERSION, world_digest
from unlearnax.recipes import Args
from unlearnax.sweeps.spec import Setting, Spot, Sweep, once, row_name, settings, spots
from unlearnax.types import Problem, Splits

CELL_VERSION = 1  # part of every cell's id: raise it when a change to cells moves their numbers
FIRST = ("scores", "population")  # kinds of tasks that others wait for
RESULTS = ("cell", "controls")  # kinds of tasks that give rows


@dataclasses.dataclass(frozen=True)
class Task:
    """One piece of work for a worker.

    kind: "scores" (memorization scores that a problem rests on), "population" (one role of a ground), "cell" (a setting,
        applied and scored) or "controls" (doing nothing and the oracles' held-out members, scored).
    experiment: of one problem, recipe and seed, without algorithms.  ground: id of what all its tasks share.
    label: for readers; a cell's is its candidate in rows.
    role: of a population.  setting: of a cell.  among: candidates that p-values have to be fine enough for.
    needs: ids of tasks that come first where there are several workers.
    """

    id: str
    kind: str
    experiment: Experiment
    ground: str
    label: str
    role: str = ""
    setting: Setting | None = None
    among: int = 0
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Block:
    """A ground as planned.

    problem: its problem's name in rows, unlike any other block's.  experiment: of its tasks.
    tasks: ids of its results, the cells' in the order of the spec, then the controls'.
    """

    ground: str
    problem: str
    experiment: Experiment
    tasks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """tasks: by id, in the order they are best done in.  contents: one for each recipe and data."""

    sweep: Sweep
    blocks: tuple[Block, ...]
    tasks: dict[str, Task]
    contents: tuple[Content, ...]

    def results(self, *kinds: str) -> list[Task]:
        """The tasks that give rows, or those of some kinds."""
        return [task for task in self.tasks.values() if task.kind in (kinds or RESULTS)]


def make_plan(sweep: Sweep) -> Plan:
    """Expands and checks a sweep on the host; nothing is trained.

    Raises:
        ValueError: anything wrong with the spec, see `experiment.run`; two problems that are one and the same.
    """
    contents: dict[Any, Content] = {}
    tasks: dict[str, Task] = {}
    found: list[tuple[Spot, str, str, list[str]]] = []
    chosen = settings(sweep)

    @functools.cache
    def splits_of(dataset: str, args: Args) -> tuple[Splits, str]:
        loaded = load_splits(dataclasses.replace(sweep.base, dataset=dataset, dataset_args=args))
        return loaded, digest(loaded.train, loaded.validation, loaded.test)

    for spot in spots(sweep):
        spec = spot.experiment
        splits, data = splits_of(spec.dataset, spec.dataset_args)
        key = spec.recipe, spec.dataset, spec.dataset_args
        if key not in contents:
            named = tuple((setting.name, setting.args) for setting in chosen)
            contents[key] = resolve(dataclasses.replace(spec, algorithms=named), splits=splits)
        (problem,) = build_problems(spec, splits, dry=True)
        check_problems(contents[key], [problem])
        ground, more = _plan_ground(spot, chosen, contents[key], problem, data)
        for task in more:
            tasks.setdefault(task.id, task)  # grounds share populations
        found.append((spot, problem.name, ground, [task.id for task in more if task.kind in RESULTS]))
    names = _names([each[:3] for each in found])
    blocks = [
        Block(ground, name, spot.experiment, tuple(results))
        for (spot, _, ground, results), name in zip(found, names, strict=True)
    ]
    once("problems (with their discovery rates)", [block.ground for block in blocks])
    return Plan(sweep, tuple(blocks), tasks, tuple(contents.values()))


def _names(found: Iterable[tuple[Spot, str, str]]) -> list[str]:
    """What each ground's problem is called in rows: by as many words as tell it from the others."""
    found = list(found)
    words = [
        lambda spot, name, ground: name,
        lambda spot, name, ground: " ".join(filter(None, (name, spot.recipe))),
        lambda spot, name, ground: f"{' '.join(filter(None, (name, spot.recipe)))} seed {spot.experiment.seed}",
        lambda spot, name, ground: f"{name} {ground[:8]}",
    ]
    for word in words:
        names = [word(*each) for each in found]
        if len(set(names)) == len(names):
            break
    return names


def _plan_ground(
    spot: Spot, chosen: list[Setting], content: Content, problem: Problem, data: str
) -> tuple[str, list[Task]]:
    """A ground's id and tasks, in the order they are best done in."""
    spec = spot.experiment
    estimated = needs_scores(spec)
    recipe = [spec.recipe.to_json(), plugins.source_digest(spec.recipe.model), plugins.source_digest(spec.recipe.rule)]
    controls = len(content.oracles) * (2 if spec.oracle_matching else 1) + 1
    # The more candidates, the finer the p-values.  In steps, so that a sweep can grow without starting again.
    among = 1 << (len(chosen) + controls - 1).bit_length()
    about = {
        "problem": [_described(spec, data), spec.discovery_rates] if estimated else problem.digest,
        "recipe": recipe, "content": _contents(content), "seed": spec.seed, "members": spec.members,
        "estimand": spec.estimand, "limits": [spec.margin, spec.damage], "plan": spec.plan, "among": among,
        "matching": spec.oracle_matching, "numerics": [str(getattr(jax.config, option)) for option in NUMERICS],
        "versions": [importlib.metadata.version("unlearnax"), TRAINING_VERSION, CELL_VERSION],
    }  # fmt: skip
    ground = digest("ground", about)
    where = " ".join(word for word in (problem.name, spot.recipe, f"seed {spec.seed}") if word)
    scores: list[Task] = []
    if estimated:
        name = digest("scores", _described(spec, data), recipe, spec.seed)
        scores.append(Task(name, "scores", spec, ground, f"scores {where}"))
    roles = populations_of(problem, content.oracles)
    digests = {id(world): world_digest(world) for world in roles.values()}  # both parts of an oracle have one world
    populations = []
    for role, world in roles.items():
        trained = ground if estimated else digests[id(world)]  # worlds are known when the scores are
        name = digest("population", recipe, trained, role, spec.seed, spec.members)
        first = tuple(task.id for task in scores)
        populations.append(Task(name, "population", spec, ground, f"{role} {where}", role, needs=first))
    needs = tuple(task.id for task in populations)
    cells = [
        Task(digest("cell", about, _described_setting(setting)), "cell", spec, ground, setting.label, setting=setting,
             among=among, needs=needs)
        for setting in chosen
    ]  # fmt: skip
    last = Task(digest("controls", about), "controls", spec, ground, "controls", among=among, needs=needs)
    return ground, [*scores, *populations, *cells, last]


def _described(spec: Experiment, data: str) -> list[Any]:
    """A problem whose rows are not known before training, by what they follow from."""
    source = plugins.source_digest(spec.problem)
    return [data, spec.dataset, row_name(spec.problem), source, spec.problem_args]


def _described_setting(setting: Setting) -> list[Any]:
    source = plugins.source_digest(setting.name.partition("@")[0])
    return [setting.key, source, [list(pair) for pair in setting.args]]


def _contents(content: Content) -> dict[str, Any]:
    spec = content.experiment
    sources = [[row_name(name), plugins.source_digest(name)] for name in (*spec.oracles, *spec.metrics)]
    return {"oracles": list(content.oracles), "metrics": list(content.metrics), "sources": sources,
            "probes": [list(pair) for pair in content.probes]}  # fmt: skip
