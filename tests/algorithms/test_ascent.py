"""Ascent, ascent beside descent and NPO against the steps written out, on batches that hold all of S and of R."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import fine_tune, gradient_ascent, neg_grad_plus, npo

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


def run(algorithm, tiny, **given):
    return algorithm(tiny.model, **SGD | given)(KEY, tiny.state(), tiny.request())[0].params


def test_gradient_ascent_climbs_the_loss_of_the_forget_set(tiny, direct, losses):
    out = run(gradient_ascent, tiny, epochs=3, batch_size=12)
    direct.close(out, direct.sgd(tiny.state().params, [lambda p: -losses[0](p).mean()] * 3, **SGD))
    assert losses[0](out).mean() > losses[0](tiny.state().params).mean() + 0.1


def test_neg_grad_plus_weighs_descent_and_ascent(tiny, direct, losses):
    out = run(neg_grad_plus, tiny, alpha=0.7, epochs=3, batch_size=24)  # a batch of 24 holds each of the 12 of S twice

    def objective(params):
        return 0.7 * losses[1](params).mean() - 0.3 * losses[0](params).mean()

    direct.close(out, direct.sgd(tiny.state().params, [objective] * 3, **SGD))


def test_neg_grad_plus_without_ascent_is_fine_tuning(tiny, direct):
    direct.close(
        run(neg_grad_plus, tiny, alpha=1.0, epochs=3, batch_size=24), run(fine_tune, tiny, epochs=3, batch_size=24)
    )


def test_neg_grad_plus_cycles_the_forget_set_through_a_pass_of_the_retained(tiny, direct):
    """S is one row and R another, 24 times: a pass is three steps, whatever the size of S."""
    s, r = tiny.rows["forget"][:1], tiny.rows["retain"][:1]
    request = tiny.request(forget=s, retain=np.repeat(r, 24))
    out, info = neg_grad_plus(tiny.model, alpha=0.7, **SGD, epochs=1, batch_size=8)(KEY, tiny.state(), request)

    def objective(params):
        loss = (direct.nll(params, tiny.x[rows], tiny.y[rows]).mean() for rows in (r, s))
        return 0.7 * next(loss) - 0.3 * next(loss)

    direct.close(out.params, direct.sgd(tiny.state().params, [objective] * 3, **SGD))
    assert info.examples == 48


def test_batches_of_both_sets_are_normalised_apart(tiny, direct):
    """Under BatchNorm with α = 1 the forget batch changes the running statistics, never the weights."""
    given = SGD | {"epochs": 2, "batch_size": 24}
    state, request = tiny.state(tiny.normed), tiny.request()
    both, _ = neg_grad_plus(tiny.normed, alpha=1.0, **given)(KEY, state, request)
    alone, _ = fine_tune(tiny.normed, **given)(KEY, state, request)
    direct.close(both.params, alone.params)
    assert direct.differ(both.model_state, alone.model_state)


def test_npo_bounds_ascent_by_the_ratio_to_the_original(tiny, direct, losses):
    beta, alpha, original = 1.5, 0.4, tiny.state().params
    out = run(npo, tiny, beta=beta, alpha=alpha, epochs=4, batch_size=24)

    def objective(params):
        ratio = losses[0](original) - losses[0](params)  # log p_θ − log p_θ0
        return -2 / beta * jnp.log(1 / (1 + jnp.exp(beta * ratio))).mean() + alpha * losses[1](params).mean()

    direct.close(out, direct.sgd(original, [objective] * 4, **SGD))


def test_npo_tends_to_ascent_as_beta_falls(tiny, direct, losses):
    ascent = direct.sgd(tiny.state().params, [lambda p: -losses[0](p).mean()] * 3, **SGD)
    direct.close(run(npo, tiny, beta=1e-5, alpha=0.0, epochs=3, batch_size=24), ascent)
    damped = run(npo, tiny, beta=5.0, alpha=0.0, epochs=3, batch_size=24)
    assert direct.differ(damped, ascent)
    assert losses[0](damped).mean() < losses[0](ascent).mean()


def test_npo_begins_as_ascent_for_every_beta(tiny, direct, losses):
    """At θ = θ0 the ratio is 0 and the weight 2σ(0) = 1."""
    ascent = direct.sgd(tiny.state().params, [lambda p: -losses[0](p).mean()], **SGD)
    direct.close(run(npo, tiny, beta=5.0, alpha=0.0, epochs=1, batch_size=24), ascent)
