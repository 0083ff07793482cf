"""What workers are made of, and what the command says before they are."""

import importlib
import importlib.util
import multiprocessing
import os
import re
import time
from pathlib import Path

import jax
import pytest
from tiny_sweep import run_here, tiny

from unlearnax.sweeps import local
from unlearnax.sweeps.clock import COMPILING, Clock
from unlearnax.sweeps.command import describe, load_sweep
from unlearnax.sweeps.executors import DEVICE_COUNT, EXECUTORS, Options, make_executor, share_of_cores
from unlearnax.sweeps.plan import make_plan
from unlearnax.sweeps.work import Message


@pytest.mark.parametrize(
    ("name", "workers", "message"),
    [("locl", None, "executor='locl'.*Did you mean 'local'"), ("local", 0, "workers=0"), ("local", 1.5, "workers=1.5")],
)
def test_bad_executors(name, workers, message):
    with pytest.raises(ValueError, match=message):
        make_executor(name, Options(workers))


@pytest.mark.parametrize(("name", "module", "extra"), [("ray", "ray", "ray"), ("slurm", "submitit", "slurm")])
def test_a_missing_library_is_named_with_its_extra(name, module, extra, monkeypatch):
    def missing(path):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match=rf"pip install 'unlearnax\[{extra}\]'"):
        make_executor(name, Options(1))


def test_parameters_of_slurm():
    pytest.importorskip("submitit")
    on_slurm = importlib.import_module(EXECUTORS["slurm"].partition(":")[0])
    given = on_slurm.parameters(["slurm_partition=gpu", "timeout_min=60"])
    assert given == {"slurm_partition": "gpu", "timeout_min": 60}
    for wrong in (["gpu"], ["slurm_partition="]):
        with pytest.raises(ValueError, match="slurm="):
            on_slurm.parameters(wrong)
    with pytest.raises(ValueError, match="parameters of submitit"):
        make_executor("slurm", Options(1, cluster="local", slurm=("partitoin=gpu",)))


def number_of_workers(asked):
    executor = make_executor("local", Options(asked))
    executor.close()
    return executor.workers


def test_one_worker_for_each_gpu(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "jax_cuda12_plugin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert local.gpus({"JAX_PLATFORMS": None}) == ["2", "5"]
    assert local.gpus({"JAX_PLATFORMS": "cuda,cpu"}) == ["2", "5"]
    assert local.gpus({"JAX_PLATFORMS": "cpu"}) == []
    assert number_of_workers(None) == 2
    assert number_of_workers(3) == 3
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert local.gpus({}) == []
    assert number_of_workers(None) == 1


@pytest.mark.parametrize(
    ("workers", "cores", "largest", "gpus", "expected"),
    [
        (1, 64, 16, 0, (16, 0)),  # one worker has one node
        (8, 64, 16, 8, (8, 1)),
        (3, 16, 16, 8, (5, 2)),
        (8, 16, 16, 3, (2, 1 / 3)),
        (20, 16, 8, 0, (0, 0)),
    ],
)
def test_what_a_worker_asks_of_a_cluster(workers, cores, largest, gpus, expected):
    pytest.importorskip("ray")
    on_ray = importlib.import_module(EXECUTORS["ray"].partition(":")[0])
    assert on_ray.shares(workers, cores, largest, gpus) == expected


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert [share_of_cores(workers) for workers in (1, 2, 3, 20)] == [None, 4, 2, 1]
    flags = "--a=1 --xla_force_host_platform_device_count=8 --b"
    assert re.sub(DEVICE_COUNT, "", flags) == "--a=1 --b"


def test_compiling_counts_once_and_in_no_stage():
    clock = Clock()
    with clock.stage("scoring"):
        time.sleep(0.03)
        clock._heard(f"{COMPILING}inner", 0.01)
        time.sleep(0.01)
        clock._heard(f"{COMPILING}outer", 0.03)  # the inner one lies in it
        clock._heard("/jax/something/else", 5.0)
    found = clock.take()
    assert found["compiling"] == pytest.approx(0.03, abs=0.005)
    assert found["scoring"] + found["compiling"] >= 0.005
    assert found["training"] == 0
    assert set(clock.take().values()) == {0.0}
    with clock.stage("training"):
        jax.jit(lambda a: a * 2 + time.perf_counter())(1.0).block_until_ready()  # a constant that is never cached
    assert clock.take()["compiling"] > 0


def test_what_there_is_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "cache"))
    algorithms = {"fine_tune": {"learning_rate": (0.01, 0.03), "epochs": 1}}
    plan = make_plan(tiny(algorithms=algorithms, seeds=(0, 1)))
    text = describe(plan, tmp_path / "out")
    assert "digits-3-rate0.5 seed 1: 2 cells and the controls (0 done, 0 failed, 3 waiting)" in text
    assert "4 cells on 2 grounds, 10 populations" in text
    assert not (tmp_path / "out").exists()
    run_here(tiny(algorithms=algorithms), tmp_path / "out")
    page = (tmp_path / "out" / "results.sqlite").read_bytes()
    text = describe(plan, tmp_path / "out")
    assert (tmp_path / "out" / "results.sqlite").read_bytes() == page
    assert "seed 0: 2 cells and the controls (3 done, 0 failed, 0 waiting)" in text
    assert "seed 1: 2 cells and the controls (0 done, 0 failed, 3 waiting)" in text


