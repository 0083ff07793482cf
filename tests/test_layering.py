"""Dependencies point one way: core ← oracles ← experiments ← scripts."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What core may import of the content above it, and where: by name, inside functions or for the command line's tables.
LAZY = {"plugins.py", "listing.py"}


def imports(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", sorted((ROOT / "unlearnax").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_core_imports_no_content(path):
    for name in imports(path):
        assert not name.startswith(("experiments", "scripts", "tests")), name
        if path.name not in LAZY:
            assert not name.startswith("unlearnax.oracles"), name


@pytest.mark.parametrize("path", sorted((ROOT / "oracles").glob("*.py")), ids=lambda p: p.name)
def test_oracles_import_types_only(path):
    for name in imports(path):
        assert name in ("numpy", "unlearnax.types", ""), name


def test_types_hold_no_logic():
    tree = ast.parse((ROOT / "unlearnax" / "types.py").read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert {f.name for f in functions} <= {"__call__", "discovery_rate"}


def test_no_file_is_long():
    for folder in ("unlearnax", "oracles", "experiments", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            assert len(path.read_text().splitlines()) < 480, path
