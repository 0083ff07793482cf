"""Writes docs/metrics.md: every metric, what it answers, its value on the controls, and what fools it.

    python scripts/metric_guide.py

Digits, one class, half of it found, the quickstart's recipe.  Populations are kept in the cache folder; on 2 CPU cores it
takes about five minutes the first time.  Texts come from the metrics' own metadata.
"""

from __future__ import annotations

import dataclasses
import importlib
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

import tyro
from rich.console import Console

from unlearnax import devices

ROOT = Path(__file__).parent.parent
FAMILIES = {
    "energy": "The scorecard's distance",
    "klom": "Distribution over members: KLoM",
    "forgetting": "Distribution over members: forgetting quality",
    "certified": "Certified lower bounds",
    "lira": "Membership inference with shadow members",
    "membership": "Membership inference on one model",
    "accuracy": "Accuracies and their gaps",
    "outputs": "Outputs compared",
    "representation": "Representations and weights",
    "neighbours": "Neighbours of the concept",
}
INTRO = """# Metric guide

Made by `python scripts/metric_guide.py`: texts are the metrics' own metadata, numbers and figures a run on digits, one class
of which half was found, with the quickstart's recipe.

Three controls have known answers: *do_nothing* (the originals), *held-out retrain* (a perfect untrainer) and *held-out
concept_free* (a perfect unlearner). The figures show each metric against the **untraining** oracle: a metric that answers
for untraining puts held-out retrain at its floor, and the other two where they belong. The **floor** (dotted) is the 95th
percentile, or the 5th where higher is better, between disjoint populations of the oracle itself at that size; shaded are
95 % intervals over members.

Every function takes arrays, never models: margins `[M, N]` or logits `[M, N, C]` of M members on N examples.

```python
from unlearnax.metrics import klom, margins

klom(margins(candidate_logits, labels), margins(oracle_logits, labels), variant="corrected")  # [N]
```

An experiment measures the default suite; `--metrics all` adds those on request, `--metrics klom u_lira` chooses, and a
function of your own is `--metrics path/to/file.py:function`: two populations' margins, `[M, n]` and `[R, n]`, to `[n]` or a
number. Metrics need members: too few are said in the row's note, and no number is given.
"""
FOOLING = """Impostors (`unlearnax/impostors.py`) are the originals with other outputs on the whole concept: each model
sure of a wrong answer to the same degree (*constant_margin*), the same probability for every class (*uniform_outputs*),
each model's own confidence on a class drawn at random (*random_labels*), and the originals' logits over 50
(*clipped_scale*). None has unlearned anything. A cell names the oracles that the metric takes the candidate for: its
value, on one slice, is no farther off than 95 % of that oracle's own held-out populations. One comparison in twenty fails
that by design.
"""
OUTSIDE = """## Functions without a place in the suite

- `unlearnax.metrics.memorization`: memorization and influence of training examples from members trained on random subsets
  (`unlearnax.memorization.estimate` trains them), and of a whole set from originals and their oracle.
- `unlearnax.metrics.language`: truth ratio, forget quality (Kolmogorov-Smirnov), model utility, exact match, verbatim
  extraction and PrivLeak, for probabilities and token ids from any language model.
- `competition_score`, `attack_success_rate`, `interclass_confusion`, `healed_accuracy` and others in `unlearnax.metrics`.

## Probes

A probe changes every population in the same way, and then measures: `--probes relearning linear_probe`. Hidden knowledge
comes back sooner than what was never there. `unlearnax list probes` says what each asks; every number stands beside the
oracle's own and untrained models'.

| probe | question | do not conclude |
| --- | --- | --- |
"""
REMARK = """Metrics of damage look elsewhere, so the impostors, which leave
everything else alone, pass them by right; they are not counted."""
COLOURS = {"do_nothing": "#59616b", "held-out retrain": "#0072b2", "held-out concept_free": "#d55e00"}


