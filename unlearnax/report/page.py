"""One self-contained HTML page of a run or of several: it opens offline and fetches nothing."""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from unlearnax import results
from unlearnax.report import explore, gallery, interactive, style, suite, tables
from unlearnax.report.citation import bibtex
from unlearnax.report.figures import write_figures
from unlearnax.report.load import Run, has_compass, is_control, load
from unlearnax.report.pooling import Pool, pools
from unlearnax.results import ProblemRow

ASSETS = Path(__file__).parent / "assets"  # templates, styles, and the parts of the scripts
FILE = "report.html"
# Parts of the page's script: concatenated in this order they are one function.
BASE_SCRIPTS = ("base.js", "tables.js", "copy.js")
PLOT_SCRIPTS = (
    "filter.js", "plots.js", "names.js", "points.js", "compass.js", "tau.js", "ranks.js", "frontier.js", "strips.js",
    "examples.js", "chooser.js",
)  # fmt: skip
LEADING_KEYS = ("experiment", "git_commit", "versions", "device", "seeds", "plan", "wall_seconds")
OWN_SECTION = ("command", "tuning", "title")  # provenance that is shown elsewhere


def _problem(run: Run, problem: ProblemRow, marks: dict[str, style.Mark]) -> dict[str, Any]:
    name = problem.problem
    concept, damage = run.slices(name, "accuracy")
    return {
        "run": run,
        "row": problem,
        "margin": run.margin(name),
        "compass": has_compass(run, problem),
        "plots": interactive.plots(run, problem, marks),
        "explore": {
            "ranks": explore.rankings(run, name),
            "frontier": explore.frontier(run, name),
            "examples": gallery.gallery(run, name),
        },
        "accuracy": tables.metric_table(run, name, "accuracy", concept, [""], digits=1, factor=100.0),
        "accuracy_damage": tables.metric_table(run, name, "accuracy", damage, [""], digits=1, factor=100.0),
        "distances": tables.distances(run, name),
        "energies": tables.energies(run, name),
        "costs": tables.costs(run, name),
        "overview": suite.overview(run, name),
        "suite": suite.details(run, name),
        "members": max((v.members for v in run.verdicts if v.problem == name), default=None),
    }


def _provenance(provenance: dict[str, Any]) -> list[tuple[str, str]]:
    keys = [k for k in LEADING_KEYS if k in provenance]
    keys += [k for k in provenance if k not in keys and k not in OWN_SECTION]
    return [(key.replace("_", " "), _plain(key, provenance[key])) for key in keys]


def _plain(key: str, value: Any) -> str:
    if value is None or value == "":
        return style.MISSING
    if isinstance(value, dict):
        return "\n".join(f"{k}: {_plain(str(k), v)}" for k, v in value.items()) or style.MISSING
    if key.endswith("seconds") and isinstance(value, int | float) and not isinstance(value, bool):
        return style.seconds(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def run_titles(runs: list[Run], folders: list[Path]) -> list[str]:
    """What to call each run: its experiment, with the folder's name where several are called alike."""
    names = [
        str(run.provenance.get("title") or run.provenance.get("experiment") or folder.resolve().name)
        for run, folder in zip(runs, folders, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({folder.resolve().name})"
        for name, folder in zip(names, folders, strict=True)
    ]


def pool_titles(pooled: list[Pool]) -> list[str]:
    """What to call runs that are pooled: their experiment and seeds, numbered where several are called alike."""
    names = [
        f"{each.run.provenance.get('title') or each.run.provenance['experiment']}, seeds {', '.join(map(str, each.seeds))}"
        for each in pooled
    ]
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, 1)]


