"""Rates nest; settings are there for both goals; the claims of this file and of the metrics' one find their numbers."""

import dataclasses
import itertools
from pathlib import Path

import pytest
from experiment_smoke import check_numbers, number

from unlearnax import plugins
from unlearnax.data.fashion_mnist import find_folder
from unlearnax.experiment import build_problems, check_problems, resolve, run
from unlearnax.report.load import load

FOLDER = Path(__file__).parents[2] / "experiments"
RATES, METRICS = (plugins.load_file(FOLDER / f"{name}.py") for name in ("discovery_rate", "metric_mismatch"))


def has_fashion():
    try:
        find_folder(None)
    except FileNotFoundError:
        return False
    return True


@pytest.mark.parametrize("size", ["small", "medium"])
def test_what_is_found_at_a_low_rate_is_found_at_a_high_one(size):
    if size == "medium" and not has_fashion():
        pytest.skip("no Fashion-MNIST here")
    given = RATES.SIZES[size]
    experiment = given[0] if isinstance(given, tuple) else given
    content = resolve(experiment)
    problems = build_problems(experiment, content.splits)
    check_problems(content, problems)
    assert len(problems) == len(RATES.RATES)
    for fewer, more in itertools.pairwise(problems):
        assert set(fewer.forget) < set(more.forget)
    assert len(problems[-1].forget) == len(problems[-1].concept)


@pytest.mark.parametrize("size", ["small", "medium"])
def test_every_algorithm_is_tuned_for_both_goals(size):
    given = RATES.SIZES[size]
    names = [name for name, _ in (given[0] if isinstance(given, tuple) else given).algorithms]
    expected = RATES.FEW if size == "small" else RATES.ALGORITHMS
    assert sorted(names) == sorted(f"{name}@{goal}" for name in expected for goal in ("untraining", "unlearning"))
    assert len(expected) >= (6 if size == "small" else 12)


def test_forget_sets_are_three():
    assert [each.seed for each in RATES.SIZES["medium"]] == [0, 1, 2]
    assert [each.seed for each in METRICS.SIZES["medium"]] == [0, 1, 2]


def test_both_files_share_their_populations():
    for first, second in (
        (RATES.SIZES["small"], METRICS.SIZES["small"]),
        (RATES.SIZES["medium"][1], METRICS.SIZES["medium"][1]),
    ):
        same = dataclasses.replace(
            first, name=second.name, metrics=second.metrics, discovery_rates=second.discovery_rates
        )  # fmt: skip
        assert same == second
        assert set(second.discovery_rates) <= set(first.discovery_rates)


@pytest.mark.parametrize(("file", "members"), [pytest.param(RATES, 3, marks=pytest.mark.slow), (METRICS, 8)])
def test_claims_of_a_short_run(file, members, tmp_path):
    given = file.SIZES["small"]
    names = ("fine_tune@", "gradient_ascent@")
    experiment = dataclasses.replace(
        given, members=members, store=False, examples=0,
        algorithms=tuple(pair for pair in given.algorithms if pair[0].startswith(names)),
        problem_args=(("concepts", 3), ("max_slice", 50)),
        recipe=dataclasses.replace(given.recipe, model_args=(("widths", (8,)),), epochs=2),
    )  # fmt: skip
    run(experiment, tmp_path)
    runs = {experiment.name: load(tmp_path)}
    check_numbers(file, runs)
    for rate in experiment.discovery_rates:
        right = {
            name: number(runs, "accuracy", name, "forget", rate=rate) for name in ("oracle concept_free", "do_nothing")
        }
        assert right["oracle concept_free"] == 0 < right["do_nothing"]
