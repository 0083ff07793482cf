"""What is listed, found unsound, and removed."""

import os
import time

import numpy as np
import pytest

from unlearnax.oracle_commands import GC
from unlearnax.store import Store
from unlearnax.store.upkeep import DRAFT_SECONDS, contents, expendable, remove, verify

TREE = {"a": np.arange(1000, dtype=np.float32)}
DAY = 86400


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.save("one", "members-0-2", TREE, {"role": "original"})
    store.save("one", "partial-members-2-4-7", TREE, {"done": 7})
    store.save("two", "logits", TREE, {"population": "one"})
    return store


def age(store, digest, name, seconds):
    then = time.time() - seconds
    for path in [store.folder / digest / name, *(store.folder / digest / name).rglob("*")]:
        os.utime(path, (then, then))


def test_contents(store):
    found = {(held.digest, held.name): held for held in contents(store)}
    assert {key: held.kind for key, held in found.items()} == {
        ("one", "members-0-2"): "members", ("one", "partial-members-2-4-7"): "checkpoint", ("two", "logits"): "predictions",
    }  # fmt: skip
    assert found["two", "logits"].population == "one"
    assert all(held.bytes > 4000 for held in found.values())


def test_verify_finds_and_sets_aside_what_is_damaged(store):
    victim = max((p for p in (store.folder / "two").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    victim.write_bytes(b"x" * victim.stat().st_size)
    sound = {held.name: good for held, good in verify(store)}
    assert sound == {"members-0-2": True, "partial-members-2-4-7": True, "logits": False}
    damaged = [held for held, good in verify(store) if not good]
    assert [held.kind for held in damaged] == ["damaged"]
    assert "checksums" in damaged[0].note
    assert [held.kind for held, _ in expendable(store)] == ["damaged"]


def test_by_default_only_what_nobody_can_use_goes(store):
    assert expendable(store) == []
    draft = store.folder / "one" / "members-4-6.draft-99-1"
    draft.mkdir()
    assert expendable(store) == []  # its process may go on
    age(store, "one", draft.name, DRAFT_SECONDS + 5)
    assert [held.kind for held, _ in expendable(store)] == ["draft"]
    assert [held.kind for held, _ in expendable(store, checkpoints=True)] == ["draft", "checkpoint"]


def test_old_ones_and_the_longest_unused_first(store):
    age(store, "one", "members-0-2", 10 * DAY)
    age(store, "one", "partial-members-2-4-7", DAY)
    assert [held.name for held, _ in expendable(store, days=5)] == ["members-0-2"]
    each = max(held.bytes for held in contents(store))
    assert [held.name for held, _ in expendable(store, most_gb=2.5e-9 * each)] == ["members-0-2"]
    assert len(expendable(store, most_gb=0)) == 3
    with pytest.raises(ValueError, match="Expected days=-1"):
        expendable(store, days=-1)


def test_reading_counts_as_use(store):
    age(store, "one", "members-0-2", 10 * DAY)
    assert store.load("one", "members-0-2", TREE) is not None
    assert expendable(store, days=5) == []


def test_removal_leaves_alone_what_is_worked_on(store):
    all_of_them = [held for held, _ in expendable(store, most_gb=0)]
    with store.lock("one"):
        assert [held.name for held in remove(store, all_of_them)] == ["logits"]
    assert len(remove(store, all_of_them[:2])) == 2
    assert [path.name for path in store.folder.iterdir()] == ["locks"]


def test_removing_from_a_store_that_is_not_there_yet(tmp_path):
    assert remove(Store(tmp_path / "none"), []) == []


def test_a_limit_is_called_what_the_user_typed():
    with pytest.raises(ValueError, match=r"^Expected most_gb=-1.0 to be at least 0\.$"):
        GC(most_gb=-1.0)()
