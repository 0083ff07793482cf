"""``unlearnax sweep``: a spec file from the command line."""

from __future__ import annotations

# JAX is imported inside, after the environment is set.
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from unlearnax import devices
from unlearnax.sweeps.executors import OWN, Executor, Options, make_executor

if TYPE_CHECKING:
    from unlearnax.sweeps.plan import Plan
    from unlearnax.sweeps.spec import Sweep

INTERRUPTED = 130  # what shells expect of a command that Ctrl-C ended


def sweep_file(
    file: Path,
    executor: str,
    out: Path | None,
    console: Console,
    *,
    workers: int | None = None,
    retry: bool = False,
    dry: bool = False,
    cluster: str = "slurm",
    slurm: tuple[str, ...] = (),
    command: str = "",
    together: bool = False,
) -> int:
    """Runs the `SWEEP` of a file, or says what it would do; gives the exit status.

    Args:
        together: this process is one of several, which were joined already and are one worker.  The rest: see `cli.Sweep`.

    Raises:
        ValueError: anything wrong with the file, the spec or the arguments, before work starts.
    """
    if together:
        if executor != "local" or workers not in (None, 1):
            raise ValueError(
                f"Expected executor={executor!r}, workers={workers} to be left out: all hosts are one worker."
            )
        return _sweep_together(file, out, console, retry=retry, dry=dry, command=command)
    user = {name: os.environ.get(name) for name in OWN}
    os.environ["JAX_PLATFORMS"] = "cpu"  # the accelerators are the workers'
    devices.set_up(1)
    if dry:
        return _say(file, out, console)
    made = make_executor(executor, Options(workers, user, cluster, slurm))  # first: local workers load meanwhile
    try:
        plan, folder = _read(file, out)
        return run(plan, made, folder, console, retry=retry, command=command)
    finally:
        made.close()


def _sweep_together(file: Path, out: Path | None, console: Console, *, retry: bool, dry: bool, command: str) -> int:
    """As `sweep_file`, where all processes of `jax.distributed` are one worker."""
    from unlearnax import hosts
    from unlearnax.sweeps.lockstep import LockstepExecutor, follow

    if dry:
        return _say(file, out, console) if hosts.leads() else 0
    plan, folder = _read(file, out)
    if hosts.leads():
        return run(plan, LockstepExecutor(plan), folder, console, retry=retry, command=command)
    follow(plan)
    return 0


def _read(file: Path, out: Path | None) -> tuple[Plan, Path]:
    """The plan of a spec file, and the folder of its results."""
    from unlearnax.sweeps.plan import make_plan

    plan = make_plan(load_sweep(file))
    return plan, out or Path("runs") / f"{plan.sweep.base.name}-sweep"


def _say(file: Path, out: Path | None, console: Console) -> int:
    """Says what a sweep would do."""
    console.print(describe(*_read(file, out)), highlight=False, soft_wrap=True)
    return 0


def load_sweep(file: Path) -> Sweep:
    """The `SWEEP` of a spec file."""
    from unlearnax import plugins
    from unlearnax.sweeps.spec import Sweep

    module = plugins.load_file(file)
    found = getattr(module, "SWEEP", None)
    if not isinstance(found, Sweep):
        hint = f" It defines SIZES: unlearnax run {file}." if hasattr(module, "SIZES") else ""
        raise ValueError(f"Expected {file} to define SWEEP, a Sweep, got {type(found).__name__}.{hint}")
    return found


def describe(plan: Plan, folder: Path) -> str:
    """What a sweep is made of, and what of it is there."""
    from unlearnax import results

    there = results.read(folder, results.CellRow) if (folder / results.FILE).exists() else []
    known = {row.id: row for row in there}
    lines = []
    for block in plan.blocks:
        states = [known[name].state if name in known else "waiting" for name in block.tasks]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ("done", "failed", "waiting"))
        lines.append(f"{block.problem}: {len(block.tasks) - 1} cells and the controls ({counts})")
    parts = {
        "cell": len(plan.results("cell")),
        "ground": len(plan.blocks),
        "population": len(plan.results("population")),
    }
    cells, grounds, populations = (f"{number} {name}{'s' * (number != 1)}" for name, number in parts.items())
    whole = f"{cells} on {grounds}, {populations}; results in {folder}"
    return "\n".join([*lines, whole])


def run(plan: Plan, executor: Executor, folder: Path, console: Console, *, retry: bool, command: str) -> int:
    """Runs a plan, shows how it goes and what came of it; gives the exit status."""
    from unlearnax.report.page import write_report
    from unlearnax.sweeps.driver import run_sweep
    from unlearnax.sweeps.show import Show, closing

    def ended(*_) -> None:  # as Ctrl-C does: workers end, results stay
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, ended)
    show = Show(console)
    try:
        tally = run_sweep(plan, executor, folder, show=show, retry=retry, command=command)
    except KeyboardInterrupt:
        console.print(f"Stopped; what is done stays in {folder}. The same command goes on from there.",
                      soft_wrap=True, highlight=False)  # fmt: skip
        return INTERRUPTED
    finally:
        show.close()
        signal.signal(signal.SIGTERM, before)
    console.print(closing(tally), highlight=False, soft_wrap=True)
    if tally.failed:
        console.print(f"{tally.failed} failed: their tracebacks are in the table cells of {folder / 'results.sqlite'}; "
                      "--retry tries them again.", soft_wrap=True, highlight=False)  # fmt: skip
    if tally.done or tally.skipped:
        console.print(f"Report: {write_report(folder).resolve()}", soft_wrap=True, highlight=False)
    return 1 if tally.failed else 0
