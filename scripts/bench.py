"""Speed, as ratios measured side by side in one run on one machine.

    python scripts/bench.py [--only GROUP ...] [--save benchmarks/NAME.json]

Training is timed from the call of `fit` on: drawing initial weights, moving data, all steps; warm (compiled before), the
median of several runs, half of them before and half after the PyTorch baseline, which is `torch_baseline.py` at its fastest
setting and optional (``pip install torch``).  "share of matmul rate" compares a step's FLOPs, as the compiler counts them
for native convolutions, with what all cores do on float32 products of 1024 × 1024 in JAX.  Core time is that of all threads:
where others use the machine too, its ratios say more than those of wall time; in a quiet hour both agree.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import bench_conv
import bench_plans
import bench_tiles
import tyro
from bench_cases import CASES, ready
from rich.console import Console
from rich.table import Table

from unlearnax import devices

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Args:
    """only: groups to run; all of them by default.  cases: training cases whose names begin so.

    repeats: timed runs of ours, and half as many of each of PyTorch's ways.  save: a .json file for the numbers.
    """

    only: tuple[Literal["training", "plans", "tiles", "convolutions", "members", "worlds", "metrics", "grid"], ...] = ()
    cases: tuple[str, ...] = ("",)
    repeats: int = 4
    save: Path | None = None


def timed(run: Callable[[], object], repeats: int) -> list[tuple[float, float]]:
    """Wall seconds and core seconds (of all threads of this process) of each of `repeats` calls."""
    times = []
    for _ in range(repeats):
        start, cores = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - start, time.process_time() - cores))
    return times


def medians(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of wall seconds and of core seconds."""
    wall, cores = zip(*times, strict=True)
    return statistics.median(wall), statistics.median(cores)


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of `repeats` calls, after one that is not counted."""
    run()
    return medians(timed(run, repeats))[0]


def in_turn(runs: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall time of each of several calls, made one after the other in rounds, the first of which is not counted."""
    rounds = [[timed(run, 1)[0][0] for run in runs] for _ in range(repeats + 1)]
    return [statistics.median(each) for each in zip(*rounds[1:], strict=True)]


def matmul_run() -> tuple[Callable[[], object], float]:
    """A large product on every device at once, and its FLOPs."""
    import jax
    import jax.numpy as jnp

    from unlearnax.members import Prepared

    count, size = jax.local_device_count(), 1024
    a = jnp.ones((count, size, size), jnp.float32)
    product = Prepared(lambda member, _: jax.lax.fori_loop(0, 20, lambda i, b: b @ member * 1e-3, member), a, (), "map")
    product(a, ())
    return lambda: product(a, ()), count * 20 * 2 * size**3


