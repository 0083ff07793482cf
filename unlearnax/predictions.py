"""Predictions in the store, bound to the very weights that they are of.

They can stand there without the weights (an imported pack), and then serve whoever reads outputs only.  Weights trained
again on another device differ in their last bits and soon in their outputs, so predictions of others are replaced.
"""

from __future__ import annotations

import warnings
from typing import Any

import jax
import numpy as np

from unlearnax import hosts
from unlearnax.digests import digest
from unlearnax.populations import Population
from unlearnax.store import Store


def fingerprint(population: Population) -> str:
    """Tells one training of a population from another: the bits of its members' losses."""
    return digest(population.loss)


def held(
    store: Store | None, key: str, name: str, like: jax.ShapeDtypeStruct, population: Population | None = None
) -> np.ndarray | None:
    """An array of predictions from the store, or None.

    population: whose weights they must be of; None: whatever weights they are of.
    """
    found = store.load(key, name, like) if store else None
    if found is None or (population is not None and found[1].get("weights") != fingerprint(population)):
        return None
    return np.asarray(found[0])


def keep(
    store: Store | None, key: str, name: str, array: np.ndarray, population: Population, about: dict[str, Any]
) -> None:
    """Puts predictions into the store, in the place of those of other weights; a warning says where that fails.

    Of several hosts the first writes: arrays on the host are what Orbax writes in the first process only.
    """
    if store is None or not hosts.leads():
        return
    store.remove(key, name)
    facts = {"population": population.digest, "members": len(array), "weights": fingerprint(population)}
    try:
        store.save(key, name, array, about | facts)
    except OSError as error:
        warnings.warn(f"Predictions are used now, but not kept: {error.strerror or error}", stacklevel=2)
