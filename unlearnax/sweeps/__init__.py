"""Sweeps: problems × recipes × algorithms × hyperparameters × seeds, on one machine, Ray, Slurm, or several hosts at once.

`spec` says what, `plan` makes tasks of it, `schedule` deals them out, `work` does one in a worker, `driver` brings these
together and keeps the results in the `ledger`; how workers run is in `executors`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnax.sweeps.spec import Sweep

__all__ = ["Sweep"]


def __getattr__(name: str) -> Any:  # on first use: workers set their devices up before JAX loads
    if name != "Sweep":
        raise AttributeError(f"module 'unlearnax.sweeps' has no attribute {name!r}")
    from unlearnax.sweeps.spec import Sweep

    return Sweep
