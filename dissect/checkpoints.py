"""What a file of weights holds: state dicts, wherever in it they lie, and what it says of itself. Nothing in it is ever run.

    held = read_checkpoint(Path("run/last.pth"))
    held.states["state_dict"]                  # tensors by name
    held.facts                                 # of a safetensors file: how the network wants its images

A PyTorch file is read by torch's own restricted unpickler, which makes tensors and plain containers only. Other things that
trainings save beside the tensors (`argparse.Namespace`, numpy scalars, configurations) are read as `Inert` objects, which
take whatever they are given and do nothing.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_prep.common.errors import reason
from dissect.errors import ModelError
from dissect.facts import METADATA_KEY, facts_of_file

STATE_KEYS = (
    "state_dict", "model_state_dict", "model", "net", "network", "weights", "params",
    "state_dict_ema", "model_ema", "ema",
)  # fmt: skip
"""Where trainings put a network's state dict; of several that fit a network, the first in this order is taken."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """states: every state dict of the file by its place in it, such as "state_dict"; "" for the file itself. facts: what the
    file says of its network, some of `dissect.facts.FACTS`. made_for: the network's name, where the file says it."""

    states: Mapping[str, Mapping[str, Tensor]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    made_for: str = ""


class Inert:
    """What stands in a checkpoint for an object that is no tensor and no plain container: it takes everything, does nothing."""

    def __new__(cls, *_args: object, **_options: object) -> Any:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_options: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


class InertList(Inert, list):
    """The same for a kind of list; its items are kept."""


class InertDict(Inert):
    """The same for a kind of dict, such as a configuration or a `defaultdict`: a plain one stands for it."""

    def __new__(cls, *_args: object, **_options: object) -> Any:
        return OrderedDict()


def read_checkpoint(path: Path) -> Checkpoint:
    """The state dicts in a safetensors file or a PyTorch file. Raises `ModelError`."""
    if path.is_dir():
        raise ModelError(f"The weights file {path} is a folder: give the file in it that holds the weights.")
    if not path.is_file():
        raise ModelError(
            f"The weights file {path} does not exist: give the path of a safetensors file or a state dict."
        )
    try:
        if path.suffix.lower() == ".safetensors":
            return _read_safetensors(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is said in the error
            content = _read_torch(path)
    except ModelError:
        raise
    except Exception as error:  # the readers raise a dozen kinds of error for a damaged file
        raise ModelError(
            f"The weights file {path} cannot be read ({reason(error)}): it must be safetensors, or a plain state dict of "
            f"tensors."
        ) from error
    states = dict(_states(content, ""))
    if not states:
        whole = f", but a whole {type(content).__name__.rpartition('.')[2]}" if isinstance(content, Inert) else ""
        raise ModelError(f"The weights file {path} holds no state dict of tensors{whole}: save `model.state_dict()`.")
    order = {key: n for n, key in enumerate(("", *STATE_KEYS))}
    return Checkpoint(states=dict(sorted(states.items(), key=lambda at: order.get(at[0], len(order)))))


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    facts = facts_of_file(path, metadata)
    made_for = json.loads(metadata[METADATA_KEY]).get("network", "") if METADATA_KEY in metadata else ""
    return Checkpoint(states={"": tensors}, facts=facts, made_for=str(made_for))


def _read_torch(path: Path) -> Any:
    """What the file holds, tensors and containers as they are and every other object as `Inert`."""
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        foreign = get_unsafe_globals_in_checkpoint(path)
    except Exception:
        foreign = []  # no file of today's torch.save, or a damaged one: what is wrong is said by torch.load
    # Under the name of each foreign function or class torch finds a class of ours, so that theirs is not even imported.
    kinds: dict[str, type[Inert]] = dict.fromkeys(foreign, Inert)
    while True:
        stand_ins: Any = [(type(name, (kind,), {}), name) for name, kind in kinds.items()]
        with safe_globals(stand_ins):
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except Exception as error:
                if _as_container(kinds, str(error)):
                    continue
                named = re.search(r"GLOBAL ([\w.]+)", str(error))
                if not named and "TorchScript" in str(error):
                    raise ModelError(
                        f"The weights file {path} is TorchScript, a network with its code, which is not run: where you trust it, "
                        f"load it with `torch.jit.load` and save its `state_dict()`."
                    ) from error
                if not named and "weights_only" in str(error):  # torch's words would have the file run
                    raise ValueError("it holds more than tensors and plain containers") from error
                if not named:
                    raise
                raise ModelError(
                    f"The weights file {path} asks for {named[1]}, which is not run: where you trust the file, write its "
                    f"tensors to a new one, as in `torch.save(model.state_dict(), 'weights.pth')`."
                ) from error


def _as_container(kinds: dict[str, type[Inert]], words: str) -> bool:
    """Whether torch's words say that one of the foreign classes is filled like a dict or a list: then it becomes such a one."""
    filled = re.search(rf"Can only (SETITEM|append).* but got <class '{re.escape(__name__)}\.([^']+)'>", words)
    if not filled or kinds.get(filled[2]) is not Inert:
        return False
    kinds[filled[2]] = InertDict if filled[1] == "SETITEM" else InertList
    return True


def _states(content: Any, place: str, depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(place, state dict) for every dict in the file that holds tensors by name."""
    if not isinstance(content, Mapping) or depth > 3:
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        yield place, tensors
    for key, value in content.items():
        if isinstance(key, str) and not key.startswith("optim"):
            yield from _states(value, f"{place}.{key}".lstrip("."), depth + 1)
