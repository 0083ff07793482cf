"""A member's step by the number of tiles that its batch is passed in, for `bench.py`."""

from __future__ import annotations

import functools
import importlib
import statistics
import time
from typing import Any
from unittest import mock

from bench_cases import CASES, ready


def rows(repeats: int) -> list[dict[str, Any]]:
    """Milliseconds of a step in 1 to 8 tiles, the median of several runs, and the number that training itself picks."""
    return [_row(case, repeats) for case in CASES if case.startswith(("mixer", "ViT", "CNN"))]


def _row(name: str, repeats: int) -> dict[str, Any]:
    from unlearnax import members, populations, training

    plain = importlib.import_module("unlearnax.training.plain")
    case, picks, picked = CASES[name], plain.tiles, []
    model, recipe, world, _ = ready(case)
    run = functools.partial(populations.fit, model, recipe, world, case["members"], plan="map")
    row: dict[str, Any] = {"case": name}
    for count in (1, 2, 4, 8):

        def fixed(*given: Any, count: int = count) -> int:
            picked.append(picks(*given))
            return count

        with mock.patch.object(plain, "tiles", fixed):
            _forget(members, populations, training)  # each number of tiles is a program of its own
            run()
            times = []
            for _ in range(repeats):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
        row[f"ms, {count}"] = 1e3 * statistics.median(times) / case["members"] / case["steps"]
    _forget(members, populations, training)
    return row | {"picked": picked[0]}


def _forget(members: Any, populations: Any, training: Any) -> None:
    members._compiled.clear()
    training.make_training.cache_clear()
    populations._segment_fn.cache_clear()
