"""The examples in the documentation run."""

import dataclasses
import re
from pathlib import Path

import pytest

from unlearnax import plugins
from unlearnax.experiment import Experiment, run
from unlearnax.recipes import Recipe

ROOT = Path(__file__).parent.parent
TINY = Experiment(
    name="documentation",
    problem_args=(("concepts", "3"),),
    discovery_rates=(0.5,),
    recipe=Recipe(model_args=(("widths", (8,)),), epochs=1),
    members=3,
    store=False,
)


def blocks(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


@pytest.fixture
def contributing(tmp_path):
    algorithm, oracle = blocks("CONTRIBUTING.md")
    (tmp_path / "weight_noise.py").write_text(algorithm)
    (tmp_path / "my_oracle.py").write_text(oracle)
    return tmp_path


def test_the_examples_of_contributing(contributing):
    spec = dataclasses.replace(
        TINY,
        algorithms=((f"{contributing}/weight_noise.py:weight_noise", (("sigma", 0.02),)),),
        oracles=("retrain", f"{contributing}/my_oracle.py:without_even_rows"),
    )
    (card,) = run(spec, contributing / "run")
    assert "held-out without_even_rows" in {row.candidate for row in card.verdicts}
    assert any("weight_noise" in row.candidate for row in card.verdicts)


def test_the_example_oracle_keeps_its_promise(contributing):
    from unlearnax import data, models, problems
    from unlearnax.taint import verify_oracle

    splits = data.load("digits")
    oracle = plugins.resolve_oracle(f"{contributing}/my_oracle.py:without_even_rows")
    model = models.mlp(splits.inputs, 10, widths=(8,))
    assert verify_oracle(oracle, problems.concept(splits, 3, 0.5), model, Recipe(epochs=1)).exact
