"""Places 3 and 5 of the NeurIPS 2023 competition: the steps written out, what is drawn anew and what is left alone."""

import jax
import numpy as np
import pytest
from neurips2023_steps import SGD, STILL, cosine, descend, on_retain, run

from unlearnax.algorithms import (
    class_weighted_noise,
    transpose_kernels,
)


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
