"""What holds of every training rule: its populations are kept, found again to the bit, and grow."""

import jax
import numpy as np
import pytest

from unlearnax import data, models
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.store import Store
from unlearnax.training import RULES
from unlearnax.types import World

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
