"""What `plan="auto"` picks against the ways of running members that one would write down first, for `bench.py`."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from bench_cases import CASES, ready

# (case, members): many and few.  Ways: a loop over one jitted member, `lax.map` and `vmap` on one device and on all.
MEMBERS = (("digits MLP", 64), ("digits MLP", 3), ("mixer", 4), ("ViT", 2), ("CNN", 8), ("CNN", 3), ("CNN", 1))
NAIVE = ("solo", "map@1", "vmap@1", "map", "vmap")

# calls -> seconds of each, medians of runs in turn, warm
Seconds = Callable[[Sequence[Callable[[], object]]], list[float]]


def rows(seconds: Seconds) -> list[dict[str, Any]]:
    """Milliseconds of a member's step by each way; the best of them over what is picked: 1 is as good, less is a loss."""
    from unlearnax import plans, populations

    found = []
    for start, members in MEMBERS:
        name = next(name for name in CASES if name.startswith(start))
        case = CASES[name]
        model, recipe, world, _ = ready(case)
        run = functools.partial(populations.fit, model, recipe, world, members)
        with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, UNLEARNAX_CACHE=cache):
            with mock.patch.object(plans, "MEASURE_ABOVE", -1.0):  # however short the training is
                picked = run(plan="auto").plan
            runs = [functools.partial(run, plan=plan) for plan in ("auto", *NAIVE)]
            took = [1e3 * each / members / case["steps"] for each in seconds(runs)]
        row = {"case": f"{name}, {members} members", "picked": picked, "ms, auto": took[0]}
        found.append(row | {f"ms, {way}": ms for way, ms in zip(NAIVE, took[1:], strict=True)}
                     | {"best of these over auto": min(took[1:]) / took[0]})  # fmt: skip
    return found
