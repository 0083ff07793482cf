"""Set-up that has to happen before JAX loads: virtual CPU devices and the persistent compilation cache.

Imports nothing of JAX itself.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path


def set_up(devices: int | None = None, *, compile_cache: bool = True) -> None:
    """Gives the CPU backend one virtual device per core and turns the persistent compile cache on.

    The command line calls it first thing; in a notebook call it before the first import of JAX.  What the environment
    already sets (XLA_FLAGS, JAX_COMPILATION_CACHE_DIR) is kept.

    Args:
        devices: virtual CPU devices (default: the cores this process may use).

    Raises:
        RuntimeError: JAX is loaded already, so that the number of devices can no longer change.
    """
    if "jax" in sys.modules:
        raise RuntimeError("Expected set_up() to be called before the first import of jax: it is loaded already.")
    flag = "--xla_force_host_platform_device_count"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        count = devices if devices is not None else len(os.sched_getaffinity(0))
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}={count}".strip()
    if compile_cache:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compile_cache_folder()))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")


def compile_cache_folder() -> Path:
    """One folder for each JAX version, processor and GPU model: compiled code does not carry over between them."""
    from unlearnax.cache import cache_folder

    version = importlib.metadata.version("jax")
    name = "-".join([f"jax-{version}", processor(), *gpus()])
    return cache_folder() / "compiled" / re.sub(r"[^\w.@+-]+", "-", name)


def gpus() -> list[str]:
    """Models of the NVIDIA GPUs the driver lists, each once; found without loading JAX."""
    found = set()
    for path in Path("/proc/driver/nvidia/gpus").glob("*/information"):
        lines = path.read_text(errors="replace").splitlines()
        found |= {line.split(":", 1)[1].strip() for line in lines if line.startswith("Model")}
    return sorted(found)


def processor() -> str:
    """The CPU's model name, else the machine type."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
