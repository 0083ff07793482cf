"""The specs of salun_table; its numbers on rows made by hand; a smoke run."""

import dataclasses

import numpy as np
import pytest
from experiment_smoke import check_sizes, load_experiment, smoke

from unlearnax.claims import Number
from unlearnax.experiment import build_problems, resolve_algorithm
from unlearnax.report.load import Run
from unlearnax.results import ProblemRow, Row
from unlearnax.unlearning import check_needs

salun_table = load_experiment("salun_table")


def run_of(numbers):
    """A run that holds {(metric, oracle, slice): (value, low, high)} of one candidate."""
    problem = ProblemRow("p", 1.0, 0, "digest", 1, 1, 1, 1, 1.0, False)
    return {"run": Run.of([problem, *(
        Row("p", "mine", "algorithm", "", metric, oracle, part, *ends)
        for (metric, oracle, part), ends in numbers.items()
    )])}  # fmt: skip


def test_sizes_and_claims():
    check_sizes(salun_table)


def test_rows_of_the_table():
    for experiments in salun_table.SIZES.values():
        names = [name.rpartition(":")[2] for name, _ in experiments[0].algorithms]
        assert sorted(names) == sorted((*salun_table.OTHERS, salun_table.SALUN))


def test_boundary_shrink_takes_sets_of_several_classes_here_only():
    experiment = salun_table.SIZES["small"][0]
    (problem,) = build_problems(experiment)
    assert len(np.unique(problem.train.y[problem.forget])) == 10
    (name,) = [name for name, _ in experiment.algorithms if name.endswith("boundary_shrink")]
    check_needs(name, resolve_algorithm(name), problem)
    with pytest.raises(ValueError, match="of one class"):
        check_needs("boundary_shrink", resolve_algorithm("boundary_shrink"), problem)


def test_average_gap_is_the_mean_of_four_sizes():
    found = salun_table.average_gap("mine")(run_of({
        ("unlearning_accuracy/gap", "retrain", "forget"): (-0.04, -0.06, -0.02),
        ("retain_accuracy/gap", "retrain", "retain"): (0.0, 0.0, 0.0),
        ("test_accuracy/gap", "retrain", "other_test"): (0.02, 0.02, 0.02),
        ("svc_mia/gap", "retrain", "forget"): (0.10, 0.10, 0.10),
    }))  # fmt: skip
    assert found == pytest.approx(Number(0.04, 0.035, 0.045))


def test_an_interval_around_0_begins_there():
    source = salun_table.size_of(lambda runs: Number(0.01, -0.03, 0.05))
    assert source({}) == Number(0.01, 0.0, 0.05)
    assert salun_table.times(source, 2)({}) == Number(0.02, 0.0, 0.10)


@pytest.mark.slow
def test_smoke(tmp_path):
    experiment = salun_table.SIZES["small"][0]
    short = {"influence": {"iterations": 2}}
    algorithms = tuple((name, dict(args) | short.get(name, {"epochs": 1})) for name, args in experiment.algorithms)
    recipe = dataclasses.replace(experiment.recipe, epochs=2)
    found, runs = smoke(salun_table, experiment, tmp_path, algorithms=algorithms, recipe=recipe)
    assert len(found) == len(salun_table.CLAIMS)
    ua = {name: salun_table.value(salun_table.UA, name)(runs).value for name in ("do_nothing", salun_table.RETRAIN)}
    assert ua["do_nothing"] < ua[salun_table.RETRAIN]


def test_published_gaps_are_the_means_of_the_published_rows():
    retrain = salun_table.PUBLISHED["retrain"]
    for name, row in salun_table.PUBLISHED.items():
        gaps = [abs(mine - theirs) for mine, theirs in zip(row[:4], retrain[:4], strict=True)]
        assert row.gap == pytest.approx(sum(gaps) / 4, abs=0.011), name
