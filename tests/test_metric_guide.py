"""The metric guide and the README end their lines at 120 columns; what must not be filled is left as it is."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "docs/metrics.md"])
def test_no_line_but_of_a_table_is_longer_than_120(name):
    lines = (ROOT / name).read_text().splitlines()
    assert not [line for line in lines if len(line) > 120 and not line.startswith("|")]


def test_paragraphs_are_filled_and_the_rest_is_kept(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    wrapped = importlib.import_module("metric_guide").wrapped
    table, code = "| " + "wide " * 30 + "|", "```python\nx = 1\n\n" + "y" * 130 + "\n```"
    text = f"# Title\n\none\ntwo\n\n- item {'word ' * 30}\n- next\n\n{table}\n\n{code}\n"
    found = wrapped(text)
    assert found.split() == text.split()
    assert "one two\n" in found
    assert f"\n{table}\n" in found
    assert code in found
    item = found[found.index("- item") : found.index("- next")].splitlines()
    assert len(item) == 2
    assert item[1].startswith("  word")
    assert wrapped(found) == found
