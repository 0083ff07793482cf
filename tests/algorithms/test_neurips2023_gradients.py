"""Place 2 of the NeurIPS 2023 competition: the steps written out, what is drawn anew and what is left alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from neurips2023_steps import SGD, STILL, descend, on_retain, run

from unlearnax.algorithms import (
    magnitude_gradient,
)
from unlearnax.models import mlp
from unlearnax.types import InputSpec


@pytest.mark.parametrize("kind", ["model", "conv"])
def test_magnitude_gradient_draws_anew_what_the_two_sets_pull_least_apart(kind, tiny):
    """With R as large as S all of it is compared; without convolutions every kernel is treated so, else those alone."""
    model, r, s = getattr(tiny, kind), tiny.rows["retain"][:12], tiny.rows["forget"]
    state, request = tiny.state(model), tiny.request(retain=r)
    out = run(magnitude_gradient, tiny, model, state, request, fraction=0.4, learning_rate=STILL, batch_size=12, **SGD)

    def apart(p):
        losses = []
        for rows in (r, s):
            logits, _ = model.apply(p, {}, tiny.x[rows], train=False, key=None)
            losses.append(-jax.nn.log_softmax(logits)[np.arange(12), tiny.y[rows]].mean())
        return losses[0] - losses[1]

    scores = jax.tree_util.tree_leaves_with_path(jax.grad(apart)(state.params))
    for (path, score), old, new in zip(scores, jax.tree.leaves(state.params), jax.tree.leaves(out), strict=True):
        changed = ~np.isclose(new, old, rtol=0, atol=1e-6)
        if score.ndim > 1 and (kind == "model" or score.ndim == 4):
            cut = np.sort(np.abs(score).ravel())
            count = round(0.4 * score.size)
            assert changed.sum() == count, path
            assert np.abs(score)[changed].max() <= cut[count - 1] * 1.001 + 1e-7
        else:
            assert not changed.any(), path


def test_magnitude_gradient_trains_the_rest_slowly_at_a_rate_that_rises_and_falls(tiny, direct):
    given = {"fraction": 0.4, "slowdown": 0.25, "epochs": 3, "batch_size": 24} | SGD
    start = run(magnitude_gradient, tiny, learning_rate=STILL, **given)
    out = run(magnitude_gradient, tiny, learning_rate=0.1, **given)
    anew = jax.tree.map(lambda a, b: ~np.isclose(a, b, rtol=0, atol=1e-6), start, tiny.state().params)
    speed = jax.tree.map(lambda new: np.where(new, 1.0, 0.25) if new.ndim > 1 else np.ones(new.shape), anew)
    loss = on_retain(tiny, tiny.model)
    steps = [(loss, 0.1 * share) for share in (1 / 2, 1, 1 / 2)]
    direct.close(out, descend(start, steps, slope=lambda grads: jax.tree.map(jnp.multiply, grads, speed)))


def test_the_scale_of_what_magnitude_gradient_draws(tiny):
    """N(0, 2 / (h w K)), by its mean square."""
    model = mlp(InputSpec((4,), mean=1.0, std=1.5), 3, widths=(128,))
    kernel = run(magnitude_gradient, tiny, model, fraction=1.0, learning_rate=STILL, batch_size=12)["dense0"]["kernel"]
    assert 0.8 * 2 / 128 < jnp.square(kernel).mean() < 1.2 * 2 / 128
