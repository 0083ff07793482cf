"""What `scripts/reproduce` says before it starts anything."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _reproduce(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([ROOT / "scripts/reproduce", *arguments], capture_output=True, text=True, timeout=60)


def test_an_unknown_experiment_is_named_beside_all_that_state_claims():
    found = _reproduce("figure1", "figure2")
    assert found.returncode == 2
    assert "Expected 'figure2' to be one of the experiments that state claims" in found.stderr
    stated = {path.stem for path in (ROOT / "experiments").glob("*.py") if "\nCLAIMS" in path.read_text()}
    assert stated == set(found.stderr.rpartition(": ")[2].split())
    assert len(stated) >= 14


@pytest.mark.parametrize(("arguments", "message"), [(["--size"], "Expected a size"), (["--fast"], "got --fast")])
def test_options_that_are_wrong(arguments, message):
    found = _reproduce(*arguments)
    assert found.returncode != 0
    assert message in found.stderr
