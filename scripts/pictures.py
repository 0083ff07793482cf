"""Draws the picture of an experiment's page from the rows of its runs.

    python scripts/pictures.py NAME FOLDER [--seed 0] [--out docs/images/NAME.png]

FOLDER holds the runs of experiments/NAME.py, at any depth; of several forget sets the seed's is drawn.  Bars are 95 %
intervals over members.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import tyro
from matplotlib.figure import Figure
from picture_parts import LINE, ROOT, Series, algorithms, by_value, dots, experiment, found, lines, panels, plain, said
from PIL import Image

from unlearnax.claims import At, Runs
from unlearnax.report.figures import RC
from unlearnax.report.load import Run, load
from unlearnax.report.ranks import ranks_figure
from unlearnax.report.style import BLUE, COLOURS, GREY, INK, ORANGE

DPI, COLOURS_KEPT = 160, 96  # dots an inch; of the palette
GREEN = COLOURS[0]
NOTHING, HELD_OUT = "do_nothing", "held-out retrain"


def closed_form(runs: Runs) -> Figure:
    """Distance to the untraining oracle by discovery rate, a panel for each training rule."""
    module = experiment("closed_form")
    methods = {
        module.NEWTON: ("exact minimum", {"newton@one": "one Newton step", "newton@five": "five Newton steps"}),
        module.REMOVAL: ("objective perturbation", {"certified_removal": "certified removal"}),
        module.DESCENT: ("noisy gradient descent", {"descent_to_delete": "Descent-to-Delete"}),
    }
    places = [f"{100 * rate:g} %" for rate in module.RATES]
    figure, axes = panels(3, 2.5)
    for ax, (run, (title, mine)) in zip(axes, methods.items(), strict=True):
        looks = {NOTHING: ("doing nothing", GREY, False)}
        looks |= {name: (label, (ORANGE, GREEN)[i], False) for i, (name, label) in enumerate(mine.items())}
        looks |= {HELD_OUT: ("retraining, held out", INK, True)}
        away = {
            name: [At("distance/output", name, "retrain", "concept", rate, run) for rate in module.RATES]
            for name in looks
        }
        lines(ax, runs, places, [
            Series(label, colour, dict(zip(places, away[name], strict=True)), hollow=hollow)
            for name, (label, colour, hollow) in looks.items()
        ])  # fmt: skip
        ax.axhspan(-0.1, 0.1, color=BLUE, alpha=0.1, linewidth=0)
        ax.set(title=title, xlabel="of the class found")
        ax.legend(frameon=False, fontsize=6.5, loc="upper left")
    axes[0].set(ylabel="distance to untraining oracle", ylim=(-0.15, 1.85), yticks=(0, 0.5, 1))
    return figure


def corrective(runs: Runs) -> Figure:
    """How much every method repairs, a column for each corruption and share found."""
    module = experiment("corrective")
    cells = [(run, rate) for run in (module.TRIGGER, module.SWAP, module.RANDOM) for rate in (module.LOW, module.HIGH)]
    names = [NOTHING, *algorithms(runs), HELD_OUT, "held-out concept_free", "held-out corrected"]
    columns = [found(Series("", "", {n: module.repaired(n, *cell) for n in names}), runs) for cell in cells]
    names = [name for name in names if all(name in column for column in columns)]
    table = np.array([[column[name].value for column in columns] for name in names])
    figure, (ax,) = panels(1, 0.8 + 0.24 * len(names))
    ax.imshow(table, cmap="Blues", vmin=0, vmax=1.1, aspect="auto")
    for (i, j), value in np.ndenumerate(table):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.65 else INK, fontsize=7.5)
    words = {module.TRIGGER: "trigger", module.SWAP: "swapped labels", module.RANDOM: "random labels"}
    ax.set_xticks(range(len(cells)), [f"{words[run]}\n{100 * rate:g} % found" for run, rate in cells])
    ax.set_yticks(range(len(names)), [said(name) for name in names])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    return figure


def deep_unlearn(runs: Runs) -> Figure:
    """The average gap to retraining of every algorithm, the published best and the published weak ones coloured."""
    module = experiment("deep_unlearn")
    rows = by_value([*algorithms(runs), NOTHING, HELD_OUT], module.gap, runs)
    kinds = {
        "published: best": (BLUE, (module.MSG, module.CT)),
        "published: better baseline": (GREEN, (module.NEG_GRAD,)),
        "published: weak baselines": (ORANGE, (module.GA, module.SRL)),
        "controls": (INK, (NOTHING, HELD_OUT)),
    }
    named = {name for _, names in kinds.values() for name in names}
    kinds["others"] = (GREY, tuple(plain(name) for name in rows if plain(name) not in named))
    figure, (ax,) = panels(1, 0.7 + LINE * len(rows))
    dots(ax, runs, rows, [
        Series(label, colour, {n: module.gap(n) for n in rows if plain(n) in names}, hollow=label == "controls")
        for label, (colour, names) in kinds.items()
    ])  # fmt: skip
    ax.axvline(0, color=GREY, linewidth=0.7)
    ax.set(xlabel="average gap to retraining: accuracies and a membership attack (0: as retrained)")
    ax.legend(frameon=False, fontsize=7, loc="upper right")
    return figure


def easydub(runs: Runs) -> Figure:
    """KLoM from doing nothing to a full retrain, on three slices, with their floors."""
    module = experiment("easydub")
    places = {"doing nothing": NOTHING} | {
        f"retrained\nfor {100 * s:.0f} %": module.again(s) for s in module.SHARES
    } | {"retraining,\nheld out": HELD_OUT}  # fmt: skip
    figure, (ax,) = panels(1, 2.6)
    slices = (
        ("forget", ORANGE, "S, the most memorized 5 %"),
        ("retain", BLUE, "retained"),
        ("other_test", GREEN, "test"),
    )
    lines(ax, runs, list(places), [
        Series(label, colour, {place: module.klom(name, part) for place, name in places.items()}, marker=marker)
        for (part, colour, label), marker in zip(slices, "osD", strict=True)
    ])  # fmt: skip
    floors = [module.klom(NOTHING, part).row(runs).floor for part, _, _ in slices]
    ax.axhspan(
        0, max(floor for floor in floors if floor is not None), color=GREY, alpha=0.2, linewidth=0, label="floor"
    )
    ax.axhline(11.5, color=GREY, linewidth=0.7, linestyle=":", label="ceiling")
    ax.set(ylabel="KLoM, mean over examples", ylim=(0, 12.5))
    ax.legend(frameon=False, fontsize=7, ncols=5, loc="upper center", bbox_to_anchor=(0.5, 1.14))
    return figure


def grokking(runs: Runs) -> Figure:
    """Accuracy on S and on test pairs by training length: original, untraining oracle, the algorithm that forgets most."""
    module = experiment("grokking")
    steps = {f"{n:,}": n for n in sorted(int(name.rpartition("_")[2]) for name in runs)}
    looks = {
        NOTHING: ("original", INK, "o"),
        module.RETRAIN: ("untraining oracle", BLUE, "D"),
        "npo": ("NPO, tuned at 150 steps", ORANGE, "s"),
    }
    figure, axes = panels(2, 2.4)
    for ax, (part, title) in zip(axes, (("forget", "on S"), ("other_test", "on test pairs")), strict=True):
        lines(ax, runs, list(steps), [
            Series(label, colour, {place: module.at("accuracy", name, n, part) for place, n in steps.items()}, marker=marker)
            for name, (label, colour, marker) in looks.items()
        ])  # fmt: skip
        ax.set(title=f"accuracy {title}", xlabel="training steps", ylim=(-0.05, 1.05))
    axes[1].legend(frameon=False, fontsize=7, loc="lower right")
    return figure


def memorization(runs: Runs) -> Figure:
    """ToW of every algorithm at the three levels of memorization."""
    module = experiment("memorization")
    rows = by_value([*algorithms(runs), NOTHING, HELD_OUT], lambda name: module.tow(name, module.HIGH), runs)[::-1]
    looks = {
        module.LOW: ("S: the least memorized", BLUE, "s"),
        module.RANDOM: ("S: random", GREY, "D"),
        module.HIGH: ("S: the most memorized", ORANGE, "o"),
    }
    figure, (ax,) = panels(1, 0.9 + LINE * len(rows))
    dots(ax, runs, rows, [
        Series(label, colour, {name: module.tow(name, level) for name in rows}, marker=marker)
        for level, (label, colour, marker) in looks.items()
    ])  # fmt: skip
    ax.set(xlabel="ToW (1: accuracies on S, retained and test examples are those after retraining)", xlim=(0.35, 1.06))
    figure.legend(frameon=False, fontsize=7, ncols=3, loc="outside upper right")
    return figure


def metric_mismatch(runs: Runs) -> Figure:
    """Ranks by the metrics of either goal, as in the run's own folder."""
    figure = ranks_figure(next(iter(runs.values())))
    if figure is None:
        raise ValueError("Expected a run of experiments/metric_mismatch.py: it holds no rankings.")
    return figure


