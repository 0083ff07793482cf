"""Where a training step's time goes on CPU: the compiled program's operations by kind, of a case of `bench.py`.

    python scripts/profile_step.py [--case ResNet-9]

One member on one virtual device, whose operations may use all cores; the profiler's own events, summed over a warm run.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import tempfile
from pathlib import Path

import tyro
from bench_cases import CASES, ready
from rich.console import Console
from rich.table import Table

from unlearnax import devices

# Kind of a fused operation -> what stands in its computation, the first that does.
KINDS = {
    "convolutions": r" convolution\(",
    "matrix products": r" dot\(",
    "reductions": r" reduce\(| reduce-window\(",
    "moving data": r" (concatenate|gather|dynamic-slice|dynamic-update-slice|transpose|copy|pad|slice)\(",
}


@dataclasses.dataclass(frozen=True)
class Args:
    """case: its name begins so, see `bench_cases.py`."""

    case: str = "ResNet-9"


def kinds(text: str) -> dict[str, str]:
    """Operation -> kind, of a compiled program's text."""
    bodies = dict(re.findall(r"^%?([\w.-]+) [^\n]*\{\n(.*?)^\}", text, flags=re.MULTILINE | re.DOTALL))
    found: dict[str, str] = {}
    for body in bodies.values():
        for line in body.splitlines():
            if not (named := re.match(r"\s*(?:ROOT )?%([\w.-]+) = ", line)):
                continue
            called = re.search(r"(?:calls|to_apply)=%([\w.-]+)", line)
            inside = bodies.get(called[1], "") if called and " fusion(" in line else line
            found[named[1]] = next((kind for kind, sign in KINDS.items() if re.search(sign, inside)), "element-wise")
    return found


def main(args: Args) -> None:
    """Prints the table of a case."""
    devices.set_up(1)
    import jax

    from unlearnax import members
    from unlearnax.populations import fit

    name = next(name for name in CASES if name.startswith(args.case))
    case = CASES[name]
    model, recipe, world, _ = ready(case)
    fit(model, recipe, world, 1, plan="map")
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            fit(model, recipe, world, 1, plan="map")
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = jax.profiler.ProfileData.from_file(str(file)).planes
        events = [event for plane in planes for line in plane.lines for event in line.events]
        took: collections.Counter[str] = collections.Counter()
        count: collections.Counter[str] = collections.Counter()
        for event in events:
            operation = dict(event.stats).get("hlo_op", "")
            if operation and not operation.startswith(("while", "call", "conditional")):  # which hold others
                took[operation] += event.duration_ns
                count[operation] += 1
    programs = (kinds(program.as_text()) for program in members._compiled.values())
    known = max(programs, key=lambda names: sum(took[operation] for operation in names))  # that of the steps
    spent: collections.Counter[str] = collections.Counter()
    number: collections.Counter[str] = collections.Counter()
    for operation in took.keys() & known.keys():
        spent[known[operation]] += took[operation]
        number[known[operation]] += count[operation]
    table = Table(title=f"{name}: one step of one member")
    for column in ("kind", "ms", "share", "operations"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    whole, steps = sum(spent.values()), case["steps"]
    for kind, nanoseconds in spent.most_common():
        table.add_row(
            kind, f"{nanoseconds / 1e6 / steps:.2f}", f"{nanoseconds / whole:.0%}", f"{number[kind] / steps:.0f}"
        )
    table.add_row("all", f"{whole / 1e6 / steps:.2f}", "", f"{sum(number.values()) / steps:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Args))
