"""Each algorithm's own update rule against a slow reference, on a problem where a batch of 8 is all of S or all of R."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import algorithms
from unlearnax.algorithms import _common, relabel
from unlearnax.batching import subset
from unlearnax.models import mlp
from unlearnax.types import InputSpec, Request, TrainState

S, R = np.arange(8), np.arange(8, 16)
D = np.arange(16)
KEY = jax.random.key(3)
MODEL = mlp(InputSpec((4,)), 3, widths=(8,), batch_norm=True)


def start(model=MODEL, seed=0):
    params, statistics = model.init(jax.random.key(seed))
    rng = np.random.default_rng(1)
    # Nothing at its initial 0 or 1: an importance or a norm that forgot a bias would otherwise go unseen.
    params = jax.tree.map(lambda leaf: leaf + 0.3 * rng.normal(size=leaf.shape).astype(np.float32), params)
    return TrainState(params, statistics, (), jnp.asarray(0, jnp.int32))


def make_request(seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(16, 4)).astype(np.float32), rng.integers(0, 3, 16).astype(np.int32)
    return Request(jnp.asarray(x), jnp.asarray(y), subset(S), subset(R), subset(np.arange(0)))


STATE, REQUEST = start(), make_request()


def softmax(params, rows, *, train=True, temperature=1.0, state=STATE):
    z = MODEL.apply(params, state.model_state, REQUEST.x[rows], train=train, key=None)[0] / temperature
    return jnp.exp(z) / jnp.exp(z).sum(1, keepdims=True)


def likelihood(params, rows, labels=None, **more):
    return softmax(params, rows, **more)[np.arange(len(rows)), REQUEST.y[rows] if labels is None else labels]


def loss(params, rows, labels=None, **more):
    return -jnp.log(likelihood(params, rows, labels, **more)).mean()


def kl(p, q):
    return (p * jnp.log(p / q)).sum(1).mean()


def combine(f, *trees):
    return jax.tree.map(f, *trees)


def ones(tree):
    return combine(jnp.ones_like, tree)


def descend(goals, learning_rate=0.1, momentum=0.9, weight_decay=0.01, mask=None):
    """SGD, one step for each goal ``params -> value``; returns all iterates."""
    theta, velocity, seen = STATE.params, combine(jnp.zeros_like, STATE.params), [STATE.params]
    mask = ones(theta) if mask is None else mask
    for goal in goals:
        gradient = combine(lambda g, p: g + weight_decay * p, jax.grad(goal)(theta), theta)
        velocity = combine(lambda v, g: momentum * v + g, velocity, gradient)
        theta = combine(lambda p, v, m: p - learning_rate * m * v, theta, velocity, mask)
        seen.append(theta)
    return seen


def adam(goals, learning_rate=0.01, b1=0.9, b2=0.999):
    theta = STATE.params
    first, second = combine(jnp.zeros_like, theta), combine(jnp.zeros_like, theta)
    for t, goal in enumerate(goals, start=1):
        g = jax.grad(goal)(theta)
        first = combine(lambda a, g: b1 * a + (1 - b1) * g, first, g)
        second = combine(lambda a, g: b2 * a + (1 - b2) * g * g, second, g)
        theta = combine(
            lambda p, a, b, t=t: p - learning_rate * (a / (1 - b1**t)) / (jnp.sqrt(b / (1 - b2**t)) + 1e-8),
            theta, first, second,
        )  # fmt: skip
    return theta


SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01, "batch_size": 8}
ADAM = {"learning_rate": 0.01, "batch_size": 8}


def run(make, *, model=MODEL, state=STATE, request=REQUEST, **hyperparameters):
    return jax.jit(make(model, **hyperparameters))(KEY, state, request)


def assert_close(found, expected, tolerance=2e-5):
    def without_idle_bias(params):  # a bias in front of a BatchNorm has no gradient, and Adam walks it by rounding
        return params | {"dense0": params["dense0"]["kernel"]}

    pairs = without_idle_bias(found), without_idle_bias(expected)
    combine(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), *pairs)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


# Fine-tuning


def test_fine_tune_is_sgd_on_the_retained_loss():
    state, info = run(algorithms.fine_tune, epochs=3, **SGD)
    seen = descend([lambda p: loss(p, R)] * 3)
    assert_close(state.params, seen[-1])
    np.testing.assert_allclose(info.loss, loss(seen[-2], R), rtol=1e-5)
    assert state.step == 3


def test_loss_is_the_mean_over_the_last_pass():
    means = []

    def objective(params, model_state, key, step, rows):
        return jnp.asarray(step, jnp.float32), model_state

    for passes in (1, 3):
        carry = _common.begin(STATE, _common.sgd(0.1, 0.0, 0.0))
        carry = _common.optimise(KEY, carry, _common.sgd(0.1, 0.0, 0.0), objective, subset(D), batch_size=3,
                                 passes=passes)  # fmt: skip
        means.append(float(_common.end(carry)[1].loss))
    assert means == [2.0, 12.0]  # steps 0 … 4; steps 10 … 14


def test_batch_statistics_are_carried():
    state, _ = run(algorithms.fine_tune, epochs=1, **SGD)
    hidden = REQUEST.x[R] @ STATE.params["dense0"]["kernel"] + STATE.params["dense0"]["bias"]
    np.testing.assert_allclose(state.model_state["batch_stats"]["norm0"]["mean"], 0.1 * hidden.mean(0), atol=1e-6)


def test_l1_sparse_penalises_the_norm_less_and_less():
    gamma = 0.05

    def goal(t):
        return lambda p: loss(p, R) + gamma * (1 - t / 4) * sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(p))

    state, info = run(algorithms.l1_sparse, gamma=gamma, epochs=4, **SGD)
    seen = descend([goal(t) for t in range(4)])
    assert_close(state.params, seen[-1])
    norm = np.abs(flat(seen[-2])).sum()
    np.testing.assert_allclose(info.loss - loss(seen[-2], R), gamma / 4 * norm, rtol=1e-4)


def test_l1_sparse_without_penalty_is_fine_tuning():
    assert_close(run(algorithms.l1_sparse, gamma=0.0, epochs=3, **SGD)[0].params,
                 run(algorithms.fine_tune, epochs=3, **SGD)[0].params)  # fmt: skip


# Ascent


def test_gradient_ascent_is_sgd_on_minus_the_forget_loss():
    state, _ = run(algorithms.gradient_ascent, epochs=3, **SGD)
    assert_close(state.params, descend([lambda p: -loss(p, S)] * 3)[-1])
    assert loss(state.params, S) > loss(STATE.params, S)


def test_neg_grad_plus_weighs_both_losses_each_with_its_own_batch_statistics():
    state, _ = run(algorithms.neg_grad_plus, alpha=0.7, epochs=3, **SGD)
    assert_close(state.params, descend([lambda p: 0.7 * loss(p, R) - 0.3 * loss(p, S)] * 3)[-1])


def test_npo_against_its_closed_form():
    beta, alpha = 0.5, 0.4
    before = likelihood(STATE.params, S, train=False)

    def goal(params):  # −(2/β) log σ(−β log r) = (2/β) log(1 + r^β)
        return 2 / beta * jnp.log1p((likelihood(params, S) / before) ** beta).mean() + alpha * loss(params, R)

    state, info = run(algorithms.npo, beta=beta, alpha=alpha, epochs=3, **SGD)
    seen = descend([goal] * 3)
    assert_close(state.params, seen[-1])
    np.testing.assert_allclose(info.loss, goal(seen[-2]), rtol=1e-5)


def test_npo_tends_to_gradient_ascent_as_beta_vanishes():
    plain = dataclasses.replace(MODEL, apply=lambda *args, **more: (MODEL.apply(*args, **more)[0], args[1]))
    ascent = run(algorithms.gradient_ascent, model=plain, epochs=3, **SGD)[0].params
    gaps = []
    for beta in (1e-1, 1e-2, 1e-3):
        found = run(algorithms.npo, model=plain, beta=beta, alpha=0.0, epochs=3, **SGD)[0].params
        gaps.append(np.abs(flat(found) - flat(ascent)).max())
    assert gaps[0] > 5 * gaps[1] > 25 * gaps[2]
    assert gaps[2] < 2e-3


# Other labels


def test_wrong_labels_are_wrong_uniform_and_only_those_of_the_forget_set():
    request = REQUEST._replace(y=jnp.zeros(16, jnp.int32), forget=subset(S[:5], capacity=12))  # padded with row 0
    keys = jax.random.split(KEY, 2000)
    labels = np.asarray(jax.vmap(lambda key: relabel.wrong_labels(key, request, 4))(keys))
    assert (labels[:, 5:] == 0).all()
    assert set(np.unique(labels[:, :5])) == {1, 2, 3}
    for wrong in (1, 2, 3):
        np.testing.assert_allclose((labels[:, :5] == wrong).mean(0), 1 / 3, atol=0.05)  # 5 standard deviations
    assert (np.asarray(relabel.wrong_labels(KEY, REQUEST, 3))[S] != REQUEST.y[S]).all()


def test_random_label_is_adam_on_the_union():
    labels = relabel.wrong_labels(jax.random.split(KEY)[0], REQUEST, 3)
    state, info = run(algorithms.random_label, epochs=3, **(ADAM | {"batch_size": 16}))
    assert_close(state.params, adam([lambda p: loss(p, D, labels)] * 3), 2e-4)
    assert info.examples == 3 * 16


def expected_mask(gradient, fraction):
    sizes = np.abs(flat(gradient))
    mask = np.zeros(sizes.size, np.float32)
    mask[np.argsort(-sizes, kind="stable")[: int(fraction * sizes.size)]] = 1
    return jax.flatten_util.ravel_pytree(gradient)[1](jnp.asarray(mask))


def test_salun_moves_salient_weights_only_under_momentum_and_decay(monkeypatch):
    asked = []

    def always_two(key, shape, low, high):
        asked.append((shape, low, high))
        return jnp.full(shape, 2)

    monkeypatch.setattr(jax.random, "randint", always_two)
    state, info = run(algorithms.salun, fraction=0.5, epochs=2, **SGD)
    mask = expected_mask(jax.grad(lambda p: loss(p, S, train=False))(STATE.params), 0.5)
    goals = [lambda p: loss(p, S, np.full(8, 2)), lambda p: loss(p, R)] * 2
    assert_close(state.params, descend(goals, mask=mask)[-1])
    still = flat(mask) == 0
    assert still.sum() == np.ceil(still.size / 2)
    assert (flat(state.params)[still] == flat(STATE.params)[still]).all()
    assert set(asked) == {((8,), 0, 3)}  # any label, the true one included
    assert info.examples == 8 + 2 * 16


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 1.0])
def test_saliency_mask_holds_its_fraction_also_among_equal_gradients(fraction):
    silent = REQUEST._replace(x=REQUEST.x.at[:, 1:].set(0.0))  # three of four inputs constant: their gradients are 0
    mask, examples = relabel.saliency_mask(KEY, MODEL, STATE, silent, fraction, 8)
    assert flat(mask).sum() == np.floor(fraction * flat(mask).size)
    assert set(flat(mask)) <= {0.0, 1.0}
    assert examples == 8


def test_saliency_takes_the_absolute_value_after_the_sum():
    request = REQUEST._replace(forget=subset(D))
    mask, _ = relabel.saliency_mask(KEY, MODEL, STATE, request, 0.5, 8)
    total = jax.grad(lambda p: loss(p, D, train=False))(STATE.params)  # two batches: the sum is twice the mean over all
    assert (flat(mask) == flat(expected_mask(total, 0.5))).all()


# Distillation


def test_scrub_pushes_on_the_forget_set_and_holds_on_the_retained_set():
    t, alpha, gamma = 2.0, 0.3, 0.8

    def apart(params, rows):
        teacher = softmax(STATE.params, rows, train=False, temperature=t)  # the original throughout
        return t**2 * kl(teacher, softmax(params, rows, temperature=t))

    def push(params):
        return -apart(params, S)

    def hold(params):
        return gamma * loss(params, R) + alpha * apart(params, R)

    state, info = run(algorithms.scrub, temperature=t, alpha=alpha, gamma=gamma, max_epochs=2, epochs=3, **ADAM)
    assert_close(state.params, adam([push, hold, push, hold, hold]), 5e-4)
    assert info.examples == 5 * 8
    never, info = run(algorithms.scrub, temperature=t, alpha=alpha, gamma=gamma, max_epochs=0, epochs=3, **ADAM)
    assert_close(never.params, adam([hold] * 3), 5e-4)
    assert info.examples == 3 * 8


def test_bad_teacher_follows_a_random_network_on_the_forget_set_and_the_original_elsewhere():
    bad = start(seed=9)
    model = dataclasses.replace(MODEL, init=lambda key: (bad.params, bad.model_state))
    t = 1.5
    taught = jnp.concatenate([
        softmax(bad.params, S, train=False, temperature=t, state=bad),
        softmax(STATE.params, R, train=False, temperature=t),
    ])  # fmt: skip

    def goal(params):
        return kl(taught, softmax(params, D, temperature=t))

    hyperparameters = ADAM | {"batch_size": 16, "retain_fraction": 1.0, "temperature": t}
    state, info = run(algorithms.bad_teacher, model=model, epochs=3, **hyperparameters)
    assert_close(state.params, adam([goal] * 3), 5e-4)
    np.testing.assert_allclose(info.examples, 3 * 16)


@pytest.mark.parametrize(("fraction", "examples"), [(0.0, 8), (0.3, 10), (0.5, 12), (1.0, 16)])
def test_bad_teacher_takes_its_share_of_the_retained_set(fraction, examples):
    _, info = run(algorithms.bad_teacher, retain_fraction=fraction, learning_rate=0.01, batch_size=1)
    assert info.examples == examples


# Dampening


def importances(rows, per_example):
    gradient = jax.jit(jax.grad(lambda p, rows, labels: loss(p, rows, labels, train=False)))
    groups = rows[:, None] if per_example else rows[None]
    squares = [combine(jnp.square, gradient(STATE.params, group, REQUEST.y[group])) for group in groups]
    return combine(lambda *leaves: sum(leaves) / len(groups), *squares)


@pytest.mark.parametrize("per_example", [False, True])
@pytest.mark.parametrize("dampening", [0.5, 3.0])
def test_ssd_dampens_selected_weights_and_leaves_the_others(per_example, dampening):
    alpha = 1.3
    i_d, i_s = importances(D, per_example), importances(S, per_example)
    state, info = run(algorithms.ssd, alpha=alpha, dampening=dampening, batch_size=16, per_example=per_example)

    def dampen(theta, i_d, i_s):
        return jnp.where(i_s > alpha * i_d, theta * jnp.minimum(dampening * i_d / i_s, 1), theta)

    combine(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6), state.params,
            combine(dampen, STATE.params, i_d, i_s))  # fmt: skip
    left = flat(i_s) <= alpha * flat(i_d)
    assert 0 < left.sum() < left.size
    assert (flat(state.params)[left] == flat(STATE.params)[left]).all()
    assert (np.abs(flat(state.params)) <= np.abs(flat(STATE.params))).all()
    assert info.examples == 2 * 16


def test_ssd_with_nothing_selected_is_the_original():
    state, _ = run(algorithms.ssd, alpha=1e6, batch_size=8)
    assert (flat(state.params) == flat(STATE.params)).all()
