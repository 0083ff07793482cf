"""Place 4 of the NeurIPS 2023 competition: the steps written out, what is drawn anew and what is left alone."""

import jax
import jax.numpy as jnp
import numpy as np
from neurips2023_steps import SGD, STILL, descend, run

from unlearnax.algorithms import (
    prune_match,
)


def test_prune_match_redraws_the_smallest_and_holds_the_entropy(tiny, direct):
    original, r = tiny.state().params, tiny.rows["retain"]
    given = {"fraction": 0.6, "epochs": 3, "batch_size": 24} | SGD
    drawn = run(prune_match, tiny, learning_rate=STILL, **given)
    kernels = [(layer, original[layer]["kernel"]) for layer in ("dense0", "head")]
    cut = np.sort(np.concatenate([np.abs(kernel).ravel() for _, kernel in kernels]))
    count = round(0.6 * len(cut))
    start = jax.tree.map(np.asarray, drawn)
    for layer, kernel in kernels:  # of all kernels together; a kept one is what it was, but for its rounding
        small = np.abs(kernel) <= cut[count - 1]
        np.testing.assert_allclose(drawn[layer]["kernel"][~small], kernel[~small], rtol=1e-3)
        assert (np.abs(drawn[layer]["kernel"] - kernel)[small] > 1e-3).mean() > 0.9
        assert np.abs(drawn[layer]["kernel"][small]).max() <= kernel.shape[0] ** -0.5 * 1.001
        np.testing.assert_allclose(drawn[layer]["bias"], original[layer]["bias"], rtol=1e-3)
        start[layer]["kernel"] = np.where(small, drawn[layer]["kernel"], kernel)
    x, y = tiny.x[r], tiny.y[r]
    weights = np.bincount(y, minlength=3)[y] ** -0.1

    def entropy(p):
        log_p = direct.log_p(direct.logits(p, x))
        return -(jnp.exp(log_p) * log_p).sum(-1)

    def objective(p):
        return (weights * direct.nll(p, x, y)).sum() / weights.sum() + jnp.square(entropy(p) - entropy(original)).mean()

    out = run(prune_match, tiny, learning_rate=0.1, **given)
    direct.close(out, descend(start, [(objective, 0.1)] * 3), rtol=2e-3, atol=2e-3)
    jax.tree.map(lambda leaf: np.testing.assert_array_equal(leaf, leaf.astype(np.float16)), out)
