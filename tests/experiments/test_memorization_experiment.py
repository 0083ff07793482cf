"""Three levels of memorization, and claims that find their numbers."""

import dataclasses

import pytest
from experiment_smoke import check_numbers, load_experiment, number

from unlearnax.experiment import build_problems, check_problems, resolve, run
from unlearnax.report.load import load

FILE = load_experiment("memorization")


def test_levels_are_of_one_size_and_lie_apart():
    found = {}
    for experiment in FILE.SIZES["small"]:
        content = resolve(experiment)
        (problem,) = build_problems(experiment, content.splits, dry=True)
        check_problems(content, [problem])
        found[experiment.name] = set(problem.forget)
    assert list(found) == list(FILE.LEVELS)
    assert {len(rows) for rows in found.values()} == {84}
    assert not found[FILE.LOW] & found[FILE.HIGH]


def test_seeds_of_a_level_share_its_name():
    for size in ("medium", "full"):
        names = [each.name for each in FILE.SIZES[size]]
        assert names == list(FILE.LEVELS) * 3
        assert [each.seed for each in FILE.SIZES[size]] == [0] * 3 + [1] * 3 + [2] * 3


@pytest.mark.slow
def test_claims_of_a_short_run(tmp_path):
    runs = {}
    for experiment in FILE.levels(FILE.SMALL, 40):
        short = dataclasses.replace(
            experiment, members=3, store=False, examples=0,
            recipe=dataclasses.replace(experiment.recipe, model_args=(("widths", (8,)),), epochs=2),
        )  # fmt: skip
        run(short, tmp_path / short.name)
        runs[short.name] = load(tmp_path / short.name)
    check_numbers(FILE, runs)
    # To models that never saw them the most memorized examples are the hardest.
    right = {level: number(runs, "accuracy", "oracle retrain", "forget", run=level) for level in FILE.LEVELS}
    assert right[FILE.HIGH] < right[FILE.RANDOM] < right[FILE.LOW]
