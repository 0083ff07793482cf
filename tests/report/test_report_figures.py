"""Figures for papers and the terminal's table."""

import dataclasses

import matplotlib.image
import pytest
from rich.console import Console

from unlearnax import results
from unlearnax.report import compass, load, style, verdict_table, write_figures
from unlearnax.report.load import Run, Value
from unlearnax.results import MetricRow, ProblemRow, Row, VerdictRow


def run_of(records):
    return Run.of(records)


def printed(table, width=100):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(table)
        return console.export_text()


def test_figures_are_written(run_folder):
    paths = write_figures(run_folder)
    assert [p.name for p in paths[:2]] == ["compass-digits-concept3-rate0.1.png", "compass-digits-concept3-rate0.1.pdf"]
    assert {p.stem.partition("-")[0] for p in paths} == {"compass", "frontier", "rates", "ranks"}
    assert len(paths) == 2 * (2 * 3 + 2)
    for path in paths:
        assert path.stat().st_size > 5000
        if path.suffix == ".png":
            assert matplotlib.image.imread(path).std() > 0.05


def test_compass_keeps_landmarks_and_controls_visible(records):
    run = run_of(records)
    figure = compass(run, run.problems[1])
    whole, close = figure.axes[:2]
    for low, high in (whole.get_xlim(), whole.get_ylim()):
        assert low < 0
        assert 1 < high <= 2
    assert close.get_xlim()[0] < 0 < close.get_xlim()[1]
    assert "(3.60, 3.10)" in {text.get_text() for text in whole.texts}  # clipped, and says where it is
    marks = style.run_marks(run)
    assert marks["do_nothing"].colour is None
    assert len({(m.shape, m.colour) for m in marks.values()}) == len(marks)


@pytest.mark.parametrize(("oracles", "panels"), [(("retrain",), 2), (("concept_free",), 2)])
def test_one_oracle_is_a_forest(make, oracles, panels):
    run = run_of(make(rates=(0.5,), oracles=oracles))
    figure = compass(run, run.problems[0])
    assert len(figure.axes) == panels
    assert style.oracle_name(oracles[0]) in figure.axes[0].get_xlabel()


def test_coinciding_oracles_are_a_forest(records):
    run = run_of(records)
    labels = [t.get_text() for t in compass(run, run.problems[2]).axes[0].get_yticklabels()]
    assert "neg grad plus" in labels
    assert "held-out retrain" in labels


def test_absolute_scale_and_odd_names(tmp_path, make):
    records = [
        dataclasses.replace(r, scale="absolute", problem="a/$b_{<x>") if isinstance(r, ProblemRow)
        else dataclasses.replace(r, problem="a/$b_{<x>", candidate=r.candidate + "$_^{")
        for r in make(rates=(0.5,)) if not isinstance(r, MetricRow)
    ]  # fmt: skip
    results.write(tmp_path, records, {})
    assert [p.name for p in write_figures(tmp_path)][:2] == ["compass-a_b__x.png", "compass-a_b__x.pdf"]


def test_no_distances_no_figure(tmp_path, make):
    results.write(tmp_path, make(rates=(0.5,), with_distances=False), {})
    assert write_figures(tmp_path) == []


def test_interval_that_misses_its_value(make):
    records = [
        dataclasses.replace(r, low=r.value + 0.1, high=r.value + 0.2) if isinstance(r, Row) else r
        for r in make(rates=(0.5,))
    ]
    run = run_of(records)
    assert compass(run, run.problems[0]) is not None


def test_limits_ignore_absurd_values():
    assert load.whole_limits([Value(80.0, 70.0, 90.0)])[1] == 2.0
    assert load.whole_limits([Value(-9.0, -10.0, -8.0)]) == (-0.5, 1.18)
    assert load.whole_limits([]) == (-0.08, 1.18)


def test_terminal_table(run_folder, records):
    text = printed(verdict_table(run_folder))
    assert printed(verdict_table(records)) == text
    for part in ("rate 0.1", "rate 1", "neg_grad_plus", "held-out retrain", "✓ unlearning", "✕ damages", "? needs 210"):
        assert part in text
    assert "nothing to" in text
    assert "10 % of the scale" in text
    assert text.index("l1_sparse") < text.index("do_nothing")  # controls last


def test_terminal_table_shows_names_as_they_are(records):
    odd = [dataclasses.replace(r, candidate=f"[red]{r.candidate}") for r in records if isinstance(r, VerdictRow)]
    assert "[red]scrub" in printed(verdict_table(odd), 140)


def test_no_two_files_are_alike():
    assert list(style.file_names(["a b", "a/b", "a_b", "../"]).values()) == ["a_b", "a_b-2", "a_b-3", "problem"]


def test_numbers():
    assert [style.number(v) for v in (None, float("nan"), -0.001, -1.5)] == ["–", "–", "0.00", "−1.50"]
    assert [style.p_value(v) for v in (None, 0.0001, 0.25)] == ["–", "<0.001", "0.250"]
    assert [style.seconds(v) for v in (0.02, 90.0, 7200.0)] == ["20 ms", "1.5 min", "2 h"]
    assert style.verdict_style("reaches both (oracles coincide)").name == "both"
    assert style.verdict_style("something new").short == "something new"
