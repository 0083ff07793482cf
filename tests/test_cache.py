"""Where what is kept lies."""

from pathlib import Path

from unlearnax.cache import cache_folder


def test_the_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    monkeypatch.setenv("UNLEARNAX_CACHE", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.setenv("UNLEARNAX_CACHE", "")
    assert cache_folder() == Path("/there/unlearnax")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == Path.home() / ".cache" / "unlearnax"
