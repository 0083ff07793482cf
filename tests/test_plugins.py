"""Names, files and functions as content."""

import pytest

from unlearnax import plugins
from unlearnax.algorithms import ALGORITHMS
from unlearnax.oracles import ORACLES

SOURCE = """
import numpy as np
from unlearnax.types import World

def everything(problem):
    return World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))
"""


def test_names():
    assert plugins.resolve("algorithm", "scrub", ALGORITHMS) is ALGORITHMS["scrub"]
    assert plugins.resolve_oracle("retrain") is ORACLES["retrain"]
    with pytest.raises(ValueError, match=r"Expected algorithm='scrubb' to be one of .* Did you mean 'scrub'"):
        plugins.resolve("algorithm", "scrubb", ALGORITHMS)
    with pytest.raises(ValueError, match="Did you mean 'retrain'"):
        plugins.resolve_oracle("retrian")


def test_files(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    oracle = plugins.resolve_oracle(f"{path}:everything")
    assert oracle.goal == "everything"
    assert oracle.excludes is None
    assert plugins.oracle_name(f"{path}:everything") == "everything"
    before = plugins.source_digest(f"{path}:everything")
    path.write_text(SOURCE + "\n")
    assert plugins.source_digest(f"{path}:everything") != before
    with pytest.raises(ValueError, match="Did you mean 'everything'"):
        plugins.resolve_oracle(f"{path}:everythin")
    for find in (plugins.resolve_oracle, plugins.source_digest):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.py' to be a Python file; there is none, as seen from /"):
            find(f"{tmp_path}/nowhere.py:x")


def test_a_file_offers_its_own_names_only(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from unlearnax.algorithms import sgd\nfrom functools import partial\ndef sgdx(model): ...\n")
    with pytest.raises(ValueError, match=r"to be one of sgdx\. Did you mean 'sgdx'"):
        plugins.resolve("algorithm", f"{path}:sgdy", {})
    assert plugins.resolve("algorithm", f"{path}:sgd", {}).__name__ == "sgd"


def test_functions():
    def half(problem):
        return problem

    assert plugins.resolve_oracle(half).world is half
    assert plugins.oracle_name(half) == "half"
