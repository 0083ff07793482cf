"""Plain training that can be replayed: what it did at every step follows from its key and its rows, which are kept."""

from __future__ import annotations

import jax

from unlearnax.recipes import Recipe
from unlearnax.training.plain import by_batches, keep_state, mean_gradients
from unlearnax.types import Model, Training


def amnesiac(recipe: Recipe, model: Model) -> Training:
    """Plain training that leaves its key and its rows in the log, from which every step's update can be had again.

    Source: Graves et al., "Amnesiac machine learning", AAAI 2021, arXiv 2010.10981, which stores the updates themselves.
    """
    training = by_batches(recipe, model, mean_gradients(model, recipe.augment))

    def finish(key, state, rows):
        log = {"key": jax.random.key_data(key), "index": rows.index, "length": rows.length}
        return keep_state(key, state, rows)._replace(log=log)

    return training._replace(finish=finish)