@dataclasses.dataclass(frozen=True)
class Args:
    """sizes: members a side for the figures.  study: members for the tables.  out: the docs folder."""

    sizes: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    study: int = 64
    out: Path = ROOT / "docs"


def populations(members: int):
    """The problem's layout and, by name, all that metrics read of M members: originals, oracles, held-out members."""
    import numpy as np

    from unlearnax import data, models, problems
    from unlearnax.evaluation import problem_layout
    from unlearnax.measuring import Observer, neighbour_slices
    from unlearnax.oracles import ORACLES  # pyright: ignore[reportMissingImports]
    from unlearnax.plugins import load_file
    from unlearnax.populations import fit, predict, untrained
    from unlearnax.store import Store
    from unlearnax.suite import select
    from unlearnax.types import World

    recipe = load_file(ROOT / "experiments/quickstart.py").SIZES["full"].recipe
    problem = problems.concept(data.load("digits"), 3, 0.5)
    model = models.build(recipe, problem.inputs, problem.num_classes)
    layout, x = problem_layout(problem)
    worlds = {"do_nothing": World(problem.train.x, problem.train.y, np.arange(len(problem.train.x)))}
    for oracle in ("retrain", "concept_free"):
        for part in ("oracle", "held-out"):
            worlds[f"{part} {oracle}"] = ORACLES[oracle].world(problem)
    fresh = predict(model, untrained(model, recipe, members), x)
    observer = Observer(model, problem, layout, x, fresh, select(["all"]), (), "auto", 0)
    seen, extra = {}, {}
    for name, world in worlds.items():
        trained = fit(model, recipe, world, members, role=name, capacity=len(problem.train.x), store=Store())
        seen[name] = observer.see(trained.states, predict(model, trained.states, x))
        if name == "do_nothing":
            extra = neighbour_slices(layout, seen[name].logits, observer.near(trained.states))
    return layout, seen, fresh, extra


def first_members(seen, count: int):
    """What was seen of the first members only."""
    part = lambda values: None if values is None else values[:count]  # noqa: E731
    return dataclasses.replace(
        seen, logits=seen.logits[:count], features=part(seen.features), weights=part(seen.weights)
    )  # fmt: skip


def measured(layout, seen: Mapping, fresh, extra, count: int, metrics, posers: Mapping | None = None):
    """Rows of the controls, and of other candidates' logits, at so many members."""
    from unlearnax.measuring import Seen, measure
    from unlearnax.scoring import CandidateLogits

    few = {name: first_members(each, count) for name, each in seen.items()}
    oracles = {name: (few[f"oracle {name}"], few[f"held-out {name}"]) for name in ("retrain", "concept_free")}
    candidates = {"do_nothing": (CandidateLogits(few["do_nothing"].logits, "original"), few["do_nothing"])}
    for name, logits in (posers or {}).items():
        original = few["do_nothing"]
        posed = Seen(logits[:count], original.features, original.weights)
        candidates[name] = (CandidateLogits(posed.logits, "algorithm"), posed)
    return measure("guide", layout, metrics, oracles, candidates, fresh=Seen(fresh[:count]), extra=extra)


def leading(rows, name: str, metric):
    """Of a metric's rows against the untraining oracle, (full name, slice) of the one to draw."""
    full = [name, f"{name}/gap"] if metric.unit == "member" else [name]
    mine = [r for r in rows if r.oracle == "retrain" and (r.metric in full or r.metric.startswith(f"{name}/"))]
    exact = [r for r in mine if r.metric in full] or mine
    return (exact[0].metric, exact[0].slice) if exact else None


def pick(rows, candidate: str, full: str, part: str):
    """A candidate's row of one number against the untraining oracle."""
    key = (candidate, full, part, "retrain")
    return next((r for r in rows if (r.candidate, r.metric, r.slice, r.oracle) == key), None)