def training_rows(args: Args) -> list[Row]:
    """Milliseconds of a member's step by case and way; PyTorch's best over ours; the share of the matmul rate."""
    from unlearnax.costs import example_flops
    from unlearnax.models.conv import convolution_form
    from unlearnax.populations import fit

    matmul, matmul_flops = matmul_run()
    rows: list[Row] = []
    for name, case in CASES.items():
        if not name.startswith(args.cases):
            continue
        model, recipe, world, inputs = ready(case)
        with convolution_form("native"):
            flops = example_flops(model, inputs, case["batch"]) * case["batch"]
        count, steps = case["members"], case["steps"]
        runs: dict[str, Callable[[], object]] = {"matmul": matmul}
        for plan in case["plans"]:
            runs[plan] = functools.partial(fit, model, recipe, world, count, plan=plan)
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in runs}
        for run in runs.values():  # warm
            run()
        theirs: dict[str, tuple[float, float]] = {}
        for half in range(2):
            for _ in range(max(args.repeats // 2, 1)):
                for way, run in runs.items():
                    times[way] += timed(run, 1)
            if half == 0:
                with contextlib.suppress(ImportError):
                    import torch_baseline

                    theirs = torch_baseline.ways(case, max(args.repeats // 2, 1))
        seconds, core_seconds = medians(times.pop("matmul"))
        rate, core_rate = matmul_flops / seconds, matmul_flops / core_seconds
        ours = {f"ours, {count} members, {plan}": medians(found) for plan, found in times.items()}
        found = {way: (wall / count, cores / count) for way, (wall, cores) in ours.items()}
        found |= {f"PyTorch, {way}": pair for way, pair in theirs.items()}
        stacked = [pair for way, pair in theirs.items() if "stacked" in way]

        def times_theirs(pairs: Iterable[tuple[float, float]], pair: tuple[float, float], at: int) -> float | None:
            return min((other[at] / pair[at] for other in pairs), default=None)

        for way, pair in found.items():
            rows.append({
                "case": name, "way": way, "ms a step": 1e3 * pair[0] / steps, "core ms a step": 1e3 * pair[1] / steps,
                "times PyTorch's best": times_theirs(theirs.values(), pair, 0),
                "in core time": times_theirs(theirs.values(), pair, 1),
                "target": case["target"] if way in ours else None,
                "times PyTorch stacked": times_theirs(stacked, pair, 0),
                "stacked, in core time": times_theirs(stacked, pair, 1),
                "share of matmul rate": flops * steps / pair[0] / rate,
                "share in core time": flops * steps / pair[1] / core_rate, "matmul GFLOP/s": rate / 1e9,
            })  # fmt: skip
    return rows


def _peak(members: int, found: Any) -> None:
    """In a process of its own: bytes of the results, and of the process at its peak."""
    import jax

    from unlearnax.populations import fit

    model, recipe, world, _ = ready(CASES["digits MLP 64-128-10"])
    states = fit(model, recipe, world, members, plan="map").states
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(states))
    # `resource.getrusage` would report the parent's peak where that was higher.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    found.put((size, 1024 * int(peak.split()[1])))


def member_rows(args: Args) -> list[Row]:
    """What a member costs, and what a process needs at its peak, for few and for many of them: digits MLP, plan map."""
    from unlearnax.populations import fit

    model, recipe, world, _ = ready(CASES["digits MLP 64-128-10"])
    counts = (8, 64, 512)
    runs = {count: functools.partial(fit, model, recipe, world, count, plan="map") for count in counts}
    times: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for repeat in range(args.repeats + 1):
        for count, run in runs.items():
            found = timed(run, 1)
            times[count] += found if repeat else []  # the first one compiles
    context = multiprocessing.get_context("spawn")
    rows = []
    for count in counts:
        queue = context.Queue()
        process = context.Process(target=_peak, args=(count, queue))
        process.start()
        size, peak = queue.get()
        process.join()
        rows.append({
            "case": f"digits MLP, {count} members, map", "ms a member": 1e3 * medians(times[count])[0] / count,
            "core ms a member": 1e3 * medians(times[count])[1] / count,
            "MB of results": size / 1e6, "MB of the process at its peak": peak / 1e6,
        })  # fmt: skip
    return rows


def world_rows(args: Args) -> list[Row]:
    """Worlds of different sizes in one program of the largest's capacity: the digits MLP, 30 epochs, 64 members."""
    import numpy as np

    from unlearnax import members
    from unlearnax.populations import fit

    model, recipe, world, _ = ready(CASES["digits MLP 64-128-10"])
    recipe, rows = dataclasses.replace(recipe, steps=None, epochs=30), []
    for size in (1400, 1050, 700):
        before = len(members._compiled)
        part = world._replace(index=np.arange(size))
        run = functools.partial(fit, model, recipe, part, 64, plan="map", capacity=1400)
        seconds = median_seconds(run, args.repeats) / 64
        rows.append({
            "case": f"{size} of 1,400 rows", "ms a member": 1e3 * seconds, "µs a step": 1e6 * seconds / (30 * (size // 64)),
            "programs compiled": len(members._compiled) - before,
        })  # fmt: skip
    return rows


def metric_rows(args: Args) -> list[Row]:
    """Seconds of the costlier metrics on made-up margins, at the sizes that papers use."""
    import numpy as np

    from unlearnax.metrics import forgetting_quality, klom, u_lira

    def sets(members: int, examples: int) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        centre = rng.uniform(-2, 6, examples)
        return [centre + rng.standard_normal((members, examples)) for _ in range(2)]

    large, many, few = sets(100, 10_000), sets(512, 1000), sets(64, 150)
    cases = {
        "KLoM released, 100 v 100 members, 10,000 examples": lambda: klom(*large),
        "KLoM corrected, 100 v 100 members, 10,000 examples": lambda: klom(*large, variant="corrected"),
        "forgetting quality single, 512 v 512, 1,000 examples": lambda: forgetting_quality(*many, variant="single"),
        "forgetting quality intervals, 64 v 64, 150 examples": lambda: forgetting_quality(*few, variant="intervals"),
        "U-LiRA, 512 v 512, 1,000 examples": lambda: u_lira(*many),
    }
    slow = timed(lambda: forgetting_quality(*many, variant="released"), 1)[0][0]  # once: it takes long
    return [
        *({"case": case, "seconds": median_seconds(run, args.repeats)} for case, run in cases.items()),
        {"case": "forgetting quality released, 512 v 512, 1,000 examples", "seconds": slow},
    ]


def grid_rows(args: Args) -> list[Row]:
    """Seconds for each setting of an algorithm's hyperparameters: alone, and as one of 32 in one program, 16 members."""
    import numpy as np

    from unlearnax import data, models, problems
    from unlearnax.algorithms import ALGORITHMS
    from unlearnax.populations import fit
    from unlearnax.recipes import Recipe
    from unlearnax.types import World
    from unlearnax.unlearning import unlearn_grid

    splits = data.load("digits")
    recipe = Recipe(model_args=(("widths", (128,)),), epochs=5, batch_size=64)
    model = models.build(recipe, splits.inputs, splits.num_classes)
    problem = problems.concept(splits, 3, 0.5)
    originals = fit(model, recipe, World(splits.train.x, splits.train.y, np.arange(len(splits.train.x))), 16).states
    rows = []
    for name in ("npo", "scrub"):
        for count in (1, 32):
            points = [{"learning_rate": 0.001 * (1 + i)} for i in range(count)]
            run = functools.partial(unlearn_grid, ALGORITHMS[name], model, originals, problem, points)
            case = f"{name}, 16 members, {'one setting alone' if count == 1 else 'each of 32 settings in one program'}"
            rows.append({"case": case, "seconds a setting": median_seconds(run, args.repeats) / count})
    return rows


def show(title: str, rows: Sequence[Row]) -> None:
    """Prints rows as a table."""
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, justify="left" if column in ("case", "way") else "right")
    for row in rows:
        table.add_row(
            *(
                f"{value:.3g}" if isinstance(value, float) else str(value) if value is not None else ""
                for value in row.values()
            )
        )
    Console().print(table)


GROUPS: dict[str, Callable[[Args], list[Row]]] = {
    "training": training_rows,
    "plans": lambda args: bench_plans.rows(functools.partial(in_turn, repeats=args.repeats)),
    "tiles": lambda args: bench_tiles.rows(functools.partial(median_seconds, repeats=args.repeats)),
    "convolutions": lambda args: bench_conv.rows(args.repeats),
    "members": member_rows,
    "worlds": world_rows,
    "metrics": metric_rows,
    "grid": grid_rows,
}


def main(args: Args) -> None:
    """Measures, prints tables, saves."""
    from unlearnax.provenance import environment

    timed = f"compiled before and warm, medians of {args.repeats} runs; convolutions: the least of several"
    report: dict[str, Any] = {
        "environment": environment(), "cores": os.cpu_count(), "load": os.getloadavg(), "timed": timed,
    }  # fmt: skip
    with contextlib.suppress(ImportError):
        import torch  # pyright: ignore[reportMissingImports]

        report["torch"] = torch.__version__
    for name in args.only or GROUPS:
        report[name] = GROUPS[name](args)
        show(name, report[name])
    if args.save:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    devices.set_up()
    main(tyro.cli(Args))
