"""What processes that tests start find in their environment."""

import os
import re

from unlearnax.sweeps.executors import DEVICE_COUNT


def environment(**more: str) -> dict[str, str]:
    """This process's own, but with devices as users have them, and programs compiled once for all that run them."""
    flags = re.sub(DEVICE_COUNT, "", os.environ.get("XLA_FLAGS", "")).strip()
    return os.environ | {"XLA_FLAGS": flags, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"} | more
