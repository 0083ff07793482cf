"""SimNPO and DPO against the steps written out, on batches that hold all of S and of R."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import dpo, fine_tune, npo, sim_npo

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


def log_sigmoid(z):
    return jnp.log(1 / (1 + jnp.exp(-z)))


def test_sim_npo_bounds_ascent_by_the_loss_itself(tiny, direct, losses):
    beta, delta, alpha = 1.5, 0.7, 0.4

    def objective(params):
        disliked = -2 / beta * log_sigmoid(beta * (losses[0](params) - delta)).mean()
        return disliked + alpha * losses[1](params).mean()

    out = run(sim_npo, tiny, beta=beta, delta=delta, alpha=alpha, epochs=4)
    direct.close(out, direct.sgd(tiny.state().params, [objective] * 4, **SGD))


def test_sim_npo_pushes_below_delta_and_lets_go_above(tiny, direct, losses):
    start = tiny.state().params
    twice_ascent = direct.sgd(start, [lambda p: -2 * losses[0](p).mean()] * 3, **SGD)
    direct.close(run(sim_npo, tiny, delta=1e3, alpha=0.0, epochs=3), twice_ascent)
    alone = run(sim_npo, tiny, delta=-1e3, alpha=1.0, epochs=3)
    direct.close(alone, run(fine_tune, tiny, epochs=3))


def test_sim_npo_shrinks_ahead_of_npo_where_the_original_already_errs(tiny, losses):
    """At θ0 the weight of an example is 2σ(−βℓ), 1 at ℓ = 0 and less the larger ℓ is, where NPO's is always 1."""
    given = {"beta": 1.0, "alpha": 0.0, "epochs": 1, "weight_decay": 0.0}
    start = losses[0](tiny.state().params).mean()
    assert start < losses[0](run(sim_npo, tiny, **given)).mean() < losses[0](run(npo, tiny, **given)).mean()


@pytest.mark.parametrize("refusal", ["uniform", "next_best"])
def test_dpo_prefers_the_refusal_to_the_true_label(refusal, tiny, direct, losses):
    beta, alpha, original, s = 1.5, 0.4, tiny.state().params, tiny.rows["forget"]
    before = np.array(direct.logits(original, tiny.x[s]))

    def gap(params):
        """r_win − r_lose of each example, one after the other."""
        ratios = direct.log_p(direct.logits(params, tiny.x[s])) - direct.log_p(before)
        gaps = []
        for i, true in enumerate(tiny.y[s]):
            others = [k for k in range(3) if k != true]
            best = max(others, key=lambda k, i=i: before[i, k])
            win = sum(ratios[i]) / 3 if refusal == "uniform" else ratios[i, best]
            gaps.append(win - ratios[i, true])
        return jnp.stack(gaps)

    def objective(params):
        return -2 / beta * log_sigmoid(beta * gap(params)).mean() + alpha * losses[1](params).mean()

    out = run(dpo, tiny, refusal=refusal, beta=beta, alpha=alpha, epochs=4)
    direct.close(out, direct.sgd(original, [objective] * 4, **SGD))
    assert gap(out).mean() > 0.1


def test_the_two_refusals_differ(tiny, direct):
    uniform, best = (run(dpo, tiny, refusal=refusal, epochs=3) for refusal in ("uniform", "next_best"))
    assert direct.differ(uniform, best)
