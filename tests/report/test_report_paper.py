"""Figures for papers at both widths: nothing is cut, and the new ones say what the page says."""

import dataclasses

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from unlearnax import results
from unlearnax.report import explore, style
from unlearnax.report.board import board_figure
from unlearnax.report.figures import drawn, write_figures
from unlearnax.report.frontier import best, frontier_figure, places
from unlearnax.report.gallery import pooled_margins
from unlearnax.report.leaderboard import entries, write_leaderboard
from unlearnax.report.load import Run
from unlearnax.report.margins import margins_figure
from unlearnax.report.paper import RC, WIDTHS, wrapped
from unlearnax.results import ProblemRow

PROBLEM = "digits-concept3-rate0.5"


@pytest.fixture(scope="module")
def run(records, make_pictures):
    pictures = [r for p in records if isinstance(p, ProblemRow) for r in make_pictures(p.problem)]
    return Run.of([*records, *pictures])


def beyond(figure):
    """How far what is drawn reaches beyond the figure, in inches."""
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    width, height = figure.get_size_inches()
    return max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)


@pytest.mark.parametrize("columns", WIDTHS)
def test_no_label_is_cut(run, columns):
    kinds = set()
    with matplotlib.rc_context(RC):
        for name, figure in drawn(run, columns):
            assert figure.get_size_inches()[0] == pytest.approx(WIDTHS[columns]), name
            assert figure.get_size_inches()[1] < 9.5, name  # a page is no higher
            assert beyond(figure) < 0.01, name
            kinds.add(name.partition("-")[0])
        board = board_figure(entries([run], ["a"]), columns=columns)
        assert beyond(board) < 0.01
    assert kinds == {"compass", "examples", "frontier", "margins", "rates", "ranks"}


def test_cut_labels_are_found():
    """Or the test above could not fail."""
    figure = matplotlib.figure.Figure(figsize=(1, 1))
    figure.text(0.5, 0.5, "much longer than the figure is wide")
    assert beyond(figure) > 0.5


def test_narrow_figures_are_written_on_demand(tmp_path, records, monkeypatch):
    results.write(tmp_path, [r for r in records if getattr(r, "problem", PROBLEM) == PROBLEM], {})
    wide = {p.name for p in write_figures(tmp_path)}
    both = {p.name for p in write_figures(tmp_path, (2, 1))}
    narrow = {f"compass-{PROBLEM}-{form}-1col.pdf" for form in ("margin", "output")}
    assert both - wide == {*narrow, f"frontier-{PROBLEM}-1col.pdf", "ranks-1col.pdf"}
    assert all((tmp_path / "figures" / name).read_bytes().startswith(b"%PDF") for name in both if name.endswith("pdf"))
    assert {p.name for p in write_figures(tmp_path)} == {
        p.name for p in (tmp_path / "figures").iterdir()
    }  # and go again
    with pytest.raises(ValueError, match="Expected columns=3 to be one of 1, 2"):
        write_figures(tmp_path, (3,))


def test_the_frontier_has_the_larger_distance_and_what_nothing_cheaper_comes_nearer_than(run):
    found = explore.frontier(run, PROBLEM)
    points = {p.candidate: p for p in places(found, style.oracle_name("retrain"))}
    assert points["scrub"].distance.value == 0.07  # margin form; in the output form .06
    assert points["scrub"].cost == pytest.approx(100 * run.row(PROBLEM, "scrub", "cost/share").value)
    line = best(list(points.values()))
    taking_part = [p for p in points.values() if not p.control or p.candidate == "do_nothing"]
    for p in taking_part:
        cheaper = [q.distance.value for q in taking_part if q.cost < p.cost]
        assert (p in line) == (p.distance.value < min(cheaper, default=np.inf)), p
    dear = [p._replace(cost=100.0) for p in line]
    assert best(dear) == []


def test_margins_are_pooled_over_members_and_examples_drawn_at_random(run):
    found = pooled_margins(run, PROBLEM)
    assert list(found) == ["forget"]
    assert len(found["forget"]["scrub"]) == 4 * results.LEVELS  # example 2 was picked
    assert len(found["forget"]["oracle retrain"]) == 3 * results.LEVELS  # of example 3 its margins were not kept
    assert set(found["forget"]["oracle retrain"]) == {5.0}
    assert found["forget"]["scrub"].min() == -6
    figure = margins_figure(run, next(p for p in run.problems if p.problem == PROBLEM))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["untraining oracle A(D∖S)", "unlearning oracle A(D∖F)", "scrub"]
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dots == [5, -5, pytest.approx(np.median(found["forget"]["scrub"]))]


def test_no_rows_no_figure(records):
    bare = Run.of(
        [r for r in records if not (isinstance(r, results.Row) and r.metric.startswith(("cost", "distance")))]
    )
    assert frontier_figure(bare, bare.problems[0]) is None
    assert margins_figure(bare, bare.problems[0]) is None
    assert board_figure(entries([bare], ["a"])) is None


def test_the_board_has_a_panel_a_setting_and_a_line_an_algorithm(make):
    figure = board_figure(entries([Run.of(make(seed=seed)) for seed in (0, 1)], ["a", "b"]), form="margin")
    titles = [ax.get_title().replace("\n", " ") for ax in figure.axes]
    assert titles == [f"digits-concept3-rate{rate}" for rate in (0.1, 0.5, 1.0)]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[-1] == "do nothing"
    assert not any("held-out" in label for label in labels)
    marks = {(round(y), m): x for line in figure.axes[1].lines if (m := line.get_marker()) in ("o", "D")
             for x, y in line.get_xydata()}  # fmt: skip
    assert marks[labels.index("scrub"), "o"] == pytest.approx(0.07)
    assert marks[labels.index("scrub"), "D"] == pytest.approx(0.99)
    assert "3.60" in [text.get_text() for text in figure.axes[1].texts]  # ssd, out of the picture


def test_the_leaderboard_has_figures_beside_it(tmp_path, make):
    results.write(tmp_path / "a", make(rates=(0.5,)), {})
    write_leaderboard(tmp_path / "a", out=tmp_path / "board.html")
    assert {p.name for p in tmp_path.glob("board*")} == {"board.html", "board.png", "board.pdf", "board-1col.pdf"}


def test_more_settings_than_fit_are_counted(make):
    rates = tuple(i / 20 for i in range(1, 12))
    figure = board_figure(entries([Run.of(make(rates=rates))], ["a"]))
    assert len([ax for ax in figure.axes if ax.lines]) == 9
    assert "(9 of 11 settings)" in figure.texts[0].get_text().replace("\n", " ")


def test_words_are_wrapped_between_words():
    text = "some words and a_very_long_name_that_no_line_can_hold here"
    lines = wrapped(text, 1.0, 7.0).split("\n")
    assert " ".join(lines) == text
    assert max(map(len, lines)) == len("a_very_long_name_that_no_line_can_hold")
    assert wrapped("short", 3.3, 7) == "short"


def test_interval_that_misses_its_value_is_drawn(make):
    odd = [
        dataclasses.replace(r, low=r.value + 0.1, high=r.value + 0.2) if isinstance(r, results.Row) else r
        for r in make(rates=(0.5,))
    ]
    run = Run.of(odd)
    assert frontier_figure(run, run.problems[0]) is not None
    assert board_figure(entries([run], ["a"])) is not None
