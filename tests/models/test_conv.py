"""The fast convolution equals the native one, gradients too."""

import contextlib

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from unlearnax.models import conv
from unlearnax.models.conv import LAYOUT, conv_general_dilated


def native(x, w, strides, padding):
    return lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=LAYOUT)


def fast(x, w, strides, padding):
    return conv_general_dilated(x, w, strides, padding, dimension_numbers=LAYOUT)


def arrays(kernel=3, size=8, channels=2, width=3, batch=2):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, size, size, channels)).astype(np.float32)
    return x, rng.normal(size=(kernel, kernel, channels, width)).astype(np.float32)


@contextlib.contextmanager
def in_form(form):
    """Thresholds that send these small arrays the way of large ones."""
    sizes = {"whole": (2 << 20, 8 << 20, 256), "tiles": (1 << 14, 0, 256), "taps": (1, 0, 1)}[form]
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(("TILE", "WHOLE", "MANY_CHANNELS"), sizes, strict=True):
            patch.setattr(conv, name, size)
        yield


def gradients(conv, x, w, strides, padding):
    return jax.grad(lambda x, w: jnp.sin(conv(x, w, strides, padding)).sum(), argnums=(0, 1))(x, w)


@hypothesis.settings(max_examples=10, deadline=None)
@hypothesis.given(
    form=st.sampled_from(["whole", "tiles", "taps"]),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from(["SAME", "VALID", ((1, 0), (2, 1)), ((-1, 0), (0, -1))]),
    size=st.integers(6, 9),
    channels=st.integers(1, 3),
)
def test_values_and_gradients(form, kernel, stride, padding, size, channels):
    x, w = arrays(kernel, size, channels, batch=4)

    @jax.jit  # one program for each form: op by op, compiling takes most of the time
    def both(x, w):
        return [
            (conv(x, w, (stride, stride), padding), *gradients(conv, x, w, (stride, stride), padding))
            for conv in (fast, native)
        ]

    with in_form(form):
        found = both(x, w)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("form", "loops", "products"), [("whole", 0, 1), ("tiles", 1, 1), ("taps", 0, 9)])
def test_each_form_is_what_it_is_called(form, loops, products):
    x, w = arrays(batch=4)
    with in_form(form):
        text = str(
            jax.make_jaxpr(lambda g: conv._weight_gradient(x, w, g, (1, 1), ((1, 1), (1, 1))))(
                fast(x, w, (1, 1), "SAME")
            )
        )
    assert text.count("scan[") == loops
    assert text.count("dot_general[") == products


def test_under_vmap_over_members_and_in_a_loop():
    x, w = arrays()
    members = np.stack([w, 2 * w, -w])

    def train(conv, w):
        def step(_, w):
            return w - 0.01 * jax.grad(lambda w: jnp.square(conv(x, w, (2, 2), "SAME")).mean())(w)

        return lax.fori_loop(0, 3, step, w)

    together = jax.jit(jax.vmap(lambda w: train(fast, w)))(members)
    for one, w in zip(together, members, strict=True):
        np.testing.assert_allclose(one, train(native, w), rtol=1e-4, atol=1e-5)


def test_bfloat16():
    x, w = (jnp.asarray(a, jnp.bfloat16) for a in arrays())
    a, b = (gradients(conv, x, w, (1, 1), "SAME")[1] for conv in (fast, native))
    assert a.dtype == jnp.bfloat16
    np.testing.assert_allclose(a.astype(np.float32), b.astype(np.float32), rtol=0.1, atol=0.5)


@pytest.mark.parametrize("form", ["whole", "tiles", "taps"])
def test_second_derivatives(form):
    x, w = arrays(size=5)
    f = lambda conv: jax.grad(  # noqa: E731
        lambda w: jax.grad(lambda w: jnp.sin(conv(x, w, (1, 1), "SAME")).sum())(w).sum()
    )(w)
    with in_form(form):
        found = jax.jit(lambda: f(fast))()
    np.testing.assert_allclose(found, f(native), rtol=1e-3, atol=1e-3)


def test_negative_padding():
    x, w = arrays()
    pads = ((-1, 0), (0, -1))
    for a, b in zip(gradients(fast, x, w, (2, 2), pads), gradients(native, x, w, (2, 2), pads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_float64_keeps_its_digits():
    with jax.enable_x64(True):
        x, w = (a.astype(np.float64) for a in arrays())
        for a, b in zip(gradients(fast, x, w, (1, 1), "SAME"), gradients(native, x, w, (1, 1), "SAME"), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_stated_precision_is_kept():
    x, w = arrays()
    options = {"dimension_numbers": LAYOUT, "precision": lax.Precision.HIGHEST}
    jaxpr = jax.make_jaxpr(lambda x, w: conv_general_dilated(x, w, (1, 1), "SAME", **options))(x, w)
    assert "HIGHEST" in str(jaxpr)


def test_other_backends_take_the_native_form_and_it_can_be_asked_for(monkeypatch):
    x, w = arrays()
    assert "custom_vjp" in str(jax.make_jaxpr(lambda x, w: fast(x, w, (1, 1), "SAME"))(x, w))
    with conv.convolution_form("native"):
        assert "custom_vjp" not in str(jax.make_jaxpr(lambda x, w: fast(x, w, (1, 1), "SAME"))(x, w))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "custom_vjp" not in str(jax.make_jaxpr(lambda x, w: fast(x, w, (1, 1), "SAME"))(x, w))
    with conv.convolution_form("products"):  # whole, however large: no loop over tiles
        large = jnp.concatenate([x] * 8)
        monkeypatch.setattr(conv, "WHOLE", 0)
        found = str(jax.make_jaxpr(lambda x, w: gradients(fast, x, w, (1, 1), "SAME"))(large, w))
        assert "custom_vjp" in found or "dot_general" in found
        assert "conv_general_dilated[" not in found
        assert "scan[" not in found


@pytest.mark.parametrize("options", [{"rhs_dilation": (2, 2)}, {"feature_group_count": 2}])
def test_other_settings_take_the_native_form(options):
    x, w = arrays(width=4)
    w = w[:, :, :1] if "feature_group_count" in options else w
    found = conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=LAYOUT, **options)
    expected = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=LAYOUT, **options)
    np.testing.assert_array_equal(found, expected)
