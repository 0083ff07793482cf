"""One training run as pure functions: init, any number of segments, finish.

`RULES` holds what a recipe's `rule` may name, one file each.  Oracles are trained under the rule of the originals.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from unlearnax import plugins
from unlearnax.recipes import Recipe
from unlearnax.training.descent_to_delete import descent_to_delete
from unlearnax.training.langevin import langevin
from unlearnax.training.logged import amnesiac
from unlearnax.training.perturbed import objective_perturbation
from unlearnax.training.plain import plain
from unlearnax.training.private import dp_sgd
from unlearnax.training.sharded import ensemble
from unlearnax.training.sisa import sisa
from unlearnax.training.tied_dropout import example_tied_dropout
from unlearnax.types import Info, Key, Model, Rule, Subset, TrainFn, Training, TrainState, World

RULES: dict[str, Rule] = {
    "plain": Rule(plain, "empirical risk minimisation by the recipe's optimiser", augments=True),
    "amnesiac": Rule(amnesiac, "Graves et al., AAAI 2021, arXiv 2010.10981", augments=True),
    "sisa": Rule(sisa, "Bourtoule et al., S&P 2021, arXiv 1912.03817", model=ensemble, augments=True),
    "descent_to_delete": Rule(descent_to_delete, "Neel et al., ALT 2021, arXiv 2007.02923"),
    "langevin": Rule(langevin, "Chien et al., NeurIPS 2024, arXiv 2401.10371"),
    "objective_perturbation": Rule(objective_perturbation, "Guo et al., ICML 2020, arXiv 1911.03030"),
    "dp_sgd": Rule(dp_sgd, "Abadi et al., CCS 2016, arXiv 1607.00133"),
    "example_tied_dropout": Rule(example_tied_dropout, "Maini et al., ICML 2023, arXiv 2307.09542", augments=True),
}

__all__ = ["RULES", "make_train", "make_training", "under_rule"]


def under_rule(recipe: Recipe, model: Model) -> Model:
    """The model as the recipe's rule trains and uses it, with the rule's demands checked.

    Raises:
        ValueError: an unknown rule, arguments that it does not take or that are out of range, a recipe or a model that
            does not suit it.
    """
    rule, arguments = plugins.resolve("rule", recipe.rule, RULES), dict(recipe.rule_args)
    if recipe.augment and not rule.augments:
        raise ValueError(
            f"Expected augment={recipe.augment} to be empty: rule {recipe.rule!r} trains on images as they are."
        )
    try:
        shown = model if rule.model is None else rule.model(model, **arguments)
        rule.training(recipe, shown, **arguments)
    except TypeError as error:
        raise ValueError(f"Expected rule_args={arguments} to suit rule {recipe.rule!r}: {error}.") from error
    return shown


@functools.cache
def make_training(recipe: Recipe, model: Model) -> Training:
    """Binds `recipe` and its rule to `model`, as `models.build` returns it; cached, so that no pair is traced twice."""
    return plugins.resolve("rule", recipe.rule, RULES).training(recipe, model, **dict(recipe.rule_args))


def make_train(recipe: Recipe, model: Model) -> TrainFn:
    """The whole run as one pure function ``(key, world) -> (TrainState, Info)``; the caller decides jit, vmap, devices."""
    training = make_training(recipe, model)

    def train(key: Key, world: World) -> tuple[TrainState, Info]:
        index = jnp.asarray(world.index, jnp.int32)
        # The barrier keeps the length from being folded into the program, so that the bits are the engine's.
        rows = jax.lax.optimization_barrier(Subset(index, jnp.asarray(len(index), jnp.int32)))
        passes = (0, recipe.num_passes(len(world.index)))
        state, info = training.segment(key, training.init(key), world.x, world.y, rows, passes)
        return training.finish(key, state, rows), info

    return train
