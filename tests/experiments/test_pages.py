"""Experiments that state claims have pages with pictures and published numbers, and docstrings that say how to run them."""

import re
from pathlib import Path

import pytest
from experiment_smoke import ROOT, load_experiment

STATED = sorted(
    p.stem for p in (ROOT / "experiments").glob("*.py") if re.search(r"^CLAIMS\b", p.read_text(), re.MULTILINE)
)


def test_there_are_fourteen():
    assert len(STATED) == 14


@pytest.mark.parametrize("name", STATED)
def test_the_page_shows_a_small_picture(name):
    page = ROOT / f"docs/experiments/{name}.md"
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", page.read_text())
    assert pictures
    for words, file in pictures:
        assert len(words) > 20
        assert Path(page.parent / file).resolve().stat().st_size < 250_000


@pytest.mark.parametrize("name", STATED)
def test_claims_stand_beside_what_was_published(name):
    rows = (ROOT / f"docs/experiments/{name}.md").read_text().splitlines()
    heads = [row for row in rows if re.match(r"\| (claim|ranking) ", row)]
    assert heads
    assert all("| published" in head for head in heads)


@pytest.mark.parametrize("name", STATED)
def test_the_docstring_says_question_command_runtime_and_what_to_expect(name):
    text = load_experiment(name).__doc__
    assert "?" in text.splitlines()[0]
    assert f"unlearnax run experiments/{name}.py" in text
    for word in ("Runtime: ", "2 CPU cores", "GPU: not measured", "Expected", "arXiv "):
        assert word in text, word


def test_published_numbers_stand_where_papers_give_them():
    claims = [claim for name in STATED for claim in load_experiment(name).CLAIMS]
    with_numbers = [claim for claim in claims if re.search(r"\d", claim.published)]
    assert len(with_numbers) >= 35
    for claim in with_numbers:
        assert re.search(r"arXiv \d{4}\.\d{5}|convexity", claim.source), claim.text
