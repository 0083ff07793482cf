"""Ascent and descent in one objective against the steps written out, on batches of all of S and of R."""

import jax
import numpy as np
import pytest

from unlearnax.algorithms import ascent_kl, grad_diff, gradient_ascent

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


def test_grad_diff_weighs_descent_against_full_ascent(tiny, direct, losses):
    def objective(params):
        return 0.3 * losses[1](params).mean() - losses[0](params).mean()

    out = run(grad_diff, tiny, alpha=0.3, epochs=3)
    direct.close(out, direct.sgd(tiny.state().params, [objective] * 3, **SGD))


@pytest.mark.parametrize("algorithm", [grad_diff, ascent_kl])
def test_nothing_held_is_gradient_ascent(algorithm, tiny, direct):
    direct.close(run(algorithm, tiny, alpha=0.0, epochs=3), run(gradient_ascent, tiny, epochs=3))


@pytest.mark.parametrize("algorithm", [grad_diff, ascent_kl])
def test_passes_are_those_of_the_forget_set(algorithm, tiny, direct):
    """S and R are one row each, 16 and 24 times: an epoch is two steps of 8."""
    s, r = tiny.rows["forget"][:1], tiny.rows["retain"][:1]
    request = tiny.request(forget=np.repeat(s, 16), retain=np.repeat(r, 24))
    out, info = algorithm(tiny.model, alpha=0.3, **SGD, epochs=2, batch_size=8)(KEY, tiny.state(), request)
    before = direct.logits(tiny.state().params, tiny.x[r])

    def objective(params):
        nll = direct.nll(params, tiny.x[r], tiny.y[r]).mean()
        kept = nll if algorithm is grad_diff else direct.kl(before, direct.logits(params, tiny.x[r])).mean()
        return 0.3 * kept - direct.nll(params, tiny.x[s], tiny.y[s]).mean()

    direct.close(out.params, direct.sgd(tiny.state().params, [objective] * 4, **SGD))
    assert info.examples == 64


def test_ascent_kl_holds_the_outputs_of_the_original(tiny, direct, losses):
    r, original = tiny.rows["retain"], tiny.state().params

    def objective(params):
        apart = direct.kl(direct.logits(original, tiny.x[r]), direct.logits(params, tiny.x[r]))
        return 0.8 * apart.mean() - losses[0](params).mean()

    direct.close(run(ascent_kl, tiny, alpha=0.8, epochs=4), direct.sgd(original, [objective] * 4, **SGD))


def test_ascent_kl_reads_no_label_of_the_retained(tiny, direct):
    y = tiny.y.copy()
    y[tiny.rows["retain"]] = (y[tiny.rows["retain"]] + 1) % 3
    algorithm = ascent_kl(tiny.model, **SGD, epochs=2, batch_size=8)
    states = [algorithm(KEY, tiny.state(), request)[0] for request in (tiny.request(), tiny.request(y=y))]
    direct.close(states[0].params, states[1].params, rtol=0, atol=0)
