"""Place 7 of the NeurIPS 2023 competition: the steps written out, what is drawn anew and what is left alone."""

import jax
import numpy as np
import pytest
from neurips2023_steps import SGD, STILL, always, descend, on_retain, run

from unlearnax.algorithms import (
    random_noise_injection,
)
from unlearnax.models import mlp
from unlearnax.types import InputSpec


@pytest.fixture(scope="module")
def deep():
    """Layers dense0, dense1, head."""
    return mlp(InputSpec((4,), mean=1.0, std=1.5), 3, widths=(8, 7))


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
