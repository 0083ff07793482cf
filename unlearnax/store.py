"""Populations and predictions on disk: Orbax arrays with a SHA-256 manifest, keyed by content digests.

Layout: ``<folder>/<digest>/<name>/`` holds ``arrays/`` (Orbax) and ``manifest.json``.  An entry appears by one rename
when it is complete; a damaged one is renamed aside and never used.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from unlearnax.cache import cache_folder

FORMAT = 1


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def _flat(tree: PyTree) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


class Store:
    """A folder of content-addressed entries."""

    def __init__(self, folder: Path | str | None = None) -> None:
        """Opens (and makes on first save) `folder`, by default ``store`` under `cache_folder()`."""
        self.folder = Path(folder) if folder is not None else cache_folder() / "store"

    def save(self, digest: str, name: str, tree: PyTree, about: dict[str, Any]) -> None:
        """Writes a tree of arrays and a JSON-able description; an entry that exists already is left alone."""
        final = self.folder / digest / name
        if final.exists():
            return
        draft = final.with_name(f"{name}.draft-{os.getpid()}-{time.monotonic_ns()}")
        draft.mkdir(parents=True)
        flat = _flat(tree)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save((draft / "arrays").resolve(), flat)
        manifest = {
            "format": FORMAT,
            "about": about,
            "arrays": {key: [list(value.shape), str(value.dtype)] for key, value in flat.items()},
            "sha256": _hashes(draft / "arrays"),
        }
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))
        try:
            draft.rename(final)
        except OSError:  # another process finished the same entry first
            if not final.exists():
                raise
            shutil.rmtree(draft)

    def load(self, digest: str, name: str, like: PyTree) -> tuple[PyTree, dict[str, Any]] | None:
        """Returns the entry's tree in the structure of `like` (arrays or shapes) and its description, or None.

        A damaged entry, or one in another format, is set aside with a warning that names it, and counts as absent.
        """
        entry = self.folder / digest / name
        if not entry.exists():
            return None
        wanted = jax.tree_util.tree_flatten_with_path(like)[0]
        shapes = {jax.tree_util.keystr(path): [list(leaf.shape), str(leaf.dtype)] for path, leaf in wanted}
        try:
            manifest = json.loads((entry / "manifest.json").read_text())
            if manifest["format"] != FORMAT:
                raise ValueError(f"its format is {manifest['format']}, this version reads {FORMAT}")
            if manifest["sha256"] != _hashes(entry / "arrays"):
                raise ValueError("its files do not match their checksums")
            if manifest["arrays"] != shapes:
                raise ValueError("its arrays do not have the expected names, shapes and types")
            target = {key: jax.ShapeDtypeStruct(tuple(shape), dtype) for key, (shape, dtype) in shapes.items()}
            host = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
            target = {k: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=host) for k, v in target.items()}
            with ocp.StandardCheckpointer() as checkpointer:
                flat = checkpointer.restore((entry / "arrays").resolve(), target)
        except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
            aside = entry.with_name(f"{name}.damaged-{time.time_ns()}")
            entry.rename(aside)
            warnings.warn(f"Set aside the damaged store entry {aside}: {error}.", stacklevel=2)
            return None
        leaves = [flat[jax.tree_util.keystr(path)] for path, _ in wanted]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), manifest["about"]

    def member_ranges(self, digest: str) -> list[range]:
        """Ranges of members held under `digest`, in order; ranges are contiguous from 0 as populations grow."""
        found = (re.fullmatch(r"members-(\d+)-(\d+)", path.name) for path in (self.folder / digest).glob("members-*"))
        return sorted((range(int(m[1]), int(m[2])) for m in found if m), key=lambda r: (r.start, -r.stop))
