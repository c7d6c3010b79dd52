"""Who may import whom (see CONTRIBUTING.md): imports follow the data, and only commands put packages together."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_prep", "dissect", "mdl", "reports")

GROUND_FLOOR = ("data_prep.common", "data_prep.formats")
"""What every room may import."""

BORDERS = {
    "data_prep": (),
    "dissect": (),
    "mdl": (),
    "reports": ("dissect.run_store",),
}
"""What else a package may import of the other packages."""

MDL_BORDER = ("mdl.results", "mdl.published", "mdl.closed_form")
WINGS = {
    "mdl.networks": (),
    "mdl.training": ("mdl.networks",),
    "mdl.scoring": (),
    "mdl.shipped": ("mdl.networks", "mdl.training", "mdl.scoring"),
}
"""What a wing of mdl may import of the other wings; of `MDL_BORDER` each may import all."""

WITHOUT_TORCH = ("data_prep", "dissect.run_store", *MDL_BORDER, "mdl.scoring", "reports")
"""Rooms that neither import torch nor anything that does; `data_prep.common.devices` does so when it is called."""


def _module(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything the file imports, wherever in it."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def _within(name: str, rooms: tuple[str, ...]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def _is_command(module: str) -> bool:
    return any(part == "cli" or part.endswith("_cli") for part in module.split("."))


def _wing(name: str) -> str:
    return next((wing for wing in WINGS if _within(name, (wing,))), "")


def _faults(path: Path, root: Path) -> list[str]:
    module = _module(path, root)
    package = module.split(".")[0]
    faults = []

    def fault(line: int, name: str, rule: str) -> None:
        faults.append(f"{path.relative_to(root).as_posix()}:{line} imports {name}; {rule}")

    for line, name in _imports(path, module):
        other = name.split(".")[0]
        if _within(module, ("data_prep.common",)) and other in PACKAGES and not _within(name, ("data_prep.common",)):
            fault(line, name, "the ground floor imports nothing of what stands on it")
        if other not in PACKAGES or _is_command(module) or _within(name, GROUND_FLOOR):
            continue
        if other != package:
            if not _within(name, BORDERS[package]):
                allowed = ", ".join((*GROUND_FLOOR, *BORDERS[package]))
                fault(line, name, f"{package} may import {allowed} of the other packages")
        elif package == "mdl":
            here, there = _wing(module), _wing(name)
            if module in MDL_BORDER and not _within(name, MDL_BORDER):
                fault(line, name, f"{module} may import {', '.join(MDL_BORDER)} of mdl")
            elif here and there and here != there and there not in WINGS[here]:
                allowed = ", ".join((*MDL_BORDER, *WINGS[here]))
                fault(line, name, f"{here} may import {allowed} of mdl")
    return faults


SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_arrows(path: Path) -> None:
    assert _faults(path, ROOT) == []


@pytest.mark.parametrize("room", WITHOUT_TORCH)
def test_rooms_without_torch(room: str) -> None:
    """Every module of the room is imported in a fresh interpreter; what comes along counts too."""
    modules = [_module(path, ROOT) for path in SOURCES]
    code = f"import sys, {', '.join(m for m in modules if _within(m, (room,)) and not m.endswith('__main__'))}"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nsys.exit('torch' in sys.modules)"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, f"{room} imports torch{done.stderr}"


@pytest.mark.parametrize(
    ("file", "code", "rule"),
    [
        (
            "dissect/engine.py",
            "import os\nfrom mdl.networks.resnet26 import ResNet26\n",
            "dissect/engine.py:2 imports mdl.networks.resnet26.ResNet26; dissect may import data_prep.common, "
            "data_prep.formats of the other packages",
        ),
        (
            "reports/page.py",
            "from dissect import engine\n",
            "reports/page.py:1 imports dissect.engine; reports may import data_prep.common, data_prep.formats, "
            "dissect.run_store of the other packages",
        ),
        (
            "mdl/scoring/tables.py",
            "def late():\n    import mdl.training.loop\n",
            "mdl/scoring/tables.py:2 imports mdl.training.loop; mdl.scoring may import mdl.results, mdl.published, "
            "mdl.closed_form of mdl",
        ),
        (
            "mdl/training/loop.py",
            "from ..scoring.score import Score\n",
            "mdl/training/loop.py:1 imports mdl.scoring.score.Score; mdl.training may import mdl.results, "
            "mdl.published, mdl.closed_form, mdl.networks of mdl",
        ),
        (
            "mdl/results.py",
            "from mdl.networks import resnet26\n",
            "mdl/results.py:1 imports mdl.networks.resnet26; mdl.results may import mdl.results, mdl.published, "
            "mdl.closed_form of mdl",
        ),
        (
            "data_prep/common/files.py",
            "from data_prep.formats import Concept\n",
            "data_prep/common/files.py:1 imports data_prep.formats.Concept; the ground floor imports nothing of what "
            "stands on it",
        ),
    ],
)
def test_a_wrong_arrow_is_told_with_file_line_and_rule(tmp_path: Path, file: str, code: str, rule: str) -> None:
    wrong = tmp_path / file
    wrong.parent.mkdir(parents=True)
    wrong.write_text(code)
    assert _faults(wrong, tmp_path) == [rule]


@pytest.mark.parametrize("file", ["dissect/cli/run.py", "dissect/cli.py", "data_prep/decathlon_cli.py"])
def test_commands_put_packages_together(tmp_path: Path, file: str) -> None:
    allowed = tmp_path / file
    allowed.parent.mkdir(parents=True)
    allowed.write_text("from mdl.networks.resnet26 import ResNet26\n")
    assert _faults(allowed, tmp_path) == []


def test_every_package_and_wing_has_files_to_look_at() -> None:
    """A rule about a room that was renamed would hold for nothing."""
    modules = {_module(path, ROOT) for path in SOURCES}
    for room in (*PACKAGES, *GROUND_FLOOR, *MDL_BORDER, *WINGS, *WITHOUT_TORCH, "dissect.cli", "mdl.cli"):
        assert any(_within(module, (room,)) for module in modules), room
