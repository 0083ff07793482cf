"""A whole sweep in this process: the numbers of a run, nothing done twice, failures kept."""

import dataclasses
import shutil

import pytest
from rich.console import Console
from tiny_sweep import BASE, TROUBLE, numbers, run_here, tiny

from unlearnax import populations, results
from unlearnax.experiment import run
from unlearnax.report.page import write_report
from unlearnax.results import CellRow, ProblemRow, Row, VerdictRow
from unlearnax.scoring import with_holm
from unlearnax.store.locks import locked
from unlearnax.sweeps.driver import Tally, run_sweep
from unlearnax.sweeps.ledger import Ledger
from unlearnax.sweeps.lockstep import LockstepExecutor
from unlearnax.sweeps.plan import make_plan
from unlearnax.sweeps.show import Show, closing, duration
from unlearnax.sweeps.work import Message

TWO = (("fine_tune", {"learning_rate": (0.01, 0.03), "epochs": 1}), ("npo", {"beta": 0.5, "epochs": 1}))


METERED = dataclasses.replace(BASE, discovery_rates=(0.5, 1.0), metrics=("tow", "test_accuracy"))


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory):
    """A cache folder of this file's own."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def trained(module_cache, monkeypatch):
    """Roles that are trained."""
    monkeypatch.setenv("UNLEARNAX_CACHE", module_cache)
    roles, real = [], populations._train
    monkeypatch.setattr(populations, "_train", lambda *args: roles.append(args[7]) or real(*args))
    return roles


@pytest.fixture(scope="module")
def swept(module_cache, tmp_path_factory):
    """A finished sweep: its folder, tally, and roles that were trained."""
    folder, roles, real = tmp_path_factory.mktemp("out"), [], populations._train
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNAX_CACHE", module_cache)
        patch.setattr(populations, "_train", lambda *args: roles.append(args[7]) or real(*args))
        _, tally = run_here(tiny(base=METERED, algorithms=TWO), folder, command="a command")
    return folder, tally, roles


def test_no_population_is_trained_twice(swept):
    """Originals and the concept-free oracle serve both rates; what workers say of it is true."""
    _, tally, roles = swept
    assert (tally.done, tally.failed, tally.skipped) == (8, 0, 0)
    assert len(roles) == 5 + 2
    assert sorted(tally.trained) == sorted(roles)


def test_a_cell_is_what_a_run_of_its_setting_is(swept, trained, tmp_path):
    swept_problems, swept_rows, swept_verdicts = numbers(swept[0])
    find = {(r.problem, r.candidate, r.metric, r.oracle, r.slice): r for r in swept_rows}
    for label, (name, args) in {
        "fine_tune@learning_rate=0.03": ("fine_tune", {"learning_rate": 0.03, "epochs": 1}),
        "npo": ("npo", {"beta": 0.5, "epochs": 1}),
    }.items():
        run(dataclasses.replace(METERED, algorithms=((name, args),)), tmp_path / label)
        problems, rows, verdicts = numbers(tmp_path / label)
        assert problems == swept_problems
        assert len({row.candidate for row in rows}) == 6  # three controls, two oracles' own values
        for row in rows:
            candidate = label if row.candidate == name else row.candidate
            same = find[row.problem, candidate, row.metric, row.oracle, row.slice]
            bare = dataclasses.replace(row, candidate=candidate, p=None, p_adjusted=None)
            assert dataclasses.replace(same, p=None, p_adjusted=None) == bare
        renamed = [dataclasses.replace(v, candidate=label) if v.candidate == name else v for v in verdicts]
        assert set(renamed) <= set(swept_verdicts)
    assert trained == []


class Mortal(LockstepExecutor):
    """So many workers end, before they are ready or after; then one does everything, and others stay silent."""

    workers = 3

    def __init__(self, plan, lives, ready):
        super().__init__(plan)
        self._lives, self._ready = lives, ready

    def start(self, names, folder):
        for name in names:
            if self._lives:
                ready = [(name, Message("ready"))] if self._ready else []
                self._heard += [*ready, (name, Message("died", text="SIGKILL"))]
                self._lives -= 1
            elif not self._name:
                super().start([name], folder)


@pytest.mark.parametrize(("lives", "ready"), [(2, False), (7, True)])
def test_workers_that_were_ready_are_replaced_however_many_end(lives, ready, trained, tmp_path):
    plan = make_plan(tiny(base=METERED, algorithms=TWO))
    tally = run_sweep(plan, Mortal(plan, lives, ready), tmp_path, show=Show(Console(quiet=True)))
    assert (tally.done, tally.failed) == (8, 0)


def test_workers_that_never_begin_end_the_sweep(tmp_path):
    plan = make_plan(tiny())
    with pytest.raises(OSError, match="workers to begin, the last 3 in a row have not: SIGKILL"):
        run_sweep(plan, Mortal(plan, 100, False), tmp_path, show=Show(Console(quiet=True)))


def test_results_of_a_run_are_not_written_over(trained, tmp_path):
    run(dataclasses.replace(METERED, algorithms=()), tmp_path)
    before = (tmp_path / "results.sqlite").read_bytes()
    with pytest.raises(ValueError, match="a run's are there"):
        run_here(tiny(base=METERED), tmp_path)
    assert (tmp_path / "results.sqlite").read_bytes() == before


def test_p_values_are_adjusted_over_the_whole_problem(swept):
    rows = results.read(swept[0], Row)
    for problem in ("digits-3-rate0.5", "digits-3-rate1"):
        mine = [row for row in rows if row.problem == problem]
        assert len([row for row in mine if row.p is not None]) == 6 * 2 * 2 * (6 if problem.endswith("0.5") else 5)
        assert mine == with_holm([dataclasses.replace(row, p_adjusted=None) for row in mine])


def test_the_report_of_a_sweep(swept):
    page = write_report(swept[0]).read_text()
    for words in (
        "fine_tune@learning_rate=0.01",
        "fine_tune@learning_rate=0.03",
        "held-out retrain",
        "a command",
        "tiny",
    ):
        assert words in page
    facts = results.read_provenance(swept[0])
    assert facts["cells"] == {"settings": 6, "grounds": 2}
    assert set(facts["plan"]) == {"digits-3-rate0.5", "digits-3-rate1"}
    assert facts["seconds of workers"]["unlearning"] > 0


def test_a_second_start_does_nothing_and_a_larger_sweep_the_rest(swept, trained, tmp_path):
    out = shutil.copytree(swept[0], tmp_path / "out")
    before, cells = numbers(out), results.read(out, CellRow)
    _, tally = run_here(tiny(base=METERED, algorithms=TWO), out)
    assert (tally.done, tally.skipped, tally.failed) == (0, 8, 0)
    assert numbers(out) == before
    assert results.read_provenance(out)["command"] == "a command"
    _, tally = run_here(tiny(base=METERED, algorithms=TWO, seeds=(0, 1)), out)
    assert (tally.done, tally.skipped) == (8, 8)
    renamed = [dataclasses.replace(cell, problem=f"{cell.problem} seed 0") for cell in cells]
    assert results.read(out, CellRow)[:8] == renamed  # nothing else of them changed
    names = {row.problem for row in results.read(out, ProblemRow)}
    assert names == {f"digits-3-rate{rate} seed {seed}" for rate in ("0.5", "1") for seed in (0, 1)}
    assert {row.problem for row in results.read(out, VerdictRow)} == names
    assert sorted(trained) == sorted(tally.trained)
    assert len(trained) == 7


def test_failures_are_kept_skipped_and_tried_again_when_asked(trained, tmp_path):
    (tmp_path / "own.py").write_text(TROUBLE)
    flag = tmp_path / "flag"
    sweep = tiny(algorithms=((f"{tmp_path}/own.py:raises", {"until": str(flag)}), (f"{tmp_path}/own.py:same", {})))
    _, tally = run_here(sweep, tmp_path / "out")
    assert (tally.done, tally.failed) == (2, 1)
    (failed,) = [cell for cell in results.read(tmp_path / "out", CellRow) if cell.state == "failed"]
    assert "ArithmeticError: this one never works" in failed.error
    assert "Traceback" in failed.error
    assert (failed.candidate, failed.attempt) == ("raises", 1)
    assert not [row for row in results.read(tmp_path / "out", Row) if row.candidate == "raises"]
    flag.touch()
    _, tally = run_here(sweep, tmp_path / "out")
    assert (tally.done, tally.failed, tally.skipped) == (0, 1, 2)
    _, tally = run_here(sweep, tmp_path / "out", retry=True)
    assert (tally.done, tally.failed, tally.skipped) == (1, 0, 2)
    (cell,) = [cell for cell in results.read(tmp_path / "out", CellRow) if cell.candidate == "raises"]
    assert (cell.state, cell.attempt, cell.error) == ("done", 2, "")
    assert [row for row in results.read(tmp_path / "out", Row) if row.candidate == "raises"]


def test_a_ground_that_cannot_be_laid_fails_its_cells_once(trained, tmp_path):
    wild = dataclasses.replace(BASE.recipe, learning_rate=1e30)
    sweep = tiny(recipes={"wild": wild, "tame": BASE.recipe})
    _, tally = run_here(sweep, tmp_path / "out")
    assert (tally.done, tally.failed) == (6, 6)
    failed = [cell for cell in results.read(tmp_path / "out", CellRow) if cell.state == "failed"]
    assert {cell.problem for cell in failed} == {"digits-3-rate0.5 wild"}
    assert all("diverged" in cell.error for cell in failed)
    assert trained == ["original"]
    assert write_report(tmp_path / "out").exists()


def test_problems_that_rest_on_estimated_scores(trained, tmp_path):
    problem = {"problem": "most_memorized", "problem_args": {"size": 50, "members": 24}, "discovery_rates": ()}
    base = dataclasses.replace(BASE, oracles=("retrain",))
    _, tally = run_here(tiny(base=base, problems=(problem,)), tmp_path / "out")
    assert (tally.done, tally.failed) == (6, 0)
    assert sorted(tally.trained) == sorted(trained)


def test_a_folder_is_one_sweeps(tmp_path):
    with locked(tmp_path / "out" / "sweep.lock"), pytest.raises(ValueError, match="one works on it now"):
        run_here(tiny(), tmp_path / "out")


def test_what_is_kept_is_on_the_disk_at_once(tmp_path):
    ledger = Ledger(tmp_path)
    cell = CellRow("a" * 32, "cell", "p", "c", "done", 1.0, "w", 1, "")
    ledger.add(cell, [Row("p", "c", "algorithm", "", "accuracy", "", "retain", 0.5)], {"plan": "map"})
    other = Ledger(tmp_path)  # as another process would see it
    assert other.cells() == {cell.id: cell}
    ledger.add(dataclasses.replace(cell, state="failed", attempt=2), [])
    assert other.cells()[cell.id].attempt == 2


def test_what_is_shown():
    seconds = iter([0.0, 100.0, 160.0, 160.0])
    show = Show(Console(quiet=True), now=lambda: next(seconds))
    show.update(Tally(done=1, workers=1), 100, 4)  # 100 s after the start
    line = show.line(Tally(done=31, failed=2, skipped=7), 100, 4)
    assert line == "38 of 100 done, 4 in hand, 56 waiting, 2 failed, 30 a minute, 2 min 0 s left"
    assert [duration(s) for s in (4.2, 200, 7500)] == ["4 s", "3 min 20 s", "2 h 5 min"]
    console = Console(record=True, width=40)
    Show(console).failure("a problem", "npo@beta=0.1", "ValueError: what went wrong\n\nTraceback ...\n a note")
    assert console.export_text() == "failed: npo@beta=0.1 on a problem: ValueError: what went wrong\n"
    tally = Tally(done=3, workers=2, wall=50.0, trained=["a"], failed=1)
    tally.seconds.update({"training": 40.0, "compiling": 50.0})
    assert "the rest 10.0 s (10.0%)" in closing(tally)
    assert "3 results in 50 s, 1 failed; 1 populations trained" in closing(tally)
