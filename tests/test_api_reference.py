"""The API reference is what the docstrings say."""

from pathlib import Path
from typing import Any, NamedTuple

from unlearnax.plugins import load_file

ROOT = Path(__file__).parent.parent
REFERENCE = load_file(ROOT / "scripts/api_reference.py")


def test_the_page_is_up_to_date():
    assert (ROOT / "docs/api.md").read_text() == REFERENCE.page(), "run: python scripts/api_reference.py"


def test_all_that_extensions_are_made_of_is_there():
    found = {name.rpartition(".")[2]: thing for name, thing in REFERENCE.public().items()}
    types = {"Algorithm", "Oracle", "Metric", "Probe", "Problem", "Recipe", "Model", "Experiment", "Sweep", "Claim"}
    assert types <= set(found)
    assert all(thing.__doc__ for thing in found.values())


class Thing(NamedTuple):
    """Holds things.

    one: the first, a long
        one.  two, three: the others.
    """

    one: int
    two: str = "x"

    def area(self, by: float, *, of=object) -> float:
        """By and of.

        More.
        """
        return by


def call(key: "Any", /, rows, *, count: int = 3, way=object()) -> "dict[str, int]":
    """Calls it.

    Args:
        rows: which.
        count: how many,
            at least 1.

    Source: somebody 2020, eq. 3.
    """
    return {}


def test_an_entry_of_a_class():
    assert REFERENCE.entry("a.Thing", Thing).splitlines() == [
        "## Thing", "", "```python", "a.Thing(one: int, two: str = 'x')", "```", "", "Holds things.", "",
        "- `one`: the first, a long one.", "- `two, three`: the others.", "", "**Methods and properties**", "",
        "- `area(by: float, *, of = ...) -> float`: By and of.",
    ]  # fmt: skip


def test_an_entry_of_a_function():
    assert REFERENCE.entry("a.call", call).splitlines() == [
        "## call", "", "```python", "a.call(key: Any, /, rows, *, count: int = 3, way = ...) -> dict[str, int]", "```", "",
        "Calls it.", "", "**Arguments**", "", "- `rows`: which.", "- `count`: how many, at least 1.", "",
        "**Source**: somebody 2020, eq. 3.",
    ]  # fmt: skip
