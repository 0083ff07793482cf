"""A disk that is full, a real one: training goes on, nothing half-written stays, and with room it is kept."""

import os
import shutil
import subprocess
import warnings

import jax
import numpy as np
import pytest
from test_faults import train

from unlearnax import populations
from unlearnax.store import Store
from unlearnax.store.upkeep import contents, verify


@pytest.fixture
def disk(tmp_path):
    """A file system of 200 kB, where this process may mount one: an entry of the tests takes about 70 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        os.getuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", place], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("no right to mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


# Orbax's threads speak up after their writer has given up.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shows", ["by what is free", "by trying", "while writing"])
def test_a_full_disk(disk, monkeypatch, shows):
    monkeypatch.setattr(populations, "SEGMENT_SECONDS", 0.0)
    monkeypatch.setattr(populations, "CHECKPOINT_SHARE", float("inf"))
    if shows != "by what is free":  # as under a quota
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 10**9))
    if shows == "while writing":  # as where others fill it meanwhile
        monkeypatch.setattr(os, "posix_fallocate", lambda *given: None)
    filler = disk / "others"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(10**6))
    filler.write_bytes(bytes(160_000))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = train(disk / "store")
    words = [str(warning.message) for warning in said]
    assert any("Training goes on without a new checkpoint: No space left on device" in each for each in words)
    assert any("Trained members are used now, but not kept" in each and "No space left" in each for each in words)
    assert contents(Store(disk / "store")) == []
    jax.tree.map(np.testing.assert_array_equal, train(None).states, found.states)
    filler.unlink()
    train(disk / "store")
    assert [held.kind for held in contents(Store(disk / "store"))] == ["members"]
    assert all(sound for _, sound in verify(Store(disk / "store")))
