"""What the command line lists and checks: tables of content, the taint test over oracles, the doctor."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence

import jax
import numpy as np
from rich.table import Table

from unlearnax import data, models, plugins, problems
from unlearnax.algorithms import ALGORITHMS
from unlearnax.cache import cache_folder
from unlearnax.devices import compile_cache_folder
from unlearnax.metrics import METRICS
from unlearnax.oracles import ORACLES  # pyright: ignore[reportMissingImports]
from unlearnax.probes import PROBES
from unlearnax.provenance import environment
from unlearnax.recipes import Recipe
from unlearnax.taint import verify_oracle


def _summary(function: Callable) -> str:
    return (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")


def table(what: str) -> Table:
    """A table of the entries of one dict, names unbroken: they are there to be typed."""
    made = _entries(what)
    names = made.columns[0]
    names.min_width = max(len(str(name)) for name in names.cells)
    return made


def _entries(what: str) -> Table:
    made = Table(title=what, show_lines=False)
    if what == "algorithms":
        for column in ("name", "declared goal", "reads", "needs", "source"):
            made.add_column(column)
        for name, algorithm in ALGORITHMS.items():
            reads, needs = (", ".join(sorted(each)) for each in (algorithm.access, algorithm.needs))
            made.add_row(name, algorithm.goal, reads or "nothing", needs, algorithm.citation)
        return made
    if what == "metrics":
        for column in ("name", "answers", "better", "members", "in the default suite", "question"):
            made.add_column(column)
        for name, m in METRICS.items():
            made.add_row(name, m.answers, m.better, str(m.members), "yes" if m.default else "on request", m.question)
        return made
    if what == "probes":
        for column in ("name", "question", "do not conclude", "source"):
            made.add_column(column)
        for name, probe in PROBES.items():
            made.add_row(name, probe.question, probe.caution, probe.citation)
        return made
    for column in ("name", "goal in verdicts" if what == "oracles" else "", "what it is"):
        if column:
            made.add_column(column)
    if what == "oracles":
        for name, oracle in ORACLES.items():
            made.add_row(name, oracle.goal, _summary(oracle.world))
        return made
    tables = {
        "datasets": data.DATASETS, "models": models.MODELS, "problems": problems.PROBLEMS
    }  # fmt: skip
    for name, entry in tables[what].items():
        made.add_row(name, _summary(entry))
    return made


def verify_oracles(names: Sequence[str]) -> tuple[Table, bool]:
    """Runs the taint test on oracles (all of them by default) over a concept problem and a corrupted one.

    Returns:
        A table, and whether every oracle holds its promise.
    """
    splits = data.load("digits")
    cases = [
        problems.concept(splits, 3, 0.5),
        problems.triggered(splits, target=0, fraction=0.1, discovery_rate=0.5),
    ]
    recipe = Recipe(epochs=1)
    model = models.build(recipe, splits.inputs, splits.num_classes)
    made, every = Table("oracle", "problem", "exact", "what was seen", title="taint test"), True
    for name in names or ORACLES:
        oracle = plugins.resolve_oracle(name)
        for problem in cases:
            if not oracle.applies(problem):
                continue
            exact, reason = verify_oracle(oracle, problem, model, recipe)
            every = every and exact
            made.add_row(plugins.oracle_name(name), problem.name, "yes" if exact else "[bold red]NO[/]", reason)
    return made, every


def doctor() -> Table:
    """Versions, devices, data, cache: what a bug report needs."""
    made = Table("what", "found", title="unlearnax doctor", show_lines=True)
    for name, value in environment().items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        made.add_row(name, shown)
    made.add_row("JAX devices", ", ".join(str(device) for device in jax.local_devices()))
    made.add_row("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    for name in ("digits", "fashion_mnist", "cifar10", "cifar100"):
        try:
            splits = data.load(name)
            sizes = ", ".join(f"{len(getattr(splits, part).x)} {part}" for part in ("train", "validation", "test"))
            made.add_row(f"data: {name}", f"found: {sizes}, {np.dtype(splits.train.x.dtype)}")
        except FileNotFoundError as error:
            made.add_row(f"data: {name}", f"not found: {error}")
        except (ImportError, ValueError) as error:  # there, but damaged, or of a layout that cannot be read
            made.add_row(f"data: {name}", f"not usable: {error}")
    held = cache_folder() / "store"
    entries = sum(1 for _ in held.iterdir()) if held.is_dir() else 0
    made.add_row("cache folder", f"{cache_folder()} ({entries} store entries)")
    made.add_row("compile cache", str(compile_cache_folder()))
    return made
