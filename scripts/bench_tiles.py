"""A member's step by the number of tiles that its batch is passed in, for `bench.py`."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any
from unittest import mock

from bench_cases import CASES, ready


def rows(seconds: Callable[[Callable[[], object]], float]) -> list[dict[str, Any]]:
    """Milliseconds of a step in 1 to 8 tiles, and the number that training itself picks; seconds: of a call, warm."""
    import jax

    from unlearnax import members, populations
    from unlearnax.training.tiles import tiles

    plain, found = importlib.import_module("unlearnax.training.plain"), []
    for name in (name for name in CASES if name.startswith(("mixer", "ViT", "CNN"))):
        case = CASES[name]
        model, recipe, world, _ = ready(case)
        run = functools.partial(populations.fit, model, recipe, world, case["members"], plan="map")
        row: dict[str, Any] = {"case": name}
        for count in (1, 2, 4, 8):
            members.let_programs_go(0)  # each number of tiles is a program of its own
            with mock.patch.object(plain, "tiles", return_value=count):
                row[f"ms, {count}"] = 1e3 * seconds(run) / case["members"] / case["steps"]
        members.let_programs_go(0)
        params, model_state = model.init(jax.random.key(0))
        found.append(row | {"picked": tiles(model, params, model_state, world.x[: case["batch"]])})
    return found
