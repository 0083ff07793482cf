"""Chooses hyperparameters for an experiment by random search on seeds of its own: see `unlearnax.tuning`.

    python scripts/tune.py experiments/quickstart.py --trials 64 --out experiments/tuned/quickstart.json

Writes (and prints) the best settings with the objective reached, that of doing nothing, and what the search cost.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path

import tyro
from rich.console import Console

from unlearnax import devices


@dataclasses.dataclass(frozen=True)
class Args:
    """Random search for the hyperparameters of an experiment's algorithms.

    size: of the experiment, default the file's first; all of the experiments where it names several.
    goal: tune every algorithm towards this one, or "both"; default the declared one, both for an ambiguous one.
    only, without: names of algorithms to search, or to leave out; default all that declare ranges.
    rate: discovery rate of the tuning problem, None where problems have none.
    out: JSON file of results, added to where it exists; {name} in it stands for the experiment's.
    """

    file: tyro.conf.Positional[str]
    size: str = ""
    seed: int = 1000
    members: int = 16
    trials: int = 32
    rate: float | None = 0.5
    goal: str = ""
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    out: Path | None = None


def main(args: Args) -> None:
    """Searches, prints, writes."""
    from unlearnax import plugins
    from unlearnax.experiment import resolve_algorithm
    from unlearnax.output import progress_bars
    from unlearnax.tuning import GOALS, save, tune

    sizes = plugins.load_file(args.file).SIZES
    found = sizes[args.size or next(iter(sizes))]
    about = {"seed": args.seed, "members": args.members, "trials": args.trials, "rate": args.rate,
             "command": shlex.join(["python", *sys.argv])}  # fmt: skip
    wanted = tuple(GOALS) if args.goal == "both" else (args.goal,)
    given = found if isinstance(found, tuple) else (found,)
    # Once for all seeds of one experiment.  Of equals the last stays: one on the search's own seed, which `tune` refuses.
    given = sorted(given, key=lambda each: each.seed == args.seed)
    for experiment in {dataclasses.replace(each, seed=args.seed): each for each in given}.values():
        named = {name.partition("@")[0]: pair for name, *pair in experiment.algorithms}  # one entry of each algorithm
        names = [name for name in named if resolve_algorithm(name).ranges and name not in args.without]
        names = [name for name in names if not args.only or name in args.only]
        if not names:
            continue
        chosen = dataclasses.replace(experiment, algorithms=tuple((name, *named[name]) for name in names))
        goals = dict.fromkeys(names, wanted) if args.goal else None
        with progress_bars(Console(stderr=True)) as progress:
            best = tune(chosen, goals=goals, seed=args.seed, members=args.members, trials=args.trials, rate=args.rate,
                        progress=progress)  # fmt: skip
        for each in best:
            pairs = ", ".join(f"{key}={value!r}" for key, value in sorted(each.hyperparameters.items()))
            reached = f"objective {each.objective:.3f} (do nothing {each.do_nothing:.3f}), {each.seconds:.0f} s"
            print(f"{each.algorithm}@{each.goal}: {pairs}  {reached}")
        if args.out:
            save(str(args.out).format(name=experiment.name), best, about=about)


if __name__ == "__main__":
    devices.set_up()
    main(tyro.cli(Args))
