"""Writes docs/api.md from public docstrings: of the names of `unlearnax` and the types that extensions are made of.

python scripts/api_reference.py
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import unlearnax

PAGE = Path(__file__).parent.parent / "docs/api.md"
# Beside the names of the package itself, which come from `unlearnax.__all__`.
EXTENSIONS = {
    "unlearnax.types": ("Model", "Metric", "Training", "Rule"),
    "unlearnax.algorithms": ("batch", "cross_entropy", "divergence", "training_loss", "check_optimisation", "sgd", "minimise",
                             "begin", "optimise", "end"),
    "unlearnax.probes": ("Probe",),
    "unlearnax.sweeps.spec": ("Sweep",),
    "unlearnax.claims": ("Claim",),
}  # fmt: skip
INTRO = """# API reference

Made by `python scripts/api_reference.py` from the docstrings. [The tutorial](tutorial.md) shows them at work,
[CONTRIBUTING.md](../CONTRIBUTING.md) says where additions go, `unlearnax list` names algorithms, metrics and the like.
Axis letters of shapes: `M` members (seeds), `N` examples, `C` classes, `T` steps, `B` batch.
"""
SECTIONS = {"Args": "Arguments", "Raises": "Raises", "Source": "Source", "Returns": "Returns"}
ITEM = re.compile(r"\w+(, \w+)*: ")
WIDTH = 120


def public() -> dict[str, Any]:
    """Every public object by the name that it is imported under."""
    found = {f"unlearnax.{name}": getattr(unlearnax, name) for name in unlearnax.__all__}
    for module, names in EXTENSIONS.items():
        found |= {f"{module}.{name}": getattr(importlib.import_module(module), name) for name in names}
    return found


def annotated(annotation: Any) -> str:
    """An annotation as it stands in the source, without what only the command line needs."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", None)
    return re.sub(r"^Suppress\[(.*)\]$", r"\1", text or inspect.formatannotation(annotation))


def argument(parameter: inspect.Parameter) -> str:
    """A parameter as code; a default that has no literal is an ellipsis."""
    star = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = star + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {annotated(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        literal = isinstance(parameter.default, str | int | float | tuple | None) and "<" not in repr(parameter.default)
        text += f" = {parameter.default!r}" if literal else " = ..."
    return text


def signature(name: str, thing: Any) -> str:
    """A call as code: one line where it fits, else one for each argument."""
    found = inspect.signature(thing)
    parameters = [p for p in found.parameters.values() if p.name not in ("self", "cls")]
    known = not inspect.isclass(thing) and found.return_annotation is not found.empty
    arrow = f" -> {annotated(found.return_annotation)}" if known else ""
    parts = []
    for i, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and not any(
            p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL) for p in parameters[:i]
        ):
            parts.append("*")
        parts.append(argument(parameter))
        after = parameters[i + 1].kind if i + 1 < len(parameters) else None
        if parameter.kind is parameter.POSITIONAL_ONLY and after is not parameter.POSITIONAL_ONLY:
            parts.append("/")
    line = f"{name}({', '.join(parts)}){arrow}"
    return line if len(line) <= WIDTH else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){arrow}"


def filled(text: str) -> str:
    """A line broken between words; an item's lines stay its own."""
    indent = "  " if text.startswith("- ") else ""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def paragraph(block: str) -> list[str]:
    """A docstring's paragraph as Markdown: lines that begin with a name and a colon are items, deeper ones go on."""
    pieces: list[str] = []
    for line in re.sub(r"(?<=\.)  (?=[a-z_]\w*(, \w+)*: )", "\n", block).splitlines():
        starts = not line.startswith(" ") and ITEM.match(line)
        if starts or not pieces:
            name = line.partition(":")[0]
            pieces.append(f"- `{name}`:{line[len(name) + 1 :]}" if starts else line)
        else:
            pieces[-1] += " " + line.strip()
    return [filled(piece) for piece in pieces]


def prose(text: str) -> str:
    """A docstring as Markdown: paragraphs, and its sections under their names."""
    parts = []
    for block in re.split(r"\n\s*\n", text):
        head, _, rest = block.partition("\n")
        word, _, more = head.partition(":")
        if word in SECTIONS and not more.strip():
            parts.append(f"**{SECTIONS[word]}**\n\n" + "\n".join(paragraph(textwrap.dedent(rest))))
        elif word in SECTIONS:
            joined = " ".join([more.strip(), *(line.strip() for line in rest.splitlines())])
            parts.append(filled(f"**{SECTIONS[word]}**: {joined}"))
        else:
            parts.append("\n".join(paragraph(block)))
    return "\n\n".join(parts)


def members(thing: type) -> list[str]:
    """Methods and properties of a class's own that have a docstring, one item each."""
    fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
    lines = []
    for name, value in vars(thing).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if name.startswith("_") or name in fields or not inspect.isfunction(function) or not function.__doc__:
            continue
        call = name if isinstance(value, property) else " ".join(signature(name, function).split())
        call = call.replace("( ", "(").replace(",)", ")").replace(", )", ")")
        summary = " ".join(inspect.cleandoc(function.__doc__).split("\n\n")[0].split())
        lines.append(filled(f"- `{call}`: {summary}"))
    return lines


def entry(name: str, thing: Any) -> str:
    """One object's part of the page."""
    short = name.rpartition(".")[2]
    parts = [f"## {short}", f"```python\n{signature(name, thing)}\n```", prose(inspect.getdoc(thing) or "")]
    if inspect.isclass(thing) and (found := members(thing)):
        parts.append("**Methods and properties**\n\n" + "\n".join(found))
    return "\n\n".join(parts)


def page() -> str:
    """The page's text."""
    return "\n".join([INTRO, *(entry(name, thing) + "\n" for name, thing in public().items())])


if __name__ == "__main__":
    PAGE.write_text(page())
