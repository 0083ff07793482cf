"""Two processes under jax.distributed that run the same command: one worker, one set of results."""

import socket

import pytest
from tiny_sweep import HEAD, numbers, run_here, tiny

from unlearnax import hosts

SPEC = (
    HEAD
    + """
SETTINGS = {"fine_tune": {"learning_rate": (0.01, 0.03), "epochs": 1}}
SWEEP = Sweep(BASE, SETTINGS)
SIZES = {"run": BASE}
"""
)
PATIENCE = 500.0  # seconds; a busy machine takes many times longer


@pytest.mark.slow  # four processes, each of which compiles everything
def test_every_host_runs_the_same_command(start, tmp_path, monkeypatch):
    """A sweep and a run, on hosts that share no store; the first writes, and both agree with one process alone."""
    spec = tmp_path / "spec.py"
    spec.write_text(SPEC)
    for command in ("sweep", "run"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = [
            start(command, spec, "--out", tmp_path / command, "--distributed", f"127.0.0.1:{port},2,{rank}",
                  UNLEARNAX_CACHE=str(tmp_path / f"cache{rank}"))
            for rank in range(2)
        ]  # fmt: skip
        words = [process.communicate(timeout=PATIENCE)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], words
        # What the sweep left in the stores serves the run: a host that wrote what it cannot read would say so.
        assert not any(sign in each for each in words for sign in ("Warning", "Traceback", "Error")), words
        assert "Report:" in words[0]
        assert "Report:" not in words[1]
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path / "other"))
    run_here(tiny(algorithms={"fine_tune": {"learning_rate": (0.01, 0.03), "epochs": 1}}), tmp_path / "alone")
    assert numbers(tmp_path / "sweep") == numbers(tmp_path / "alone")
    controls = [row for row in numbers(tmp_path / "alone")[2] if row.kind != "algorithm"]
    assert numbers(tmp_path / "run")[2] == controls


@pytest.mark.parametrize("how", ["", "127.0.0.1", "127.0.0.1,2,0", "127.0.0.1:80,2,2", "127.0.0.1:80,2", "a:80,x,y"])
def test_who_is_who_must_be_said(how):
    with pytest.raises(ValueError, match="distributed="):
        hosts.join(how)
