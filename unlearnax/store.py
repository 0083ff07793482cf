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


def _checkpointer() -> ocp.StandardCheckpointer:
    """One that waits for no other process: each has entries of its own."""
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(me, {me}, f"process-{me}") if jax.process_count() > 1 else None
    return ocp.StandardCheckpointer(multiprocessing_options=alone) if alone else ocp.StandardCheckpointer()


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
        flat = _flat(tree)
        described = json.dumps(about)  # first, so that what cannot be described leaves no draft behind
        draft = final.with_name(f"{name}.draft-{os.getpid()}-{time.monotonic_ns()}")
        draft.mkdir(parents=True)
        with _checkpointer() as checkpointer:
            checkpointer.save((draft / "arrays").resolve(), flat)
        manifest = {
            "format": FORMAT,
            "about": json.loads(described),
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

        The leaves are host arrays: device arrays would lose half of a 64-bit type.

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
            about, expected, found = manifest["about"], manifest["sha256"], _hashes(entry / "arrays")
            wrong = sorted(file for file in {*expected, *found} if expected.get(file) != found.get(file))
            if wrong:
                raise ValueError(f"checksums do not match in arrays/{', arrays/'.join(wrong)}")
            if manifest["arrays"] != shapes:
                raise ValueError("its arrays do not have the expected names, shapes and types")
            target = {jax.tree_util.keystr(path): np.empty(leaf.shape, leaf.dtype) for path, leaf in wanted}
            with _checkpointer() as checkpointer:
                flat = checkpointer.restore((entry / "arrays").resolve(), target)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # the manifest may be any JSON
            aside = entry.with_name(f"{name}.damaged-{time.time_ns()}")
            try:
                entry.rename(aside)
            except FileNotFoundError:  # another process set it aside first
                return None
            warnings.warn(f"Set aside the damaged store entry {aside}: {error}.", stacklevel=2)
            return None
        leaves = [flat[jax.tree_util.keystr(path)] for path, _ in wanted]
        return jax.tree.unflatten(jax.tree.structure(like), leaves), about

    def member_ranges(self, digest: str) -> list[range]:
        """Ranges of members held under `digest`, in order; ranges are contiguous from 0 as populations grow."""
        found = (re.fullmatch(r"members-(\d+)-(\d+)", path.name) for path in (self.folder / digest).glob("members-*"))
        return sorted((range(int(m[1]), int(m[2])) for m in found if m), key=lambda r: (r.start, -r.stop))
