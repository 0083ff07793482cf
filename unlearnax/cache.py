"""Where the cache folder is."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$UNLEARNAX_CACHE``, or ``unlearnax`` under the user's cache folder; an empty variable counts as none."""
    if own := os.environ.get("UNLEARNAX_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlearnax"
