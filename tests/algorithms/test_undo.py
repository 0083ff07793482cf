"""Suppression and distillation into a noised copy, against the steps written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import undo

KEY = jax.random.key(0)


@pytest.mark.parametrize("alpha", [0.3, 0.8])
def test_undo_suppresses_shrinks_and_distils(alpha, tiny, direct):
    """Without noise; S stands twice in its batches."""
    s, r, start = tiny.rows["forget"], tiny.rows["retain"], tiny.state().params
    run = undo(
        tiny.model,
        alpha=alpha,
        beta=0.0,
        suppress_rate=0.02,
        suppress_epochs=2,
        learning_rate=0.01,
        epochs=3,
        batch_size=24,
    )
    out, _ = run(KEY, tiny.state(), tiny.request())

    def suppress(p):
        logits = direct.logits(p, tiny.x[s])
        return direct.kl(jnp.zeros_like(logits), logits).mean() + direct.nll(p, tiny.x[r], tiny.y[r]).mean()

    teacher = direct.adam(start, [suppress] * 2, learning_rate=0.02)
    taught = {name: direct.logits(teacher, tiny.x[rows]) for name, rows in (("s", s), ("r", r))}

    def imitate(p):
        return (
            direct.kl(taught["s"], direct.logits(p, tiny.x[s])).mean()
            + direct.kl(taught["r"], direct.logits(p, tiny.x[r])).mean()
        )

    student = jax.tree.map(lambda leaf: (1 - alpha) * leaf, teacher)
    expected = direct.adam(student, [imitate] * 3, learning_rate=0.01)
    direct.close(out.params, expected)
    assert direct.differ(expected, student, by=0.01)


def test_the_noise_of_undo_is_xavier_uniform_on_kernels_alone(tiny):
    """α = 0 leaves the suppressed model: its student equals its teacher and has no gradient."""
    given = {"suppress_rate": 0.02, "learning_rate": 1e-9, "epochs": 1, "batch_size": 24}
    suppressed, still, noisy = (
        undo(tiny.model, alpha=alpha, beta=beta, **given)(KEY, tiny.state(), tiny.request())[0].params
        for alpha, beta in ((0.0, 0.0), (0.0, 0.5), (0.4, 0.5))
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), still, suppressed)
    for layer in ("dense0", "head"):
        np.testing.assert_allclose(noisy[layer]["bias"], 0.6 * suppressed[layer]["bias"], rtol=1e-4, atol=1e-7)
        noise = (noisy[layer]["kernel"] - 0.6 * suppressed[layer]["kernel"]) / 0.2
        bound = np.sqrt(6 / sum(noise.shape))
        assert np.abs(noise).max() <= bound * 1.001
        assert 0.75 * bound / np.sqrt(3) < noise.std() < 1.25 * bound / np.sqrt(3)
