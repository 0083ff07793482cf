"""Commands as processes, which end with their test."""

import os
import subprocess
import sys

import pytest
from processes import environment
from tiny_sweep import ROOT


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Environment of commands: programs compiled once are there for the next, in a store that is each test's own."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(tmp_path_factory.mktemp("compiled"))
    return {"JAX_COMPILATION_CACHE_DIR": folder}


@pytest.fixture
def start(compiled, tmp_path):
    """Starts ``unlearnax`` with arguments in a session of its own; what is left of it ends with the test."""
    started = []

    def begin(*arguments, **more):
        own = environment(UNLEARNAX_CACHE=str(tmp_path / "cache"), COLUMNS="200", **compiled) | more
        # What a shell starts in the background ignores Ctrl-C, and so would what it starts in turn.
        heard = ["env", "--default-signal=INT"]
        words = [*heard, sys.executable, "-m", "unlearnax.cli", *map(str, arguments)]
        process = subprocess.Popen(words, cwd=ROOT, env=own, text=True, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
