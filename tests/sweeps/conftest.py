"""Commands as processes, which end with their test."""

import os
import subprocess
import sys

import pytest
from tiny_sweep import ROOT


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Environment of commands: programs compiled once are there for the next, in a store that is each test's own."""
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(tmp_path_factory.mktemp("compiled"))
    return {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


@pytest.fixture
def start(compiled, tmp_path):
    """Starts ``unlearnax`` with arguments in a session of its own; what is left of it ends with the test."""
    started = []

    def begin(*arguments, **more):
        environment = os.environ | compiled | {"UNLEARNAX_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"} | more
        # What a shell starts in the background ignores Ctrl-C, and so would what it starts in turn.
        heard = ["env", "--default-signal=INT"]
        words = [*heard, sys.executable, "-m", "unlearnax.cli", *map(str, arguments)]
        process = subprocess.Popen(words, cwd=ROOT, env=environment, text=True, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
