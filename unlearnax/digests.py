"""Stable content digests: the same on every platform, process and Python version."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def _feed(state: Any, part: Any) -> None:
    """Adds one value with its type and size in front, so that no two different inputs read the same."""
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        part = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    if isinstance(part, np.ndarray | np.generic) or hasattr(part, "__array__"):
        array = np.asarray(part)
        if array.dtype == object:
            raise ValueError("Expected an array of numbers or strings, got objects.")
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        state.update(f"array {little.dtype.str} {little.shape}:".encode())
        state.update(np.ascontiguousarray(little).tobytes())
    elif isinstance(part, Mapping):
        state.update(f"mapping {len(part)}:".encode())
        for key in sorted(part):
            _feed(state, key)
            _feed(state, part[key])
    elif isinstance(part, tuple | list):
        state.update(f"list {len(part)}:".encode())
        for each in part:
            _feed(state, each)
    elif part is None or isinstance(part, bool | int | float | str):
        text = repr(part)
        state.update(f"{type(part).__name__} {len(text.encode())}:{text}".encode())
    else:
        raise TypeError(f"Expected arrays, numbers, strings, None, or containers of them, got {type(part).__name__}.")


def digest(*parts: Any) -> str:
    """SHA-256 of arrays, numbers, strings, None, sequences, mappings (in key order) and dataclasses: 32 hex digits.

    Values, types and shapes count; byte order and memory layout do not.

    Raises:
        ValueError: an array of objects.  TypeError: any other type, or mapping keys that do not sort.
    """
    state = hashlib.sha256()
    _feed(state, parts)
    return state.hexdigest()[:32]


def stable_hash(*parts: Any) -> int:
    """An unsigned 32-bit number from the same contents, for `jax.random.fold_in`."""
    return int(digest(*parts)[:8], 16)
