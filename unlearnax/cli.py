"""Untraining or unlearning?  Algorithms measured against populations of exactly retrained models."""

from __future__ import annotations

# JAX is imported inside the commands, after devices.set_up.
import dataclasses
import os
import shlex
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from tyro.conf import Positional

from unlearnax import devices, oracle_commands, output

console = output.console()
DISTRIBUTED = "UNLEARNAX_DISTRIBUTED"


def _finished(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folders given, or those of all finished runs under runs/."""
    found = folders or tuple(sorted(path.parent for path in Path("runs").rglob("results.sqlite")))
    if not found:
        raise ValueError(
            "Expected folders of finished runs: none are given, and there are none under runs/; "
            "`unlearnax run experiments/quickstart.py` makes one."
        )
    return found


@dataclasses.dataclass(frozen=True)
class Report:
    """Builds one page, which works offline, from a run's folder or from several; of a single run the figures too.

    Args:
        folders: of finished runs.
        out: the page (default: report.html in the run's folder, of several runs in the folder that holds them all).
        columns: widths of the figures in columns of a paper: 2 makes PNG and PDF, 1 a narrower PDF of each.
    """

    folders: Positional[tuple[Path, ...]]
    out: Path | None = None
    columns: tuple[Literal[1, 2], ...] = (2,)

    def __call__(self) -> None:
        from unlearnax.report.page import write_report

        console.print(
            f"Report: {write_report(*self.folders, out=self.out, columns=self.columns)}",
            soft_wrap=True,
            highlight=False,
        )


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """Builds one page of any number of runs: algorithms by problem, with verdicts, distances and costs.

    Args:
        folders: of finished runs; none: all under runs/.
        out: the page; its figures for papers lie beside it.
        mixed_margins: show verdicts that rest on different margins beside each other; without it they are refused.
    """

    folders: Positional[tuple[Path, ...]] = ()
    out: Path = Path("runs/leaderboard.html")
    mixed_margins: bool = False

    def __call__(self) -> None:
        from unlearnax.report.leaderboard import write_leaderboard

        made = write_leaderboard(
            *_finished(self.folders), out=self.out, mixed_margins=self.mixed_margins, command=command_line()
        )  # fmt: skip
        console.print(f"Leaderboard: {made}", soft_wrap=True, highlight=False)


@dataclasses.dataclass(frozen=True)
class List:
    """Lists what can be named."""

    what: Positional[Literal["algorithms", "oracles", "datasets", "metrics", "models", "probes", "problems"]]

    def __call__(self) -> None:
        from unlearnax import listing

        console.print(listing.table(self.what))


@dataclasses.dataclass(frozen=True)
class Oracles:
    """Lists, verifies, cleans, exports and imports oracles and what else is kept: see ``unlearnax oracles --help``."""

    arguments: Positional[tuple[str, ...]] = ()


@dataclasses.dataclass(frozen=True)
class Doctor:
    """Shows versions, devices, the data found and the cache folder."""

    def __call__(self) -> None:
        from unlearnax import listing

        console.print(listing.doctor())


@dataclasses.dataclass(frozen=True)
class Claims:
    """Judges the published claims of the experiments that finished runs come from.

    Args:
        folders: of runs; none: all under runs/.
    """

    folders: Positional[tuple[Path, ...]] = ()

    def __call__(self) -> None:
        _show_claims(_finished(self.folders), asked=True)


@dataclasses.dataclass(frozen=True)
class Score:
    """Scores logits made by any framework.

    Args:
        labels: .npy, [N] integers.
        slices: .npz, name -> column numbers of the logits; "retain" and "other_test" are damage, others the concept.
            The sizes of "forget" (S) and "concept_rest" (the rest of F) give the discovery rate; without them it shows as 1.
        oracle: goal=file.npy for each oracle, [2M, N, C]: the first half is the reference, the second half held out.
            Goals "untraining" and "unlearning" make a compass.
        candidate: name=file.npy for each candidate, [M, N, C].
        original: .npy, [M, N, C]; member i of every candidate came from member i of it.
        out: folder for rows and report.
        margin: share of the scale that a candidate must stay below to "reach" an oracle.
        metrics: names from ``unlearnax list metrics``, or "default", "all", "none"; those that need weights are left out.
        name: of the problem, as the report shows it.
    """

    labels: Path
    slices: Path
    oracle: tuple[str, ...]
    candidate: tuple[str, ...]
    original: Path | None = None
    out: Path = Path("runs/score")
    margin: float = 0.1
    metrics: tuple[str, ...] = ("default",)
    name: str = "score"

    def __call__(self) -> None:
        from unlearnax import external

        external.score_files(
            self.labels, self.slices, dict(split_pair(pair) for pair in self.oracle),
            dict(split_pair(pair) for pair in self.candidate), self.original, self.out,
            margin=self.margin, metrics=self.metrics, name=self.name, command=command_line(),
        )  # fmt: skip
        _show(self.out)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Runs the SWEEP of a file: problems × recipes × algorithms × hyperparameters × seeds.

    Args:
        spec: a Python file that defines SWEEP.
        executor: where workers run: processes of this machine, Ray actors, or Slurm jobs.
        workers: how many (default: one, or one for each GPU).
        out: folder for rows and report (default: runs/NAME-sweep).  What it holds already is not done again.
        retry: try again what failed before.
        dry: only say what there is to do.
        cluster: of the executor "slurm": the real one, or processes of this machine in its place.
        slurm: parameters of submitit, as "slurm_partition=gpu" "timeout_min=600".
    """

    spec: Positional[Path]
    executor: Literal["local", "ray", "slurm"] = "local"
    workers: int | None = None
    out: Path | None = None
    retry: bool = False
    dry: bool = False
    cluster: Literal["slurm", "local"] = "slurm"
    slurm: tuple[str, ...] = ()

    def __call__(self) -> None:
        from unlearnax.sweeps.command import sweep_file

        status = sweep_file(
            self.spec, self.executor, self.out, console, workers=self.workers, retry=self.retry, dry=self.dry,
            cluster=self.cluster, slurm=self.slurm, command=command_line(), together=bool(os.environ.get(DISTRIBUTED)),
        )  # fmt: skip
        raise SystemExit(status)


COMMANDS = {
    "report": Report, "leaderboard": Leaderboard, "list": List, "oracles": Oracles, "doctor": Doctor, "score": Score,
    "claims": Claims, "sweep": Sweep,
}  # fmt: skip


def split_pair(text: str) -> tuple[str, Path]:
    """ "name=path" as a pair; raises ValueError on anything else."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ValueError(f"Expected {text!r} to read name=file.npy.")
    return name, Path(path)


def command_line() -> str:
    """The command as typed."""
    return shlex.join(["unlearnax", *sys.argv[1:]])


def _show(folder: Path) -> None:
    from unlearnax import results
    from unlearnax.report.page import write_report
    from unlearnax.report.terminal import verdict_table

    page = write_report(folder)
    console.print(verdict_table(folder))
    controls = [row for row in results.read(folder, results.VerdictRow) if row.candidate.startswith("held-out ")]
    unsettled = [row for row in controls if not row.verdict.startswith("reaches ")]
    if unsettled:
        console.print(
            f"{len(unsettled)} of {len(controls)} held-out controls do not reach their own oracle: {controls[0].members} "
            "members, or their training, are too few to settle verdicts here."
        )
    console.print(f"Report: {escape(str(page.resolve()))}")


def _show_claims(folders: Iterable[Path], *, asked: bool = False) -> None:
    """asked: the claims are what the user wants, so that none are said to be none."""
    from unlearnax.claims import judge_folders
    from unlearnax.report.claims import claims_table

    judged, notes = judge_folders(folders)
    if judged:
        console.print(claims_table(judged))
    elif asked:
        console.print("None of these runs comes from an experiment that states claims: see the list in README.md.")
    for note in notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)


def take_option(words: list[str], flag: str, default: str) -> str:
    """The value of a flag, taken out of the words of a command line, or the default."""
    for i, word in enumerate(words):
        if word == flag or word.startswith(f"{flag}="):
            value = word.partition("=")[2] if "=" in word else (words[i + 1] if i + 1 < len(words) else "")
            del words[i : i + 1 + ("=" not in word)]
            return value
    return default


def run_command(arguments: list[str]) -> None:
    """``unlearnax run FILE [--size SIZE] [--out DIR] [--FIELD VALUE ...]``.

    The file defines `SIZES`, a dict of `Experiment`s or of tuples of them, the default first; every field can be overridden
    by its flag, in all of a tuple.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        console.print("usage: unlearnax run FILE.py [--size SIZE] [--out DIR] [--FIELD VALUE ...]\n"
                      "       unlearnax run FILE.py --help   shows the fields of the experiment")  # fmt: skip
        return
    from unlearnax import checks, hosts, plugins
    from unlearnax.experiment import Experiment, run
    from unlearnax.output import progress_bars

    file, rest = arguments[0], arguments[1:]
    sizes: dict[str, Experiment | tuple[Experiment, ...]] | None = getattr(plugins.load_file(file), "SIZES", None)
    if not sizes:
        raise ValueError(f"Expected {file} to define SIZES, a dict of name -> Experiment.")

    size = take_option(rest, "--size", next(iter(sizes)))
    checks.one_of("size", size, sizes)
    out = take_option(rest, "--out", "")
    found = sizes[size]
    several = found if isinstance(found, tuple) else (found,)
    chosen = [tyro.cli(type(each), default=each, args=rest, prog=f"unlearnax run {file}") for each in several]
    folders: list[Path] = []
    for experiment in chosen:
        folder = Path(out or f"runs/{experiment.name}-{size}-seed{experiment.seed}")
        if out and len(chosen) > 1:
            folder = folder / f"{experiment.name}-seed{experiment.seed}"
        with progress_bars(Console(quiet=not hosts.leads())) as progress:
            origin = {"file": file, "size": size}
            run(experiment, folder, command=command_line(), origin=origin, progress=progress)
        if hosts.leads():
            folders.append(folder)
            _show(folder)
    _show_claims(folders)


def main() -> None:
    """Entry point; bad input ends with one line and status 2.

    With ``--distributed auto`` or ``--distributed ADDRESS:PORT,PROCESSES,RANK`` (or UNLEARNAX_DISTRIBUTED) the process is one
    of several that run the same command.
    """
    arguments = sys.argv[1:]
    together = take_option(arguments, "--distributed", os.environ.get(DISTRIBUTED, ""))
    if together or arguments[:1] != ["sweep"]:  # a sweep on one host leaves the devices to its workers
        devices.set_up()
    try:
        if together:
            from unlearnax import hosts

            os.environ[DISTRIBUTED] = together
            hosts.join(together)
        if arguments[:1] == ["run"]:
            run_command(arguments[1:])
            return
        if arguments[:1] == ["oracles"]:
            commands, arguments, prog = oracle_commands.COMMANDS, arguments[1:], "unlearnax oracles"
        else:
            commands, prog = {"run": _run_help} | COMMANDS, "unlearnax"
        chosen: Any = tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog=prog, description=__doc__)
        if callable(chosen):
            chosen()
    except (ValueError, OSError, FloatingPointError, sqlite3.Error) as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        raise SystemExit(2) from error


def _run_help(file: Annotated[str, tyro.conf.Positional]) -> None:
    """Runs an experiment file: trains, unlearns, scores, and writes the report."""
    run_command([file])


if __name__ == "__main__":
    main()
