"""The tutorial works as it stands: its files, its programs and its commands, in order."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from unlearnax import cli, results
from unlearnax.report import page

TUTORIAL = Path(__file__).parent.parent / "docs/tutorial.md"
# A file's name stands in front of its block; a Python block without one is run.
BLOCK = re.compile(r"(?:`([\w]+\.py)`[^`]*?:\n\n)?```(python|sh)\n(.*?)```", re.DOTALL)


def command(line):
    """Runs one line of a shell block, `unlearnax` in this process, which has compiled the programs already."""
    words = shlex.split(line)
    if words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
    else:
        assert words[0] == "unlearnax"
        sys.argv = words
        cli.main()


def verdicts(folder):
    return {row.candidate: row.verdict for row in results.read(folder, results.VerdictRow)}


@pytest.fixture
def tutorial(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(cli.devices, "set_up", lambda: None)  # which conftest did
    monkeypatch.setattr(page, "write_figures", lambda *_: [])  # they take seconds, and have tests of their own
    return tmp_path


def test_no_private_name_is_shown():
    names = re.findall(r"\b(?:from|import) .*", TUTORIAL.read_text())
    assert names
    assert not [line for line in names if re.search(r"[\s.]_\w", line)]


def test_every_block(tutorial, capsys):
    text = TUTORIAL.read_text()
    found = BLOCK.findall(text)
    assert len(found) == text.count("```") / 2
    for name, language, code in found:
        if language == "sh":
            for line in code.replace("\\\n", "").splitlines():
                command(line)
        elif name:
            (tutorial / name).write_text(code)
            if name == "make_data.py":
                command(f"python {name}")
        else:
            capsys.readouterr()
            exec(compile(code, "tutorial", "exec"), {})
            said = capsys.readouterr().out
            assert "reset_head" in said
            assert "held-out retrain" in said
    runs = tutorial / "runs"
    assert {"reset_head", "npo"} <= set(verdicts(runs / "mine"))
    assert "held-out half_way" in verdicts(runs / "between")
    assert "npo" in verdicts(runs / "two/found-seed0")
    assert "fine_tuned" in verdicts(runs / "elsewhere")
    for made in ("mine/report.html", "report.html", "two/report.html", "elsewhere/report.html"):
        assert (runs / made).stat().st_size > 10_000
    assert "reset_head" in (runs / "mine/report.html").read_text()  # an algorithm of one's own is on the page
