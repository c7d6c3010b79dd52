"""The reference pages say what the code says: every public name, every command, every option."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _reference()
COMMANDS = [
    (program, command)
    for program, module in REFERENCE.PROGRAMS.items()
    for command in REFERENCE.commands(importlib.import_module(module).TOOL)
]


def test_the_page_of_public_names_is_up_to_date() -> None:
    """`python docs/reference.py` writes it again."""
    assert (DOCS / "api.md").read_text(encoding="utf-8") == REFERENCE.api_page()


@pytest.mark.parametrize(("program", "command"), COMMANDS, ids=lambda value: str(value))
def test_every_option_is_documented(
    program: str, command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names alone are compared, as versions of the library that draws the help differ in its layout."""
    for name, value in {"COLUMNS": "110", "TERM": "dumb", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(REFERENCE.PROGRAMS[program]).main([*command, "--help"])
    said = REFERENCE.options(capsys.readouterr().out)
    assert ended.value.code == 0 and said
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    sections = re.split(r"^###? ", page, flags=re.MULTILINE)
    name = f"`{program} {' '.join(command)}`"
    section = next((text for text in sections if text.startswith(f"{name}\n")), "")
    assert section, f"docs/commands.md has no section {name}: run `python docs/reference.py`"
    assert REFERENCE.options(section) == said


def test_no_section_is_left_of_a_command_that_is_gone() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert re.findall(r"^### `(.*)`$", page, re.MULTILINE) == [
        f"{program} {' '.join(command)}" for program, command in COMMANDS
    ]


def test_options_are_found() -> None:
    text = "│ --layers [STR [...]]  what (default: 18)│\n│ --overwrite, --no-overwrite │ see --help, -h"
    assert REFERENCE.options(text) == {"--layers", "--overwrite"}
