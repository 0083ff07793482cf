"""The fast convolution on members that differ in weights and inputs, and its mixed second derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from unlearnax.models.conv import LAYOUT, conv_general_dilated


def gradients(conv, strides, padding, x, w):
    def loss(x, w):
        return jnp.sin(conv(x, w, strides, padding, dimension_numbers=LAYOUT)).sum()

    return jax.grad(loss, argnums=(0, 1))(x, w)


def arrays(kernel=(3, 3), size=(7, 8), members=3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(members, 2, *size, 2)).astype(np.float32)
    return x, rng.normal(size=(members, *kernel, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("padding", ["SAME", "VALID", "SAME_LOWER", ((2, 1), (0, 3))])
@pytest.mark.parametrize("strides", [(1, 2), (3, 2)])
@pytest.mark.parametrize("kernel", [(3, 1), (2, 3)])
def test_members_with_their_own_inputs_and_weights(kernel, strides, padding):
    x, w = arrays(kernel)
    found = jax.jit(jax.vmap(lambda x, w: gradients(conv_general_dilated, strides, padding, x, w)))(x, w)
    for i in range(len(x)):
        expected = gradients(lax.conv_general_dilated, strides, padding, x[i], w[i])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-4)


def test_mixed_second_derivative():
    x, w = (a[0] for a in arrays())

    def mixed(conv):
        return jax.grad(lambda x: jnp.vdot(gradients(conv, (2, 2), "SAME", x, w)[1], w))(x)

    np.testing.assert_allclose(mixed(conv_general_dilated), mixed(lax.conv_general_dilated), rtol=1e-4, atol=1e-4)
