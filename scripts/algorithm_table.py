"""Writes docs/algorithms.md: the literature mapped to the two goals, beside measured verdicts.

unlearnax run experiments/algorithms.py --size digits --out runs/algorithms/digits
unlearnax run experiments/algorithms.py --size fashion --out runs/algorithms/fashion
python scripts/algorithm_table.py runs/algorithms/digits runs/algorithms/fashion
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from unlearnax.report.load import Run

ROOT = Path(__file__).parent.parent
DATASETS = {"digits": "digits", "fashion": "Fashion-MNIST"}

INTRO = """# Algorithms

Every algorithm here with its declared goal in its authors' words, and what it turned out to do. Made by

```
{commands}
```

## What their authors say

Reads: the data an algorithm is handed beside the model (proven by tainting everything else with NaN). Defaults and their
sources stand in the docstrings, "(default unverified)" where no source was checked. "rule X" in the column *needs*: its
members, and the oracles it is compared with, are trained under that rule.

| name | declared goal | in its authors' words | reads | needs | source |
| --- | --- | --- | --- | --- | --- |
"""
MEASURED = """
## What they do on {dataset}

One class as the concept, {members} members, {recipe}. Algorithms with plain training were tuned twice, towards the
untraining and towards the unlearning oracle, by random search with as many trials each on other seeds at rate 0.5
({search}); those with a rule of their own have fixed settings and originals of their own. In brackets: distances to the
untraining and to the unlearning oracle (output form, whole concept; the untraining oracle sits at (0, 1), the unlearning
oracle at (1, 0)). At rate 1 the two goals are one. Controls: doing nothing, members of each oracle that were held out, and
originals taught each oracle's outputs on the training data ("matched").

| algorithm @ tuned towards | {rates} | % of a retrain's FLOPs |
| --- | {lines} | --- |
"""

GRID = """
## What a grid costs

Settings of float hyperparameters run in one program, which is compiled once. {system} (`{file}`, from
`python scripts/bench.py`), warm, after compilation:

| case | seconds a setting |
| --- | --- |
"""


@dataclasses.dataclass(frozen=True)
class Args:
    """folders: each a run, or a folder of runs of one dataset with one training rule each.  out: the page."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    out: Path = ROOT / "docs/algorithms.md"


def main(args: Args) -> None:
    """Reads rows, writes the page."""
    from unlearnax.algorithms import ALGORITHMS

    runs = [_runs(each)[0].provenance["command"] for each in args.folders]
    table = f"python scripts/algorithm_table.py {' '.join(map(str, args.folders))}"
    text = INTRO.format(commands="\n".join((*runs, table)))
    for name, a in ALGORITHMS.items():
        reads, needs = (", ".join(sorted(each)) or "–" for each in (a.access, a.needs))
        text += f"| `{name}` | {a.goal} | {a.words or '–'} | {reads} | {needs} | {a.citation} |\n"
    for folder in args.folders:
        text += _measured(folder)
    for path in sorted((ROOT / "benchmarks").glob("*.json")):
        text += _grid(path)
    args.out.write_text(text)


def _grid(path: Path) -> str:
    found = json.loads(path.read_text())
    about = found["environment"]
    device = f"{about['device']}, jax {about['versions']['jax']}"
    rows = "".join(f"| {row['case']} | {row['seconds a setting']:.3f} |\n" for row in found["grid"])
    return GRID.format(system=device, file=path.relative_to(ROOT)) + rows


def _runs(folder: Path) -> list[Run]:
    from unlearnax.report.load import load

    return [load(folder)] if (folder / "results.sqlite").exists() else [load(each) for each in sorted(folder.iterdir())]


def _half_width(run: Run, problem: str) -> float:
    """Median over the candidates, of the coordinates that the table shows."""
    shown = [r for r in run.rows if (r.problem, r.metric, r.slice) == (problem, "distance/output", "concept")]
    return statistics.median((r.high - r.low) / 2 for r in shown if r.low is not None and r.high is not None)


def _measured(folder: Path) -> str:
    runs = _runs(folder)
    plain = next(run for run in runs if json.loads(run.provenance["recipe"])["rule"] == "plain")
    tuned = ROOT / "experiments/tuned" / f"{plain.provenance['experiment']}.json"
    about = [each["about"] for each in json.loads(tuned.read_text()).values()] if tuned.exists() else []
    searches = sorted({f"{each['trials']} trials of {each['members']} members" for each in about})
    recipe = json.loads(plain.provenance["recipe"])
    text = MEASURED.format(
        dataset=DATASETS[plain.provenance["experiment"].rpartition("_")[2]], members=plain.provenance["members"],
        recipe=f"a {recipe['model']} of widths {recipe['model_args'][0][1]}, {recipe['epochs']} epochs",
        search=" or ".join(searches) or "defaults", rates=" | ".join(f"rate {p.rate:.2g}" for p in plain.problems),
        lines=" | ".join("---" for _ in plain.problems),
    )  # fmt: skip
    for run in (plain, *(run for run in runs if run is not plain)):
        rule = json.loads(run.provenance["recipe"])["rule"]
        for name in run.candidates():
            if run is not plain and name.startswith("matched "):
                continue
            cells = [_cell(run, problem.problem, name) for problem in run.problems]
            cost = run.row(run.problems[0].problem, name, "cost/flop_share")
            shown = name if run is plain else f"{name} (rule {rule})"
            text += f"| {shown} | {' | '.join(cells)} | {f'{100 * cost.value:.0f}' if cost else '–'} |\n"
    seconds = sum(float(run.provenance["wall_seconds"]) for run in runs)
    widths = ", ".join(f"{_half_width(plain, p.problem):.2f}" for p in plain.problems)
    return text + (
        f"\nHalf-widths of the intervals, medians by rate: {widths}. A cell without numbers: members diverged. "
        f"The {len(runs)} runs took {seconds / 60:.0f} minutes on {plain.provenance['device']}.\n"
    )


def _cell(run, problem: str, name: str) -> str:
    verdict = run.verdict(problem, name)
    found = [run.row(problem, name, "distance/output", o, "concept") for o in ("retrain", "concept_free")]
    places = ", ".join(f"{row.value:.2f}" for row in found if row is not None)
    return f"{verdict.verdict if verdict else '–'} ({places})"


if __name__ == "__main__":
    main(tyro.cli(Args))
