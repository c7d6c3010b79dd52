"""The examples in docstrings run as doctests; those that only show a call are held against the real signatures.

An example that is written with `>>>` is run. A paragraph that only shows code must be Python, and each call in it of a
function or class that its module has must fit the signature.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("data_prep", "dissect", "mdl", "reports")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__main__.py"
]


LOOKS_LIKE_CODE = re.compile(r"^\s*(with \w+[\w.]*\(.*:|(from|import) \w+|[\w.\[\]\", ]+ = \w[\w.]*\()", re.MULTILINE)


def _blocks(docstring: str) -> Iterator[str]:
    """Paragraphs of a docstring that look like Python, without those for doctest."""
    for part in inspect.cleandoc(docstring).split("\n\n")[1:]:
        block = textwrap.dedent(part)
        if ">>>" not in block and LOOKS_LIKE_CODE.search(block):
            yield block


def _wrong_calls(block: str, names: dict[str, object]) -> list[str]:
    """What is wrong with the calls in `block` of things that `names` holds."""
    try:
        tree = ast.parse(block)
    except SyntaxError as error:
        return [f"{error.text or block}: {error.msg}"]
    wrong = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        called = names.get(node.func.id)
        unclear = any(isinstance(arg, ast.Starred) for arg in node.args) or any(k.arg is None for k in node.keywords)
        unfinished = any(isinstance(arg, ast.Constant) and arg.value is ... for arg in node.args)
        if not callable(called) or unclear or unfinished:
            continue
        try:
            inspect.signature(called).bind(*node.args, **{k.arg or "": k.value for k in node.keywords})
        except TypeError as error:
            wrong.append(f"{ast.unparse(node)}: {error}")
        except ValueError:
            continue  # a builtin without a signature
    return wrong


def _docstring_of_first_statement(module: str) -> str:
    return importlib.import_module(module).__doc__ or ""


@pytest.mark.parametrize("module", MODULES)
def test_doctests(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = importlib.import_module(module)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(loaded, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    assert os.getcwd() == str(tmp_path)  # noqa: PTH109  an example that changes the folder would disturb the next


@pytest.mark.parametrize("module", MODULES)
def test_examples_fit_the_signatures(module: str) -> None:
    loaded = importlib.import_module(module)
    documented = [loaded.__doc__ or ""]
    documented += [
        part.__doc__ or ""
        for part in vars(loaded).values()
        if (inspect.isfunction(part) or inspect.isclass(part)) and part.__module__ == module
    ]
    wrong = [fault for text in documented for block in _blocks(text) for fault in _wrong_calls(block, vars(loaded))]
    assert wrong == []


def test_there_are_doctests() -> None:
    """A way of finding examples that finds none would pass for ever."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for module in MODULES for test in finder.find(importlib.import_module(module)) if test.examples]
    assert len(found) >= 30
    bound = [m for m in MODULES for block in _blocks(_docstring_of_first_statement(m)) if _names_called(block, m)]
    assert len(bound) >= 30


def _names_called(block: str, module: str) -> bool:
    names = vars(importlib.import_module(module))
    return any(f"{name}(" in block for name, value in names.items() if callable(value))


def test_a_wrong_example_is_told() -> None:
    def between(option: str, value: float) -> float: ...

    text = 'Check.\n\n    n = between("--batch-size", 4, 1)\n\nMore.\n\n    n = between(option=1, 2)'
    block, broken = _blocks(text)
    assert "positional argument follows keyword argument" in _wrong_calls(broken, {})[0]
    assert _wrong_calls(block, {"between": between}) == ["between('--batch-size', 4, 1): too many positional arguments"]
