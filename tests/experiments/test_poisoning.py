"""The specs of poisoning; a smoke run of its one problem."""

import dataclasses

import pytest
from experiment_smoke import check_sizes, load_experiment, smoke

poisoning = load_experiment("poisoning")


def test_sizes_and_claims():
    check_sizes(poisoning)


@pytest.mark.slow
def test_smoke(tmp_path):
    (experiment,) = poisoning.SIZES["small"]
    found, runs = smoke(poisoning, experiment, tmp_path, recipe=dataclasses.replace(experiment.recipe, epochs=2))
    assert len(found) == len(poisoning.CLAIMS)
    assert poisoning.trace("do_nothing")(runs).value > poisoning.trace("oracle retrain")(runs).value
