"""Packs: entries of a store in one file, to be shared; predictions, with or without the weights.

A pack is an uncompressed zip of ``<digest>/<name>/<number>.npy`` and ``pack.json``, which says what each array is, with
shapes, types and SHA-256; `numpy.load` reads the arrays too.  Nothing in it is ever executed, unpickled, or used as a
path: an import reads exactly the names that it expects, checks all of them, and writes entries of its own making.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np

from unlearnax.members import check_plan
from unlearnax.store import manifest
from unlearnax.store.entries import Store
from unlearnax.store.upkeep import contents

FORMAT = {"kind": "unlearnax pack", "pack": 1}
INDEX = "pack.json"
MOST_INDEX = 1 << 26  # bytes of pack.json
MOST_HEADER = 1 << 12  # bytes before an array's numbers
ENTRY = re.compile(r"[0-9a-f]{32}")
NAMES = re.compile(r"members-\d{1,9}-\d{1,9}|logits|right")
FILE = re.compile(r"[0-9a-f]{32}/(members-\d{1,9}-\d{1,9}|logits|right)/\d{1,6}\.npy")
TYPES = {
    "bool", "bfloat16", "complex64", "complex128",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)), *(f"float{bits}" for bits in (16, 32, 64)),
}  # fmt: skip


class _Hashing:
    """A file to write to that hashes what goes through."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash = file, hashlib.sha256()

    def write(self, data: bytes) -> None:
        self.hash.update(data)
        self.file.write(data)


def _plain(array: np.ndarray) -> np.ndarray:
    """The same bits, in C order and a type that the .npy format knows."""
    array = np.asarray(array, order="C")
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def export(
    store: Store, out: Path, populations: tuple[str, ...] = (), *, weights: bool = False
) -> list[tuple[str, str]]:
    """Writes predictions, and with `weights` the members too, of populations to a new file.

    Args:
        populations: beginnings of their digests; none: all.

    Returns:
        Digests and names of the entries in it.

    Raises:
        ValueError: the file exists, a beginning that fits no population, or nothing to export.
    """
    out = Path(out)
    if out.exists():
        raise ValueError(f"Expected {out} not to exist.")
    kinds = ("members", "predictions") if weights else ("predictions",)
    held = [each for each in contents(store) if each.kind in kinds and ENTRY.fullmatch(each.digest)]
    for start in populations:
        if not any(each.population.startswith(start) for each in held):
            raise ValueError(f"Expected a population in the store whose digest begins with {start!r}, with " + (
                "members or predictions." if weights else "predictions."))  # fmt: skip
    held = [each for each in held if not populations or each.population.startswith(populations)]
    draft = out.with_name(f"{out.name}.draft-{os.getpid()}")
    try:
        with zipfile.ZipFile(draft, "x", zipfile.ZIP_STORED) as pack:
            entries = [entry for each in held if (entry := _put(pack, store, each.digest, each.name))]
            if not entries:
                raise ValueError(f"Expected {store.folder} to hold {' or '.join(kinds)} to export.")
            pack.writestr(INDEX, manifest.sealed(FORMAT | {"entries": entries}))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return [(entry["digest"], entry["name"]) for entry in entries]


def _put(pack: zipfile.ZipFile, store: Store, digest: str, name: str) -> dict[str, Any] | None:
    found = store.read(digest, name)
    if found is None:  # damaged, and said so
        return None
    flat, about = found
    arrays = {}
    for number, (key, array) in enumerate(flat.items()):
        array, file = np.asarray(array), f"{digest}/{name}/{number}.npy"
        with pack.open(file, "w", force_zip64=True) as raw:
            hashing = _Hashing(raw)
            np.lib.format.write_array(hashing, _plain(array), allow_pickle=False)  # pyright: ignore[reportArgumentType]
        arrays[key] = [list(array.shape), str(array.dtype), file, hashing.hash.hexdigest()]
    return {"digest": digest, "name": name, "about": about["about"], "versions": about["versions"], "arrays": arrays}


