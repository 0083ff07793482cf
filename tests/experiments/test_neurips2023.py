"""The specs of neurips2023; its score on rows made by hand; a smoke run of both numbers of runs."""

import dataclasses

import pytest
from experiment_smoke import check_numbers, check_sizes, load_experiment

from unlearnax.data import load as load_data
from unlearnax.experiment import resolve, run
from unlearnax.metrics import competition_score
from unlearnax.report.load import Run, load
from unlearnax.results import ProblemRow, Row

neurips = load_experiment("neurips2023")


def test_sizes_and_claims():
    check_sizes(neurips)


@pytest.mark.parametrize("size", ["medium", "full"])
def test_algorithms_suit_the_networks_of_other_sizes(size):
    content = resolve(neurips.SIZES[size][0], splits=load_data("digits"))
    assert len(content.chosen) == 9


def test_one_original_is_unlearned_many_times():
    for experiments in neurips.SIZES.values():
        assert {each.estimand for each in experiments} == {"runs"}
        many, fewer = (each.members for each in experiments[:2])
        assert many > fewer
    assert {each.members for each in neurips.SIZES["medium"] if each.name == neurips.MANY} == {512}


def made(f, accuracies, width):
    """Runs that hold F ± width and accuracies of a candidate and of retraining on retained and test examples."""
    problem = ProblemRow("p", 1.0, 0, "digest", 1, 1, 1, 1, 1.0, False)
    numbers = [
        Row("p", "mine", "algorithm", "", "forgetting_quality/released", "retrain", "forget", f, f - width, f + width)
    ]
    for name, values in accuracies.items():
        for (metric, part), value in zip(
            (("retain_accuracy", "retain"), ("test_accuracy", "other_test")), values, strict=True
        ):
            numbers.append(Row("p", name, "", "", metric, "", part, value, value, value))
    return {neurips.MANY: Run.of([problem, *numbers])}


def test_score_is_that_of_the_competition():
    runs = made(0.2, {"mine": (0.9, 0.8), neurips.RETRAIN: (1.0, 0.95)}, 0.05)
    found = neurips.score("mine")(runs)
    assert found.value == pytest.approx(competition_score(0.2, 0.9, 1.0, 0.8, 0.95))
    assert found.high - found.value == pytest.approx(0.05 * 0.9 * 0.8 / 0.95)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_score_is_wider_where_accuracies_are():
    runs = made(0.2, {"mine": (0.9, 0.8), neurips.RETRAIN: (1.0, 0.95)}, 0.0)
    rows = [
        dataclasses.replace(row, low=row.value - 0.1, high=row.value + 0.1) if row.metric == "test_accuracy" else row
        for row in runs[neurips.MANY].rows
    ]
    wide = neurips.score("mine")({neurips.MANY: dataclasses.replace(runs[neurips.MANY], rows=rows)})
    expected = 0.2 * 0.9 * 0.8 / 0.95 * ((0.1 / 0.8) ** 2 + (0.1 / 0.95) ** 2) ** 0.5
    assert wide.high - wide.value == pytest.approx(expected)


@pytest.mark.slow
def test_smoke(tmp_path):
    runs = {}
    for experiment, members in zip(neurips.SIZES["small"], (8, 5), strict=True):
        algorithms = tuple((name, dict(args) | {"epochs": 1}) for name, args in experiment.algorithms)
        changed = dataclasses.replace(
            experiment, algorithms=algorithms, members=members, store=False,
            recipe=dataclasses.replace(experiment.recipe, epochs=2),
            problem_args=(("size", 4), ("max_slice", 50)),
        )  # fmt: skip
        run(changed, tmp_path / changed.name)
        runs[changed.name] = load(tmp_path / changed.name)
    check_numbers(neurips, runs)
    assert neurips.score("do_nothing")(runs).value < neurips.score(neurips.HELD_OUT)(runs).value
