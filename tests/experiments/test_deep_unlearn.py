"""The specs of deep_unlearn; its checks on rows made by hand; a smoke run."""

import dataclasses

import pytest
from experiment_smoke import check_sizes, load_experiment, number, smoke

from unlearnax.claims import INCONCLUSIVE, NOT_REPRODUCED, REPRODUCED
from unlearnax.data import load
from unlearnax.experiment import resolve, resolve_algorithm
from unlearnax.report.load import Run
from unlearnax.results import ProblemRow, Row
from unlearnax.tuning import Tuned, save

deep = load_experiment("deep_unlearn")


def rows(gaps):
    """A run in which algorithms have these average gaps, ± 0.01."""
    problem = ProblemRow("p", 1.0, 0, "digest", 1, 1, 1, 1, 1.0, False)
    return {"run": Run.of([problem, *(
        Row("p", name, "algorithm", "", "average_gap", "retrain", "forget", gap, gap - 0.01, gap + 0.01)
        for name, gap in gaps.items()
    )])}  # fmt: skip


def test_sizes_and_claims():
    check_sizes(deep)


@pytest.mark.parametrize("size", ["medium", "full"])
def test_algorithms_suit_the_networks_of_other_sizes(size):
    resolve(deep.SIZES[size][0], splits=load("digits"))


def test_all_seven_entries_and_the_baselines_are_there():
    names = [name.rpartition(":")[2] for name, _ in deep.SIZES["small"][0].algorithms]
    assert len(names) == len(set(names)) == 12
    assert {deep.MSG, deep.CT, deep.NEG_GRAD, deep.GA, deep.SRL} < set(names)


def test_no_algorithm_passes_retained_data_more_than_a_fifth_as_often_as_training():
    for experiments in deep.SIZES.values():
        epochs = [dict(args).get("epochs", 0) for _, args in experiments[0].algorithms]
        assert max(epochs) <= experiments[0].recipe.epochs / 5


def test_tuned_settings_are_found_by_the_plain_name(tmp_path, monkeypatch):
    monkeypatch.setattr(deep, "HERE", tmp_path)
    name = deep.from_file(deep.__file__, deep.SRL)
    save(tmp_path / "tuned" / "mine.json", [Tuned(name, "untraining", {"epochs": 5, "learning_rate": 0.02}, 1, 1, 1, 1, 1)],
         about={})  # fmt: skip
    found = dict(deep.settings("mine", {name: (("epochs", 5),), "fine_tune": (("epochs", 4),)}))
    assert found == {name: (("epochs", 5), ("learning_rate", 0.02)), "fine_tune": (("epochs", 4),)}


def test_successive_random_labels_move_every_weight():
    make = resolve_algorithm(deep.from_file(deep.__file__, deep.SRL)).make
    assert make.func is resolve_algorithm("salun").make
    assert make.keywords == {"fraction": 1.0}


@pytest.mark.parametrize(("others", "outcome"), [
    ((0.2, 0.3, 0.05), REPRODUCED), ((0.2, 0.05, 0.05), NOT_REPRODUCED), ((0.2, 0.105, 0.05), INCONCLUSIVE),
])  # fmt: skip
def test_better_half(others, outcome):
    gaps = {deep.MSG: 0.1} | {f"other{i}": gap for i, gap in enumerate(others)}
    assert deep.better_half(deep.MSG)(rows(gaps)).outcome == outcome


@pytest.mark.slow
def test_smoke(tmp_path):
    experiment = deep.SIZES["small"][0]
    few = {deep.MSG, deep.CT, deep.NEG_GRAD, deep.GA, deep.SRL}
    algorithms = tuple((name, dict(args) | {"epochs": 1}) for name, args in experiment.algorithms)
    algorithms = tuple(pair for pair in algorithms if pair[0].rpartition(":")[2] in few)
    recipe = dataclasses.replace(experiment.recipe, epochs=2)
    changes = {"algorithms": algorithms, "recipe": recipe, "members": 8}
    found, runs = smoke(deep, experiment, tmp_path, **changes)
    assert len(found) == len(deep.CLAIMS)
    error = lambda candidate: number(runs, "unlearning_accuracy", candidate, "forget")  # noqa: E731
    assert error("do_nothing") < error("oracle retrain")  # S is unseen data to retrained models
    assert deep.gap("held-out retrain")(runs).value < deep.gap(deep.CT)(runs).value
