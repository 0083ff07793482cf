"""Pooling by two equals Flax's, gradients too."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.models.pooling import max_pool


@pytest.mark.parametrize("size", [(4, 6), (5, 7)])
@pytest.mark.parametrize("ties", [False, True])
def test_values_and_gradients(size, ties):
    rng = np.random.default_rng(0)
    shape = (2, *size, 3)
    x = rng.integers(0, 3, shape).astype(np.float32) if ties else rng.normal(size=shape).astype(np.float32)
    weights = rng.normal(size=(2, size[0] // 2, size[1] // 2, 3)).astype(np.float32)

    @jax.jit
    def both(x):
        pools = (max_pool, lambda x: nn.max_pool(x, (2, 2), (2, 2)))
        return [(pool(x), jax.grad(lambda x, pool=pool: jnp.vdot(pool(x), weights))(x)) for pool in pools]

    for found, expected in zip(*both(x), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_not_a_number_is_not_hidden(place):
    x = np.zeros((1, 2, 2, 1), np.float32)
    x[0, *place, 0] = np.nan
    assert np.isnan(max_pool(jnp.asarray(x))).all()
