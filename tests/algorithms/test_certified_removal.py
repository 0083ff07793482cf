"""Certified removal held to its proof: residuals beside their bounds."""

import jax
import numpy as np
import pytest
from certified_problem import DECAY, INPUTS, minimum, removed, trained

from unlearnax import certificates, models
from unlearnax.certificates import removal_residual, softmax_design, softmax_weights
from unlearnax.data import load
from unlearnax.populations import fit
from unlearnax.recipes import Recipe
from unlearnax.types import World


@pytest.mark.parametrize("forgotten", [1, 10])
@pytest.mark.parametrize("classes", [2, 3])
def test_certified_removal_leaves_no_more_gradient_than_its_bound(classes, forgotten):
    args = (("strong_convexity", DECAY), ("noise", 1.0))
    recipe = Recipe(rule="objective_perturbation", rule_args=args, epochs=20, batch_size=32)
    model, state, x, y = trained(recipe, classes)
    design = certificates.softmax_design(x, INPUTS)
    tilt, before = certificates.softmax_weights(state.log), certificates.softmax_weights(state.params)
    np.testing.assert_allclose(before, minimum(design, y, classes, tilt), atol=1e-4)
    done, _ = removed("certified_removal", recipe, model, state, x, y, forgotten)
    after = certificates.softmax_weights(done.params)
    rest = design[forgotten:], y[forgotten:]
    left, untouched = (
        np.linalg.norm(certificates.removal_residual(*rest, weights, tilt, strong_convexity=DECAY))
        for weights in (after, before)
    )
    bound = certificates.removal_bound(*rest, before, after, tilt, strong_convexity=DECAY)
    assert left <= bound
    assert left < 0.2 * untouched
    assert bound < 100 * untouched
    # And it is near to the exact answer, in proportion to what the removal moved.
    exact = minimum(*rest, classes, tilt)
    assert np.linalg.norm(after - exact) < 0.2 * np.linalg.norm(before - exact)


@pytest.mark.parametrize("batch_size", [64, 512])
def test_objective_perturbation_reaches_its_minimum_on_digits(batch_size):
    """As many rows and as large a batch as users have: the gradient of the tilted objective vanishes."""
    splits, m = load("digits"), 0.1
    args = (("strong_convexity", m), ("noise", 10.0), ("solver_iterations", 50))
    recipe = Recipe(
        model_args=(("widths", ()),), rule="objective_perturbation", rule_args=args, epochs=8, batch_size=batch_size
    )
    model = models.build(recipe, splits.inputs, 10)
    found = fit(model, recipe, World(splits.train.x, splits.train.y, np.arange(1400)), 2).states
    design = softmax_design(splits.train.x, splits.inputs)
    for i in range(2):
        weights, tilt = (softmax_weights(jax.tree.map(lambda a: a[i], each)) for each in (found.params, found.log))  # noqa: B023
        left = removal_residual(design, splits.train.y, weights, tilt, strong_convexity=m)
        assert np.linalg.norm(left) < 1e-3 * np.linalg.norm(tilt)
