"""What populations cost and where devices fill up: a model on paper, checked against this machine.

    python scripts/scaling.py [--rounds 3]

Prints tables and writes them into docs/scaling.md between its markers.  Times are processor seconds (of all threads,
divided by the devices), minima over rounds, each of which runs every case once: the machine may have other work.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table
from scaling_paper import Section

from unlearnax import devices

ROOT = Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Args:
    """rounds: times that every case is timed; the fastest counts.  out: the page that holds the tables."""

    rounds: int = 3
    out: Path = ROOT / "docs/scaling.md"


def about() -> str:
    """The line that says what the numbers were made on."""
    from unlearnax.provenance import environment

    found = environment()
    versions = ", ".join(f"{name} {found['versions'][name]}" for name in ("jax", "jaxlib", "flax", "numpy"))
    return f"{found['device']}, {found['system'].split()[0]}, Python {found['python']}, {versions}."


def markdown(section: Section) -> str:
    """A section as a table of the page."""
    lines = [section.columns, tuple("---" for _ in section.columns), *section.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(page: Path, parts: dict[str, str]) -> None:
    """Puts every part between its markers.

    Raises:
        ValueError: markers that the page lacks.
    """
    text = page.read_text()
    for name, part in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"Expected {page} to hold <!-- {name} --> and <!-- end -->.")
        text = pattern.sub(lambda m, part=part: f"{m[1]}\n{part}\n\n{m[2]}", text)
    page.write_text(text)


def main(args: Args) -> None:
    """Measures, computes, prints, writes."""
    from scaling_measured import memory, peaks, timings
    from scaling_paper import checks, costs_table, saturation

    console, sections = Console(), []

    def show(*found: Section) -> None:
        sections.extend(found)
        for section in found:
            table = Table(*section.columns, title=section.title)
            for row in section.rows:
                table.add_row(*row)
            console.print(table)

    rate, moved = peaks(args.rounds)
    measured, shares = timings(args.rounds, rate)
    show(measured)
    show(memory())
    show(checks(), *costs_table(rate, shares), *saturation(rate, moved))
    rates = f"Matmul rate {rate / 1e9:.0f} GFLOP/s, memory {moved / 1e9:.1f} GB/s, best of {args.rounds} rounds."
    write(args.out, {"about": f"{about()} {rates}"} | {each.title: markdown(each) for each in sections})


if __name__ == "__main__":
    devices.set_up()
    main(tyro.cli(Args))
