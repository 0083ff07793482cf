"""Every picture is drawn from rows that hold what it asks for, and names the algorithms."""

import importlib

import matplotlib
import pytest
from experiment_smoke import ROOT, load_experiment

from unlearnax.report.figures import RC
from unlearnax.report.load import Run
from unlearnax.results import ProblemRow, Row, VerdictRow, write


def values(spec, problem):
    """Accepts any question about a problem of the spec; what is asked for differs from candidate to candidate."""

    class Answers(Run):
        def row(self, problem, candidate, metric, oracle="", slice=""):
            value = (sum(map(ord, candidate)) % 17) / 17
            return Row(
                problem, candidate, "algorithm", "", metric, oracle, slice, value, value - 0.05, value + 0.05, 0.1
            )

        def candidates(self, *, references=False):
            return {name: self.row("", name, "") for name, _ in spec.algorithms}

    verdict = VerdictRow("p0", "do_nothing", "original", "", "", "", 0.1, spec.members, None, 0, "")
    return Answers.of([*problem, verdict])


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("pictures")


def texts(figure):
    """All words of a figure."""
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def test_all_experiments_but_two_are_drawn_here(pictures):
    stated = {path.stem for path in (ROOT / "experiments").glob("*.py") if "\nCLAIMS" in path.read_text()}
    assert set(pictures.PICTURES) == stated - {"figure1", "discovery_rate"}  # whose runs draw theirs


@pytest.mark.parametrize("name", [
    "closed_form", "corrective", "deep_unlearn", "easydub", "grokking", "memorization", "neurips2023", "poisoning",
    "relearning", "salun_table", "ulira",
])  # fmt: skip
def test_a_picture_names_what_it_shows(pictures, name):
    given = load_experiment(name).SIZES["small"]
    runs = {}
    for spec in given if isinstance(given, tuple) else (given,):
        rates = spec.discovery_rates or (1.0,)
        problems = [ProblemRow(f"p{i}", r, 0, "d", 1, 2, 3, 4, "oracle to oracle", False) for i, r in enumerate(rates)]
        runs[spec.name] = values(spec, problems)
    with matplotlib.rc_context(RC):
        figure = pictures.PICTURES[name](runs)
        figure.draw_without_rendering()
    words = texts(figure)
    expected = {"grokking": ["original", "untraining oracle"], "easydub": ["floor", "retrained\nfor 10 %"],
                "closed_form": ["one Newton step", "certified removal", "Descent-to-Delete"]}  # fmt: skip
    for word in expected.get(name, ["gradient ascent" if name != "salun_table" else "GA"]):
        if name in ("corrective", "neurips2023"):
            word = "SCRUB"
        assert any(word in text for text in words), (word, words)


def test_ranks_are_the_run_s_own_figure(pictures):
    """Which is tested with the report; a run without rankings is refused."""
    problem = ProblemRow("p", 1.0, 0, "d", 1, 1, 1, 1, "oracle to oracle", False)
    with pytest.raises(ValueError, match="it holds no rankings"):
        pictures.PICTURES["metric_mismatch"]({"mine": Run.of([problem])})


def test_runs_of_another_seed_are_left_out(pictures, tmp_path):
    for seed in (0, 1):
        problem = ProblemRow("p", 1.0, seed, "d", 1, 1, 1, 1, "oracle to oracle", False)
        write(tmp_path / str(seed), [problem], {"experiment": "mine", "seed": seed})
    assert pictures.runs_of(tmp_path, 1)["mine"].problems[0].seed == 1
    with pytest.raises(FileNotFoundError, match="seed=2"):
        pictures.runs_of(tmp_path, 2)
