"""Runs that differ in their seed only stand together: means, intervals over seeds, and verdicts that agree or do not."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from unlearnax.report import style
from unlearnax.report.load import Run
from unlearnax.report.pooling import DIFFER, over_seeds, pool, pools
from unlearnax.results import ProblemRow, Row, VerdictRow

PROBLEM = "digits-concept3-rate0.5"
FACTS = {
    "experiment": "a",
    "recipe_digest": "b",
    "margin": 0.1,
    "damage": 0.2,
    "members": 64,
    "origin": {"size": "small"},
}


def moved(records, shift, verdict=None):
    return [
        dataclasses.replace(r, value=r.value + shift)
        if isinstance(r, Row)
        else dataclasses.replace(r, verdict=verdict)
        if verdict and isinstance(r, VerdictRow) and r.candidate == "scrub"
        else r
        for r in records
    ]


def runs(make, shifts=(0.0, 0.1, 0.5), **changes):
    records = make(rates=(0.5,))
    return [Run.of(moved(records, s, **changes), FACTS | {"seed": i}) for i, s in enumerate(shifts)]


def test_a_mean_has_students_interval():
    values = [0.1, 0.4, 0.2, 0.9]
    mean, low, high = over_seeds(values)
    expected = ttest_1samp(values, 0).confidence_interval()
    assert (mean, low, high) == pytest.approx((np.mean(values), expected.low, expected.high))


def test_its_coverage_is_nominal():
    rng = np.random.default_rng(0)
    found = [over_seeds(rng.normal(size=3)) for _ in range(2000)]
    assert np.mean([low <= 0 <= high for _, low, high in found]) == pytest.approx(0.95, abs=0.015)


def test_every_number_is_the_mean_of_the_seeds(make):
    three = runs(make)
    together = pool(three, (0, 1, 2))
    row = together.row(PROBLEM, "scrub", "distance/margin", "retrain", "concept")
    assert row.value == pytest.approx(0.07 + 0.2)
    assert (row.low, row.high) == pytest.approx(over_seeds([0.07, 0.17, 0.57])[1:])
    assert (row.floor, row.p, row.p_adjusted) == (None, None, None)
    finite = [r for r in three[0].rows if np.isfinite(r.value)]
    assert len([r for r in together.rows if np.isfinite(r.value)]) == len(finite)
    notes = {r.note for r in together.rows if not np.isfinite(r.value)}
    assert notes == {"needs at least 100 members, has 64 and 64"}


def test_a_number_that_a_seed_lacks_is_not_pooled(make):
    first, second = runs(make, (0.0, 0.1))
    bare = Run.of(
        [*second.problems, *second.verdicts, *(r for r in second.rows if r.metric != "klom")], second.provenance
    )
    together = pool([first, bare], (0, 1))
    assert not [r for r in together.rows if r.metric == "klom"]
    assert together.row(PROBLEM, "scrub", "klom/p95", "retrain", "forget") is not None


def test_verdicts_agree_or_each_is_told(make):
    first, second = runs(make, (0.0, 0.0))
    (other,) = runs(make, (0.0,), verdict="reaches untraining")
    verdict = pool([first, second], (0, 1)).verdict(PROBLEM, "scrub")
    assert verdict.verdict == "inconclusive"
    assert verdict.members_needed is None
    verdict = pool([first, other], (0, 7)).verdict(PROBLEM, "scrub")
    assert verdict.verdict == DIFFER
    assert verdict.detail == "seed 0: inconclusive; seed 7: reaches untraining"
    assert style.verdict_style(DIFFER).short == "seeds differ"


@pytest.mark.parametrize(
    "change",
    [{"recipe_digest": "c"}, {"margin": 0.2}, {"members": 8}, {"origin": {"size": "full"}}, {"experiment": "z"}],
)
def test_what_differs_in_more_than_the_seed_stays_apart(make, change):
    first, second = runs(make, (0.0, 0.1))
    assert [p.seeds for p in pools([first, second])] == [(0, 1)]
    assert pools([first, dataclasses.replace(second, provenance=second.provenance | change)]) == []


def test_of_one_seed_twice_the_later_counts(make):
    first, second, third = runs(make)
    again = dataclasses.replace(third, provenance=FACTS | {"seed": 0})
    (found,) = pools([first, second, again])
    assert (found.indices, found.seeds) == ((2, 1), (0, 1))
    assert pools([first, dataclasses.replace(second, provenance=FACTS | {"seed": 0})]) == []


def test_problems_of_other_scales_are_left_out(make):
    first, second = runs(make, (0.0, 0.1))
    odd = [dataclasses.replace(p, scale="original to oracle") for p in second.problems]
    assert pools([first, dataclasses.replace(second, problems=odd)]) == []


def test_what_is_set_otherwise_or_of_another_size_is_left_out(make):
    first, second = runs(make, (0.0, 0.1))
    (whole,) = pools([first, second])
    name = next(v.candidate for v in second.verdicts if v.kind == "algorithm")
    assert any(row.candidate == name for row in whole.run.rows)
    tuned = [dataclasses.replace(v, hyperparameters="other") if v.candidate == name else v for v in second.verdicts]
    (part,) = pools([first, dataclasses.replace(second, verdicts=tuned)])
    assert not any(row.candidate == name for row in (*part.run.rows, *part.run.verdicts))
    assert part.run.rows
    smaller = [dataclasses.replace(p, retain=p.retain - 1) for p in second.problems]
    assert pools([first, dataclasses.replace(second, problems=smaller)]) == []


@pytest.mark.parametrize(
    ("name", "forget", "told"),
    [("d-3-rate0.1", 14, "0.1"), ("d-3-rate0.1", 20, "0.14"), ("d-3-rate1.0", 142, "1"), ("d-3", 14, "0.099")],
)
def test_a_rate_is_told_as_the_problem_is_called(name, forget, told):
    row = ProblemRow(name, forget / 142, 0, "", forget, 142, 0, 0, "", False)
    assert style.rate_name(row) == told
    assert style.problem_labels([row]) == {name: f"rate {told}"}
