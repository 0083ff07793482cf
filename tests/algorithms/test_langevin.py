"""Langevin unlearning beside the minimum over R and its stationary law."""

import jax
import numpy as np
import pytest
from certified_problem import DECAY, INPUTS, ROWS, constants, data, minimum, removed, trained
from scipy import stats

from unlearnax import certificates, models
from unlearnax.recipes import Recipe
from unlearnax.training import make_train, under_rule
from unlearnax.types import World


def test_noiseless_langevin_meets_the_minimum_over_r_and_its_noise_is_stationary():
    x, y = data(2)
    found, design = constants(x), certificates.softmax_design(*(x, INPUTS))
    args = {"step_size": 1 / found.smoothness, "strong_convexity": DECAY}
    still = Recipe(rule="langevin", rule_args=tuple((args | {"noise": 0.0}).items()), epochs=400, batch_size=32)
    model, state, x, y = trained(still, 2)
    done, _ = removed("langevin", still, model, state, x, y, 10, steps=400)
    np.testing.assert_allclose(certificates.softmax_weights(done.params), minimum(design[10:], y[10:], 2), atol=1e-3)
    # Along w_0 + w_1 the loss is flat and the objective a parabola of curvature m: an autoregression with factor
    # 1 − η m, whose stationary variance is 2 η σ² / (1 − (1 − η m)²) for each of the two weights.
    noisy = Recipe(rule="langevin", rule_args=tuple((args | {"noise": 0.3}).items()), epochs=300, batch_size=120)
    model = under_rule(noisy, models.mlp(INPUTS, 2, widths=()))
    run = jax.jit(jax.vmap(lambda key: make_train(noisy, model)(key, World(x, y, np.arange(ROWS)))[0].params))
    params = run(jax.random.split(jax.random.key(0), 200))["head"]["kernel"]
    along = np.asarray(params).sum(-1) / np.sqrt(2)
    factor = 1 - DECAY / found.smoothness
    noise = 2 / found.smoothness * 0.3**2 * (1 - factor**600) / (1 - factor**2)
    expected = noise + factor**600 / 4  # initial weights have the variance 1 / 4, one over the number of inputs
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], along.size) / along.size
    assert low < np.square(along).mean() / expected < high


def test_langevin_stays_in_its_ball():
    recipe = Recipe(
        rule="langevin", rule_args=(("step_size", 0.1), ("noise", 5.0), ("radius", 0.5)), epochs=5, batch_size=32
    )
    model, state, x, y = trained(recipe, 3)
    done, _ = removed("langevin", recipe, model, state, x, y, 5, steps=3)
    for each in (state, done):
        assert np.linalg.norm(certificates.softmax_weights(each.params)) == pytest.approx(0.5, rel=1e-4)


def test_full_batch_rules_count_epochs():
    recipe = Recipe(rule="langevin", rule_args=(("step_size", 0.1),), epochs=None, steps=5)
    with pytest.raises(ValueError, match="one epoch is one step"):
        under_rule(recipe, models.mlp(INPUTS, 2, widths=()))
