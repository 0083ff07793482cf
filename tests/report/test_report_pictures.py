"""Figures of single examples, of curves over discovery rates, and of ranks."""

import dataclasses

import numpy as np
import pytest

from unlearnax.report import explore, style
from unlearnax.report.examples import examples_figure, groups
from unlearnax.report.load import Run
from unlearnax.report.ranks import rankings, ranks_figure
from unlearnax.report.rates import panels, rates_figure
from unlearnax.results import ExampleRow, ImageRow, MetricRow, ProblemRow, Row

PROBLEM = "digits-concept3-rate0.5"


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_examples_are_marked_right_or_wrong(make, make_pictures):
    run = Run.of([*make(rates=(0.5,)), *make_pictures(PROBLEM)])
    figure = examples_figure(run, run.problems[0])
    words = [text.replace("\u2009", "") for text in texts(figure)]
    # Example 2 was not drawn at random; SCRUB gets 0, 1, 3 and 4 right in 0, 25, 75 and 100 % of cases.
    assert [w for w in words if w[:1] in "✓✗" and w] == ["✓100"] * 4 + ["✗0"] * 4 + ["✗0", "✗25", "✓75", "✓100"]
    assert words.index("untraining oracle") < words.index("unlearning oracle") < words.index("scrub")
    assert len(figure.axes[0].images) == 12
    assert figure.get_size_inches()[0] == pytest.approx(6.9)


def test_no_pictures_no_figure(make, make_pictures):
    rows = [r for r in make_pictures(PROBLEM) if isinstance(r, ExampleRow)]
    run = Run.of([*make(rates=(0.5,)), *rows])
    assert examples_figure(run, run.problems[0]) is None


def test_classes_take_turns_and_many_share_a_group():
    def told(labels):
        rows = [
            ExampleRow("p", "a", "algorithm", "forget", i, label, True, 1, 1, 1, 0) for i, label in enumerate(labels)
        ]
        return Run.of([*rows, *(ImageRow("p", "forget", i, b"") for i in range(len(labels)))])

    few = groups(told(["star"] + ["circle"] * 9), "p")
    assert [(g.label, g.examples) for g in few] == [("star", (0,)), ("circle", (1, 2, 3, 4, 5))]
    many = groups(told(list("abcdeabcde")), "p")
    assert [(g.label, g.examples) for g in many] == [("", (0, 1, 2, 3, 4, 5))]


def with_both_goals(records):
    """Every algorithm twice; tuned for unlearning it is .25 nearer to the unlearning oracle."""
    found = []
    for record in records:
        if getattr(record, "kind", "") != "algorithm":
            found.append(record)
            continue
        for goal, shift in (("untraining", 0.0), ("unlearning", 0.25)):
            row = dataclasses.replace(record, candidate=f"{record.candidate}@{goal}")
            if isinstance(row, Row) and row.oracle == "concept_free":
                row = dataclasses.replace(row, value=row.value - shift)
            found.append(row)
    return found


def test_a_curve_holds_every_rate(make):
    run = Run.of(with_both_goals(make()))
    figure = rates_figure(run)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles == [style.candidate_name(name) for name in panels(run)]
    (ax,) = (ax for ax in figure.axes if ax.get_title() == "random label")
    curves = [line for line in ax.lines if line.get_marker() == "D"]
    assert [list(line.get_xdata()) for line in curves] == [[0.1, 0.5, 1.0]] * 2
    plain, dashed = (np.array(line.get_ydata()) for line in curves)
    np.testing.assert_allclose(plain - dashed, 0.25)
    value = run.row(PROBLEM, "random_label@untraining", "distance/output", "concept_free", "concept").value
    assert plain[1] == pytest.approx(value)


@pytest.mark.parametrize("change", ["two rates", "equal rates", "one oracle"])
def test_no_curve_no_figure(make, change):
    records = {
        "two rates": lambda: make(rates=(0.1, 0.5)),
        "equal rates": lambda: [dataclasses.replace(r, rate=0.5) if isinstance(r, ProblemRow) else r for r in make()],
        "one oracle": lambda: make(oracles=("retrain",)),
    }[change]()
    assert rates_figure(Run.of(records)) is None


COLUMNS = [
    (metric, oracle)
    for oracle in ("retrain", "concept_free")
    for metric in ("distance/margin", "distance/output", "klom")
]


def ranked(names, values):
    """One problem: candidate i of `names` has the i-th of values(metric, oracle)."""
    klom = MetricRow("klom", "population", "both", *[""] * 3, "lower", "", "", "either", 2, "", True)
    records = [ProblemRow("p", 0.1, 0, "d", 1, 10, 20, 30, "oracle to oracle", False), klom]
    for metric, oracle in COLUMNS:
        part = "forget" if metric == "klom" else "concept"
        for name, value in zip(names, values(metric, oracle), strict=True):
            records.append(Row("p", name, "algorithm", "", metric, oracle, part, value))
    return Run.of(records)


def test_the_chart_of_ranks_has_the_metrics_of_the_page():
    run = ranked("abcd", lambda metric, oracle: (0.1, 0.2, 0.1, 0.4))
    _, found = rankings(run, "p")
    page = [m for m in explore.rankings(run, "p")[0]["metrics"] if m["first"]]
    assert [(c.metric, c.oracle) for c in found] == [(m["metric"], m["oracle"]) for m in page]
    assert [(c.metric, c.oracle) for c in found] == [(m, style.oracle_name(o)) for m, o in COLUMNS]
    assert all(list(c.ranks) == [1.5, 3, 1.5, 4] for c in found)  # ties share a mean rank


def test_a_metric_that_some_lack_and_few_algorithms_make_no_ranks():
    run = ranked("abcd", lambda metric, oracle: (0.1, np.nan if metric == "klom" else 0.2, 0.3, 0.4))
    assert {c.metric for c in rankings(run, "p")[1]} == {"distance/margin", "distance/output"}
    assert rankings(ranked("abc", lambda *_: (1, 2, 3)), "p")[1] == []


@pytest.mark.parametrize("columns", [1, 2])
def test_the_algorithms_that_change_places_are_coloured(columns):
    """By untraining metrics a, b, c, d, e; by the others e comes first and a last."""
    values = {"retrain": (1, 2, 3, 4, 5), "concept_free": (5, 2, 3, 4, 1)}
    figure = ranks_figure(ranked("abcde", lambda _, oracle: values[oracle]), columns)
    first = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3][::2]
    colours = {line.get_ydata()[0]: line.get_color() for line in first}
    assert colours == {1: style.BLUE, 2: style.GREY, 3: style.GREY, 4: style.GREY, 5: style.ORANGE}
    assert [t for t in texts(figure) if len(t) == 1] == (list("abcde") if columns == 2 else []) + list("ebcda")


def test_distances_alone_make_no_chart_of_ranks(make):
    run = Run.of([r for r in make() if not isinstance(r, Row) or r.metric.startswith("distance")])
    assert ranks_figure(run) is None
