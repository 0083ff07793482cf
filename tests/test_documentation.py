"""The examples in the documentation run."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import environment

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
    algorithm, experiment, oracle = blocks("CONTRIBUTING.md")
    (tmp_path / "weight_noise.py").write_text(algorithm)
    (tmp_path / "my_oracle.py").write_text(oracle)
    (tmp_path / "mine.py").write_text(experiment)
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


def test_the_example_experiment(contributing, monkeypatch):
    monkeypatch.chdir(contributing)
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = (rng.normal(size=(300, 5)) + y[:, None]).astype(np.float32)
    np.savez("my_data.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    (spec,) = plugins.load_file("mine.py").SIZES.values()
    (card,) = run(dataclasses.replace(spec, members=3, store=False), contributing / "run")
    assert {"npo", "weight_noise"} <= {row.candidate for row in card.verdicts}


def test_the_example_oracle_keeps_its_promise(contributing):
    from unlearnax import data, models, problems
    from unlearnax.taint import verify_oracle

    splits = data.load("digits")
    oracle = plugins.resolve_oracle(f"{contributing}/my_oracle.py:without_even_rows")
    model = models.mlp(splits.inputs, 10, widths=(8,))
    assert verify_oracle(oracle, problems.concept(splits, 3, 0.5), model, Recipe(epochs=1)).exact


def test_the_example_of_the_readme(tmp_path):
    (code,) = blocks("README.md")
    code = code.replace("epochs=10", "epochs=1").replace("members=16", "members=3")
    own = environment(UNLEARNAX_CACHE=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["do_nothing", "npo", "held-out", "held-out"]
