"""A kill at every moment of writing: what lies on the disk then is gone on from, to the bit.

What SIGKILL leaves is what was written until then, so a copy of the folder at a file operation stands for a kill there.
"""

import dataclasses
import random
import shutil
import sys
import threading

import jax
import numpy as np
import pytest
from test_faults import RECIPE, train

from unlearnax import populations
from unlearnax.store import Store
from unlearnax.store.upkeep import contents, expendable, verify

PASSES = 4
RECIPE = dataclasses.replace(RECIPE, epochs=PASSES)
_watching: list["Moments"] = []
_busy = threading.Lock()


def _hear(event, arguments):
    if _watching and (event == "open" or event.startswith(("os.", "shutil."))) and _busy.acquire(blocking=False):
        try:
            _watching[0].copy()
        finally:
            _busy.release()


sys.addaudithook(_hear)  # for good; it listens only while something is watched


class Moments:
    """Copies of a folder at the file operations of this process, one for each state that is unlike the last.

    found: (copy, passes that were reported by then).
    """

    def __init__(self, folder, copies):
        self.folder, self.copies, self.found, self.passes, self._last = folder, copies, [], 0, None

    def copy(self):
        state = sorted((str(path), path.stat().st_size if path.is_file() else 0) for path in self.folder.rglob("*"))
        if state and state != self._last:
            copy = self.copies / str(len(self.found))
            try:
                shutil.copytree(self.folder, copy)
            except OSError:  # another thread removed a file meanwhile: no state that was there
                shutil.rmtree(copy, ignore_errors=True)
            else:
                self._last = state
                self.found.append((copy, self.passes))

    def __enter__(self):
        _watching.append(self)
        return self

    def __exit__(self, *_):
        _watching.clear()


@pytest.fixture(scope="module")
def moments(tmp_path_factory):
    folder, copies = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("copies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(populations, "SEGMENT_SECONDS", 0.0)
        patch.setattr(populations, "CHECKPOINT_SHARE", float("inf"))
        with Moments(folder, copies) as watched:

            def progress(label, done, total):
                watched.passes = done

            train(folder, progress, RECIPE)
    return watched.found, train(None, recipe=RECIPE)


def test_a_kill_at_any_moment_of_writing(moments, request):
    found, undisturbed = moments
    assert len(found) > 20 * PASSES  # at many moments of every checkpoint, and of the members
    assert {passes for _, passes in found} == {*range(PASSES + 1)}
    slow = "slow or" in request.config.getoption("-m")
    for copy, passes in found if slow else random.Random(0).sample(found, 12):
        trained = []
        resumed = train(copy, lambda label, done, total, trained=trained: trained.append(done), RECIPE)
        assert not trained or trained[0] >= max(passes, 1)  # all but the pass whose checkpoint was being written
        jax.tree.map(np.testing.assert_array_equal, undisturbed.states, resumed.states)
        assert all(sound for _, sound in verify(Store(copy)))
        left = {held.name for held in contents(Store(copy)) if held.kind not in ("members", "draft")}
        assert left == {held.name for held, why in expendable(Store(copy)) if why == "its members are finished"}
        train(copy, lambda *now: pytest.fail("trained again"), RECIPE)
