"""The leaderboard: which numbers stand side by side, which are averaged, and which are refused."""

import dataclasses
import math

import pytest

from unlearnax import results
from unlearnax.cli import Leaderboard
from unlearnax.report.leaderboard import entries, mean, write_leaderboard
from unlearnax.report.load import Run, Value
from unlearnax.results import Row, VerdictRow


def run_of(records, **facts):
    return Run.of(records, {"margin": 0.1, "damage": 0.2, "recipe": '{"model": "mlp"}', "recipe_digest": "a"} | facts)


def find(found, candidate, rate=0.5):
    return [e for e in found if e.candidate == candidate and e.setting.rate == rate]


def moved(records, shift, verdict=None):
    """Every distance moved, and every verdict another."""
    return [
        dataclasses.replace(r, value=r.value + shift, low=r.low + shift, high=r.high + shift)
        if isinstance(r, Row) and r.metric.startswith("distance/")
        else dataclasses.replace(r, verdict=verdict)
        if verdict and isinstance(r, VerdictRow)
        else r
        for r in records
    ]


def test_one_run_is_its_rows(make):
    run = run_of(make())
    found = entries([run], ["a"])
    assert len(found) == 3 * 13
    (scrub,) = find(found, "scrub")
    assert scrub.goal == "ambiguous"
    assert scrub.verdicts == {"inconclusive": 1}
    row = run.row(scrub.setting.problem, "scrub", "distance/output", "concept_free", "concept")
    assert scrub.distance("concept_free", "output") == Value(row.value, row.low, row.high)
    assert scrub.cost == run.row(scrub.setting.problem, "scrub", "cost/share").value
    assert [e.control for e in found[:13]] == [False] * 10 + [True] * 3


def test_forget_sets_are_averaged_and_verdicts_counted(make):
    first, second = make(seed=0), moved(make(seed=1), 0.4, "reaches untraining")
    (scrub,) = find(entries([run_of(first), run_of(second)], ["a", "b"]), "scrub")
    assert scrub.verdicts == {"inconclusive": 1, "reaches untraining": 1}
    assert [draw.run for draw in scrub.draws] == [0, 1]
    value = scrub.distance("retrain", "margin")
    assert value.value == pytest.approx(0.07 + 0.2)
    halves = [d.distances["retrain", "margin"].high - d.distances["retrain", "margin"].value for d in scrub.draws]
    assert value.high - value.value == pytest.approx(math.hypot(*halves) / 2)


def test_the_same_forget_set_again_replaces(make):
    found = entries([run_of(make(seed=0)), run_of(moved(make(seed=0), 0.4))], ["a", "b"])
    (scrub,) = find(found, "scrub")
    assert [draw.run for draw in scrub.draws] == [1]
    assert scrub.distance("retrain", "margin").value == pytest.approx(0.47)


@pytest.mark.parametrize(
    ("facts", "change"),
    [({"recipe_digest": "b"}, {}), ({}, {"hyperparameters": "learning_rate=7"})],
    ids=["recipe", "hyperparameters"],
)
def test_what_differs_stands_apart(make, facts, change):
    second = [dataclasses.replace(r, **change) if isinstance(r, VerdictRow) else r for r in make(seed=1)]
    found = find(entries([run_of(make(seed=0)), run_of(second, **facts)], ["a", "b"]), "scrub")
    assert [len(e.draws) for e in found] == [1, 1]


def test_mixed_margins_are_refused_unless_asked_for(make):
    loose = [dataclasses.replace(r, margin=0.25) if isinstance(r, VerdictRow) else r for r in make(seed=1)]
    runs = [run_of(make(seed=0)), run_of(loose)]
    with pytest.raises(ValueError, match=r"Expected one margin in all runs .* 0\.1 in tight, 0\.25 in loose; --mixed"):
        entries(runs, ["tight", "loose"])
    found = find(entries(runs, ["tight", "loose"], mixed_margins=True), "scrub")
    assert [e.setting.margin for e in found] == [0.1, 0.25]  # beside each other, never averaged
    with pytest.raises(ValueError, match="Expected one damage in all runs"):
        entries([run_of(make(seed=0)), run_of(make(seed=1), damage=0.5)], ["a", "b"])


def test_a_missing_distance_is_missing_in_the_mean(make):
    bare = [r for r in make(seed=1) if not (isinstance(r, Row) and r.candidate == "scrub" and r.oracle == "retrain")]
    (scrub,) = find(entries([run_of(make(seed=0)), run_of(bare)], ["a", "b"]), "scrub")
    assert scrub.distance("retrain", "margin") is None
    assert scrub.distance("concept_free", "margin") is not None


def test_mean_of_intervals():
    assert mean([Value(1.0, 0.0, 4.0), Value(3.0, 3.0, 7.0)]) == Value(2.0, 1.5, 2.0 + 2.5)


def test_page_holds_every_entry_and_names_its_runs(tmp_path, make, provenance, capsys):
    for seed in (0, 1):
        results.write(tmp_path / f"seed{seed}", make(seed=seed), provenance | {"seed": seed})
    out = tmp_path / "board.html"
    Leaderboard((tmp_path / "seed0", tmp_path / "seed1"), out)()
    text = out.read_text()
    assert str(out) in capsys.readouterr().out
    for part in ("scrub", "held-out concept_free", "discovery_rate (seed1)", "2/2", 'href="#run-2"', 'id="run-2"'):
        assert part in text
    assert text.count("data-setting=") == 3 * 13
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_without_folders_it_is_of_all_runs(tmp_path, make, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="none are given, and there are none under runs/"):
        Leaderboard()()
    for seed in (0, 1):
        results.write(tmp_path / "runs" / f"seed{seed}", make(rates=(0.5,), seed=seed), {"experiment": "a"})
    Leaderboard()()
    text = (tmp_path / "runs" / "leaderboard.html").read_text()
    assert "runs/seed0" in text
    assert "runs/seed1" in text


def test_names_are_text(tmp_path, make):
    evil = "</script><img src=x onerror=alert(1)>"
    changed = [
        dataclasses.replace(r, candidate=evil, verdict=evil, detail=evil, hyperparameters=evil)
        if isinstance(r, VerdictRow)
        else r
        for r in make(rates=(0.5,))
    ]
    results.write(tmp_path / "a", changed, {"command": evil, "device": evil})
    assert "<img" not in write_leaderboard(tmp_path / "a", out=tmp_path / "b.html", command=evil).read_text()


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="Expected at least one folder"):
        write_leaderboard()
    with pytest.raises(FileNotFoundError, match=r"holds no results\.sqlite"):
        write_leaderboard(tmp_path)
