"""The metric tables of the page."""

import pytest

from unlearnax import results
from unlearnax.report import page, suite
from unlearnax.report.load import load

PROBLEM = "digits-concept3-rate0.5"


@pytest.fixture
def run(run_folder):
    return load(run_folder)


def test_rows_belong_to_the_longest_name(run):
    metrics = {m.name: m for m in run.metrics}
    assert suite.base_of("klom/corrected", metrics) == "klom/corrected"
    assert suite.base_of("klom/p95", metrics) == "klom"
    assert suite.base_of("u_mia/gap", metrics) == "u_mia"
    assert suite.base_of("klomp", metrics) is None
    assert suite.base_of("accuracy", metrics) is None


def test_details_hold_every_value_once(run):
    found = suite.details(run, PROBLEM)
    assert [m["metric"].name for m in found] == ["klom", "klom/corrected", "quality", "u_mia", "bound"]
    klom = {t["name"]: t for t in found[0]["tables"]}
    assert list(klom) == ["klom", "klom/p95"]
    assert [n for _, n in klom["klom"]["groups"]] == [2, 2]
    assert len(klom["klom"]["body"]) == 13
    assert klom["klom"]["floors"] == ["0.4"] * 4
    cells = {name: cells for name, _, cells in klom["klom"]["body"]}
    assert cells["scrub"][0].text == "1.3"
    assert cells["scrub"][0].sub == "[0.2, 2]"


def test_within_the_floor_follows_the_direction(run):
    found = {m["metric"].name: {t["name"]: t for t in m["tables"]} for m in suite.details(run, PROBLEM)}

    def within(metric, table, candidate):
        return next(cells[-1].within for name, _, cells in found[metric][table]["body"] if name == candidate)

    for metric, table in (("klom", "klom"), ("quality", "quality"), ("u_mia", "u_mia/gap")):
        assert within(metric, table, "held-out retrain"), metric
        assert not within(metric, table, "scrub"), metric


def test_overview_has_one_column_a_metric(run):
    tables = suite.overview(run, PROBLEM)
    assert len(tables) == 2
    assert [name for name, *_ in tables[0]["columns"]] == ["klom", "klom/corrected", "quality", "u_mia/gap", "bound"]
    assert [sign for _, sign, *_ in tables[0]["columns"]] == ["↓", "↓", "↑", "→", "↓"]
    assert tables[0]["floors"] == ["0.4", "0.4", "0.3", "0.05", "–"]


@pytest.mark.usefixtures("no_figures")
def test_page_says_why_a_number_is_missing(run_folder):
    text = page.write_report(run_folder).read_text()
    assert "needs at least 100 members, has 64 and 64" in text
    assert "Which metric answers which question" in text
    assert "too much from klom" in text


@pytest.mark.usefixtures("no_figures")
def test_page_without_metrics(tmp_path, records, provenance):
    kept = [r for r in records if not isinstance(r, results.MetricRow)]
    results.write(tmp_path, kept, provenance)
    assert "Every metric" not in page.write_report(tmp_path).read_text()
