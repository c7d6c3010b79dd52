"""Sharing methods of your own, from a file: `path/to/file.py:Class`.

    method = method_from_file("my_methods.py:Halves", taken=())

The file may import what lies beside it. It is run once in a process, as an import is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from data_prep.common.errors import UserError, nearest, reason
from data_prep.common.files import file_hash
from data_prep.common.user_code import load_file, module_name
from mdl.closed_form import PUBLISHED_WIDTH
from mdl.networks.sharing.base import SharingMethod

HASH = "__mdl_code_hash__"
"""Under which a loaded module keeps the hash of its file."""


def is_specification(method: str) -> bool:
    """
    >>> is_specification("mine.py:Halves"), is_specification("pointwise-sharing")
    (True, False)
    """
    return ".py:" in str(method)


def method_from_file(specification: str, taken: Iterable[str]) -> type[SharingMethod]:
    """The class that `path/to/file.py:Class` names; its `given_as` is the specification, its `code_hash` that of the file.

    taken: names that the method must not have. Raises `UserError` where there is no such file or class, the file fails,
    or the class lacks what every method has.
    """
    file, _, class_name = specification.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise UserError(f"The file {file} does not exist: write the method as path/to/file.py:Class.")
    module = _loaded(path)
    known = {name: value for name, value in vars(module).items() if _is_method(value)}
    if class_name not in known:
        there = f"it has {', '.join(known)}" if known else "it has none"
        raise UserError(f"{file} has no sharing method {class_name!r}; {there}{nearest(class_name, known)}.")
    method = known[class_name]
    _check(method, specification, taken)
    method.given_as, method.code_hash = specification, module.__dict__[HASH]
    return method


def _loaded(path: Path) -> ModuleType:
    if loaded := sys.modules.get(module_name(path)):
        return loaded  # else its classes would be others than those in the networks that they made
    try:
        code_hash = file_hash(path)
        module = load_file(path)
        module.__dict__[HASH] = code_hash  # of what was loaded, whatever becomes of the file meanwhile
        return module
    except (Exception, SystemExit) as error:  # a script without a main guard may end itself
        raise UserError(f"{path} cannot be loaded ({reason(error)}): correct its code.") from error


def _is_method(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, SharingMethod) and value is not SharingMethod


def _check(method: type[SharingMethod], specification: str, taken: Iterable[str]) -> None:
    name = getattr(method, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9+-]*", name):
        raise UserError(f"{specification} has the name {name!r}; give it lower-case letters, digits, + and -.")
    if name in taken or name.split("-")[0] in ("base", "pretrain"):
        raise UserError(f"{specification} has the name {name!r}, which other rows of the tables have: give it another.")
    if getattr(method, "published_on", None) not in PUBLISHED_WIDTH or not hasattr(method, "source"):
        raise UserError(
            f"{specification} needs `published_on`, one of {', '.join(PUBLISHED_WIDTH)}, and `source`, who it is from."
        )