def neurips2023(runs: Runs) -> Figure:
    """The competition's score of every algorithm at both numbers of runs, beside retraining's own."""
    module = experiment("neurips2023")
    rows = by_value([*algorithms(runs), NOTHING, HELD_OUT], module.score, runs)[::-1]
    count = {name: max(v.members for v in run.verdicts) for name, run in runs.items()}
    figure, (ax,) = panels(1, 0.8 + 0.24 * len(rows))
    dots(ax, runs, rows, [
        Series(f"{count[name]} runs", colour, {n: module.score(n, name) for n in rows}, hollow=hollow)
        for name, colour, hollow in ((module.MANY, BLUE, False), (module.FEW, ORANGE, True))
    ])  # fmt: skip
    ax.axvline(0, color=GREY, linewidth=0.7)
    ax.set(xlabel="score of the competition: F × accuracies over retraining's")
    ax.legend(frameon=False, fontsize=7, loc="lower right")
    return figure


def poisoning(runs: Runs) -> Figure:
    """The poison's trace and what a loss attack sees, for every algorithm."""
    module = experiment("poisoning")
    rows = [HELD_OUT, NOTHING, *algorithms(runs)]
    figure, axes = panels(2, 0.8 + LINE * len(rows), widths=(1.3, 1))
    for ax, of in zip(axes, (module.trace, lambda name: At("loss_tpr", name, "", "forget")), strict=True):
        controls, rest = ({name: of(name) for name in names} for names in (rows[:2], rows[2:]))
        dots(ax, runs, rows, [Series("", INK, controls, hollow=True), Series("", ORANGE, rest)])
    axes[0].axvspan(-module.CHANCE, module.CHANCE, color=BLUE, alpha=0.1, linewidth=0)
    axes[0].set(title="trace of the poison", xlabel="z (shaded: 95 % of models that never saw it)")
    axes[1].axvline(0.01, color=GREY, linewidth=0.7, linestyle=":")
    axes[1].set(title="loss attack at a false-positive rate of 1 %", xlabel="share of S called member", xlim=(0, 0.1))
    return figure


