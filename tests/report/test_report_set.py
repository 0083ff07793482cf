"""A page of several runs, published claims on it, and how to cite."""

import json
import re
from pathlib import Path

import pytest

from unlearnax import results
from unlearnax.claims import judge_folders
from unlearnax.cli import Report
from unlearnax.report import citation, page, write_report
from unlearnax.report.load import load

CLAIMS = """
from unlearnax.claims import At, Claim, above, below
SCRUB = At("distance/margin", "scrub", "retrain", "concept", rate=0.5)
CLAIMS = (
    Claim("SCRUB <is> near.", "A. Author 2023, Table 1", "0.05", below(SCRUB, 0.5), setting="smaller model"),
    Claim("SCRUB is far.", "A. Author 2023, Table 2", "none", above(SCRUB, 0.5)),
    Claim("Nobody measured this.", "B. Author 2024", "none", above(At("sharpness", rate=0.5))),
)
"""


pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def folders(tmp_path, make, provenance):
    experiment = tmp_path / "paper.py"
    experiment.write_text(CLAIMS)
    made = []
    for seed in (0, 1):
        facts = {"origin": {"file": str(experiment), "size": "small"}, "seed": seed}
        results.write(tmp_path / f"seed{seed}", make(seed=seed), provenance | facts)
        made.append(tmp_path / f"seed{seed}")
    return made


def test_one_page_of_several_runs(folders, capsys):
    Report(tuple(folders))()
    path = folders[0].parent / "report.html"
    assert str(path) in capsys.readouterr().out
    text = path.read_text()
    assert not (folders[0] / "report.html").exists()  # a run's own page stays as it was
    series = json.loads(re.search(r'id="series-data">(.*?)</script>', text)[1])
    assert [[p["rate"] for p in each] for each in series] == [
        [0.1, 0.5, 1.0]
    ] * 3  # both runs, and what they say together
    assert [[p["index"] for p in each] for each in series] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert text.count("<h3>discovery_rate, seeds 0, 1 · digits-concept3-rate0.5</h3>") > 3
    assert text.count("<h3>discovery_rate (seed1) · digits-concept3-rate0.5</h3>") > 3
    assert len(json.loads(re.search(r'id="explore-data">(.*?)</script>', text, re.DOTALL)[1])) == 9
    assert text.count('class="panel"') % 9 == 0
    assert text.count("Plotly.register") == write_report(folders[0]).read_text().count("Plotly.register")


def test_a_page_of_runs_inside_a_run_does_not_replace_its_page(tmp_path, make):
    for folder in (tmp_path, tmp_path / "inner"):
        results.write(folder, make(rates=(0.5,)), {})
    assert write_report(tmp_path, tmp_path / "inner").name == "reports.html"
    assert write_report(tmp_path, out=tmp_path / "deep" / "page.html").parent.name == "deep"


def test_no_folder():
    with pytest.raises(ValueError, match="Expected at least one folder"):
        write_report()


def test_runs_that_are_called_alike_are_told_apart(folders):
    assert page.run_titles([load(f) for f in folders], folders) == ["discovery_rate (seed0)", "discovery_rate (seed1)"]
    assert page.run_titles([load(folders[0])], folders[:1]) == ["discovery_rate"]


def test_claims_are_judged_on_every_seed(folders):
    text = write_report(*folders).read_text()
    start = text.index('id="claims"')
    part = text[start : text.index("</section>", start)]
    for words in ("SCRUB &lt;is&gt; near.", "A. Author 2023, Table 1", "smaller model", "paper, small"):
        assert words in part
    for seed in (0, 1):
        assert f"seed {seed}: 0.07" in part
    assert re.findall(r'class="outcome (\w+)"', part) == ["reproduced", "not", "no"]
    assert "unlearnax run discovery_rate --members 64" in part


def test_an_experiment_that_is_gone_is_a_note(folders):
    (folders[0].parent / "paper.py").unlink()
    judged, notes = judge_folders(folders)
    assert not judged
    assert ["paper.py" in note and str(folder) in note for note, folder in zip(notes, folders, strict=True)] == [
        True
    ] * 2
    assert "which is not there now" in write_report(folders[0]).read_text()


def test_runs_without_claims_have_no_section(run_folder):
    assert 'id="claims"' not in write_report(run_folder).read_text()


def test_bibtex_says_what_the_citation_file_says(run_folder):
    facts = (Path(__file__).parents[2] / "CITATION.cff").read_text()
    assert citation.TITLE in facts
    assert citation.AUTHORS in facts
    assert citation.PAPER["title"] in facts
    assert citation.PAPER["eprint"] in facts
    assert tuple(re.findall(r"family-names: (\w+)", facts)) == citation.PAPER["authors"]
    text = citation.bibtex()
    assert f"title = {{{{{citation.TITLE}}}}}" in text
    assert text.count("{") == text.count("}")
    assert "@software{unlearnax," in write_report(run_folder).read_text()
