"""What the page's script is given: numbers that grow with the distance, costs, and single examples."""

import base64
import dataclasses
import math

import pytest

from unlearnax.report import explore, gallery, style
from unlearnax.report.load import Run
from unlearnax.results import Row, VerdictRow

PROBLEM = "digits-concept3-rate0.5"
RETRAIN = style.oracle_name("retrain")


@pytest.fixture(scope="module")
def run(records):
    return Run.of(records)


def ranking(run, oracle=RETRAIN):
    found = next(each for each in explore.rankings(run, PROBLEM) if each["oracle"] == oracle)
    return {metric["name"]: metric for metric in found["metrics"]}


def test_rankings_grow_with_the_distance_whatever_the_direction(run):
    found = ranking(run)
    # "bound" has no number: it needs more members
    assert list(found) == ["distance/margin", "distance/output", "klom", "klom/corrected", "quality", "u_mia/gap"]
    for name in ("klom", "quality", "u_mia/gap"):  # lower, higher, and the oracle's own value is nearest
        values = found[name]["values"]
        assert values["held-out retrain"] < values["scrub"], name
        assert set(values) == set(run.candidates())
    assert found["distance/margin"]["values"]["scrub"] == 0.07
    assert found["quality"]["values"]["scrub"] == pytest.approx(-0.15)
    assert found["quality"]["shown"]["scrub"] == "0.15"


def test_errors_turn_with_the_numbers(run):
    """A number of .15 in [.1, .5] of which more is nearer becomes −.15, which reaches down by .35 and up by .05."""
    found = ranking(run)
    assert found["quality"]["errors"]["scrub"] == pytest.approx([0.35, 0.05])
    assert found["klom"]["errors"]["scrub"] == pytest.approx([1.1, 0.7])
    assert found["u_mia/gap"]["errors"]["scrub"] == pytest.approx([0.35, 0.05])  # −.25 in [−.3, .1], by its size


def test_numbers_without_an_interval_have_no_errors(records):
    bare = [dataclasses.replace(r, low=None) if isinstance(r, Row) and r.metric == "klom" else r for r in records]
    found = ranking(Run.of(bare))
    assert found["klom"]["values"]
    assert found["klom"]["errors"] == {}


def test_both_oracles_have_rankings_of_their_own(run):
    assert ranking(run, style.oracle_name("concept_free"))["distance/margin"]["values"]["scrub"] == 0.99


def test_a_candidate_without_a_number_takes_no_part(records):
    hurt = [
        dataclasses.replace(r, value=math.nan)
        if isinstance(r, Row) and r.candidate == "npo" and r.metric == "klom"
        else r
        for r in records
    ]
    values = ranking(Run.of(hurt))["klom"]["values"]
    assert "npo" not in values
    assert "scrub" in values


def test_frontier_has_every_cost_and_distance(run):
    found = explore.frontier(run, PROBLEM)
    assert found["oracles"] == [RETRAIN, style.oracle_name("concept_free")]
    points = {point["candidate"]: point for point in found["points"]}
    assert points["scrub"]["distances"][RETRAIN]["margin"][0] == 0.07
    low, high = points["scrub"]["distances"][RETRAIN]["margin"][1:]
    assert low < 0.07 < high
    assert points["scrub"]["costs"]["share"] == run.row(PROBLEM, "scrub", "cost/share").value
    assert points["do_nothing"]["control"]


def test_doing_nothing_is_free(records):
    kept = [
        dataclasses.replace(r, kind="original")
        if isinstance(r, Row | VerdictRow) and r.candidate == "do_nothing"
        else r
        for r in records
        if not (isinstance(r, Row) and r.candidate == "do_nothing" and r.metric.startswith("cost/"))
    ]
    points = {p["candidate"]: p for p in explore.frontier(Run.of(kept), PROBLEM)["points"]}
    assert points["do_nothing"]["costs"] == {"share": 0.0, "flop_share": 0.0}


def test_gallery_tells_what_each_population_makes_of_each_example(records, make_pictures):
    found = gallery.gallery(Run.of([*records, *make_pictures(PROBLEM)]), PROBLEM)
    assert [e["number"] for e in found["examples"]] == [0, 1, 2, 3, 4]
    assert [e["random"] for e in found["examples"]] == [True, True, False, True, True]
    assert {e["slice"] for e in found["examples"]} == {"forget set S"}
    assert base64.b64decode(found["examples"][0]["png"]).startswith(b"\x89PNG")
    assert list(found["oracles"]) == [RETRAIN, style.oracle_name("concept_free")]
    expected = [[i / 4, max(i / 4 - 0.1, 0), min(i / 4 + 0.1, 1), 2.5 * i - 5] for i in range(5)]
    assert list(found["candidates"]) == ["scrub"]
    assert [told[:4] for told in found["candidates"]["scrub"]] == expected
    spreads = [told[4] for told in found["candidates"]["scrub"]]
    assert [(s[0], s[9], s[-1]) for s in spreads] == [(1.5 * i - 6, 2.5 * i - 5, 3.5 * i - 4) for i in range(5)]
    assert found["oracles"][RETRAIN][3] == [1.0, 0.9, 1.0, None]  # margins that are not there


def test_no_gallery_without_examples(run):
    assert gallery.gallery(run, PROBLEM) is None
