"""Facts about the machine, the code and the libraries that a result came from."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax

from unlearnax.devices import processor

LIBRARIES = ("unlearnax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


def git_commit() -> str:
    """Commit of the source tree, with "+changes" where it is not clean; "unknown" outside a repository."""
    source = Path(__file__).parent.parent

    def git(*args: str) -> str:
        return subprocess.run(("git", "-C", str(source), *args), capture_output=True, text=True, check=True).stdout

    try:
        commit = git("rev-parse", "--short=12", "HEAD").strip()
        return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no").strip() else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def environment() -> dict[str, Any]:
    """Date, commit, versions and devices."""
    devices = jax.local_devices()
    kind = processor() if devices[0].platform == "cpu" else devices[0].device_kind
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git commit": git_commit(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "device": f"{len(devices)} × {devices[0].platform} ({kind})",
        "system": f"{platform.system()} {platform.release()}",
    }
