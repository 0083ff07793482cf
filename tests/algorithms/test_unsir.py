"""UNSIR against its steps written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import batching
from unlearnax.algorithms import unsir

KEY = jax.random.key(0)


@pytest.mark.parametrize(("fraction", "size"), [(1.0, 24), (0.5, 12)])
def test_unsir_makes_noise_then_impairs_and_repairs(fraction, size, tiny, direct):
    """With one batch for the part of R: three runs of Adam, each with a fresh state."""
    forget, retain = tiny.rows["forget"][:1], tiny.rows["retain"]  # S of one class
    request, start = tiny.request(forget=forget), tiny.state().params
    run = unsir(
        tiny.model, noise_rate=0.1, noise_penalty=0.2, noise_steps=4, noises=5, retain_fraction=fraction,
        impair_rate=0.02, repair_rate=0.01, epochs=2, batch_size=size,
    )  # fmt: skip
    out, info = run(KEY, tiny.state(), request)

    key_noise, key_part, _, _ = jax.random.split(KEY, 4)
    seen = tiny.x[np.concatenate([forget, retain])]
    mean, std = seen.mean(), seen.std()
    wanted = np.full(5, tiny.y[forget[0]])

    def made(noise):
        return -direct.nll(start, mean + std * noise, wanted).mean() + 0.2 * jnp.square(noise).sum(1).mean()

    noise = direct.adam(jax.random.normal(key_noise, (5, 4)), [made] * 4, learning_rate=0.1)
    part = np.asarray(batching.shuffle(key_part, request.retain))[:size]
    assert set(part) <= set(retain)
    x = np.concatenate([tiny.x[part], mean + std * noise])
    y = np.concatenate([tiny.y[part], wanted])
    impaired = direct.adam(start, [lambda p: direct.nll(p, x, y).mean()] * 2, learning_rate=0.02)
    repaired = direct.adam(
        impaired, [lambda p: direct.nll(p, tiny.x[part], tiny.y[part]).mean()] * 2, learning_rate=0.01
    )
    direct.close(out.params, repaired)
    assert direct.differ(out.params, start, by=0.01)
    assert info.examples == 4 * 5 + 2 * (size + 5) + 2 * size


def test_unsir_reads_nothing_of_the_forget_set_but_its_class_mean_and_spread(tiny):
    """S turned around its mean: the sums are the same, the inputs are not."""
    forget = tiny.rows["forget"]
    x = tiny.x.copy()
    x[forget] = x[forget][:, ::-1]
    run = unsir(tiny.model, noise_steps=2, noises=3, batch_size=12)
    outs = [run(KEY, tiny.state(), tiny.request(x=each))[0].params for each in (tiny.x, x)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *outs)
