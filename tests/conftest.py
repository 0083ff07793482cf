"""Two virtual CPU devices and a compile cache before JAX loads; a store of its own for every test session."""

import itertools
import os

import hypothesis
import pytest

from unlearnax import devices

# The same examples in every CI run; elsewhere new ones each time.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

devices.set_up(2)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache folder."""
    monkeypatch.setenv("UNLEARNAX_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{os.getpid()}"))


_tests = itertools.count()


@pytest.fixture(autouse=True)
def _few_programs():
    """A worker of the suite compiles thousands of programs, more than a process may hold."""
    yield
    if next(_tests) % 10 == 0:
        from unlearnax import members

        members.let_programs_go(limit=30_000)  # and more would take much memory
