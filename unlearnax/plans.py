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


def candidates(members: int) -> list[str]:
    """Plans worth trying for that many members, the backend's default first."""
    each = -(-members // jax.local_device_count())
    if jax.default_backend() == "cpu":
        return ["map", *(f"vmap:{width}" for width in (4, 16) if width < each), *(["vmap"] if 1 < each <= 64 else [])]
    return ["vmap", *(f"vmap:{width}" for width in (256, 64, 16, 4) if width < each), "map"]


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


def begin(plan: str, key: str, members: int, needed: Callable[[str], int]) -> tuple[str, bool]:
    """The plan to start with, and whether that is final: one that was asked for or is remembered is.

    needed: plan -> bytes of its compiled program on one device.

    Raises:
        MemoryError: no plan fits.
    """
    if plan != "auto":
        return plan, True
    if jax.process_count() > 1:  # clocks differ between hosts, and all of them must run the same
        return candidates(members)[0], True
    if (found := remembered(key)) is not None:
        return found, True
    for tried in candidates(members):
        if _fitting([tried], needed):
            return tried, members == 1
    raise MemoryError(
        f"Expected one of the plans to fit into the {memory_limit() / 2**30:.1f} GiB of a device, none does."
    )


def fastest(
    plan: str, took: float, key: str, members: int, needed: Callable[[str], int], seconds: Callable[[str], float]
) -> str:
    """The fastest plan on the same work, of which `plan` took `took` seconds; remembered under `key`.

    seconds: plan -> wall seconds, compilation apart.  Plans that do not fit into memory are never run.
    """
    others = [each for each in candidates(members) if each != plan]
    found = {plan: took} | {each: seconds(each) for each in _fitting(others, needed)}
    best = min(found, key=lambda each: found[each])
    remember(key, best)
    return best
