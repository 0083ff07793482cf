"""Entries of the NeurIPS 2023 competition: their steps written out, what they draw anew and what they leave alone.

Batches are whole subsets, so that no step depends on an order.  Where weights are drawn first, a run with a vanishing
learning rate and the same key shows them.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import (
    class_weighted_noise,
    decoupled_reset,
    fanchuan,
    magnitude_gradient,
    prune_match,
    random_noise_injection,
    transpose_kernels,
)
from unlearnax.models import mlp
from unlearnax.types import InputSpec

KEY = jax.random.key(0)
MOMENTUM, DECAY = 0.9, 0.02
SGD = {"momentum": MOMENTUM, "weight_decay": DECAY}
STILL = 1e-9  # a learning rate that moves nothing


def descend(params, steps, *, decay=DECAY, slope=None):
    """SGD with momentum by (objective, rate) pairs, and the decay added to the gradient; slope: what else befalls it."""
    buffer = jax.tree.map(jnp.zeros_like, params)
    for objective, rate in steps:
        grads = jax.jit(jax.grad(objective))(params)
        grads = slope(grads) if slope else grads
        buffer = jax.tree.map(lambda b, g, p: MOMENTUM * b + g + decay * p, buffer, grads, params)
        params = jax.tree.map(lambda p, b, rate=rate: p - rate * b, params, buffer)
    return params


def cosine(rate, epochs):
    return [rate * (1 + np.cos(np.pi * e / epochs)) / 2 for e in range(epochs)]


def on_retain(tiny, model, weights=None):
    """Mean of w_y ℓ over R."""
    x, y = (each[tiny.rows["retain"]] for each in (tiny.x, tiny.y))
    weights = jnp.ones(3) if weights is None else weights

    def loss(params):
        logits, _ = model.apply(params, {}, x, train=True, key=KEY)
        return -(weights[y] * jax.nn.log_softmax(logits)[np.arange(len(y)), y]).mean()

    return loss


def always(model, state):
    """The model with an init that ignores its key."""
    return dataclasses.replace(model, init=lambda key: (state.params, state.model_state))


def run(algorithm, tiny, model=None, state=None, request=None, **given):
    model = model or tiny.model
    state = state or tiny.state(model)
    return algorithm(model, **given)(KEY, state, request or tiny.request())[0].params


@pytest.fixture(scope="module")
def deep():
    """Layers dense0, dense1, head."""
    return mlp(InputSpec((4,), mean=1.0, std=1.5), 3, widths=(8, 7))


def test_fanchuan_takes_turns_with_three_momenta(tiny, direct):
    """S stands twice in its batches; the logits of R are constant in the contrast."""
    s, r, params = tiny.rows["forget"], tiny.rows["retain"], tiny.state().params
    out = run(
        fanchuan, tiny, temperature=1.5, uniform_learning_rate=0.1, forget_learning_rate=0.04, learning_rate=0.05,
        epochs=3, batch_size=24, **SGD,
    )  # fmt: skip

    def uniform(p):
        logits = direct.logits(p, tiny.x[s])
        return direct.kl(jnp.zeros_like(logits), logits).mean()

    def contrast(p, of_r):
        return -direct.log_p(direct.logits(p, tiny.x[s]) @ of_r.T / 1.5).mean()

    def subtract(p, rate, buffer):
        return jax.tree.map(lambda a, b: a - rate * b, p, buffer)

    params = subtract(params, 0.1, jax.grad(uniform)(params))
    push = hold = jax.tree.map(jnp.zeros_like, params)
    for rate in cosine(0.04, 3):
        slope = jax.grad(contrast)(params, direct.logits(params, tiny.x[r]))
        push = jax.tree.map(lambda b, g: MOMENTUM * b + g, push, slope)
        params = subtract(params, rate, push)
        slope = jax.grad(on_retain(tiny, tiny.model))(params)
        hold = jax.tree.map(lambda b, g, p: MOMENTUM * b + g + DECAY * p, hold, slope, params)
        params = subtract(params, 0.05, hold)
    direct.close(out, params)


def test_decoupled_reset_distils_on_validation_then_holds_on_retain(tiny, deep, direct):
    """First layer and head are fresh, the one between is kept; the second stage begins with a fresh momentum."""
    original, fresh, v, r = (
        tiny.state(deep).params,
        tiny.state(deep, seed=9),
        tiny.rows["validation"],
        tiny.rows["retain"],
    )
    assert len(v) == 8
    given = {"temperature": 2.0, "warmup_learning_rate": 0.1, "warmup_epochs": 2, "learning_rate": 0.05, "epochs": 3}
    out = run(
        decoupled_reset,
        tiny,
        always(deep, fresh),
        tiny.state(deep),
        tiny.request(retain=r[:8]),
        batch_size=8,
        **given,
        **SGD,
    )
    logits = lambda p, rows: deep.apply(p, {}, tiny.x[rows], train=False, key=None)[0]  # noqa: E731

    def distil(p, rows=v):
        return direct.kl(logits(original, rows), logits(p, rows), 2.0).mean()

    def hold(p):
        rows = r[:8]
        loss = -direct.log_p(logits(p, rows))[np.arange(8), tiny.y[rows]].mean()
        return loss + 2 * distil(p, rows)

    start = {"dense0": fresh.params["dense0"], "dense1": original["dense1"], "head": fresh.params["head"]}
    warm = descend(start, [(distil, 0.1)] * 2)
    direct.close(out, descend(warm, [(hold, rate) for rate in cosine(0.05, 3)]))


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


def test_class_weighted_noise_weighs_each_row_by_its_class(tiny, direct):
    """Without noise; w_c = |R| / (C' n_c) of the classes in R."""
    counts = np.bincount(tiny.y[tiny.rows["retain"]], minlength=3)
    assert len(set(counts)) > 1
    loss = on_retain(tiny, tiny.conv, 24 / (3 * counts))
    given = {"sigma": 0.0, "final_sigma": 0.0, "epochs": 3, "batch_size": 24} | SGD
    out = run(class_weighted_noise, tiny, tiny.conv, learning_rate=0.05, **given)
    direct.close(out, descend(tiny.state(tiny.conv).params, [(loss, rate) for rate in cosine(0.05, 3)]))


@pytest.mark.parametrize(
    ("given", "scale"), [({"epochs": 1}, 0.6), ({"epochs": 2, "sigma": 0.0, "final_sigma": 0.2}, 0.2)]
)
def test_class_weighted_noise_is_on_convolutions_alone(given, scale, tiny):
    out = run(class_weighted_noise, tiny, tiny.conv, learning_rate=STILL, batch_size=24, **given)
    noise = jax.tree.map(lambda a, b: np.asarray(a - b), out, tiny.state(tiny.conv).params)
    drawn = np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(noise) if leaf.ndim == 4])
    assert 0.85 * scale < drawn.std() < 1.15 * scale
    assert all(np.abs(leaf).max() < 1e-6 for leaf in jax.tree.leaves(noise) if leaf.ndim != 4)


