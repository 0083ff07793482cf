"""What `scripts/reproduce` says before it starts anything; its loop over stub experiments."""

import shutil
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


STUB = """#!/usr/bin/env bash
# In the place of the command line: notes how it was called; an experiment runs as its file says.
echo "$*" >>calls
[ "$1" != run ] && exit 0
file=$2
while [ "$1" != --out ]; do shift; done
mkdir -p "$2" && touch "$2/results.sqlite"
! grep -q BREAKS "$file"
"""


@pytest.fixture
def project(tmp_path):
    """The script beside two experiments that state claims, one of which fails, one that states none, and a stub."""
    (tmp_path / "scripts").mkdir()
    for name in ("reproduce", "_environment"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "experiments/tuned").mkdir(parents=True)
    (tmp_path / "experiments/tuned/works.json").write_text("{}")
    for name, text in (("breaks", "CLAIMS = ()  # BREAKS\n"), ("shows", "SIZES = {}\n"), ("works", "CLAIMS = ()\n")):
        (tmp_path / f"experiments/{name}.py").write_text(text)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name, text in (("unlearnax", STUB), ("python", "#!/bin/sh\nexit 0\n")):
        (tmp_path / ".venv/bin" / name).write_text(text)
        (tmp_path / ".venv/bin" / name).chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")

    def reproduce(*arguments):
        (tmp_path / "calls").write_text("")
        command = [tmp_path / "scripts/reproduce", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done, (tmp_path / "calls").read_text().splitlines()

    return tmp_path, reproduce


def _run(name: str, size: str = "small") -> str:
    return f"run experiments/{name}.py --size {size} --out runs/reproduce-{size}/{name}"


def test_a_failure_does_not_stop_the_rest_and_is_the_exit_status(project):
    _, reproduce = project
    done, calls = reproduce()
    assert calls[:2] == [_run("breaks"), _run("works")]
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Failed: breaks"
    folders = "runs/reproduce-small/breaks runs/reproduce-small/works"
    assert calls[2] == f"claims {folders}"
    assert [call.split()[0] for call in calls[3:]] == ["report", "leaderboard"]


def test_what_finished_is_skipped_and_what_failed_is_tried_again(project):
    root, reproduce = project
    reproduce()
    done, calls = reproduce()
    assert "works: finished before" in done.stdout
    assert [call for call in calls if call.startswith("run")] == [_run("breaks")]
    (root / "experiments/breaks.py").write_text("CLAIMS = ()\n")  # any file: experiments build on each other
    done, calls = reproduce()
    assert [call for call in calls if call.startswith("run")] == [_run("breaks"), _run("works")]
    assert done.returncode == 0
    done, calls = reproduce()
    assert not [call for call in calls if call.startswith("run")]
    assert done.returncode == 0


def test_names_and_size_choose_what_runs(project):
    _, reproduce = project
    done, calls = reproduce("--size", "medium", "works")
    assert [call for call in calls if call.startswith("run")] == [_run("works", "medium")]
    assert done.returncode == 0
    done, calls = reproduce("shows")  # a file that states no claims
    assert done.returncode == 2
    assert "Expected 'shows' to be one of" in done.stderr
    assert calls == []