def import_pack(store: Store, path: Path) -> list[tuple[str, str, bool]]:
    """Adds a pack's entries to the store; those that it holds already stay as they are.

    Everything in the pack is verified before the first entry is written.

    Returns:
        Digest and name of each entry, and whether it is new.

    Raises:
        ValueError: not a pack, or one that is not as it was written, or holds what no pack may hold.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as pack:
            entries = _index(pack, path.stat().st_size)
            for entry in entries:
                for _ in _arrays(pack, entry):
                    pass
            with path.open("rb") as file:
                origin = f"pack {hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
            return [(e["digest"], e["name"], _add(store, pack, e, origin)) for e in entries]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise ValueError(f"Expected {path} to be a pack: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # the index may be any JSON
        raise ValueError(f"Expected {path} to be a sound pack: {error}") from error


def _add(store: Store, pack: zipfile.ZipFile, entry: dict[str, Any], origin: str) -> bool:
    new = not (store.folder / entry["digest"] / entry["name"]).exists()
    if new:
        store.write(entry["digest"], entry["name"], dict(_arrays(pack, entry)), entry["about"], origin)
    return new


def _index(pack: zipfile.ZipFile, size: int) -> list[dict[str, Any]]:
    """The entries that `pack.json` lists, after checking that the pack holds these and nothing else."""
    files = pack.infolist()
    names = [file.filename for file in files]
    if len({*names}) < len(names) or INDEX not in names:
        raise ValueError(f"it holds a name twice, or no {INDEX}")
    for file in files:
        if file.filename != INDEX and not FILE.fullmatch(file.filename):
            raise ValueError(f"it holds {file.filename[:80]!r}, which no pack does")
        if file.compress_type != zipfile.ZIP_STORED or file.file_size != file.compress_size or file.flag_bits & 1:
            raise ValueError(f"{file.filename} is compressed or encrypted")
    if sum(file.file_size for file in files) > size:
        raise ValueError("its parts are larger than it")
    if pack.getinfo(INDEX).file_size > MOST_INDEX:
        raise ValueError(f"its {INDEX} is too large")
    index = manifest.unsealed(pack.read(INDEX).decode(), FORMAT)
    expected = [INDEX]
    for entry in index["entries"]:
        _check_entry(entry)
        expected += [file for _, _, file, _ in entry["arrays"].values()]
    if sorted(expected) != sorted(names):
        raise ValueError(f"it does not hold just what its {INDEX} says")
    return index["entries"]


def _check_entry(entry: Mapping[str, Any]) -> None:
    """Raises where an entry is not what a store would have written, arrays apart."""
    digest, name, about, arrays = entry["digest"], entry["name"], entry["about"], entry["arrays"]
    if not (ENTRY.fullmatch(digest) and NAMES.fullmatch(name) and isinstance(about, dict) and arrays):
        raise ValueError(f"it lists the entry {f'{digest}/{name}'[:80]!r}, which no pack does")
    for shape, kind, file, _ in arrays.values():
        sizes = [n for n in shape if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
        if len(sizes) != len(shape) or kind not in TYPES or not file.startswith(f"{digest}/{name}/"):
            raise ValueError(f"{digest}/{name} lists an array of shape {shape} and type {kind!r:.40} as {file!r:.80}")
    if not name.startswith("members-"):
        if not ENTRY.fullmatch(about["population"]):
            raise ValueError(f"{digest}/{name} does not say which population it is of")
        return
    first, last = (int(number) for number in name.split("-")[1:])
    if not first < last or {shape[:1] == [last - first] for shape, *_ in arrays.values()} != {True}:
        raise ValueError(f"{digest}/{name} does not hold that many members")
    check_plan(about["plan"])
    if not (isinstance(about["seconds"], int | float) and math.isfinite(about["seconds"]) and about["seconds"] >= 0):
        raise ValueError(f"{digest}/{name} does not say how long training took")


def _arrays(pack: zipfile.ZipFile, entry: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """An entry's arrays by name, verified."""
    for key, (shape, kind, file, checksum) in entry["arrays"].items():
        dtype = np.dtype(jnp.dtype(kind))
        if pack.getinfo(file).file_size > math.prod(shape) * dtype.itemsize + MOST_HEADER:
            raise ValueError(f"{file} is larger than its shape {shape}")
        raw = pack.read(file)
        if hashlib.sha256(raw).hexdigest() != checksum:
            raise ValueError(f"checksums do not match in {file}")
        yield key, _read_array(raw, file, tuple(shape), dtype)


def _read_array(raw: bytes, file: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array of a .npy file that must be of that shape and type, by its bytes; its header decides nothing."""
    plain = dtype if dtype.isbuiltin == 1 else np.dtype(f"u{dtype.itemsize}")
    stream = io.BytesIO(raw)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("another version of the .npy format")
        found = np.lib.format.read_array_header_1_0(stream, max_header_size=MOST_HEADER)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(f"{file} is no array: {error}") from error
    rest = raw[stream.tell() :]
    if found != (shape, False, plain) or len(rest) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{file} is not of shape {shape} and type {dtype}")
    return np.frombuffer(rest, dtype).reshape(shape)
