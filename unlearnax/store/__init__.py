"""Populations and predictions on disk, content-addressed, checked on every read: see docs/oracles.md.

`entries` writes and reads them, `manifest` says what stands beside the arrays, `locks` keeps two processes from the same
work, `chunks` keeps members and checkpoints of populations, `upkeep` lists and cleans, `packs` carries entries elsewhere.
"""

from unlearnax.store.entries import Store

__all__ = ["Store"]
