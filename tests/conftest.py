"""Two virtual CPU devices and a compile cache before JAX loads; a store of its own for every test session."""

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


@pytest.fixture(scope="module", autouse=True)
def _programs_end_with_their_file():
    """Compiled programs hold memory mappings, of which a process may have 65,530: a worker would crash late in the suite."""
    yield
    import gc

    import jax

    from unlearnax import members

    members._compiled.clear()
    jax.clear_caches()
    gc.collect()
