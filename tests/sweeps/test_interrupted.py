"""The command against kills, Ctrl-C, other sweeps and workers that end: nothing done twice, nothing lost."""

import contextlib
import os
import random
import re
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from tiny_sweep import HEAD, TROUBLE, numbers, run_here, tiny

from unlearnax import results
from unlearnax.results import FILE, CellRow
from unlearnax.store import Store
from unlearnax.store.locks import locked
from unlearnax.store.upkeep import contents

SPEC = (
    HEAD
    + """
SWEEP = Sweep(BASE, (("fine_tune", {"learning_rate": (0.01, 0.02, 0.03, 0.04, 0.05), "epochs": 1}),))
"""
)
PATIENCE = 500.0  # seconds; a busy machine takes many times longer


def cells(folder):
    """Cells of a sweep that another process works on."""
    with contextlib.suppress(FileNotFoundError, sqlite3.OperationalError):
        return {cell.id: cell for cell in results.read(folder, CellRow)} if (folder / FILE).exists() else {}
    return {}


def wait_for(what):
    """The first true answer."""
    until = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def workers(process):
    """Processes that a sweep's driver has started, that still run."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in listed if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


def blocks_interrupts(pid):
    (blocked,) = re.findall(r"SigBlk:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(blocked, 16) >> (signal.SIGINT - 1) & 1)


def ended(pid):
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_second_sweep_on_one_folder_is_refused(start, tmp_path):
    out, spec = tmp_path / "out", tmp_path / "spec.py"
    spec.write_text(SPEC)
    with locked(out / "sweep.lock", wait=False) as free:  # as a sweep at work holds it
        assert free
        second = start("sweep", spec, "--out", out)
        words, _ = second.communicate(timeout=PATIENCE)
    assert second.returncode == 2, words
    assert "one works on it now" in words


def test_two_sweeps_at_once_share_one_store(start, tmp_path, monkeypatch):
    """Their grounds overlap: a population that both want is trained by one, and the results are those of each alone."""
    rates = {"fine_tune": {"learning_rate": (0.01, 0.02), "epochs": 1}}
    wanted = {"one": (0, 1), "other": (1, 0)}  # in another order, so that each waits for the other
    processes = {}
    for name, seeds in wanted.items():
        (tmp_path / f"{name}.py").write_text(HEAD + f"SWEEP = Sweep(BASE, {rates!r}, seeds={seeds})")
        processes[name] = start("sweep", tmp_path / f"{name}.py", "--out", tmp_path / name)
    words = {name: process.communicate(timeout=PATIENCE)[0] for name, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0], words
    trained = [int(re.search(r"(\d+) populations trained", each)[1]) for each in words.values()]
    assert sum(trained) == 10, words
    stored = [held for held in contents(Store(tmp_path / "cache" / "store")) if held.kind == "members"]
    assert len(stored) == len({held.digest for held in stored}) == 10
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "alone"))
    run_here(tiny(algorithms=rates, seeds=(0, 1)), tmp_path / "whole")
    for name in wanted:
        assert sorted(map(repr, numbers(tmp_path / name)[2])) == sorted(map(repr, numbers(tmp_path / "whole")[2]))


@pytest.mark.slow  # a process for every kill
@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_that_is_killed_again_and_again(seed, start, tmp_path, monkeypatch):
    """At random moments, training and starting included; what is done stays, nothing is done twice, the end is the same."""
    chance, out, spec = random.Random(seed), tmp_path / "out", tmp_path / "spec.py"
    spec.write_text(SPEC.replace("SWEEP = Sweep(BASE,", "SWEEP = Sweep(BASE, seeds=(0, 1), algorithms="))
    before = {}
    for _ in range(6):
        process = start("sweep", spec, "--out", out)
        time.sleep(chance.uniform(2.0, 12.0))
        pids = workers(process) if process.poll() is None else []
        process.kill()
        process.communicate()
        wait_for(lambda pids=pids: all(map(ended, pids)))
        after = cells(out)
        assert before.items() <= after.items()
        before = after
    process = start("sweep", spec, "--out", out)
    words, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, words
    assert before.items() <= cells(out).items()
    assert {(cell.state, cell.attempt) for cell in cells(out).values()} == {("done", 1)}
    stored = [held for held in contents(Store(tmp_path / "cache" / "store")) if held.kind == "members"]
    assert len(stored) == len({held.digest for held in stored}) == 10
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "other"))
    run_here(tiny(seeds=(0, 1)), tmp_path / "whole")
    assert numbers(out) == numbers(tmp_path / "whole")


def test_kills_and_interrupts(start, tmp_path, monkeypatch):
    out, spec, own, until = (tmp_path / name for name in ("out", "spec.py", "own.py", "until"))
    own.write_text(TROUBLE)
    # In the middle stands an algorithm that waits: no sweep can be done before it is interrupted.
    rates = {"epochs": 1, "learning_rate": (0.01, 0.02, 0.03)}
    algorithms = {"fine_tune@before": rates, f"{own}:waits": {"until": str(until)}, "fine_tune@after": rates}
    spec.write_text(HEAD + f"SWEEP = Sweep(BASE, {algorithms!r})")
    first = start("sweep", spec, "--out", out)
    wait_for(lambda: cells(out))
    pids = workers(first)
    assert len(pids) == 1
    assert all(map(blocks_interrupts, pids))
    os.killpg(first.pid, signal.SIGINT)  # as the terminal does: the workers get it too
    words, _ = first.communicate(timeout=PATIENCE)
    assert first.returncode == 130, words
    assert "goes on from there" in words
    assert "Traceback" not in words
    assert all(map(ended, pids))
    assert not any("Traceback" in log.read_text() for log in (out / "logs").iterdir())
    after_interrupt = cells(out)

    third = start("sweep", spec, "--out", out)
    more = min(len(after_interrupt) + random.randint(1, 2), 3)  # as many as come before the one that waits
    wait_for(lambda: len(cells(out)) >= more)
    time.sleep(random.random() / 5)
    pids = workers(third)
    third.kill()
    third.communicate()
    wait_for(lambda: all(map(ended, pids)))  # workers end with their driver
    after_kill = cells(out)
    assert after_interrupt.items() <= after_kill.items()

    until.touch()
    last = start("sweep", spec, "--out", out)
    words, _ = last.communicate(timeout=PATIENCE)
    assert last.returncode == 0, words
    assert f"{len(after_kill)} were there before" in words
    finished = cells(out)
    assert after_kill.items() <= finished.items()
    assert len(finished) == 8
    assert {(cell.state, cell.attempt) for cell in finished.values()} == {("done", 1)}

    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    stored = [held for held in contents(Store()) if held.kind == "members"]
    assert len(stored) == len({held.digest for held in stored}) == 5
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "other"))
    run_here(tiny(algorithms=algorithms), tmp_path / "whole")
    assert numbers(out) == numbers(tmp_path / "whole")


@pytest.mark.parametrize("executor", ["local", "ray", "slurm"])
def test_workers_that_end(executor, start, tmp_path):
    """One algorithm ends its worker once, one always, one raises; the rest is done, and only it is not done again.

    Workers of this machine, which load before the spec is read, find the module that it makes importable.
    """
    if executor != "local":
        pytest.importorskip({"ray": "ray", "slurm": "submitit"}[executor])
    spec, own = tmp_path / "spec.py", tmp_path / "own.py"
    here = executor == "local"
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper_of_mine.py").touch()
    own.write_text("import helper_of_mine\n" * here + TROUBLE)
    there = f"import sys\nsys.path.insert(0, {str(tmp_path / 'lib')!r})\n"
    algorithms = {f"{own}:dies": {}, f"{own}:dies@once": {"once": str(tmp_path / "once")}, f"{own}:same": {},
                  f"{own}:raises": {"until": str(tmp_path / "until")}}  # fmt: skip
    spec.write_text(there + HEAD + f"SWEEP = Sweep(BASE, {algorithms!r})")
    options = [] if here else ["--executor", executor, "--workers", 2, "--cluster", "local"]
    process = start("sweep", spec, "--out", tmp_path / "out", *options)
    words, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, words
    found = {cell.candidate: cell for cell in results.read(tmp_path / "out", CellRow)}
    states = {name: (cell.state, cell.attempt) for name, cell in found.items()}
    assert states == {"dies": ("failed", 2), "dies@once": ("done", 2), "same": ("done", 1), "raises": ("failed", 1),
                      "controls": ("done", 1)}  # fmt: skip
    assert "Its worker ended 2 times" in found["dies"].error
    assert "ArithmeticError: this one never works" in found["raises"].error
    assert "failed: raises on digits-3-rate0.5: ArithmeticError" in words
    if executor == "local":
        assert "SIGKILL" in found["dies"].error
        (tmp_path / "until").touch()
        again = start("sweep", spec, "--out", tmp_path / "out", "--retry")
        words, _ = again.communicate(timeout=PATIENCE)
        assert again.returncode == 1, words
        assert "1 results" in words
        retried = {cell.candidate: cell for cell in results.read(tmp_path / "out", CellRow)}
        assert (retried["raises"].state, retried["raises"].attempt) == ("done", 2)
        assert (retried["dies"].state, retried["dies"].attempt) == ("failed", 4)
        assert retried["same"] == found["same"]


@pytest.mark.slow  # two workers, each of which compiles everything
def test_several_workers_train_every_population_once(start, tmp_path, monkeypatch):
    spec = tmp_path / "spec.py"
    spec.write_text(SPEC.replace("SWEEP = Sweep(BASE,", "SWEEP = Sweep(BASE, seeds=(0, 1), algorithms="))
    process = start("sweep", spec, "--out", tmp_path / "out", "--workers", 2)
    words, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, words
    assert "12 results" in words
    assert "10 populations trained" in words
    assert len({cell.worker for cell in results.read(tmp_path / "out", CellRow)}) == 2
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "other"))
    run_here(tiny(seeds=(0, 1)), tmp_path / "whole")
    assert numbers(tmp_path / "out") == numbers(tmp_path / "whole")