def test_transpose_kernels_turns_and_fine_tunes(tiny, direct):
    state = tiny.state(tiny.conv)
    turned = jax.tree.map(lambda leaf: leaf.transpose(1, 0, 2, 3) if leaf.ndim == 4 else leaf, state.params)
    assert direct.differ(turned, state.params, by=0.1)
    out = run(transpose_kernels, tiny, tiny.conv, learning_rate=0.05, epochs=3, batch_size=24, **SGD)
    loss = on_retain(tiny, tiny.conv)
    direct.close(out, descend(turned, [(loss, rate) for rate in cosine(0.05, 3)]))


def test_random_noise_injection_moves_a_few_kernels_and_all_vectors(tiny, deep):
    """One of three kernels, drawn by the key, in an epoch without noise."""
    fresh, moved = tiny.state(deep, seed=9), set()
    start = tiny.state(deep).params | {"head": fresh.params["head"]}
    given = {"kernels": 1, "warmup_epochs": 1, "fine_epochs": 0, "epochs": 1, "learning_rate": 0.05, "batch_size": 24}
    algorithm = random_noise_injection(always(deep, fresh), sigma=0.5, **given)
    for seed in range(6):
        out = algorithm(jax.random.key(seed), tiny.state(deep), tiny.request())[0].params
        kernels = [name for name in out if not np.array_equal(out[name]["kernel"], start[name]["kernel"])]
        assert len(kernels) == 1
        assert all(not np.array_equal(out[name]["bias"], start[name]["bias"]) for name in out)
        moved.add(kernels[0])
    assert len(moved) > 1


def test_random_noise_injection_shakes_a_share_of_the_drawn_kernels(tiny, deep):
    """Two of three: round(.6 · 3)."""
    fresh = tiny.state(deep, seed=9)
    start = tiny.state(deep).params | {"head": fresh.params["head"]}
    out = run(
        random_noise_injection, tiny, always(deep, fresh), tiny.state(deep), sigma=0.3, noise_fraction=0.6,
        warmup_epochs=0, fine_epochs=0, epochs=1, learning_rate=STILL, batch_size=24,
    )  # fmt: skip
    noise = jax.tree.map(lambda a, b: np.asarray(a - b), out, start)
    shaken = [name for name in noise if np.abs(noise[name]["kernel"]).max() > 1e-6]
    assert len(shaken) == 2
    drawn = np.concatenate([noise[name]["kernel"].ravel() for name in shaken])
    assert 0.2 < drawn.std() < 0.4
    assert all(np.abs(noise[name]["bias"]).max() < 1e-6 for name in noise)


def test_random_noise_injection_ends_with_epochs_on_everything(tiny, direct):
    """Each with a fresh momentum."""
    fresh = tiny.state(seed=9)
    out = run(
        random_noise_injection, tiny, always(tiny.model, fresh), tiny.state(), warmup_epochs=0, fine_epochs=2, epochs=2,
        learning_rate=0.05, batch_size=24, **SGD,
    )  # fmt: skip
    params = tiny.state().params | {"head": fresh.params["head"]}
    for _ in range(2):
        params = descend(params, [(on_retain(tiny, tiny.model), 0.05)])
    direct.close(out, params)
