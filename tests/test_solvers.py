"""Conjugate gradients on known matrices."""

import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.solvers import conjugate_gradients


def test_conjugate_gradients_solves_and_counts():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12))
    matrix, b = jnp.asarray(root @ root.T + np.eye(12)), jnp.asarray(rng.normal(size=12))
    x, count = conjugate_gradients(lambda v: matrix @ v, b, iterations=100, tolerance=1e-4)
    np.testing.assert_allclose(matrix @ x, b, atol=1e-3)
    assert 1 < count <= 30
    assert conjugate_gradients(lambda v: 2 * v, b, iterations=5, tolerance=1e-4)[1] == 1
    assert conjugate_gradients(lambda v: matrix @ v, b, iterations=2, tolerance=0.0)[1] == 2
    zero, count = conjugate_gradients(lambda v: v, jnp.zeros(3), iterations=5, tolerance=1e-4)
    assert count == 0
    assert not zero.any()


def test_conjugate_gradients_stops_at_negative_curvature():
    """At once with b itself, or later with what it has: a direction along which b still falls."""
    curved = jnp.array([1.0, -1.0])
    at_once = jnp.array([0.1, 1.0])
    x, count = conjugate_gradients(lambda v: curved * v, at_once, iterations=9, tolerance=0.0)
    np.testing.assert_array_equal(x, at_once)
    assert count == 1
    later = jnp.array([1.0, 0.5])
    x, count = conjugate_gradients(lambda v: curved * v, later, iterations=9, tolerance=0.0)
    np.testing.assert_allclose(x, later * 1.25 / 0.75, rtol=1e-6)
    assert count == 2


@pytest.mark.parametrize("broken", ["product", "b"])
def test_what_is_not_finite_reaches_the_solution(broken):
    """A system that cannot be solved must not look like one whose answer is no change."""
    b = jnp.array([1.0, jnp.nan if broken == "b" else 1.0])
    factor = jnp.nan if broken == "product" else 1.0
    x, _ = conjugate_gradients(lambda v: factor * v, b, iterations=5, tolerance=1e-4)
    assert not jnp.isfinite(x).all()
