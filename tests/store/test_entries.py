"""Entries come back whole or not at all."""

import json
import multiprocessing
import re
import resource
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.store import Store, manifest

TREE = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": (np.array([1, 2], np.int32), {"c": np.float32(3)})}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.save("digest", "members-0-2", TREE, {"seconds": 0.5})
    return store


def load(store, like=TREE):
    return store.load("digest", "members-0-2", like)


def entry(store):
    return store.folder / "digest" / "members-0-2"


def assert_set_aside(store, reason=""):
    with pytest.warns(UserWarning, match=f"Set aside the damaged store entry .*members-0-2.damaged-.*{reason}"):
        assert load(store) is None
    assert load(store) is None  # gone, and no second warning
    assert list(entry(store).parent.glob("*.damaged-*"))
    assert store.member_ranges("digest") == []


def test_round_trip(store):
    tree, about = load(store, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), TREE))
    assert about == {"seconds": 0.5}
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    for found, expected in zip(jax.tree.leaves(tree), jax.tree.leaves(TREE), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert store.load("digest", "members-2-4", TREE) is None
    assert store.load("other", "members-0-2", TREE) is None
    assert not list(entry(store).parent.glob("*draft*"))


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "bool", "bfloat16"])
def test_types_come_back_whole(store, dtype):
    """Also the 64-bit ones, which JAX would narrow."""
    tree = {"a": np.asarray([0, 1, 2**40 if dtype == "int64" else 1]).astype(jnp.dtype(dtype))}
    store.save("digest", dtype, tree, {})
    loaded = store.load("digest", dtype, tree)
    assert loaded is not None
    found = loaded[0]["a"]
    assert found.dtype == tree["a"].dtype
    assert found.tobytes() == tree["a"].tobytes()


def test_a_flipped_bit(store):
    victim = max((p for p in (entry(store) / "arrays").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    assert_set_aside(store, f"checksums do not match in .*{re.escape(victim.name)}")


def test_a_truncated_file(store):
    victim = max((p for p in (entry(store) / "arrays").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    victim.write_bytes(victim.read_bytes()[:-1])
    assert_set_aside(store)


def test_a_missing_manifest(store):
    (entry(store) / "manifest.json").unlink()
    assert_set_aside(store)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"format": 1, "sha256": 5, "about": {}}', "\0"])
def test_a_damaged_manifest(store, text):
    (entry(store) / "manifest.json").write_text(text)
    assert_set_aside(store)


def test_a_cut_manifest_and_one_without_its_description(store):
    path = entry(store) / "manifest.json"
    whole = path.read_text()
    for text in (whole[: len(whole) // 2], whole.replace('"about"', '"abouu"')):
        path.write_text(text)
        with pytest.warns(UserWarning, match="Set aside"):
            assert load(store) is None
        store.save("digest", "members-0-2", TREE, {"seconds": 0.5})


def test_a_file_too_few_and_one_too_many(store):
    files = sorted(path for path in (entry(store) / "arrays").rglob("*") if path.is_file())
    files[0].unlink()
    (entry(store) / "arrays" / "stray").write_text("")
    assert_set_aside(store, "arrays/stray")


def test_set_aside_by_another_process_first(store, monkeypatch):
    def overtaken(about, folder):
        entry(store).rename(entry(store).with_name("members-0-2.damaged-1"))
        raise ValueError("damaged")

    monkeypatch.setattr(manifest, "check_files", overtaken)
    assert load(store) is None  # the other one has warned


def test_a_description_that_is_not_json_leaves_nothing(store):
    with pytest.raises(TypeError, match="JSON serializable"):
        store.save("digest", "members-2-4", TREE, {"seconds": object()})
    assert [path.name for path in entry(store).parent.iterdir()] == ["members-0-2"]


@pytest.mark.parametrize("change", [{"format": 99}, {"arrays": {}}])
def test_another_format_or_other_arrays(store, change):
    path = entry(store) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert_set_aside(store)


def test_other_shapes_are_not_cast(store):
    with pytest.warns(UserWarning, match="expected names, shapes and types"):
        assert load(store, TREE | {"a": np.zeros((2, 3), np.float64)}) is None


def test_saving_again_keeps_the_first(store):
    store.save("digest", "members-0-2", jax.tree.map(lambda a: a + 1, TREE), {"seconds": 9})
    assert load(store)[1] == {"seconds": 0.5}


def test_a_lost_race_leaves_one_entry(tmp_path, monkeypatch):
    """Another process finishes the same entry while this one writes its draft."""
    store, other = Store(tmp_path), Store(tmp_path)
    real = manifest.file_hashes

    def interrupted(folder):
        monkeypatch.setattr(manifest, "file_hashes", real)
        other.save("digest", "members-0-2", TREE, {"seconds": 1.0})
        return real(folder)

    monkeypatch.setattr(manifest, "file_hashes", interrupted)
    store.save("digest", "members-0-2", TREE, {"seconds": 2.0})
    assert load(store)[1] == {"seconds": 1.0}
    assert [path.name for path in entry(store).parent.iterdir()] == ["members-0-2"]


def test_no_room(tmp_path, monkeypatch):
    """Said before anything is written, and nothing is left behind."""
    store = Store(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 100))
    with pytest.raises(OSError, match=r"Expected to be able to write .*members-0-2: No space left on device"):
        store.save("digest", "members-0-2", TREE, {})
    assert not list((tmp_path / "digest").iterdir())


def _save_limited(folder, bytes_a_file, said):
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_a_file, bytes_a_file))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing past the limit fails with EFBIG then
    try:
        Store(folder).save("digest", "big", {"a": np.random.default_rng(0).random(300_000)}, {})
    except OSError as error:
        said.put(str(error))
    else:
        said.put("")


def test_a_disk_that_fills_while_writing(tmp_path):
    """A limit on the size of files stands in for it: the draft is removed, readers see nothing."""
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    worker = context.Process(target=_save_limited, args=(tmp_path, 100_000, said))
    worker.start()
    message = said.get(timeout=120)
    worker.join(120)
    assert message.startswith("[Errno")
    assert "Expected to be able to write" in message
    assert not list((tmp_path / "digest").iterdir())


def _save(folder):
    Store(folder).save("digest", "members-0-2", TREE, {"seconds": 1.0})


def test_two_processes_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_save, args=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    assert load(Store(tmp_path)) is not None
    assert [path.name for path in (tmp_path / "digest").iterdir()] == ["members-0-2"]


def test_member_ranges_are_in_order(tmp_path):
    store = Store(tmp_path)
    assert store.member_ranges("digest") == []
    for name in ("members-4-8", "members-0-4", "members-8-100", "partial-members-100-120-3"):
        store.save("digest", name, TREE, {})
    assert store.member_ranges("digest") == [range(0, 4), range(4, 8), range(8, 100)]
