"""The specs of relearning; a smoke run of its class variant."""

import dataclasses

import pytest
from experiment_smoke import check_sizes, load_experiment, number, smoke

relearning = load_experiment("relearning")


def test_sizes_and_claims():
    check_sizes(relearning)


def test_undo_differs_in_noise_only():
    for experiment in relearning.SIZES["small"]:
        settings = dict(experiment.algorithms)
        undo = [dict(settings[relearning.undo_at(alpha)]) for alpha in relearning.NOISE]
        assert [each.pop("alpha") for each in undo] == list(relearning.NOISE)
        assert all(each == undo[0] for each in undo)
        assert undo[0]["epochs"] == relearning.DISTIL


def test_tuning_seed_is_no_reported_seed():
    import json

    for name in (relearning.CLASS, relearning.FACTS):
        path = relearning.Path(relearning.__file__).parent / "tuned" / f"{name}.json"
        assert {each["about"]["seed"] for each in json.loads(path.read_text()).values()} == {1000}


@pytest.mark.slow
def test_class_smoke(tmp_path):
    experiment = relearning.SIZES["small"][0]
    short = tuple((name, tuple((dict(args) | {"epochs": 1}).items())) for name, args in experiment.algorithms)
    found, runs = smoke(
        relearning, experiment, tmp_path, algorithms=short, recipe=dataclasses.replace(experiment.recipe, epochs=3)
    )
    assert len(found) == 7
    known = {name: number(runs, "accuracy", name, "forget") for name in ("do_nothing", "oracle concept_free")}
    assert known["oracle concept_free"] == 0 < known["do_nothing"]
    assert relearning.area(f"held-out {relearning.ORACLE}")(runs).value < relearning.area("do_nothing")(runs).value
