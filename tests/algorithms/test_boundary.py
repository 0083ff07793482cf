"""Boundary shrink against its steps written out, labels one example at a time."""

import jax
import numpy as np
import pytest

from unlearnax.algorithms import boundary_shrink

SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def trained(tiny, direct):
    """A member after 40 steps on R, so that some steps in input space cross a boundary and some do not."""
    rows = tiny.rows["retain"]
    loss = lambda p: direct.nll(p, tiny.x[rows], tiny.y[rows]).mean()  # noqa: E731
    return tiny.state()._replace(params=direct.sgd(tiny.state().params, [loss] * 40, learning_rate=0.3))


def across(tiny, direct, params, rows, bound):
    """Label of each row after one step uphill, by a loop; and how many of the inputs were clipped."""
    low, high = tiny.x[rows].min(), tiny.x[rows].max()
    labels, clipped = [], 0
    for row in rows:
        x, y = tiny.x[row], int(tiny.y[row])
        uphill = np.sign(jax.grad(lambda x, y=y: direct.nll(params, x[None], np.array([y]))[0])(x))
        moved = x + bound * (high - low) * uphill
        clipped += int(((moved < low) | (moved > high)).sum())
        labels.append(int(direct.logits(params, np.clip(moved, low, high)[None])[0].argmax()))
    return np.array(labels, np.int32), clipped


@pytest.mark.parametrize(("bound", "clips"), [(0.15, False), (0.6, True)])
def test_the_forget_set_is_trained_on_labels_across_the_boundary(bound, clips, tiny, direct, trained):
    """The labels are those of θ0 throughout."""
    forget = tiny.rows["forget"]
    labels, clipped = across(tiny, direct, trained.params, forget, bound)
    assert (clipped > 0) == clips
    assert 3 <= (labels != tiny.y[forget]).sum() <= (12 if clips else 10)
    run = boundary_shrink(tiny.model, bound=bound, **SGD, epochs=3, batch_size=12)
    out, _ = run(KEY, trained, tiny.request())
    steps = [lambda p: direct.nll(p, tiny.x[forget], labels).mean()] * 3
    direct.close(out.params, direct.sgd(trained.params, steps, **SGD))


def test_every_batch_of_the_forget_set_is_relabelled(tiny, direct, trained):
    """At a small rate two batches of six add up to twice the mean over S."""
    forget, rate = tiny.rows["forget"], 1e-3
    labels, _ = across(tiny, direct, trained.params, forget, 0.15)
    run = boundary_shrink(tiny.model, bound=0.15, learning_rate=rate, momentum=0.0, epochs=1, batch_size=6)
    out, _ = run(KEY, trained, tiny.request())
    slope = jax.grad(lambda p: direct.nll(p, tiny.x[forget], labels).mean())(trained.params)
    moved = jax.tree.map(lambda new, old: (old - new) / rate / 2, out.params, trained.params)
    direct.close(moved, slope, rtol=0.03, atol=3e-3)


def test_only_the_forget_set_sets_the_range(tiny, trained):
    """Rows outside of S may be as large as they like."""
    x = tiny.x.copy()
    x[tiny.rows["retain"]] *= 100
    run = boundary_shrink(tiny.model, bound=0.15, **SGD, epochs=2, batch_size=12)
    outs = [run(KEY, trained, tiny.request(x=each))[0].params for each in (tiny.x, x)]
    jax.tree.map(np.testing.assert_array_equal, *outs)
