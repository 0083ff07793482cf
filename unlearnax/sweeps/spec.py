"""What a sweep covers: a frozen spec, and its expansion to settings and grounds."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from unlearnax import checks, plugins
from unlearnax.experiment import Experiment
from unlearnax.recipes import Args, Recipe, freeze

PROBLEM_FIELDS = ("dataset", "dataset_args", "problem", "problem_args", "discovery_rates")


class Setting(NamedTuple):
    """An algorithm with hyperparameters.  label: in rows.  name: as the spec writes it, a file's path included."""

    label: str
    name: str
    args: Args

    @property
    def key(self) -> str:
        """What goes into the members' keys: the same for all settings of one algorithm, as in a grid or a run of its own."""
        return row_name(self.name)


class Spot(NamedTuple):
    """Where settings share originals and oracles: one problem, one recipe, one seed.

    experiment: with at most one discovery rate and no algorithms.  recipe: its label.
    """

    experiment: Experiment
    recipe: str


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Problems × recipes × algorithms × hyperparameters × seeds; a spec file calls one `SWEEP`.

    base: all that is not varied, and the sweep's name; each of its discovery rates is a problem.  Its own algorithms are
        settings too, as they stand.
    algorithms: (name, hyperparameters) pairs, or a mapping.  A list or tuple of values is an axis, and every combination
        is a setting: ``("npo", {"beta": (0.1, 1.0), "epochs": 5})`` are two, called "npo@beta=0.1" and "npo@beta=1.0".  A
        value that is a tuple itself stands alone in another one.
    problems: for each problem the fields of `base` that it has otherwise, any of `PROBLEM_FIELDS`.
    recipes: (label, recipe) pairs, or a mapping.  seeds: of forget sets and all training.  Default: base's.

    Raises:
        ValueError: an empty axis, anything twice, a rate outside (0, 1], a base that keeps nothing in the store.
    """

    base: Experiment
    algorithms: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    problems: tuple[Mapping[str, Any] | Args, ...] = ((),)
    recipes: Mapping[str, Recipe] | tuple[tuple[str, Recipe], ...] = ()
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "algorithms", tuple((name, freeze(args)) for name, args in _pairs(self.algorithms)))
        object.__setattr__(self, "problems", tuple(freeze(fields) for fields in self.problems))
        object.__setattr__(self, "recipes", tuple(_pairs(self.recipes)) or (("", self.base.recipe),))
        object.__setattr__(self, "seeds", tuple(self.seeds) or (self.base.seed,))
        if not self.problems:
            raise ValueError("Expected problems=() to hold at least one problem.")
        if not self.base.store:
            raise ValueError("Expected base.store=False to be True: workers share populations through the store.")
        for fields in self.problems:
            for name, _ in _pairs(fields):
                checks.one_of("a field of problems", name, PROBLEM_FIELDS)
        once("seeds", self.seeds)
        once("problems", self.problems)
        once("labels of recipes", [label for label, _ in _pairs(self.recipes)])
        once("recipes", [recipe for _, recipe in _pairs(self.recipes)])
        found = settings(self)
        if not found:
            raise ValueError("Expected algorithms=() to hold at least one algorithm.")
        once("algorithms", [setting.label for setting in found])
        once("algorithms", [(s.key, plugins.source_digest(s.name.partition("@")[0]), s.args) for s in found])
        spots(self)  # an Experiment checks itself


def _pairs(given: Any) -> Iterable[tuple[str, Any]]:
    return given.items() if isinstance(given, Mapping) else given


def once(name: str, values: Iterable[Any]) -> None:
    """Raises ValueError where a value stands twice."""
    counts = collections.Counter(map(repr, values))  # values need not hash
    if twice := [value for value, count in counts.items() if count > 1]:
        raise ValueError(f"Expected {name} to hold {twice[0]} once, it stands there twice.")


def row_name(name: str) -> str:
    """An algorithm's name in rows: without the path of its file."""
    return name.rpartition(":")[2]


def settings(sweep: Sweep) -> list[Setting]:
    """All settings, base's own first, those of one algorithm side by side."""
    found = [Setting(row_name(name), name, args) for name, args in sweep.base.algorithms]
    return found + [setting for name, args in _pairs(sweep.algorithms) for setting in _grid(name, args)]


def _grid(name: str, args: Args) -> Iterator[Setting]:
    axes = {key: value for key, value in args if isinstance(value, tuple)}
    fixed = {key: value for key, value in args if key not in axes}
    for key, values in axes.items():
        if not values:
            raise ValueError(f"Expected {key}=() of algorithm {name!r} to hold at least one value.")
    for point in itertools.product(*axes.values()):
        varied = dict(zip(axes, point, strict=True))
        words = ",".join(f"{key}={value}" for key, value in varied.items())
        label = f"{row_name(name)}{',' if '@' in name else '@'}{words}" if words else row_name(name)
        yield Setting(label, name, freeze(fixed | varied))


def spots(sweep: Sweep) -> list[Spot]:
    """One for each problem, recipe, seed and discovery rate; those that share populations stand side by side."""
    found = []
    for fields, (label, recipe), seed in itertools.product(sweep.problems, _pairs(sweep.recipes), sweep.seeds):
        whole = dataclasses.replace(sweep.base, **dict(fields), recipe=recipe, seed=seed, algorithms=())
        once("discovery_rates", whole.discovery_rates)
        for rates in [(rate,) for rate in whole.discovery_rates] or [()]:
            found.append(Spot(dataclasses.replace(whole, discovery_rates=rates), label))
    return found
