"""Choosing how members run by measurement: candidates timed on the real program, winners remembered.

A plan is remembered for a recipe, a model, a number of rows and the devices; the file is `plans.json` in the cache folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import jax

from unlearnax.cache import cache_folder
from unlearnax.devices import processor
from unlearnax.digests import digest

# Share of a device's memory that a plan may need.
MEMORY_SHARE = 0.9
# Wall seconds of training that must lie ahead for measuring to repay its compilations.
MEASURE_ABOVE = 120.0
# Candidates within this factor of the fastest are timed once more: a first run may be slow for reasons of its own.
CLOSE = 1.25


def candidates(members: int, convolutional: bool = False) -> list[str]:
    """Plans worth trying for that many members, the backend's default first.

    convolutional: whether the model has convolutions.  Their other form is tried where it may win: never on CPU, where
        native gradients are 6 to 300 times slower (docs/speed.md); elsewhere native ones become grouped under `vmap`.
    """
    devices = jax.local_device_count()
    each = -(-members // devices)
    if jax.default_backend() == "cpu":
        widths = [f"vmap:{width}" for width in (4, 16) if width < each]
        alone = ["map@1"] if devices > 1 and each <= 4 else []  # all cores on one member at a time
        if alone and members > 1 and members % devices:  # spread over devices one would train a member for nothing
            alone.append("vmap@1")
        return ["map", *widths, *(["vmap"] if each > 1 else []), *alone]
    widths = [f"vmap:{width}" for width in (256, 64, 16, 4) if width < each]
    products = [f"{plan}+products" for plan in ("vmap", *widths[-2:])] if convolutional else []
    return ["vmap", *widths, "map", *products]


def memory_limit() -> int:
    """Bytes that one device offers: its own limit, or its share of the machine's memory on CPU."""
    found = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if found:
        return int(found)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // jax.local_device_count()


def identity(*parts: object) -> str:
    """What a measured plan holds for: the parts, the devices and the version of JAX."""
    device = jax.local_devices()[0]
    kind = processor() if device.platform == "cpu" else device.device_kind
    return digest(*(str(part) for part in parts), kind, jax.local_device_count(), jax.__version__)


def _file() -> Path:
    return cache_folder() / "plans.json"


def _read() -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(_file().read_text())
        if isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
    return {}  # none yet, or not readable: plans are measured again


def remembered(key: str) -> str | None:
    """The plan that won for `key`, if one was measured."""
    return _read().get(key)


def remember(key: str, plan: str) -> None:
    """Keeps a winner; a cache folder that cannot be written to is no error."""
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        draft = _file().with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(_read() | {key: plan}, indent=0, sort_keys=True))
        draft.replace(_file())


def _fitting(tried: list[str], needed: Callable[[str], int]) -> list[str]:
    """Those plans that need no more than `MEMORY_SHARE` of a device's memory, in order."""
    return [plan for plan in tried if needed(plan) <= MEMORY_SHARE * memory_limit()]


def begin(plan: str, key: str, tried: list[str], needed: Callable[[str], int]) -> tuple[str, bool]:
    """The plan to start with, and whether that is final: one that was asked for or is remembered is.

    tried: `candidates`.  needed: plan -> bytes of its compiled program on one device.

    Raises:
        MemoryError: no plan fits.
    """
    if plan != "auto":
        return plan, True
    if jax.process_count() > 1:  # clocks differ between hosts, and all of them must run the same
        return tried[0], True
    if (found := remembered(key)) is not None:
        return found, True
    for each in tried:
        if _fitting([each], needed):
            return each, len(tried) == 1
    raise MemoryError(
        f"Expected one of the plans to fit into the {memory_limit() / 2**30:.1f} GiB of a device, none does."
    )


def fastest(
    plan: str, took: float, key: str, tried: list[str], needed: Callable[[str], int], seconds: Callable[[str], float]
) -> str:
    """The fastest of `tried` on the same work, of which `plan` took `took` seconds; remembered under `key`.

    Those that are close to the fastest, `plan` too, are timed twice, and the better time counts.
    seconds: plan -> wall seconds, compilation apart.  Plans that do not fit into memory are never run.
    """
    others = [each for each in tried if each != plan]
    found = {plan: took} | {each: seconds(each) for each in _fitting(others, needed)}
    close = [each for each in found if found[each] <= CLOSE * min(found.values())]
    if len(close) > 1:
        found = {each: min(found[each], seconds(each)) for each in close}
    best = min(found, key=lambda each: found[each])
    remember(key, best)
    return best
