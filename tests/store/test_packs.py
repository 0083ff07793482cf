"""Packs come back bit for bit; anything else is refused before a byte is written."""

import json
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from unlearnax.store import Store, manifest
from unlearnax.store.packs import FORMAT, INDEX, export, import_pack

DIGEST, OTHER = "a" * 32, "b" * 32
TREE = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "h": np.ones((2, 1), jnp.bfloat16)}
LOGITS = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.save(DIGEST, "members-0-2", TREE, {"seconds": 0.5, "plan": "map", "role": "original", "seed": 0})
    store.save(OTHER, "logits", LOGITS, {"population": DIGEST, "members": 2, "weights": "x"})
    return store


@pytest.fixture
def pack(store, tmp_path):
    path = tmp_path / "all.pack"
    export(store, path, weights=True)
    return path


def entries(store):
    return sorted(str(p.relative_to(store.folder)) for p in store.folder.glob("*/*") if p.parent.name != "locks")


def test_there_and_back(store, pack, tmp_path):
    other = Store(tmp_path / "other")
    assert sorted(import_pack(other, pack)) == [(DIGEST, "members-0-2", True), (OTHER, "logits", True)]
    tree, about = other.load(DIGEST, "members-0-2", TREE)
    for key, value in TREE.items():
        assert tree[key].dtype == value.dtype
        assert tree[key].tobytes() == value.tobytes()
    assert about["plan"] == "map"
    assert other.load(OTHER, "logits", LOGITS)[0].tobytes() == LOGITS.tobytes()
    assert not any(new for *_, new in import_pack(other, pack))  # what is there stays


def test_predictions_alone_and_chosen_populations(store, tmp_path):
    assert export(store, tmp_path / "some.pack") == [(OTHER, "logits")]
    assert len(export(store, tmp_path / "two.pack", (DIGEST[:5],), weights=True)) == 2
    with pytest.raises(ValueError, match="begins with 'ccc'"):
        export(store, tmp_path / "none.pack", ("ccc",))
    with pytest.raises(ValueError, match=r"some.pack not to exist"):
        export(store, tmp_path / "some.pack")
    assert sorted(path.name for path in tmp_path.glob("*pack*")) == ["some.pack", "two.pack"]


def rewritten(pack, out, change=None, rename=None, **zip_options):
    """A copy with other parts: change(name, bytes) -> bytes or None to leave it out; rename(name) -> name."""
    with zipfile.ZipFile(pack) as old, zipfile.ZipFile(out, "w", **zip_options) as new:
        for name in old.namelist():
            data = old.read(name) if change is None else change(name, old.read(name))
            if data is not None:
                new.writestr(rename(name) if rename else name, data)
    return out


def index_with(edit):
    def change(name, data):
        if name != INDEX:
            return data
        body = manifest.unsealed(data.decode(), FORMAT)
        edit(body)
        return manifest.sealed(body).encode()

    return change


def first_array(body, place, value):
    next(iter(body["entries"][0]["arrays"].values()))[place] = value


BAD = {
    "a flipped bit": lambda name, data: data[:-1] + bytes([data[-1] ^ 1]) if name.endswith(".npy") else data,
    "a part too few": lambda name, data: None if name.endswith("1.npy") else data,
    "no index": lambda name, data: None if name == INDEX else data,
    "an edited index": lambda name, data: data.replace(b"original", b"0riginal") if name == INDEX else data,
    "another format": lambda name, data: json.dumps({"pack": 9}).encode() if name == INDEX else data,
    "a path as digest": index_with(lambda body: body["entries"][0].update(digest="../../escape")),
    "another name": index_with(lambda body: body["entries"][0].update(name="partial-members-0-2-1")),
    "a shape too large": index_with(lambda body: first_array(body, 0, [2, 10**12])),
    "an object array": index_with(lambda body: first_array(body, 1, "object")),
    "a shape of strings": index_with(lambda body: first_array(body, 0, ["2", "3"])),
    "entries that are no list": index_with(lambda body: body.update(entries={"a": 1})),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_is_not_as_it_was_written_is_refused(change, pack, tmp_path):
    other = Store(tmp_path / "other")
    with pytest.raises(ValueError, match=r"Expected .*bad.pack to be a (sound )?pack"):
        import_pack(other, rewritten(pack, tmp_path / "bad.pack", change))
    assert not other.folder.exists()
    assert not (tmp_path / "escape").exists()


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/evil", f"{DIGEST}/members-0-2/../../x.npy", "run.py"])
def test_paths_that_lead_elsewhere_are_refused(name, pack, tmp_path):
    bad = rewritten(
        pack, tmp_path / "bad.pack", rename=lambda old: name if old.endswith("/0.npy") and DIGEST in old else old
    )
    with pytest.raises(ValueError, match="which no pack does"):
        import_pack(Store(tmp_path / "other"), bad)


def test_foreign_files_are_refused(pack, tmp_path):
    other = Store(tmp_path / "other")
    (tmp_path / "text.pack").write_text("not a pack")
    with pytest.raises(ValueError, match="to be a pack"):
        import_pack(other, tmp_path / "text.pack")
    squeezed = rewritten(pack, tmp_path / "squeezed.pack", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed"):
        import_pack(other, squeezed)
    cut = tmp_path / "cut.pack"
    cut.write_bytes(pack.read_bytes()[:-40])
    with pytest.raises(ValueError, match="to be a pack"):
        import_pack(other, cut)


def test_pickles_are_never_read(store, pack, tmp_path):
    """An array of objects in the place of numbers: its header is refused, nothing is unpickled."""
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], object), allow_pickle=True)
    raw = (tmp_path / "evil.npy").read_bytes()
    with pytest.raises(ValueError, match="to be a sound pack"):
        import_pack(
            Store(tmp_path / "other"),
            rewritten(pack, tmp_path / "bad.pack", lambda name, data: raw if name.endswith("0.npy") else data),
        )