def test_a_file_without_a_sweep(tmp_path):
    (tmp_path / "spec.py").write_text("SWEEP = 3")
    with pytest.raises(ValueError, match="to define SWEEP, a Sweep, got int"):
        load_sweep(tmp_path / "spec.py")


def test_workers_of_this_machine_that_end_while_they_load(tmp_path):
    executor = local.LocalExecutor(Options(2))
    try:
        first, second = (worker.process for worker in executor._loading)
        first.kill()
        first.join()
        executor.start(["one"], tmp_path)
        assert executor.said(10.0) == [("one", Message("died", text="SIGKILL"))]
    finally:
        executor.close()
    with pytest.raises(ValueError, match="closed"):  # as it does where it was ended and let go
        second.is_alive()


def first_words(executor):
    until = time.monotonic() + 60
    while not (found := executor.said(1.0)) and time.monotonic() < until:
        pass
    return found


def test_what_a_spec_sets_up_is_there_in_workers(tmp_path, monkeypatch):
    """They load before the spec is read, and still find what it adds to the path, the environment and the folder."""
    monkeypatch.setenv("GOES", "away")
    monkeypatch.delenv("COMES", raising=False)
    executor = local.LocalExecutor(Options(1, {"JAX_PLATFORMS": "cpu"}))
    try:
        monkeypatch.delenv("GOES")
        monkeypatch.setenv("COMES", "later")
        monkeypatch.setenv("JAX_PLATFORMS", "the driver's own")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path / "lib")
        executor.start(["one"], tmp_path)
        found = first_words(executor)
        assert [message.kind for _, message in found] == ["ready"]
        here = executor._as_here()
        assert here.folder == str(tmp_path)
        assert here.path[0] == str(tmp_path / "lib")
        assert {name: here.environment[name] for name in ("GOES", "COMES")} == {"GOES": None, "COMES": "later"}
        assert "JAX_PLATFORMS" not in here.environment
        process = executor._running["one"].process
        assert Path(f"/proc/{process.pid}/cwd").resolve() == tmp_path.resolve()
    finally:
        executor.close()


def test_why_a_worker_cannot_load_stands_in_its_log(tmp_path):
    executor = local.LocalExecutor(Options(1, {"JAX_ENABLE_X64": "neither"}))
    try:
        executor.start(["one"], tmp_path)
        found = first_words(executor)
        ((_, message),) = found
        assert message.kind == "died"
        assert "neither" in message.text
    finally:
        executor.close()


def test_workers_end_where_not_all_can_start(monkeypatch):
    def load(self, slot, real=local.LocalExecutor._load):
        if slot == 1:
            raise OSError("no more processes")
        real(self, slot)

    monkeypatch.setattr(local.LocalExecutor, "_load", load)
    before = {child.pid for child in multiprocessing.active_children()}
    with pytest.raises(OSError, match="no more processes"):
        local.LocalExecutor(Options(2))
    assert {child.pid for child in multiprocessing.active_children()} == before