def draw(by_size: Mapping, names, metrics, path: Path) -> None:
    """One panel a metric: its value on the controls against the number of members, with the floor."""
    import math

    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(4, len(names))
    lines = math.ceil(len(names) / columns)
    figure, axes = plt.subplots(lines, columns, figsize=(2.6 * columns, 2.1 * lines + 0.4), squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        top = next(
            filter(None, (leading(by_size[m], name, metrics[name]) for m in sorted(by_size, reverse=True))), None
        )
        if top is None:
            axis.set_visible(False)
            continue
        for candidate, colour in COLOURS.items():
            found = [(size, pick(rows, candidate, *top)) for size, rows in by_size.items()]
            found = [(size, row) for size, row in found if row is not None and math.isfinite(row.value)]
            sizes, values = [size for size, _ in found], [row.value for _, row in found]
            axis.plot(sizes, values, color=colour, marker="o", markersize=3, linewidth=1.2, label=candidate)
            ends = np.array([(size, row.low, row.high) for size, row in found if row.low is not None]).reshape(-1, 3)
            axis.fill_between(*ends.T, color=colour, alpha=0.15, linewidth=0)
            if candidate == "held-out retrain":
                floors = [(size, row.floor) for size, row in found if row.floor is not None]
                axis.plot(*zip(*floors, strict=True), color="black", linestyle=":", linewidth=1, label="floor")
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(by_size), [str(m) for m in by_size])
        axis.set_title(f"{top[0]} ({top[1]})", fontsize=7.5)
        axis.tick_params(labelsize=6.5)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=7, frameon=False)
    figure.tight_layout(rect=(0, 0.3 / (2.1 * lines + 0.4), 1, 1))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def entry(name: str, metric, rows) -> list[str]:
    """One metric's part of the guide, with its values on the controls."""
    import math

    lines = [
        f"### `{name}`", "", metric.question, "",
        f"- **Use it when**: {metric.use_when.rstrip('.')}.", f"- **Do not conclude**: {metric.caution.rstrip('.')}.",
        f"- **Direction**: {metric.better}. Perfect untraining: {metric.at_untraining}. "
        f"Perfect unlearning: {metric.at_unlearning}.",
        f"- **Estimand as published**: {metric.estimand}. Needs at least {metric.members} members"
        f"{'' if metric.default else '; on request, not in the default suite'}. Source: {metric.citation}.",
    ]  # fmt: skip
    top = leading(rows, name, metric)
    if top:
        shown = []
        for candidate in COLOURS:
            row = pick(rows, candidate, *top)
            if row is not None:
                text = row.note if not math.isfinite(row.value) else f"{row.value:.3g}"
                text += f" [{row.low:.3g}, {row.high:.3g}]" if row.low is not None else ""
                shown.append(f"{candidate} {text}")
        control = pick(rows, "held-out retrain", *top)
        shown += [f"floor {control.floor:.3g}"] if control is not None and control.floor is not None else []
        lines.append(f"- **Measured** (`{top[0]}` on {top[1]}, against the untraining oracle): {'; '.join(shown)}.")
    return [*lines, ""]


