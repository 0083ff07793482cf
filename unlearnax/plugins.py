"""Finding content by name: an entry of a dict, or "path/to/file.py:name" for a file of the user's own."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from unlearnax import checks
from unlearnax.types import Oracle

Entry = TypeVar("Entry")


def _there(path: str | Path) -> Path:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"Expected {str(path)!r} to be a Python file; there is none, as seen from {Path.cwd()}."
        )
    return Path(path)


def load_file(path: str | Path) -> ModuleType:
    """Runs a Python file as a module of its own.

    Raises:
        FileNotFoundError: no such file.
    """
    path = _there(path)
    spec = importlib.util.spec_from_file_location(f"unlearnax_file_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _from_file(kind: str, name: str) -> tuple[ModuleType, Any]:
    path, _, attribute = name.rpartition(":")
    module = load_file(path)
    public = {n: value for n, value in vars(module).items() if not n.startswith("_")}
    content = {n: value for n, value in public.items() if callable(value) or dataclasses.is_dataclass(value)}
    own = [n for n, value in content.items() if getattr(value, "__module__", module.__name__) == module.__name__]
    checks.one_of(f"{kind} in {path}", attribute, content if attribute in content else own)
    return module, getattr(module, attribute)


def resolve(kind: str, name: str, table: Mapping[str, Entry]) -> Entry | Any:
    """The entry called `name`, or the object a "file.py:name" points to.

    Raises:
        ValueError: an unknown name; the nearest ones are suggested.
        FileNotFoundError: no such file.
    """
    if ".py:" in name:
        return _from_file(kind, name)[1]
    checks.one_of(kind, name, table)
    return table[name]


def resolve_oracle(oracle: str | Oracle | Callable) -> Oracle:
    """An `Oracle` from a name, a "file.py:function" or a function ``Problem -> World``.

    A file may define ``excludes(problem)``, the promise for the taint test, and ``GOAL``, the word for verdicts.
    """
    from unlearnax.oracles import ORACLES  # pyright: ignore[reportMissingImports]  # content is looked up lazily: core does not depend on it

    if isinstance(oracle, Oracle):
        return oracle
    if callable(oracle):
        return Oracle(oracle, getattr(oracle, "excludes", None), goal=getattr(oracle, "__name__", "custom"))
    if ".py:" in oracle:
        module, function = _from_file("oracle", oracle)
        return Oracle(function, getattr(module, "excludes", None), goal=getattr(module, "GOAL", function.__name__))
    return resolve("oracle", oracle, ORACLES)


def oracle_name(oracle: str | Oracle | Callable) -> str:
    """A short name for rows and folders."""
    if isinstance(oracle, str):
        return oracle.rpartition(":")[2]
    return getattr(oracle, "__name__", None) or getattr(oracle, "goal", "custom")


def source_digest(name: str) -> str:
    """Digest of the file behind a "file.py:name", "" for a built-in name: what a file says is part of its identity."""
    return hashlib.sha256(_there(name.rpartition(":")[0]).read_bytes()).hexdigest()[:16] if ".py:" in name else ""