def _series(problems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Problems that differ in their discovery rate only, by rate: what the slider moves along."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for problem in problems:
        stem = re.sub(r"[-_ ]*rate[\d.]+", "", problem["row"].problem)
        found.setdefault((problem["title"], stem), []).append(problem)
    several_runs, several_stems = (len({key[i] for key in found}) > 1 for i in (0, 1))
    series = []
    for (title, stem), members in found.items():
        label = " · ".join([title] * several_runs + [stem] * (several_stems or not several_runs))
        series.append({"label": label, "problems": sorted(members, key=lambda p: p["row"].rate)})
    return series


def _candidates(runs: list[Run]) -> dict[str, Any]:
    """Candidates of all runs by name, controls last."""
    known: dict[str, Any] = {}
    for run in runs:
        for name, record in run.candidates().items():
            known.setdefault(name, record)
    return dict(sorted(known.items(), key=lambda item: is_control(item[1].kind)))


def _keys(candidates: dict[str, Any], marks: dict[str, style.Mark], runs: list[Run]) -> list[dict[str, Any]]:
    """The switches of the candidates, each with the words that the text filter looks at."""
    return [
        {
            "candidate": name, "shape": marks[name].shape, "colour": marks[name].colour,
            "goal": "control" if is_control(record.kind) else style.goal_name(record.goal),
            "words": " ".join(dict.fromkeys(v.verdict for run in runs for v in run.verdicts if v.candidate == name)),
        }
        for name, record in candidates.items()
    ]  # fmt: skip


def asset(*names: str) -> Markup:
    """Our own scripts and styles, trusted as they are, one after the other."""
    return Markup("\n".join((ASSETS / name).read_text(encoding="utf-8") for name in names))


def environment() -> jinja2.Environment:
    """Templates of the report, with escaping on and the functions that they use."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # not sorted: the order of a run's candidates is told
    made.globals |= {
        "look": style.verdict_style,
        "missing": style.MISSING,
        "goal_name": style.goal_name,
        "rate_name": style.rate_name,
    }
    return made


def _place(folders: list[Path], out: Path | None) -> Path:
    if out is not None:
        return out
    if len(folders) == 1:
        return folders[0] / FILE
    # Beside the runs, and never over the page of one of them.
    parent = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    return parent / ("reports.html" if (parent / results.FILE).exists() else FILE)


def write_report(*folders: Path | str, out: Path | str | None = None, columns: Sequence[int] = (2,)) -> Path:
    """Writes one self-contained page of one run or of several, and into a single run's folder the figures for papers.

    Args:
        folders: of finished runs.
        out: the page; by default `report.html` in the run's folder, of several runs in the folder that holds them all.
        columns: widths of the figures in columns of a paper, 1 and 2; see `figures.write_figures`.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: a folder holds no results.
        ValueError: no folder is given, or a width that is not known.
    """
    if not folders:
        raise ValueError("Expected at least one folder of a finished run, got none.")
    paths = [Path(folder) for folder in dict.fromkeys(folders)]
    page = render(paths, columns)
    target = _place(paths, None if out is None else Path(out))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def render(folders: list[Path], columns: Sequence[int] = (2,)) -> str:
    """The page's text; of a single run the figures are written beside it."""
    from unlearnax.claims import judge_folders  # which needs `load` from this package
    from unlearnax.report.claims import SIGNS, measured

    single = [load(folder) for folder in folders]
    own_titles = run_titles(single, folders)
    pooled = pools(single)
    runs = [*(each.run for each in pooled), *single]
    titles = [*pool_titles(pooled), *own_titles]
    seeds = [*(len(each.seeds) for each in pooled), *(0 for _ in single)]
    places = [*(folders[each.indices[0]] for each in pooled), *folders]
    written = write_figures(folders[0], columns) if len(folders) == 1 else []
    candidates = _candidates(runs)
    marks = style.marks((name, is_control(record.kind)) for name, record in candidates.items())
    problems: list[dict[str, Any]] = []
    for run, title, count in zip(runs, titles, seeds, strict=True):
        labels = style.problem_labels(run.problems)
        for row in run.problems:
            problem = _problem(run, row, {n: m for n, m in marks.items() if n in run.candidates()})
            problem |= {"index": len(problems), "title": title, "label": labels[row.problem], "seeds": count}
            problem["full"] = f"{title} · {row.problem}" if len(runs) > 1 else row.problem
            problems.append(problem)
    templates = environment()
    templates.globals |= {"outcome_sign": SIGNS.__getitem__, "measured": measured}
    return templates.get_template("page.html.j2").render(
        title=titles[0] if len(single) == 1 else f"{len(single)} runs",
        runs=[
            {
                "run": run, "title": title, "folder": folder.name, "provenance": _provenance(run.provenance),
                "command": run.provenance.get("command"), "tuning": run.provenance.get("tuning"),
                "labels": style.problem_labels(run.problems), "columns": len(run.problems), "pooled": count,
            }
            for run, title, folder, count in zip(runs, titles, places, seeds, strict=True)
        ],
        candidates=[(n, r, is_control(r.kind)) for n, r in candidates.items()],
        problems=problems,
        series=_series(problems),
        metrics=list({m.name: m for run in runs for m in run.metrics}.values()),
        directions=suite.DIRECTIONS,
        keys=_keys(candidates, marks, runs),
        claims=judge_folders(folders),
        figures=[path.relative_to(folders[0]).as_posix() for path in written],
        bibtex=bibtex(),
        data=[p["explore"] for p in problems],
        css=asset("page.css", "controls.css"),
        js=asset(*BASE_SCRIPTS, *(PLOT_SCRIPTS if problems else ())),
        plotly=Markup(get_plotlyjs()),
    )  # fmt: skip
