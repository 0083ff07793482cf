"""The page: everything the run holds is on it, it fetches nothing, and nothing in the rows is taken for markup."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest

from unlearnax import results
from unlearnax.report import write_report
from unlearnax.results import MetricRow, ProblemRow, Row, VerdictRow

VOID = {"meta", "br", "img", "link", "input", "hr", "col"}


class Reader(HTMLParser):
    """Collects tags, text outside of scripts and styles, and checks that tags are balanced."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.scripts, self.styles, self.headings = [], [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.text))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside == "h2":
            self.headings.append(data)
        {"script": self.scripts, "style": self.styles}.get(inside, self.text).append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory, records, provenance):
    folder = tmp_path_factory.mktemp("run")
    results.write(folder, records, provenance)
    return Reader(write_report(folder).read_text(encoding="utf-8"))


def test_holds_every_candidate_verdict_and_problem(page, records):
    for record in records:
        if isinstance(record, VerdictRow):
            assert record.candidate in page.text
            assert record.verdict in page.text
            assert record.detail in page.text
            assert record.hyperparameters in page.text
        if isinstance(record, ProblemRow):
            assert record.problem in page.text
            assert record.digest in page.text
    assert "≈210 members would settle it" in page.text
    assert page.text.count("nothing to untrain.") == 1
    assert "<0.001" in page.text
    assert page.headings == [
        "Verdicts", "Compass", "Do the metrics agree?", "Cost and quality", "Accuracy", "Distance to every oracle",
        "Every metric", "Cost", "Single examples", "Where these numbers come from",
    ]  # fmt: skip


def test_holds_provenance_command_and_tuning(page, provenance):
    for key in ("command", "tuning", "git_commit", "device"):
        assert provenance[key] in page.text
    assert "jax: 0.10.0" in page.text
    assert "30.6 min" in page.text


def test_fetches_nothing(page):
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base"}
        for name in ("src", "srcset", "action", "data", "poster"):
            assert name not in attributes
        assert attributes.get("href", "#").startswith("#")
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")  # the browser itself refuses any request
    assert not re.search(r"@import|url\(", "".join(page.styles))
    assert not re.search(r"https?://", page.text)
    assert sum("Plotly" in script and len(script) > 1_000_000 for script in page.scripts) == 1


def test_plots_are_valid_and_tell_what_the_rows_say(page):
    specs = [json.loads(script, parse_constant=pytest.fail) for script in page.scripts if script.startswith("{")]
    assert len(specs) == 6  # three problems, two forms
    names = {trace["name"] for trace in specs[0]["data"]}
    assert {"do_nothing", "scrub", "held-out retrain", "untraining oracle A(D∖S)"} <= names
    scrub = next(trace for trace in specs[2]["data"] if trace["name"] == "scrub")
    assert scrub["x"] == [0.07]
    assert scrub["y"] == [0.99]
    for part in ("inconclusive", "declared goal: ambiguous", "% of a retrain", "learning_rate=0.01"):
        assert part in scrub["hovertemplate"]
    assert specs[0]["views"]  # a compass has a close-up,
    assert not specs[5]["views"]  # a forest, where the oracles coincide, has none


def test_again_is_the_same(tmp_path, make, provenance):
    def files():
        return {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    results.write(tmp_path, make(rates=(0.5,)), provenance)
    write_report(tmp_path)
    first = files()
    write_report(tmp_path)
    assert files() == first


def test_names_are_text(tmp_path, make):
    evil = "</script><img src=x onerror=alert(1)>%{x}$&{{7*7}}"

    def renamed(record):
        if isinstance(record, MetricRow):
            return dataclasses.replace(record, question=evil, use_when=evil, caution=evil, citation=evil)
        changes = {"problem": record.problem + evil}
        if not isinstance(record, ProblemRow):
            changes["candidate"] = record.candidate + evil
        if isinstance(record, VerdictRow):
            changes |= {"detail": evil, "hyperparameters": evil, "verdict": evil, "goal": evil}
        return dataclasses.replace(record, **changes)

    facts = {"command": evil, "tuning": evil, "experiment": evil, evil: {evil: evil}}
    results.write(tmp_path, [renamed(r) for r in make(rates=(0.5, 1.0))], facts)
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert not any(tag == "img" or "onerror" in attributes for tag, attributes in page.tags)
    assert page.text.count(evil) > 20
    for spec in (json.loads(script) for script in page.scripts if script.startswith("{")):
        for trace in spec["data"]:
            assert "<img" not in trace["hovertemplate"] + trace["name"]
            assert "%{" not in trace["hovertemplate"]


def test_one_oracle(tmp_path, make):
    results.write(tmp_path, make(rates=(0.5,), oracles=("retrain",)), {})
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "One axis only: there is one oracle" in page.text
    assert "unlearning oracle A(D∖F)" not in page.text


def test_any_oracle_has_its_columns(tmp_path, make):
    records = [
        dataclasses.replace(r, oracle="corrected") if isinstance(r, Row) and r.oracle == "concept_free" else r
        for r in make(rates=(0.5,))
    ]
    results.write(tmp_path, records, {})
    assert "corrected oracle" in Reader(write_report(tmp_path).read_text(encoding="utf-8")).text


def test_missing_numbers_are_dashes(tmp_path, make):
    records = make(rates=(0.5,))
    hurt = [
        dataclasses.replace(r, value=float("nan"), low=None, high=float("nan"), floor=None, p=None, p_adjusted=None)
        if isinstance(r, Row) and r.candidate == "scrub"
        else r
        for r in records
    ]
    results.write(tmp_path, hurt, {})
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "nan" not in page.text.lower().split()
    assert "–" in page.text


@pytest.mark.parametrize("keep", [(ProblemRow,), (ProblemRow, VerdictRow), ()])
def test_partial_runs_still_have_a_page(tmp_path, make, keep):
    results.write(tmp_path, [r for r in make(rates=(0.5,)) if isinstance(r, keep)], {})
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert ("No distances were measured." in page.text) == bool(keep)


def test_without_distances(tmp_path, make):
    results.write(tmp_path, make(rates=(0.5,), with_distances=False), {})
    page = Reader(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "No distances were measured." in page.text
    assert "held-out concept" in page.text  # accuracies are there


def test_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no results\.sqlite"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
