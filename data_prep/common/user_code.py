"""Python files of the user's own: networks, and sharing methods.

module = load_file(Path("my_network.py"))

The file is run, once for each call. It may import what lies beside it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_file(path: Path) -> ModuleType:
    """The module that a file called *.py makes. Whatever the file raises is raised."""
    path = path.resolve()
    plan = importlib.util.spec_from_file_location(module_name(path), path)
    assert plan is not None and plan.loader is not None  # always there for a file called *.py
    module = importlib.util.module_from_spec(plan)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    make_importable(path.parent)
    try:
        plan.loader.exec_module(module)
    except BaseException:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
        raise
    return module


def module_name(path: Path) -> str:
    """The name of a file's module among all modules: two files of one name in two folders do not meet.

    >>> module_name(Path("/a/nets.py")) == module_name(Path("/b/nets.py"))
    False
    """
    return f"_user_file_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"


def make_importable(folder: Path) -> None:
    """Let code import what lies in a folder, after everything that is installed."""
    if str(folder.resolve()) not in sys.path:
        sys.path.append(str(folder.resolve()))