def relearning(runs: Runs) -> Figure:
    """What comes back: hidden facts before and after training on others, and how soon a class returns."""
    module = experiment("relearning")
    held = f"held-out {module.ORACLE}"
    rows = [NOTHING, module.MATCHED, *module.SUPPRESSORS, *(module.undo_at(a) for a in module.NOISE), held]
    figure, axes = panels(2, 0.8 + LINE * len(rows))
    looks = {"start": ("before", INK, True), "end": ("after training on T", ORANGE, False)}
    dots(axes[0], runs, rows, [
        Series(label, colour, {n: At(f"relearning/{end}", n, run=module.FACTS) for n in rows}, hollow=hollow)
        for end, (label, colour, hollow) in looks.items()
    ])  # fmt: skip
    axes[0].set(title="facts: share of V's labels given away", xlim=(-0.05, 1.05), xlabel="accuracy on V")
    axes[0].legend(frameon=False, fontsize=7, loc="center right")
    dots(axes[1], runs, rows, [Series("", BLUE, {n: module.area(n) for n in rows})])
    axes[1].set(title="class: how soon it returns", xlim=(-0.05, 1.05), xlabel="accuracy on V, mean over relearning")
    return figure


def salun_table(runs: Runs) -> Figure:
    """Average gap to retraining and MIA beside the published ones."""
    module = experiment("salun_table")
    rows = by_value(algorithms(runs), module.average_gap, runs)
    published = {name: module.PUBLISHED[plain(name)] for name in rows if plain(name) in module.PUBLISHED}
    figure, axes = panels(2, 0.9 + 0.24 * len(rows))
    for ax, of, which in (
        (axes[0], module.average_gap, "gap"),
        (axes[1], lambda n: module.value(module.MIA, n), "mia"),
    ):
        dots(ax, runs, rows, [
            Series("here", BLUE, {name: module.times(of(name), 100.0) for name in rows}),
            Series("published", ORANGE, {name: module.constant(getattr(row, which)) for name, row in published.items()},
                   hollow=True, marker="D"),
        ])  # fmt: skip
    axes[0].set(title="average gap to retraining", xlabel="points", xlim=(0, 8))
    names = {"influence": "IU", "gradient_ascent": "GA", "boundary_shrink": "BS", "fine_tune": "FT", module.RL: "RL"}
    axes[0].set_yticks(range(len(rows)), [names.get(plain(name), said(name)) for name in rows])
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, fontsize=7, ncols=2, loc="outside upper right")
    axes[1].axvline(
        100 * module.value(module.MIA, module.RETRAIN)(runs).value, color=BLUE, linewidth=0.8, linestyle=":"
    )
    axes[1].axvline(module.PUBLISHED["retrain"].mia, color=ORANGE, linewidth=0.8, linestyle=":")
    axes[1].set(title="MIA (dotted: retraining's)", xlabel="% of S called non-member", xlim=(0, 40))
    return figure


