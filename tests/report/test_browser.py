"""The pages in a real browser: quiet, offline, within a phone's width, and every control does what it says."""

import csv
import dataclasses
import io
import json
import re
import shutil

import pytest
from browser_tabs import Visitor
from scipy.stats import kendalltau

from unlearnax import results
from unlearnax.report import explore, page, style, write_report
from unlearnax.report.leaderboard import write_leaderboard
from unlearnax.report.load import Run

sync_api = pytest.importorskip("playwright.sync_api", reason="the extra browser is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
PAGES = ("run", "set", "leaderboard")
CLAIMS = """
from unlearnax.claims import At, Claim, below
near = below(At("distance/margin", "scrub", "retrain", "concept", rate=0.5), 0.5)
CLAIMS = (Claim("SCRUB is near. " * 9, "A. Author, a_long_name_of_a_venue_and_a_table" * 4, "0.05", near),)
"""
VERDICTS = "#verdicts table.verdicts tbody tr"


@pytest.fixture(scope="module")
def run(records, make_pictures):
    pictures = [r for p in records if isinstance(p, results.ProblemRow) for r in make_pictures(p.problem)]
    return [*records, *pictures]


@pytest.fixture(scope="module")
def files(tmp_path_factory, run, make, provenance):
    folder = tmp_path_factory.mktemp("pages")
    long = {"command": "unlearnax run " + "a/very/long/path/to/an/experiment" * 8, "digest": "0123456789abcdef" * 20}
    (folder / "paper.py").write_text(CLAIMS)
    origin = {"origin": {"file": str(folder / "paper.py"), "size": "small"}, "seed": 0}
    results.write(folder / "a", run, provenance | long | origin)
    results.write(folder / "b", make(seed=1), provenance | {"experiment": "another_one_with_a_long_name" * 4})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "write_figures", lambda *_: [])
        old = [dataclasses.replace(r, margins=b"") if isinstance(r, results.ExampleRow) else r for r in run]
        results.write(folder / "old", old, provenance)
        return {
            "old": write_report(folder / "old"),
            "run": write_report(folder / "a"),
            "set": write_report(folder / "a", folder / "b"),
            "leaderboard": write_leaderboard(folder / "a", folder / "b", out=folder / "leaderboard.html"),
        }


@pytest.fixture(scope="module")
def visitor(files):
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Visitor(browser, files)
        browser.close()


@pytest.fixture
def visit(visitor):
    yield visitor
    assert visitor.trouble == []


def visible(tab, selector=VERDICTS):
    return tab.eval_on_selector_all(
        selector,
        "rows => rows.filter(r => r.checkVisibility()).map(r => r.querySelector('th').firstChild.textContent.trim())",
    )


def plotted(tab, axis="x"):
    """Shown candidates of the first compass with a coordinate each."""
    traces = tab.evaluate(
        "document.querySelector('.stage .plot').data.map(t => [t.meta.candidate, t.visible, t.x[0], t.y[0]])"
    )
    return {name: (x if axis == "x" else y) for name, shown, x, y in traces if shown and name}


def copied(tab, button, said):
    """What is on the clipboard after a click."""
    button.click()
    sync_api.expect(tab.locator("#status")).to_have_text(said)
    return tab.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (320, "dark")])
