"""The specs of ulira; claims that find their numbers."""

import dataclasses

import pytest
from experiment_smoke import check_numbers, check_sizes, load_experiment, number

from unlearnax.experiment import run
from unlearnax.report.load import load

ulira = load_experiment("ulira")


def test_sizes_and_claims():
    check_sizes(ulira)
    assert 6 <= len(ulira.ALGORITHMS) <= 8


@pytest.mark.slow
def test_claims_of_a_short_run(tmp_path):
    (small,) = ulira.SIZES["small"]
    recipe = dataclasses.replace(small.recipe, model_args=(("widths", (8,)),), epochs=2)
    run(dataclasses.replace(small, members=8, store=False, recipe=recipe), tmp_path)
    runs = {small.name: load(tmp_path)}
    check_numbers(ulira, runs)
    right = {name: number(runs, "accuracy", name, "forget") for name in ("do_nothing", "oracle retrain")}
    assert right["oracle retrain"] < right["do_nothing"]
