"""How to cite: BibTeX of the project and of the paper whose definitions it uses, with the facts of CITATION.cff."""

from __future__ import annotations

import importlib.metadata

TITLE = "unlearnax: untraining or unlearning, measured against exactly retrained populations"
AUTHORS = "The unlearnax authors"
PAPER = {
    "title": "Is your algorithm unlearning or untraining?",
    "authors": ("Triantafillou", "Humayun", "Ribero", "Turner", "Mozer", "Kaissis"),
    "year": "2026",
    "eprint": "2604.07962",
}


def bibtex() -> str:
    """Two entries: the software at the installed version, and the paper."""
    software = {
        "title": f"{{{TITLE}}}",
        "author": f"{{{AUTHORS}}}",
        "version": importlib.metadata.version("unlearnax"),
    }
    paper = {
        "title": f"{{{PAPER['title']}}}",
        "author": " and ".join(PAPER["authors"]),
        "year": PAPER["year"],
        "eprint": PAPER["eprint"],
        "archiveprefix": "arXiv",
    }
    return "\n\n".join(
        f"@{kind}{{{key},\n" + "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items()) + "}"
        for kind, key, fields in (("software", "unlearnax", software), ("misc", "triantafillou2026unlearning", paper))
    )