def fooling_table(rows, metrics, posers: list[str], verdicts: Mapping[str, str]) -> list[str]:
    """Which oracle each metric takes each impostor for, on S, where its value lies within that oracle's floor."""
    goals = {"retrain": "untraining", "concept_free": "unlearning"}
    columns = [*posers, *COLOURS]
    lines = [f"| metric | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    fooled: list[str] = []
    lines.append(f"| **verdict of the scorecard** | {' | '.join(f'**{verdicts[c]}**' for c in columns)} |")
    for name, metric in metrics.items():
        top = leading(rows, name, metric)
        if top is None:
            continue
        cells = []
        for candidate in columns:
            found = {r.oracle: r for r in rows if (r.candidate, r.metric, r.slice) == (candidate, *top)}
            taken = [
                goal for oracle, goal in goals.items() if oracle in found and found[oracle].within_floor(metric.better)
            ]
            cells.append(" and ".join(taken) or "–")
        lines.append(f"| `{top[0]}` ({top[1]}) | {' | '.join(cells)} |")
        fooled += [f"`{top[0]}`"] if set(cells[: len(posers)]) != {"–"} and metric.answers != "damage" else []
    return [*lines, "", f"Taken in by at least one impostor: {', '.join(fooled)}. {REMARK}"]


def wrapped(text: str, width: int = 120) -> str:
    """Markdown with paragraphs and list items filled to the width; tables, headings, images and code stay as they are."""
    lines: list[str] = []
    paragraph: list[str] = []
    code = False

    def flush() -> None:
        if paragraph:
            indent = "  " if paragraph[0].startswith("- ") else ""
            lines.extend(
                textwrap.wrap(
                    " ".join(paragraph), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
                )
            )
            paragraph.clear()

    for line in text.splitlines():
        fence = line.startswith("```")
        if code or fence or not line or line[0] in "#|!":
            flush()
            lines.append(line)
        else:
            if line.startswith("- "):
                flush()
            paragraph.append(line.strip())
        code ^= fence
    flush()
    return "\n".join(lines).rstrip() + "\n"


def main(args: Args) -> None:
    """Trains, measures, draws, writes."""
    from unlearnax.evaluation import POOLED
    from unlearnax.impostors import IMPOSTORS, pose
    from unlearnax.metrics import METRICS
    from unlearnax.probes import PROBES
    from unlearnax.scoring import CandidateLogits, OracleLogits, score

    families = {family: list(importlib.import_module(f"unlearnax.metrics.{family}").METRICS) for family in FAMILIES}
    missing = set(METRICS) - {name for names in families.values() for name in names}
    if missing:
        raise ValueError(f"Expected every family of metrics to have a title in FAMILIES, got {missing} without one.")
    console, started = Console(), time.perf_counter()
    layout, seen, fresh, extra = populations(max(args.sizes))
    console.print(f"populations: {time.perf_counter() - started:.0f} s")
    by_size = {}
    for count in args.sizes:
        start = time.perf_counter()
        chosen = {name: m for name, m in METRICS.items() if m.default or count <= args.study}
        by_size[count] = measured(layout, seen, fresh, extra, count, chosen)
        console.print(f"{count} members: {time.perf_counter() - start:.0f} s")
    concept = layout.slices[POOLED]
    posers = {
        name: pose(impostor, seen["do_nothing"].logits, layout.rows[concept], layout.labels[concept])
        for name, impostor in IMPOSTORS.items()
    }
    study = measured(layout, seen, fresh, extra, args.study, METRICS, posers)
    few = {name: each.logits[: args.study] for name, each in seen.items()}
    goals = {"retrain": "untraining", "concept_free": "unlearning"}
    card = score(
        "guide", layout, {n: OracleLogits(few[f"oracle {n}"], few[f"held-out {n}"], g) for n, g in goals.items()},
        {"do_nothing": CandidateLogits(few["do_nothing"], "original")}
        | {n: CandidateLogits(logits[: args.study], "algorithm") for n, logits in posers.items()},
    )  # fmt: skip
    verdicts = {v.candidate: v.verdict for v in card.verdicts}
    rows = [*card.rows, *study]
    images = args.out / "images"
    images.mkdir(parents=True, exist_ok=True)
    text = [INTRO]
    for family, title in FAMILIES.items():
        names = families[family]
        text += [f"## {title}", ""]
        if family != "energy":
            draw(by_size, names, METRICS, images / f"metrics-{family}.png")
            text += [f"![{title} on the controls](images/metrics-{family}.png)", ""]
        for name in names:
            text += entry(name, METRICS[name], rows)
    text += [OUTSIDE.rstrip(), *(f"| `{name}` | {p.question} | {p.caution} |" for name, p in PROBES.items()), ""]
    text += ["## What fools each metric", "", FOOLING]
    text += fooling_table(rows, METRICS, list(posers), verdicts)
    (args.out / "metrics.md").write_text(wrapped("\n".join(text)))
    console.print(f"all: {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    devices.set_up()
    main(tyro.cli(Args))
