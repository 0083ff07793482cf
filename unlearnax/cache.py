"""Where the cache folder is."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$UNLEARNAX_CACHE``, or ``unlearnax`` under the user's cache folder."""
    if "UNLEARNAX_CACHE" in os.environ:
        return Path(os.environ["UNLEARNAX_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "unlearnax"
