"""Imports follow the data: data_prep -> dissect -> reports, data_prep -> mdl -> reports (see CONTRIBUTING.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_prep", "dissect", "mdl", "reports")
BORDERS = {
    "data_prep": (),
    "dissect": ("data_prep.formats",),
    "mdl": ("data_prep.formats",),
    "reports": ("dissect.run_store", "mdl.results"),
}
TORCH_FREE = ("data_prep/formats.py", "dissect/run_store.py", "mdl/results.py")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything the file imports, wherever in it."""
    package = path.parent.name
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = f"{package}.{node.module}" if node.level and node.module else node.module or package
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def _faults(path: Path, package: str) -> list[str]:
    faults = []
    for line, name in _imports(path):
        other = name.split(".")[0]
        if other not in PACKAGES or other == package or path.name == "cli.py":
            continue
        if not any(name == border or name.startswith(f"{border}.") for border in BORDERS[package]):
            allowed = ", ".join(BORDERS[package]) or "nothing"
            faults.append(f"{path.name}:{line} imports {name}; {package} may import {allowed} of the other packages")
    return faults


SOURCES = [(path, package) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize(
    ("path", "package"), SOURCES, ids=lambda value: value.name if isinstance(value, Path) else value
)
def test_arrows(path: Path, package: str) -> None:
    assert _faults(path, package) == []


@pytest.mark.parametrize("name", [name for name in TORCH_FREE if (ROOT / name).exists()])
def test_borders_import_no_torch(name: str) -> None:
    assert [i for i in _imports(ROOT / name) if i[1].split(".")[0] == "torch"] == []


def test_reports_import_no_torch() -> None:
    found = [
        (path.name, line)
        for path, package in SOURCES
        if package == "reports"
        for line, i in _imports(path)
        if "torch" in i
    ]
    assert found == []


def test_only_commands_may_break_the_rule(tmp_path: Path) -> None:
    """The check itself can fail: a wrong arrow is named with file, line and rule."""
    wrong = tmp_path / "engine.py"
    wrong.write_text("import os\nfrom mdl.networks.resnet26 import ResNet26\n")
    assert _faults(wrong, "dissect") == [
        "engine.py:2 imports mdl.networks.resnet26.ResNet26; dissect may import data_prep.formats of the other packages"
    ]
    allowed = tmp_path / "cli.py"
    allowed.write_text("from mdl.networks.resnet26 import ResNet26\n")
    assert _faults(allowed, "dissect") == []
