"""What holds of every training rule: populations are kept and grow, wrong arguments are refused by name and value."""

import inspect
import math
import re

import jax
import numpy as np
import pytest

from unlearnax import data, models
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.training import RULES, under_rule
from unlearnax.types import InputSpec, World

NEEDED = {
    "descent_to_delete": {"lipschitz": 3.0, "smoothness": 5.0, "strong_convexity": 0.1},
    "langevin": {"step_size": 0.1},
}


@pytest.mark.parametrize("rule", RULES)
def test_populations_of_every_rule_are_kept(rule, tmp_path):
    """With its default arguments, where it has them; the second call trains the fourth member only."""
    splits = data.load("digits")
    recipe = Recipe(
        model_args=(("widths", (8,)),),
        epochs=2,
        batch_size=32,
        rule=rule,
        rule_args=tuple(NEEDED.get(rule, {}).items()),
    )
    model = models.build(recipe, splits.inputs, splits.num_classes)
    world = World(splits.train.x, splits.train.y, np.arange(100))
    first = fit(model, recipe, world, 3, store=Store(tmp_path))
    again = fit(model, recipe, world, 4, store=Store(tmp_path))
    fresh = fit(model, recipe, world, 4, store=None)
    for states in (first.states, fresh.states):
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:3], b[:3]), states, again.states)
    jax.tree.map(np.testing.assert_array_equal, fresh.states, again.states)


ARGUMENTS = [
    (rule, p.name)
    for rule in RULES
    for p in inspect.signature(RULES[rule].training).parameters.values()
    if p.kind is p.KEYWORD_ONLY
]
NO_FLOAT = (math.nan, math.inf, -math.inf, -1.0, True, None, "0.1")
NO_WHOLE_NUMBER = (0, -1, 1.5, 2.0, math.nan, math.inf, True, None)
BAD = {
    ("descent_to_delete", "smoothness"): (0.0,),
    ("descent_to_delete", "strong_convexity"): (0.0, 5.0),
    ("descent_to_delete", "lipschitz"): (0.0,),
    ("descent_to_delete", "epsilon"): (0.0,),
    ("descent_to_delete", "delta"): (0.0, 1.0),
    ("langevin", "step_size"): (0.0,),
    ("langevin", "radius"): (0.0,),
    ("objective_perturbation", "strong_convexity"): (0.0,),
    ("objective_perturbation", "solver_tolerance"): (1.0,),
    ("dp_sgd", "clip"): (0.0,),
    ("example_tied_dropout", "p_gen"): (0.0, 1.1),
    ("example_tied_dropout", "p_mem"): (1.1,),
}


@pytest.mark.parametrize(("rule", "argument"), ARGUMENTS)
def test_arguments_out_of_range_are_refused(rule, argument):
    """Derived from the rule's signature; a whole number is what is declared an int."""
    model = models.mlp(InputSpec((4,)), 3, widths=(8,))
    whole = inspect.signature(RULES[rule].training).parameters[argument].annotation == "int"
    for value in (*(NO_WHOLE_NUMBER if whole else NO_FLOAT), *BAD.get((rule, argument), ())):
        recipe = Recipe(epochs=4, rule=rule, rule_args=tuple((NEEDED.get(rule, {}) | {argument: value}).items()))
        with pytest.raises(ValueError, match=rf"\b{argument}={re.escape(repr(value))} "):
            under_rule(recipe, model)


def test_a_smoothness_below_the_decay_is_refused():
    recipe = Recipe(rule="descent_to_delete", rule_args=(("lipschitz", 3.0), ("smoothness", 0.005)))
    with pytest.raises(ValueError, match=r"strong_convexity=0.01 in \(0, 0.005\)"):
        under_rule(recipe, models.mlp(InputSpec((4,)), 3, widths=()))
