"""Ascent and descent in turns against the steps written out, on batches of all of S and of R."""

import jax
import pytest

from unlearnax.algorithms import ascent_descent, fine_tune

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


def test_ascent_descent_takes_turns_until_the_ascent_is_over(tiny, direct, losses):
    def up(params):
        return -losses[0](params).mean()

    def down(params):
        return losses[1](params).mean()

    out = run(ascent_descent, tiny, ascent_epochs=2, epochs=4)
    direct.close(out, direct.sgd(tiny.state().params, [up, down, up, down, down, down], **SGD))


def test_ascent_descent_without_ascent_is_fine_tuning(tiny, direct):
    direct.close(run(ascent_descent, tiny, ascent_epochs=0, epochs=3), run(fine_tune, tiny, epochs=3))


def test_ascent_descent_counts_both_kinds_of_passes(tiny):
    algorithm = ascent_descent(tiny.model, **SGD, ascent_epochs=1, epochs=3, batch_size=4)
    _, info = algorithm(KEY, tiny.state(), tiny.request())
    assert info.examples == 12 + 3 * 24
