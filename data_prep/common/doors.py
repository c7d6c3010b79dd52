"""A package's front door: its public names at once, their modules only when a name is first used.

    __getattr__, __dir__, __all__ = attach(__name__, {"open_broden": "data_prep.broden"})

In the door itself the same names stand under `if TYPE_CHECKING:`, so that type checkers and editors see what they are; a test
holds both against `tests/contract/public_names.txt`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def attach(door: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of the package `door`.

    homes: for each public name the module that has it; "module:name" where the module calls it otherwise.
    """

    def __getattr__(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {door!r} has no attribute {name!r}")
        module, _, inside = homes[name].partition(":")
        value = getattr(importlib.import_module(module), inside or name)
        setattr(sys.modules[door], name, value)  # next time it is simply there
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[door]), *homes})

    return __getattr__, __dir__, sorted(homes)
