"""The specs of corrective; a smoke run of the trigger."""

import dataclasses

import pytest
from experiment_smoke import check_sizes, load_experiment, number, smoke

corrective = load_experiment("corrective")


def test_sizes_and_claims():
    check_sizes(corrective)


@pytest.mark.slow
def test_trigger_smoke(tmp_path):
    experiment = corrective.SIZES["small"][0]
    assert experiment.name == corrective.TRIGGER
    short = {"fine_tune": {"epochs": 1}, "neg_grad_plus": {"epochs": 1}, "scrub": {"epochs": 1, "max_epochs": 1},
             "npo": {"epochs": 1}, "ssd": {}, "potion": {"max_trials": 3}, "rem": {"epochs": 1}}  # fmt: skip
    recipe = dataclasses.replace(experiment.recipe, epochs=2)
    algorithms = tuple((name, tuple(args.items())) for name, args in short.items())
    found, runs = smoke(corrective, experiment, tmp_path, algorithms=algorithms, recipe=recipe)
    assert len(found) == 6
    follows = lambda candidate: number(runs, "corrupted_label_rate", candidate, "concept_test", rate=corrective.LOW)  # noqa: E731
    assert (
        follows("do_nothing") > 0.5 > follows("held-out concept_free")
    )  # the trigger was learned, and only from its rows


@pytest.mark.slow
def test_labels_have_the_rows_that_claims_ask_for(tmp_path):
    experiment = corrective.SIZES["small"][2]
    assert experiment.name == corrective.RANDOM
    short = {"fine_tune": {"epochs": 1}, "neg_grad_plus": {"epochs": 1}, "scrub": {"epochs": 1, "max_epochs": 1},
             "potion": {"max_trials": 3}}  # fmt: skip
    recipe = dataclasses.replace(experiment.recipe, epochs=2)
    algorithms = tuple((name, tuple(args.items())) for name, args in short.items())
    changes = {"algorithms": algorithms, "recipe": recipe, "discovery_rates": (corrective.HIGH,)}
    found, runs = smoke(corrective, experiment, tmp_path, **changes)
    assert len(found) == 2
    assert corrective.repaired("held-out concept_free", corrective.RANDOM, corrective.HIGH)(runs).value > 0.5
