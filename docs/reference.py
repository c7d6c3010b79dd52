"""Write the two reference pages from the code itself: python docs/reference.py

    docs/api.md         every public name of the four packages, with its signature and the first lines of its docstring
    docs/commands.md    the help of every command

`tests/contract/test_reference.py` fails where a page does not say what the code says.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_prep.common.command import Tool

HERE = Path(__file__).parent
PACKAGES = ("data_prep", "dissect", "mdl", "reports")
PROGRAMS = {"data-prep": "data_prep.cli", "dissect": "dissect.cli", "mdl": "mdl.cli"}


def api_page() -> str:
    """Markdown of every name behind the four doors."""
    parts = [
        "# Public names\n\n"
        "What `import data_prep, dissect, mdl, reports` offers; everything else may change between versions. Names are loaded "
        "when they are first used, so importing a package costs nothing. This page is written by `python docs/reference.py`.\n"
    ]
    for package in PACKAGES:
        door = importlib.import_module(package)
        parts.append(f"\n## `{package}`\n\n{_first_paragraph(door)}\n")
        values = ((name, getattr(door, name)) for name in door.__all__)
        parts += [f"\n### `{package}.{n}{_signature(v)}`\n\n{_first_paragraph(v)}\n" for n, v in values]
    return "".join(parts)


def _signature(value: object) -> str:
    """(a, b=1): names and plain defaults; types are in the code, where editors show them."""
    if not callable(value) or (isinstance(value, type) and (issubclass(value, Exception) or is_protocol(value))):
        return ""
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:
        return "(...)"
    shown, keyword_only = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            shown.append("*")
        keyword_only = keyword_only or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        plain = (
            isinstance(parameter.default, bool | int | float | str | tuple | None) and len(repr(parameter.default)) < 50
        )
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}" if plain else "=..."
        shown.append(f"{star}{parameter.name}{default}")
    return f"({', '.join(shown)})"


def is_protocol(value: type) -> bool:
    return bool(getattr(value, "_is_protocol", False))


def _first_paragraph(value: object) -> str:
    """The first paragraph of the docstring, in one line; of a plain value its type."""
    own = inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)
    if not own:
        return f"A {type(value).__name__}."
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def commands_page() -> str:
    """Markdown of the help of every command."""
    parts = [
        "# Commands\n\nWhat `--help` prints, for reading and searching. This page is written by `python docs/reference.py`.\n"
    ]
    for program, module in PROGRAMS.items():
        tool = importlib.import_module(module).TOOL
        parts.append(f"\n## `{program}`\n\n{tool.description}\n")
        sections = ((" ".join(command), help_text(module, command)) for command in commands(tool))
        parts += [f"\n### `{program} {name}`\n\n```text\n{text}\n```\n" for name, text in sections]
    return "".join(parts)


def commands(tool: Tool) -> Iterator[tuple[str, ...]]:
    """("run",), ("decathlon", "check"): every command of a tool, those of tools inside it too."""
    from data_prep.common.command import Tool

    for name, command in tool.commands.items():
        if isinstance(command, Tool):
            yield from ((name, *inner) for inner in commands(command))
        else:
            yield (name,)


def help_text(module: str, command: tuple[str, ...]) -> str:
    """What `--help` prints, 110 characters wide and without colour."""
    plain = {**os.environ, "COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1"}
    argv = [sys.executable, "-m", module, *command, "--help"]
    done = subprocess.run(argv, capture_output=True, text=True, env=plain, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def options(text: str) -> set[str]:
    """The options that a help text or a part of a page lists, aliases too; a flag's negative form is not counted."""
    found = re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)
    return {option for option in found if not option.startswith("--no-")} - {"--help"}


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    (HERE / "api.md").write_text(api_page(), encoding="utf-8")
    (HERE / "commands.md").write_text(commands_page(), encoding="utf-8")
