"""Boundary shrink and UNSIR against the steps written out, labels one example at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax import batching
from unlearnax.algorithms import boundary_shrink, unsir

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


@pytest.mark.parametrize(("fraction", "size"), [(1.0, 24), (0.5, 12)])
def test_unsir_makes_noise_then_impairs_and_repairs(fraction, size, tiny, direct):
    """With one batch for the part of R: three runs of Adam, each with a fresh state."""
    forget, retain = tiny.rows["forget"][:1], tiny.rows["retain"]  # S of one class
    request, start = tiny.request(forget=forget), tiny.state().params
    run = unsir(
        tiny.model, noise_rate=0.1, noise_penalty=0.2, noise_steps=4, noises=5, retain_fraction=fraction,
        impair_rate=0.02, repair_rate=0.01, epochs=2, batch_size=size,
    )  # fmt: skip
    out, info = run(KEY, tiny.state(), request)

    key_noise, key_part, _, _ = jax.random.split(KEY, 4)
    seen = tiny.x[np.concatenate([forget, retain])]
    mean, std = seen.mean(), seen.std()
    wanted = np.full(5, tiny.y[forget[0]])

    def made(noise):
        return -direct.nll(start, mean + std * noise, wanted).mean() + 0.2 * jnp.square(noise).sum(1).mean()

    noise = direct.adam(jax.random.normal(key_noise, (5, 4)), [made] * 4, learning_rate=0.1)
    part = np.asarray(batching.shuffle(key_part, request.retain))[:size]
    assert set(part) <= set(retain)
    x = np.concatenate([tiny.x[part], mean + std * noise])
    y = np.concatenate([tiny.y[part], wanted])
    impaired = direct.adam(start, [lambda p: direct.nll(p, x, y).mean()] * 2, learning_rate=0.02)
    repaired = direct.adam(
        impaired, [lambda p: direct.nll(p, tiny.x[part], tiny.y[part]).mean()] * 2, learning_rate=0.01
    )
    direct.close(out.params, repaired)
    assert direct.differ(out.params, start, by=0.01)
    assert info.examples == 4 * 5 + 2 * (size + 5) + 2 * size


def test_unsir_reads_nothing_of_the_forget_set_but_its_class_mean_and_spread(tiny):
    """S turned around its mean: the sums are the same, the inputs are not."""
    forget = tiny.rows["forget"]
    x = tiny.x.copy()
    x[forget] = x[forget][:, ::-1]
    run = unsir(tiny.model, noise_steps=2, noises=3, batch_size=12)
    outs = [run(KEY, tiny.state(), tiny.request(x=each))[0].params for each in (tiny.x, x)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), *outs)
