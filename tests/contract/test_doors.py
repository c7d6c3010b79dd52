"""What the four packages show a user: a fixed list of names, loaded when used, each with a docstring and a type."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_prep", "dissect", "mdl", "reports")
PUBLIC = [name for name in (Path(__file__).with_name("public_names.txt")).read_text("utf-8").split() if name]


def test_the_doors_show_what_the_list_says() -> None:
    """A name that comes or goes is a decision: write it into public_names.txt, and tell it in the changelog."""
    shown = [f"{package}.{name}" for package in PACKAGES for name in importlib.import_module(package).__all__]
    assert shown == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_name_is_there_and_explains_itself(name: str) -> None:
    package, _, last = name.partition(".")
    value = getattr(importlib.import_module(package), last)
    assert last in dir(importlib.import_module(package))
    if inspect.isclass(value) or inspect.isroutine(value):
        assert len(inspect.getdoc(value) or "") > 20, f"{name} needs a docstring"


def test_no_module_takes_the_place_of_a_name() -> None:
    """Importing a module sets it as a name of its package, in place of what the door shows under that name."""
    assert [name for name in PUBLIC if (ROOT / f"{name.replace('.', '/')}.py").exists()] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names(package: str) -> None:
    """The imports under `if TYPE_CHECKING:` name what `__all__` names, from the very same modules."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    checked = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for block in checked
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    door = importlib.import_module(package)
    assert sorted(seen) == sorted(set(door.__all__) - {"__version__"})
    for name, (module, inside) in seen.items():
        assert getattr(door, name) is getattr(importlib.import_module(module or ""), inside), name


@pytest.mark.parametrize("package", PACKAGES)
def test_a_door_costs_nothing_until_it_is_used(package: str) -> None:
    heavy = ("torch", "pandas", "matplotlib", "numba")
    code = f"import sys, {package}; dir({package}); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nonsense'"):
        _ = importlib.import_module(package).nonsense


@pytest.mark.parametrize("package", PACKAGES)
def test_typed_and_versioned(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
    assert importlib.import_module(package).__version__ == importlib.import_module("dissect").__version__


@pytest.mark.parametrize("module", ["data_prep.cli", "dissect.cli", "mdl.cli"])
def test_help_and_version_answer_at_once(module: str) -> None:
    """In CPU seconds, so that a busy machine fails nobody: Python itself takes a tenth of one."""
    for option in ("--help", "--version"):
        before = _children_seconds()
        done = subprocess.run([sys.executable, "-m", module, option], capture_output=True, text=True, check=True)
        assert _children_seconds() - before < 1.0, f"{module} {option}"
        assert done.stdout.strip()


def _children_seconds() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_clock_of_that_test_ticks() -> None:
    before = _children_seconds()
    subprocess.run([sys.executable, "-c", "for _ in range(10**7): pass"], check=True)
    assert _children_seconds() > before
