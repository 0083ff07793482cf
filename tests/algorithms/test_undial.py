"""UNDIAL against its steps written out, on batches that hold all of S."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import undial

SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}

KEY = jax.random.key(0)


@pytest.fixture
def losses(tiny, direct):
    """Loss of each example of S and of R, as functions of the weights."""
    s, r = tiny.rows["forget"], tiny.rows["retain"]
    return (
        lambda params: direct.nll(params, tiny.x[s], tiny.y[s]),
        lambda params: direct.nll(params, tiny.x[r], tiny.y[r]),
    )


def run(algorithm, tiny, batch_size=24, **given):
    """A batch of 24 holds each of the 24 of R once, each of the 12 of S twice."""
    return algorithm(tiny.model, batch_size=batch_size, **SGD | given)(KEY, tiny.state(), tiny.request())[0].params


def test_undial_distils_the_original_with_the_true_logit_lowered(tiny, direct, losses):
    beta, original, s = 2.0, tiny.state().params, tiny.rows["forget"]
    lowered = np.array(direct.logits(original, tiny.x[s]))
    lowered[np.arange(len(s)), tiny.y[s]] -= beta
    target = jnp.exp(direct.log_p(lowered))

    def objective(params):
        return -(target * direct.log_p(direct.logits(params, tiny.x[s]))).sum(-1).mean()

    out = run(undial, tiny, beta=beta, epochs=5)
    direct.close(out, direct.sgd(original, [objective] * 5, **SGD))
    assert losses[0](out).mean() > losses[0](original).mean() + 0.1


def test_undial_that_lowers_nothing_stays(tiny, direct):
    direct.close(run(undial, tiny, beta=0.0, weight_decay=0.0, epochs=5), tiny.state().params)
