"""The specs of grokking; a smoke run, and longer training as the same trajectory."""

import dataclasses

import jax
import numpy as np
import pytest
from experiment_smoke import check_sizes, load_experiment, smoke

from unlearnax import batching, models
from unlearnax.claims import REPRODUCED
from unlearnax.experiment import load_splits
from unlearnax.training import make_training

grokking = load_experiment("grokking")


def test_sizes_and_claims():
    check_sizes(grokking)


def test_lengths_are_one_trajectory():
    """With a constant schedule the recipe of more steps passes through the state where that of fewer stops."""
    short, long = (dataclasses.replace(grokking.RECIPE, steps=steps) for steps in (3, 9))
    splits = load_splits(grokking.BASE)
    model = models.build(short, splits.inputs, splits.num_classes)
    x, y = splits.train.x, splits.train.y
    assert len(y) // short.batch_size == 1  # one step a pass, so that passes count steps
    key, rows = jax.random.key(0), batching.subset(np.arange(len(y)))

    def after(recipe, passes):
        training = make_training(recipe, model)
        state, _ = jax.jit(training.segment)(key, training.init(key), x, y, rows, (0, passes))
        assert int(state.step) == passes
        return np.asarray(state.params["head"]["kernel"])

    np.testing.assert_array_equal(after(short, 3), after(long, 3))
    assert np.abs(after(long, 3) - after(long, 9)).max() > 0


@pytest.mark.slow
def test_smoke(tmp_path):
    early = grokking.SIZES["small"][0]
    assert early.name == grokking.named(grokking.EARLY)
    short = {name: {"epochs": 1} | ({"max_epochs": 1} if name == "scrub" else {}) for name in grokking.ALGORITHMS}
    algorithms = tuple((name, tuple(args.items())) for name, args in short.items())
    found, _ = smoke(grokking, early, tmp_path, algorithms=algorithms)
    assert len(found) == 3
    assert [each.outcome for each in found[:2]] == [REPRODUCED] * 2  # memorized, and S by those that saw it alone
