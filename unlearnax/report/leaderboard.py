"""A leaderboard of any number of runs: algorithms by problem, with verdicts, distances and costs, on one page."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import matplotlib

from unlearnax.report import style
from unlearnax.report.citation import bibtex
from unlearnax.report.load import FORMS, UNLEARNING, UNTRAINING, Run, Value, distance, is_control, load
from unlearnax.report.page import asset, environment, run_titles
from unlearnax.report.paper import RC, WIDTHS
from unlearnax.results import ProblemRow, VerdictRow

FILE = "leaderboard.html"
COLUMNS = tuple((oracle, form) for oracle in (UNTRAINING, UNLEARNING) for form in FORMS)
RULES = ("margin", "damage")
SHORT_FORMS = {"margin": "margin form", "output": "output form"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What must be equal for numbers to stand side by side: the problem, its rate, how models train, the rules.

    problem: its name, which begins with the dataset's.  told: the rate for people.
    model: the architecture, with the recipe's digest where two differ.
    margin, damage: the declared shares of the scale that verdicts rest on, None where a run does not say.
    """

    problem: str
    rate: float
    told: str
    model: str
    margin: float | None
    damage: float | None


@dataclasses.dataclass(frozen=True)
class Draw:
    """One candidate on one forget set: what a run says of it.  run: the run's number on the page."""

    run: int
    seed: int
    verdict: VerdictRow
    distances: dict[tuple[str, str], Value]
    cost: float | None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A candidate in a setting, over all its forget sets (seeds)."""

    setting: Setting
    candidate: str
    control: bool
    goal: str
    hyperparameters: str
    draws: tuple[Draw, ...]

    @property
    def verdicts(self) -> dict[str, int]:
        """How often each verdict came out."""
        found: dict[str, int] = {}
        for draw in self.draws:
            found[draw.verdict.verdict] = found.get(draw.verdict.verdict, 0) + 1
        return found

    def distance(self, oracle: str, form: str) -> Value | None:
        """Mean over the forget sets, with the interval of a mean of independent numbers; None where one lacks it."""
        found = [draw.distances.get((oracle, form)) for draw in self.draws]
        return mean([value for value in found if value]) if all(found) else None

    @property
    def cost(self) -> float | None:
        """Mean share of a retrain's time."""
        costs = [draw.cost for draw in self.draws if draw.cost is not None]
        return sum(costs) / len(costs) if costs else None


def mean(values: list[Value]) -> Value:
    """The mean of numbers of different populations: half-widths add in quadrature."""
    centre = sum(v.value for v in values) / len(values)
    down = math.hypot(*(v.value - v.low for v in values)) / len(values)
    up = math.hypot(*(v.high - v.value for v in values)) / len(values)
    return Value(centre, centre - down, centre + up)


def _model(run: Run) -> tuple[str, str]:
    """Name of a run's architecture and digest of its recipe, "" where a run does not say."""
    recipe = run.provenance.get("recipe") or ""
    try:
        name = str(json.loads(recipe).get("model", ""))
    except (TypeError, ValueError, AttributeError):
        name = ""
    return name, str(run.provenance.get("recipe_digest", ""))[:6]


def _setting(run: Run, problem: ProblemRow, model: str) -> Setting:
    margins = {v.margin for v in run.verdicts if v.problem == problem.problem}
    margin = margins.pop() if len(margins) == 1 else run.provenance.get("margin")
    return Setting(
        problem.problem, round(problem.rate, 3), style.rate_name(problem), model, margin, run.provenance.get("damage")
    )


def check_rules(settings: dict[Setting, str]) -> None:
    """Raises ValueError where verdicts rest on different margins.  settings: with the run that each comes from."""
    for name in RULES:
        found: dict[float, str] = {}
        for setting, run in settings.items():
            value = getattr(setting, name)
            if value is not None:
                found.setdefault(value, run)
        if len(found) > 1:
            shares = ", ".join(f"{value:g} in {run}" for value, run in found.items())
            raise ValueError(
                f"Expected one {name} in all runs of a leaderboard, got {shares}; "
                "--mixed-margins shows them, each with its own."
            )


