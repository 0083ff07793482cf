"""DUCK against its steps written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.algorithms import duck, fine_tune

KEY = jax.random.key(0)

FULL = {"batch_size": 24}  # each of the 24 of R once, each of the 12 of S twice


def run(algorithm, tiny, request=None, **given):
    return algorithm(tiny.model, **FULL | given)(KEY, tiny.state(), request or tiny.request())


def features(params, x):
    return jnp.maximum((x - 1.0) / 1.5 @ params["dense0"]["kernel"] + params["dense0"]["bias"], 0)


def cosine(a, b):
    return (a * b).sum() / jnp.sqrt((a**2).sum() * (b**2).sum())


@pytest.mark.parametrize("absent", [None, 2])
def test_duck_pulls_to_the_nearest_centroid_of_another_class(absent, tiny, direct):
    """A class that R does not have has no centroid."""
    original = tiny.state().params
    r = np.array([row for row in tiny.rows["retain"] if tiny.y[row] != absent])
    s = tiny.rows["forget"][: {24: 12, 15: 5}[len(r)]]  # a batch holds all of R, and each of S equally often
    present = sorted({int(tiny.y[row]) for row in r})
    centroids = {k: features(original, tiny.x[r[tiny.y[r] == k]]).mean(0) for k in present}
    nearest = [
        max((k for k in present if k != tiny.y[row]), key=lambda k: float(cosine(h, centroids[k])))
        for row in s
        for h in [features(original, tiny.x[row])]
    ]

    def distances(params):
        h = features(params, tiny.x[s])
        return jnp.stack([1 - cosine(h[i], centroids[k]) for i, k in enumerate(nearest)])

    def objective(params):
        log_p = direct.log_p(direct.logits(params, tiny.x[r]), 2.0)
        return 0.7 * distances(params).mean() - 1.2 * log_p[np.arange(len(r)), tiny.y[r]].mean()

    given = {"forget_weight": 0.7, "retain_weight": 1.2, "temperature": 2.0, "learning_rate": 0.02}
    given |= {"target_accuracy": 0.0, "retain_batches": 3, "epochs": 2, "batch_size": len(r)}
    out, info = run(duck, tiny, tiny.request(forget=s, retain=r), **given)
    direct.close(out.params, direct.adam(original, [objective] * 6, learning_rate=0.02))
    assert distances(out.params).mean() < distances(original).mean()
    assert info.examples == 6 * 2 * len(r)


def test_duck_ends_once_the_forget_set_is_no_longer_predicted(tiny, direct):
    """In one program: a member that never ends early, one that ends after its first epoch, one in between."""
    request, s = tiny.request(), tiny.rows["forget"]
    state, _ = fine_tune(tiny.model, **FULL, learning_rate=0.1, epochs=100)(KEY, tiny.state(), request)

    def passed(target, epochs=20):
        given = {"learning_rate": 0.1, "retain_batches": 1, "retain_weight": 0.0}
        return duck(tiny.model, **FULL, **given, epochs=epochs, target_accuracy=target)(KEY, state, request)

    states, info = jax.jit(jax.vmap(passed))(jnp.array([0.0, 0.5, 1.0]))
    epochs = (info.examples / 48).astype(int)
    assert epochs[0] == 20 > epochs[1] > epochs[2] == 1
    for lane, target in enumerate((0.0, 0.5, 1.0)):
        alone, _ = jax.jit(passed)(target)
        direct.close(jax.tree.map(lambda leaf, lane=lane: leaf[lane], states.params), alone.params)

    def accuracy(params):
        return (direct.logits(params, tiny.x[s]).argmax(-1) == tiny.y[s]).mean()

    assert accuracy(passed(0.0, int(epochs[1]) - 1)[0].params) >= 0.5
    assert accuracy(passed(0.0, int(epochs[1]))[0].params) < 0.5


def test_duck_leaves_alone_what_has_no_other_class(tiny, direct):
    one = np.flatnonzero(tiny.y == 1)
    request = tiny.request(forget=one[:3], retain=one[3:])
    with_pull, without = (
        run(duck, tiny, request, forget_weight=weight, target_accuracy=0.0, learning_rate=0.02, epochs=2)[0].params
        for weight in (1.0, 0.0)
    )
    direct.close(with_pull, without, rtol=0, atol=0)
