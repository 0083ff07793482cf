"""What stands beside an entry's arrays: their names, shapes and types, checksums of files, versions, a checksum of itself."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

FORMAT = {"format": 2}
LIBRARIES = ("unlearnax", "jax", "jaxlib", "orbax-checkpoint", "numpy")

Flat = dict[str, np.ndarray]
Shapes = dict[str, list]


def flatten(tree: PyTree) -> Flat:
    """Host arrays by the path of the leaf."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def shapes_of(tree: PyTree) -> Shapes:
    """``path of the leaf -> [shape, type]`` of arrays or of their shapes."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): [list(leaf.shape), str(leaf.dtype)] for path, leaf in leaves}


@functools.cache
def versions() -> dict[str, str]:
    """Versions of the libraries that write an entry."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under a folder, by relative path."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def sealed(body: dict[str, Any]) -> str:
    """JSON text of a mapping with a checksum of the rest of it."""
    body = json.loads(json.dumps(body))  # as it will be read
    return json.dumps(body | {"checksum": _checksum(body)}, indent=1, sort_keys=True)


def unsealed(text: str, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping that `sealed` wrote.

    expected: what some of its keys must hold, the version of the format above all.

    Raises:
        ValueError: not JSON, no mapping, another format, or not as it was written.
    """
    try:
        body = json.loads(text)
    except RecursionError as error:
        raise ValueError("its manifest is nested too deeply") from error
    if not isinstance(body, dict):
        raise ValueError("its manifest is no mapping")
    for key, value in expected.items():
        if body.get(key) != value:
            raise ValueError(f"its {key} is {body.get(key)!r:.40}, this version reads {value!r}")
    checksum = body.pop("checksum", None)
    if checksum != _checksum(body):
        raise ValueError("its manifest is not as it was written")
    return body


def check_files(manifest: dict[str, Any], folder: Path) -> None:
    """Raises ValueError where files under `folder` are not those of the manifest."""
    expected, found = manifest["sha256"], file_hashes(folder)
    wrong = sorted(file for file in {*expected, *found} if expected.get(file) != found.get(file))
    if wrong:
        raise ValueError(f"checksums do not match in arrays/{', arrays/'.join(wrong)}")