def ulira(runs: Runs) -> Figure:
    """Both attacks on every algorithm."""
    module = experiment("ulira")
    rows = [HELD_OUT, *by_value([NOTHING, *algorithms(runs)], module.single, runs)]
    figure, (ax,) = panels(1, 0.8 + LINE * len(rows))
    dots(ax, runs, rows, [
        Series("population attack (U-MIA)", GREY, {n: module.population(n) for n in rows}, hollow=True, marker="D"),
        Series("attack on single examples (U-LiRA)", ORANGE, {n: module.single(n) for n in rows}),
    ])  # fmt: skip
    ax.axvspan(0.45, 0.55, color=BLUE, alpha=0.1, linewidth=0)
    ax.set(xlabel="balanced accuracy on S (shaded: looks like nothing is seen)", xlim=(0.4, 1.02))
    ax.legend(frameon=False, fontsize=7, loc="lower right", bbox_to_anchor=(1, 0.15))
    return figure


PICTURES: dict[str, Callable[[Runs], Figure]] = {
    draw.__name__: draw
    for draw in (closed_form, corrective, deep_unlearn, easydub, grokking, memorization, metric_mismatch, neurips2023,
                 poisoning, relearning, salun_table, ulira)
}  # fmt: skip


def runs_of(folder: Path, seed: int) -> dict[str, Run]:
    """Runs of one forget set below a folder, by the name of the experiment.

    Raises:
        FileNotFoundError: there are none.
    """
    there = [load(path.parent) for path in sorted(folder.rglob("results.sqlite"))]
    runs = {run.provenance["experiment"]: run for run in there if int(run.provenance["seed"]) == seed}
    if not runs:
        raise FileNotFoundError(f"Expected runs of seed={seed} below {folder}, found {len(there)} of other seeds.")
    return runs


@dataclasses.dataclass(frozen=True)
class Args:
    """name: of the experiment.  folder: of its runs.  seed: of the forget set.  out: docs/images/NAME.png if not given."""

    name: tyro.conf.Positional[str]
    folder: tyro.conf.Positional[Path]
    seed: int = 0
    out: Path | None = None


def main(args: Args) -> None:
    """Draws and writes."""
    if args.name not in PICTURES:
        raise SystemExit(f"Expected name={args.name!r} to be one of {', '.join(PICTURES)}.")
    out = args.out or ROOT / f"docs/images/{args.name}.png"
    with matplotlib.rc_context(RC):
        PICTURES[args.name](runs_of(args.folder, args.seed)).savefig(
            drawn := io.BytesIO(), dpi=DPI, bbox_inches="tight"
        )
    Image.open(drawn).convert("RGB").quantize(COLOURS_KEPT).save(out, optimize=True)  # a third of the size
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