def entries(runs: list[Run], names: list[str], *, mixed_margins: bool = False) -> list[Entry]:
    """Every candidate of every run, forget sets of one setting together; of the same one twice the later run counts.

    Raises:
        ValueError: verdicts rest on different margins, unless `mixed_margins`.
    """
    models = [_model(run) for run in runs]
    digests: dict[str, set[str]] = {}
    for name, digest in models:
        digests.setdefault(name, set()).add(digest)
    known: dict[tuple[Setting, str, str], dict[int, Draw]] = {}
    records: dict[tuple[Setting, str, str], VerdictRow] = {}
    settings: dict[Setting, str] = {}
    for number, (run, (name, digest)) in enumerate(zip(runs, models, strict=True)):
        model = f"{name} {digest}".strip() if len(digests[name]) > 1 else name
        for problem in run.problems:
            setting = _setting(run, problem, model)
            settings.setdefault(setting, names[number])
            for verdict in (v for v in run.verdicts if v.problem == problem.problem):
                places = {
                    (oracle, form): value
                    for oracle, form in COLUMNS
                    if (value := distance(run, problem.problem, verdict.candidate, form, oracle))
                }
                cost = run.row(problem.problem, verdict.candidate, "cost/share")
                draw = Draw(number, problem.seed, verdict, places, cost.value if cost else None)
                key = setting, verdict.candidate, verdict.hyperparameters
                records[key] = verdict
                known.setdefault(key, {})[problem.seed] = draw
    if not mixed_margins:
        check_rules(settings)
    found = [
        Entry(key[0], key[1], is_control(records[key].kind), style.goal_name(records[key].goal), key[2],
              tuple(draws[seed] for seed in sorted(draws)))
        for key, draws in known.items()
    ]  # fmt: skip
    order = list(settings)
    return sorted(found, key=lambda e: (order.index(e.setting), e.control))  # stable: the order of the runs


def _settings_table(found: list[Entry]) -> tuple[list[Setting], list[tuple[str, bool, list[list[Entry]]]]]:
    """Settings, and by candidate what it did in each: one entry for each of its hyperparameters there."""
    settings = list(dict.fromkeys(e.setting for e in found))
    by: dict[str, dict[Setting, list[Entry]]] = {}
    for entry in found:
        by.setdefault(entry.candidate, {}).setdefault(entry.setting, []).append(entry)
    controls = {e.candidate: e.control for e in found}
    rows = [(name, controls[name], [cells.get(s, []) for s in settings]) for name, cells in by.items()]
    return settings, sorted(rows, key=lambda row: row[1])


def write_leaderboard(
    *folders: Path | str, out: Path | str | None = None, mixed_margins: bool = False, command: str = ""
) -> Path:
    """Writes the page, and beside it the same as a figure for papers: .png and .pdf, and -1col.pdf; see `entries`.

    Args:
        folders: of finished runs.
        out: the page, by default `leaderboard.html` in the current folder.
        mixed_margins: show runs with different margins beside each other, each named with its own.
        command: shown on the page.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: a folder holds no results.
        ValueError: no folder is given, or margins differ.
    """
    if not folders:
        raise ValueError("Expected at least one folder of a finished run, got none.")
    paths = [Path(folder) for folder in dict.fromkeys(folders)]
    runs = [load(path) for path in paths]
    titles = run_titles(runs, paths)
    found = entries(runs, titles, mixed_margins=mixed_margins)
    settings, rows = _settings_table(found)
    page = environment().get_template("leaderboard.html.j2").render(
        entries=[(entry, [entry.distance(*column) for column in COLUMNS]) for entry in found],
        settings=settings,
        rows=rows,
        models=len({s.model for s in settings}) > 1,
        mixed=any(len({getattr(s, rule) for s in settings} - {None}) > 1 for rule in RULES),
        columns=[(style.oracle_name(oracle), SHORT_FORMS[form]) for oracle, form in COLUMNS],
        number=style.number, interval=style.interval,
        runs=[
            {"title": title, "folder": str(path), "facts": run.provenance, "command": run.provenance.get("command", ""),
             "seeds": sorted({p.seed for p in run.problems}), "members": max((v.members for v in run.verdicts), default=0)}
            for run, title, path in zip(runs, titles, paths, strict=True)
        ],
        command=command,
        bibtex=bibtex(),
        css=asset("page.css", "controls.css"),
        js=asset("base.js", "tables.js", "copy.js", "leaderboard.js"),
    )  # fmt: skip
    target = Path(FILE if out is None else out)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    _write_figures(found, target.with_suffix(""))
    return target


def _write_figures(found: list[Entry], path: Path) -> None:
    from unlearnax.report.board import board_figure  # which needs `Entry`
    from unlearnax.report.figures import save

    with matplotlib.rc_context(RC):
        for columns in WIDTHS:
            figure = board_figure(found, columns=columns)
            if figure is not None:
                save(figure, path, columns)