def test_no_sideways_scroll_on_a_phone(visit, name, width, scheme):
    tab = visit(name, width, scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(map(int, re.findall(r"\d+", background)[:3]))
    assert lightness > 600 if scheme == "light" else lightness < 150


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_name_and_shows_its_focus(visit, name):
    tab = visit(name)
    nameless = tab.evaluate("""
        [...document.querySelectorAll('button, input, select, summary')].filter(
          (e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.[0]?.textContent.trim())
        ).map((e) => e.outerHTML)""")
    assert nameless == []
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"  # the first stop, and then on it is seen
    for _ in range(6):
        tab.keyboard.press("Tab")
        style = tab.evaluate("(({ outlineStyle, outlineWidth }) => [outlineStyle, outlineWidth])"
                             "(getComputedStyle(document.activeElement))")  # fmt: skip
        assert style[0] != "none"
        assert float(style[1].removesuffix("px")) >= 1


def test_sorting(visit):
    tab = visit("run")
    before = visible(tab)
    table = tab.locator("#verdicts table.verdicts")
    table.get_by_role("button", name="candidate").click()
    assert visible(tab) == sorted(before)
    head = table.locator("thead th").first
    assert head.get_attribute("aria-sort") == "ascending"
    table.get_by_role("button", name="candidate").press("Enter")  # by keyboard, the other way
    assert visible(tab) == sorted(before, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    numbers = "[...document.querySelectorAll('.costs')[0].tBodies[0].rows].map(r => r.cells[1].dataset.key).map(Number)"
    tab.locator(".costs").first.get_by_role("button", name="% of a retrain", exact=True).click()
    assert tab.evaluate(numbers) == sorted(tab.evaluate(numbers))
    assert len(set(tab.evaluate(numbers))) > 5


def test_filtering(visit, records):
    tab = visit("run")
    everybody = visible(tab)
    assert len(everybody) == 13
    tab.get_by_label("Filter").fill("Neg grad")
    assert visible(tab) == ["neg_grad_plus"]
    assert set(plotted(tab)) == {"neg_grad_plus"}
    assert visible(tab, "#h-distances ~ .panel:not([hidden]) tbody tr").count("neg_grad_plus") == 4
    assert set(visible(tab, "#h-distances ~ .panel tbody tr")) == {"neg_grad_plus"}
    assert tab.locator("#filter-count").inner_text() == "1 of 13 candidates"
    tab.get_by_label("Filter").fill("reaches unlearning")  # a verdict
    assert set(visible(tab)) == {"npo", "held-out concept_free"}
    tab.get_by_role("button", name="Show all candidates").click()
    assert visible(tab) == everybody
    tab.get_by_label("Declared goal").select_option("untraining")
    untraining = {"fine_tune", "ssd", "l1_sparse"}
    assert set(visible(tab)) == untraining | {"do_nothing", "held-out retrain", "held-out concept_free"}
    tab.get_by_label("controls", exact=True).uncheck()
    assert set(visible(tab)) == untraining
    tab.get_by_role("button", name="ssd", exact=True).click()  # a switch: out of the plots, not of the tables
    assert set(visible(tab)) == untraining
    assert set(plotted(tab)) == untraining - {"ssd"}


def test_the_slider_moves_compass_and_tables(visit, records):
    tab = visit("run")
    run, slider = Run.of(records), tab.get_by_label("Discovery rate")
    places = []
    for problem in run.problems[:2]:
        shown = tab.locator(".panel:not([hidden]) h3").first.inner_text()
        assert shown == problem.problem
        said = f"{problem.rate:g}: {problem.forget} of {problem.concept} found"
        assert tab.locator("#rate-shown").inner_text() == said
        assert plotted(tab)["scrub"] == run.row(problem.problem, "scrub", "distance/margin", "retrain", "concept").value
        assert plotted(tab, "y")["scrub"] == pytest.approx(
            run.row(problem.problem, "scrub", "distance/margin", "concept_free", "concept").value
        )
        places.append(plotted(tab)["scrub"])
        slider.press("ArrowRight")
    assert places[0] != places[1]
    assert tab.locator("text=One axis only: the two oracles coincide").is_visible()
    assert tab.evaluate("document.querySelector('.stage .plot').layout.yaxis.type") == "category"
    slider.press("Home")
    tab.get_by_role("button", name="Around the untraining oracle").click()
    low, high = tab.evaluate("document.querySelector('.stage .plot').layout.xaxis.range")
    assert -0.2 < low < 0 < high < 0.5
    find = "document.querySelector('.stage .plot').data.find(t => t.meta.candidate === 'scrub').hovertemplate"
    hover = tab.evaluate(find)
    for words in ("learning_rate=0.01", "% of a retrain", "[", "inconclusive"):
        assert words in hover


def test_points_are_reached_by_keyboard(visit, records):
    tab = visit("run")
    run, problem = Run.of(records), "digits-concept3-rate0.1"
    tab.locator("#points summary").focus()
    tab.keyboard.press("Enter")
    rows = tab.locator("#point-table tbody tr")
    assert rows.count() == 13
    button = rows.nth(0).get_by_role("button")
    while button.evaluate(
        "e => document.activeElement !== e"
    ):  # the next stops of Tab: the table's region, then its rows
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.closest('#points') !== null")
    name = button.inner_text()
    tip = tab.locator("#tip")
    for words in ("verdict: ", "% of a retrain", "learning_rate=0.01", "declared goal"):
        assert words in tip.inner_text()
    assert button.get_attribute("aria-describedby") == "tip"
    lit = tab.locator(".stage .plot .hoverlayer .hovertext")
    assert lit.count() == 2  # in both forms
    assert name in lit.nth(0).text_content()
    for i, (form, oracle) in enumerate((f, o) for f in ("margin", "output") for o in ("retrain", "concept_free")):
        row = run.row(problem, name, f"distance/{form}", oracle, "concept")
        shown = rows.nth(0).locator("td").nth(i).inner_text().split("\n")
        assert shown == [style.number(row.value), style.interval(row.low, row.high)]
    tab.keyboard.press("Tab")
    assert name not in "".join(lit.all_text_contents())
    tab.keyboard.press("Escape")
    assert not tip.is_visible()
    tab.get_by_label("Filter").fill("scrub")
    assert rows.count() == 1


def test_the_compass_says_in_words_what_it_shows(visit, records):
    tab = visit("run")
    run, problem = Run.of(records), "digits-concept3-rate0.1"
    algorithms = [n for n, r in run.candidates().items() if r.kind == "algorithm"]

    def nearest(oracle):
        rows = [run.row(problem, n, "distance/margin", oracle, "concept") for n in algorithms]
        best = min(rows, key=lambda r: r.value)
        return f"{best.candidate}, {style.number(best.value)}"

    said = tab.locator(".stage .plot").first.get_attribute("aria-label")
    assert said.startswith("Distances, margin form (logit-scaled confidence): 10 algorithms.")
    assert f"untraining oracle: {nearest('retrain')}; to the unlearning oracle: {nearest('concept_free')}." in said
    tab.get_by_label("Discovery rate").press("End")  # one axis
    assert "Nearest: " in tab.locator(".stage .plot").first.get_attribute("aria-label")


@pytest.mark.parametrize("width", [1280, 390])
def test_names_in_the_close_up_are_whole_and_apart(visit, width):
    tab = visit("run", width)
    tab.get_by_role("button", name="Around the untraining oracle").click()
    boxes = tab.locator(".stage .plot").first.evaluate("""plot => {
      const box = (e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
      const names = [...plot.querySelectorAll('.annotation-text')];
      return [box(plot.querySelector('.nsewdrag')), names.map(e => [e.textContent, box(e)])];
    }""")
    (left, top, right, bottom), names = boxes
    assert len(names) >= 3
    assert width < 640 or "untraining oracle" in dict(names)
    for name, box in names:
        assert left <= box[0] < box[2] <= right, name
        assert top <= box[1] < box[3] <= bottom, name
    for i, (_, a) in enumerate(names):
        for _, b in names[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    tab.get_by_role("button", name="Whole compass").click()


def test_a_set_has_a_slider_for_each_run(visit):
    tab = visit("set")
    tab.locator("#series").select_option(index=1)
    tab.get_by_label("Discovery rate").press("ArrowRight")
    assert tab.locator(".panel:not([hidden]) h3").first.inner_text().startswith("another_one_with")
    assert tab.locator("#rate-shown").inner_text() == "0.5: 75 of 150 found"


def test_copying(visit):
    tab = visit("run")
    tab.get_by_label("Filter").fill("scrub")
    group = tab.get_by_role("group", name="Copy: Verdicts by candidate and problem")
    head, row = csv.reader(io.StringIO(copied(tab, group.get_by_role("button", name="CSV"), "Copied as CSV")))
    rates = ((0.1, 15), (0.5, 75), (1, 150))
    assert head == ["candidate", "declared goal", *(f"rate {r} {n} of 150 found, 64 members" for r, n in rates)]
    assert row[:2] == ["scrub", "ambiguous"]
    assert row[2] == "inconclusive ≈210 members would settle it"
    lines = copied(tab, group.get_by_role("button", name="Markdown"), "Copied as Markdown").splitlines()
    assert lines[1] == "| --- | --- | --- | --- | --- |"
    assert lines[2].startswith("| scrub | ambiguous | inconclusive")
    assert len(lines) == 3  # the rows that are shown, and no others
    group = tab.get_by_role("group", name=re.compile("Copy: On the concept .scale")).first
    text = copied(tab, group.get_by_role("button", name="LaTeX"), "Copied as LaTeX")
    assert text.startswith(r"\begin{tabular}{lrrrrrrrr} % needs booktabs")
    assert r"untraining oracle A(D$\setminus$S): concept, pooled" in text
    assert re.search(r"^scrub & .*0\.0\d \[.*\\\\$", text, re.MULTILINE)
    assert "−" not in text
    command = tab.get_by_role("button", name="Copy the command")
    assert copied(tab, command, "Copied the command").startswith("unlearnax run a/very/long")
    bibtex = tab.get_by_role("button", name="Copy BibTeX")
    assert copied(tab, bibtex, "Copied BibTeX").startswith("@software{unlearnax,")


def test_rankings_and_their_agreement(visit, records):
    tab = visit("run")
    run = Run.of(records)
    beside, *each = explore.rankings(run, run.problems[0].problem)
    found = next(one["metrics"] for one in each if one["oracle"] == style.oracle_name("retrain"))
    heads = tab.locator("#taus thead th").all_inner_texts()[1:]
    first = [metric["name"].replace("_", " ") for metric in beside["metrics"] if metric["first"]]
    assert heads == first
    assert {name.rpartition(", ")[2] for name in first} == {one["oracle"] for one in each}  # metrics of either goal
    tab.locator("#rank-oracle").select_option(style.oracle_name("retrain"))
    algorithms = [name for name, record in run.candidates().items() if record.kind == "algorithm"]
    values = {m["name"]: {name: m["values"][name] for name in algorithms} for m in found}

    def shown():
        rows = tab.eval_on_selector_all(
            "#taus tr", "rows => rows.map(r => [...r.cells].map(c => c.firstChild.textContent))"
        )
        return [name.replace(" ", "_") for name in rows[0][1:]], rows[1:]

    names, rows = shown()
    assert names == ["distance/margin", "distance/output", "klom"]
    tab.get_by_text("Metrics compared").first.click()
    tab.get_by_label("quality, forget set S").check()
    names, rows = shown()
    assert names[-1] == "quality"
    for i, first in enumerate(names):
        for j, second in enumerate(names):
            expected = kendalltau(*([values[m][n] for n in values[first]] for m in (first, second)))[0]
            if expected == expected:  # of a metric where all are tied there is none
                assert float(rows[i][j + 1].replace("−", "-")) == pytest.approx(expected, abs=0.0051)
            else:
                assert rows[i][j + 1] == "–"
    intervals = tab.locator("#taus tbody tr").first.locator("td .sub").all_inner_texts()
    assert len(intervals) == 1  # the other form's: by KLoM and by quality all are tied
    low, high = (float(end.replace("−", "-")) for end in re.findall(r"[−\d.]+", intervals[0]))
    assert -1 <= low <= float(rows[0][2].replace("−", "-")) <= high <= 1
    lines = tab.evaluate("document.getElementById('rank-plot').data.map(t => [t.name, t.y])")
    order = sorted(values["distance/margin"], key=values["distance/margin"].get)
    assert [name for name, ranks in sorted(lines, key=lambda line: line[1][0])] == order
    tab.locator("#rank-oracle").select_option(style.oracle_name("concept_free"))
    assert tab.evaluate("document.getElementById('rank-plot').data.map(t => t.y)") != [y for _, y in lines]


def test_no_plot_is_cut_off_as_the_page_opens(visit):
    tab = visit.open("run")  # anew: whatever follows the first drawing may draw again
    widths = tab.eval_on_selector_all(
        ".plot:has(.main-svg)",
        """(plots) => plots.map((plot) =>
        [plot.querySelector(".main-svg").getBoundingClientRect().width, plot.getBoundingClientRect().width])""",
    )
    assert len(widths) > 3
    assert all(drawn <= there + 1 for drawn, there in widths), widths


def test_the_frontier(visit, records):
    tab = visit("run")
    run = Run.of(records)
    points = explore.frontier(run, run.problems[0].problem)["points"]
    for form in ("margin", "output", "worse"):
        tab.locator("#frontier-form").select_option(form)
        line = []
        oracle = style.oracle_name("retrain")
        for p in sorted(points, key=lambda p: p["costs"]["share"]):
            far = p["distances"][oracle]
            far = max(v[0] for v in far.values()) if form == "worse" else far[form][0]
            known = not p["control"] or p["candidate"] == "do_nothing"
            if known and p["costs"]["share"] < 1 and (not line or far < line[-1][1]):
                line.append((p["candidate"], far))
        expected = f"On the frontier to the {oracle}: {', '.join(name for name, _ in line)}."
        assert tab.locator("#frontier-note").inner_text().startswith(expected)
    tab.get_by_label("logarithmic cost").check()
    assert tab.evaluate("document.querySelector('#frontier-plots .plot').layout.xaxis.type") == "log"


def test_worst_examples_first(visit):
    tab = visit("run")

    def numbers():
        names = tab.locator("#example-table tbody th span:not(.sub)").all_inner_texts()
        return [int(name.rpartition(" ")[2]) for name in names]

    assert numbers() == [0, 1, 2, 3, 4]  # SCRUB gets the i-th right in i of 4 cases, the untraining oracle always
    assert tab.evaluate("[...document.querySelectorAll('#example-table img')].map(i => i.naturalWidth)") == [8] * 5
    tab.locator("#example-oracle").select_option(style.oracle_name("concept_free"))  # which never does
    assert numbers() == [4, 3, 2, 1, 0]
    tab.get_by_label("drawn at random only").check()
    assert numbers() == [4, 3, 1, 0]
    tab.locator("#example-by").select_option("margin")  # the oracle's margin of 3 is not there
    assert numbers() == [4, 1, 0, 3]
    assert "50 % [40, 60]" not in tab.locator("#example-table").inner_text()
    assert "25 % [15, 35]" in tab.locator("#example-table").inner_text()


def test_margins_of_the_members_are_drawn(visit):
    tab = visit("run")
    strips = tab.locator("#example-table svg.strip")
    assert strips.count() == 5
    said = strips.nth(0).get_attribute("aria-label")  # example 0: SCRUB's margins from −6 to −4, the oracles' 5 and −5
    assert said == (
        "Margins of the members. scrub: median −5.0, −6.0 to −4.0; untraining oracle A(D∖S): median 5.0, 5.0 to 5.0; "
        "unlearning oracle A(D∖F): median −5.0, −5.0 to −5.0"
    )
    places = "lines => lines.map(l => Number(l.getAttribute('x1')))"
    scrub, oracle = (strips.nth(0).locator(".lane").nth(n).locator(".stroke").evaluate_all(places) for n in (0, 1))
    assert len(scrub) == results.LEVELS
    assert scrub == sorted(scrub)
    assert len(set(oracle)) == 1
    assert max(scrub) < float(strips.nth(0).locator(".zero").get_attribute("x1")) < oracle[0]
    assert "members −6.0 to −4.0" in tab.locator("#example-table").inner_text()
    tab.locator("#example-by").select_option("spread")  # mean distances of 10, 7.5, 5.0, (not there), 2.6: it spreads
    numbers = tab.locator("#example-table tbody th span:not(.sub)").all_inner_texts()
    assert [int(name.rpartition(" ")[2]) for name in numbers] == [0, 1, 2, 4, 3]
    for scheme in ("light", "dark"):  # seen on either ground
        visit("run", 390, scheme)
        fill = tab.evaluate("getComputedStyle(document.querySelector('.strip .u circle')).fill")
        below = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        dot, ground = (sum(map(int, re.findall(r"\d+", c)[:3])) for c in (fill, below))
        assert abs(dot - ground) > 250


def test_a_run_that_kept_means_only_has_no_strips(visit):
    tab = visit("old")
    assert tab.locator("#example-table tbody tr").count() == 5
    assert tab.locator("#example-table svg").count() == 0
    assert tab.locator("#example-by option:not([hidden])").count() == 2
    assert not tab.locator("p[data-spread]").is_visible()


def test_the_leaderboard_filters_and_sorts(visit):
    tab = visit("leaderboard")
    entries = "#entries tbody tr"
    assert len(visible(tab, entries)) == 3 * 13
    tab.locator("#filter-setting").select_option(label="digits-concept3-rate0.5")
    tab.get_by_label("Declared goal").select_option("unlearning")
    tab.get_by_label("controls", exact=True).uncheck()
    assert visible(tab, entries) == ["npo"]
    assert visible(tab, "table.verdicts tbody tr") == ["npo"]
    tab.get_by_label("Declared goal").select_option("")
    tab.locator("#entries").get_by_role("button", name="output form").first.click()
    key = "rows => rows.filter(r => !r.hidden).map(r => Number(r.cells[5].dataset.key))"
    found = tab.eval_on_selector_all(entries, key)
    assert found == sorted(found)
    assert len(found) == 10


def test_every_page_of_data_is_json(files):
    for path in files.values():
        for script in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text(), re.DOTALL):
            json.loads(script, parse_constant=pytest.fail)
