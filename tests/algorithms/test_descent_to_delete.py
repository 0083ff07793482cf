"""Descent-to-Delete held to its proof: distances to minima over R beside their bounds."""

import jax
import numpy as np
import pytest
from certified_problem import DECAY, INPUTS, ROWS, constants, data, minimum, removed, trained
from scipy import stats

from unlearnax import certificates, models
from unlearnax.recipes import Recipe
from unlearnax.training import make_train, under_rule
from unlearnax.types import World


def descent_recipe(x, steps, epochs=400, **more):
    found = constants(x)
    given = {"lipschitz": found.lipschitz, "smoothness": found.smoothness, "strong_convexity": DECAY} | more
    return Recipe(
        rule="descent_to_delete", rule_args=tuple(given.items()) + (("unlearning_steps", steps),), epochs=epochs,
        batch_size=32,
    )  # fmt: skip


@pytest.mark.parametrize("steps", [1, 3, 10])
@pytest.mark.parametrize("forgotten", [1, 10])
@pytest.mark.parametrize("classes", [2, 3])
def test_descent_to_delete_ends_as_near_to_the_exact_minimum_as_proven(classes, forgotten, steps):
    x, _ = data(classes)
    recipe = descent_recipe(x, steps, deletions=forgotten)
    model, state, x, y = trained(recipe, classes)
    done, info = removed("descent_to_delete", recipe, model, state, x, y, forgotten)
    design = certificates.softmax_design(x, INPUTS)
    on_all, on_rest = minimum(design, y, classes), minimum(design[forgotten:], y[forgotten:], classes)
    start = np.linalg.norm(certificates.softmax_weights(state.log) - on_all)
    assert start < 1e-3  # trained to the minimum over D
    away = np.linalg.norm(certificates.softmax_weights(done.log) - on_rest)
    bound = certificates.descent_distance(
        start, forgotten=forgotten, examples=ROWS, steps=steps, constants=constants(x)
    )
    assert away <= bound + 1e-5
    # Not vacuous: the minimum moved, the steps went there, and the bound is within three orders of what happened.
    moved = np.linalg.norm(on_all - on_rest)
    assert away < moved
    assert bound < 1000 * moved
    assert info.examples == steps * (ROWS - forgotten)


def test_published_noise_is_what_the_promise_asks_for():
    """Over members: weights published less secret weights are N(0, σ²), σ by hand from the theorem's formula."""
    x, _ = data(2)
    recipe = descent_recipe(x, 5, epochs=3, epsilon=2.0, delta=1e-3)
    found = constants(x)
    model = under_rule(recipe, models.mlp(INPUTS, 2, widths=()))
    x, y = data(2)
    states, _ = jax.vmap(lambda key: make_train(recipe, model)(key, World(x, y, np.arange(ROWS))))(
        jax.random.split(jax.random.key(0), 400)
    )
    noise = np.concatenate(
        [np.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, (states.params, states.log)), strict=True)]
    )
    gamma = ((found.smoothness - DECAY) / (found.smoothness + DECAY)) ** 5
    gap = np.sqrt(np.log(1000) + 2) - np.sqrt(np.log(1000))
    sigma = 4 * np.sqrt(2) * found.lipschitz * gamma / (DECAY * ROWS * (1 - gamma) * gap)
    assert stats.kstest(noise / sigma, "norm").pvalue > 1e-3
