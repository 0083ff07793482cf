"""The labels that are drawn, the saliency mask, and the steps of both relabelling algorithms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import random_label, salun
from unlearnax.algorithms.relabel import saliency_mask, wrong_labels

SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
KEY = jax.random.key(0)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def which(params, candidates):
    """Place of the only candidate that equals the parameters."""
    [place] = [i for i, c in enumerate(candidates) if np.allclose(flat(params), flat(c), rtol=1e-3, atol=2e-5)]
    return place


def test_drawn_labels_are_wrong_and_uniform(tiny):
    """400 draws for 12 examples of 5 classes: 1200 of each of the four shifts expected, 30 their spread."""
    request, s = tiny.request(), tiny.rows["forget"]
    labels = np.asarray(jax.vmap(lambda key: wrong_labels(key, request, 5))(jax.random.split(KEY, 400)))
    counts = np.bincount(((labels - tiny.y) % 5)[:, s].ravel(), minlength=5)
    assert counts[0] == 0
    assert (abs(counts[1:] - 1200) < 150).all()
    others = np.setdiff1d(np.arange(len(tiny.y)), s)  # among them row 0, at which the padding points
    assert (labels[:, others] == tiny.y[others]).all()
    assert labels.dtype == tiny.y.dtype


def test_random_label_trains_on_one_draw_with_what_is_retained(tiny, direct):
    """S is one example with two wrong labels: each run is one of the two direct ones, the label the same throughout."""
    s, r = tiny.rows["forget"][:1], tiny.rows["retain"][:23]
    rows, request = np.concatenate([s, r]), tiny.request(forget=s, retain=r)
    run = jax.jit(random_label(tiny.model, learning_rate=0.05, epochs=3, batch_size=24))

    def direct_run(label):
        y = np.concatenate([[label], tiny.y[r]])
        objective = [lambda params: direct.nll(params, tiny.x[rows], y).mean()] * 3
        return direct.adam(tiny.state().params, objective, learning_rate=0.05)

    candidates = [direct_run(label) for label in range(3) if label != tiny.y[s[0]]]
    keys = jax.random.split(KEY, 12)
    assert {which(run(key, tiny.state(), request)[0].params, candidates) for key in keys} == {0, 1}


def test_salun_redraws_labels_from_all_classes_each_epoch(tiny, direct):
    """S and R of one row each and no mask: two epochs are one of 3 × 3 direct runs, with equal labels and with others."""
    s, r = tiny.rows["forget"][:1], tiny.rows["retain"][:1]
    request = tiny.request(forget=s, retain=r)
    run = jax.jit(salun(tiny.model, fraction=1.0, **SGD, epochs=2, batch_size=1))

    def on(row, y):
        return lambda params: direct.nll(params, tiny.x[row], np.asarray([y])).mean()

    pairs = list(itertools.product(range(3), repeat=2))
    candidates = [
        direct.sgd(tiny.state().params, [on(s, a), on(r, tiny.y[r[0]]), on(s, b), on(r, tiny.y[r[0]])], **SGD)
        for a, b in pairs
    ]
    seen = {pairs[which(run(key, tiny.state(), request)[0].params, candidates)] for key in jax.random.split(KEY, 24)}
    assert {a for a, _ in seen} == {b for _, b in seen} == {0, 1, 2}
    assert any(a == b for a, b in seen)
    assert any(a != b for a, b in seen)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_mask_ranks_absolute_values_of_summed_gradients(fraction, tiny, direct):
    """Batches of one: the absolute value comes after the sum, and over all tensors together."""
    request, s, state = tiny.request(), tiny.rows["forget"], tiny.state()
    mask, examples = saliency_mask(KEY, tiny.model, state, request, fraction, 1)
    total = flat(jax.grad(lambda p: direct.nll(p, tiny.x[s], tiny.y[s]).sum())(state.params))
    chosen = int(fraction * total.size)
    assert set(np.flatnonzero(flat(mask))) == set(np.argsort(-abs(total))[:chosen])
    assert set(np.unique(flat(mask))) == {0.0, 1.0}
    assert examples == len(s)


def test_masked_weights_do_not_move_although_they_decay(tiny):
    request, state = tiny.request(), tiny.state()
    state = state._replace(params=jax.tree.map(lambda leaf: leaf + 0.1, state.params))  # decay would move every weight
    run = salun(tiny.model, fraction=0.5, learning_rate=0.1, momentum=0.9, weight_decay=0.1, epochs=3, batch_size=8)
    out, _ = run(KEY, state, request)
    mask, _ = saliency_mask(jax.random.split(KEY, 3)[0], tiny.model, state, request, 0.5, 8)
    assert np.array_equal(flat(out.params) != flat(state.params), flat(mask) == 1)


def test_without_salient_weights_nothing_moves(tiny):
    out, _ = salun(tiny.model, fraction=0.0, **SGD, epochs=2, batch_size=8)(KEY, tiny.state(), tiny.request())
    assert all(
        jnp.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (out.params, tiny.state().params)), strict=True)
    )
