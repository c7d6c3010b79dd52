"""The code of a network, as a hash: weights alone do not say what a forward pass computes.

    source_hash("nets.py:small", model)       # other text in nets.py, other hash

Hashed are the files of the classes that the network is made of and the file that its name points to, and, of a network from a
file or module of the user's own, what these import from their own folder. PyTorch's own classes are left out, as run.json has
the version; a class written in a notebook counts by its text. Hooks that somebody put on its modules count by theirs.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from torch import nn

from data_prep.common.user_code import module_name


def source_hash(spec: str, model: nn.Module) -> str:
    """sha256 over the source of the network's own code. spec: the name by which it was loaded, "" for one made by hand."""
    kinds = {type(module) for module in model.modules() if not type(module).__module__.startswith("torch.")}
    texts = {text for text in map(_source_of, kinds) if text}
    texts |= set(_hooks(model))
    module = _named(spec)
    if module is not None:
        texts |= {text for each in _with_neighbours(module) if (text := _file_text(getattr(each, "__file__", None)))}
    digest = hashlib.sha256()
    for text in sorted(texts):
        digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()


def _source_of(kind: type) -> bytes:
    """The file that the class was written in, else the class's own text; empty where there is neither."""
    # Not by the name of its module: a class may be written elsewhere than it says.
    codes = [value.__code__ for value in vars(kind).values() if inspect.isfunction(value)]
    files = [code.co_filename for code in codes] or [str(getattr(sys.modules.get(kind.__module__), "__file__", ""))]
    for file in files:
        if text := _file_text(file):
            return text
    with suppress(OSError, TypeError):
        return inspect.getsource(kind).encode("utf-8", "replace")
    return b""


def _hooks(model: nn.Module) -> Iterator[bytes]:
    """Place and text of each hook that changes what a forward pass gives, or may."""
    for name, module in model.named_modules():
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
            kind = hook if hasattr(hook, "__code__") else type(hook)
            if not kind.__module__.startswith("torch."):
                text = b""
                with suppress(OSError, TypeError):
                    text = inspect.getsource(kind).encode("utf-8", "replace")
                yield f"{name} {kind.__qualname__} ".encode() + text


def _named(spec: str) -> ModuleType | None:
    """The user's module that `path/to/file.py:factory` or `package.module:factory` names."""
    where, colon, _ = spec.partition(",")[0].rpartition(":")
    if not where.endswith(".py"):
        return sys.modules.get(where) if colon else None
    return sys.modules.get(module_name(Path(where)))


def _with_neighbours(module: ModuleType) -> Iterable[ModuleType]:
    """The module, and the modules of its folder that it imports, or imports from, and so on."""
    file = getattr(module, "__file__", None)
    folder, found, waiting = Path(file or "").parent, {module.__name__: module}, [module]
    while file and waiting:
        for value in list(vars(waiting.pop()).values()):
            other = (
                value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
            )
            lies = getattr(other, "__file__", None)
            if other is not None and lies and other.__name__ not in found and folder in Path(lies).parents:
                found[other.__name__] = other
                waiting.append(other)
    return found.values()


def _file_text(file: str | None) -> bytes:
    try:
        return Path(file).read_bytes() if file else b""
    except (OSError, ValueError):
        return b""
