"""Weights from files: safetensors, or a PyTorch checkpoint, which is never unpickled beyond tensors.

    loaded = load_weights(model, Path("mine.safetensors"))
    loaded.facts, loaded.note                  # what the file says of its network; what was changed to make it fit

Every name and shape must fit, once wrappers' names are removed (`dissect.state_names`), and no value is cast in a way that
changes what it means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from data_prep.common.errors import reason
from dissect.checkpoints import Checkpoint, read_checkpoint
from dissect.errors import ModelError
from dissect.state_names import Match, is_counter, is_extra, matches

REAL = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""Kinds of numbers in which weights are kept, each of which may be loaded as another of them."""


@dataclass(frozen=True)
class Loaded:
    """facts: what the file says of its network, some of `dissect.facts.FACTS`. note: what was changed to make it fit."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def load_weights(model: nn.Module, path: Path) -> Loaded:
    """Load the weights of exactly this network from a safetensors or PyTorch file. Raises `ModelError`; then none is loaded."""
    checkpoint = read_checkpoint(path)
    own = _state_of(model)
    match = _fitting(own, checkpoint, path)
    for name, value in match.tensors.items():
        _check_plain(f"The weights in {path} have", name, value)
        _check_kind(path, name, value, own[name])
    try:
        model.load_state_dict({**match.tensors}, strict=False)
    except Exception as error:  # a module of the user's own may have its own way to load
        raise ModelError(
            f"The network does not take the weights in {path} ({reason(error)}): correct how it loads its state."
        ) from error
    return Loaded(checkpoint.facts, _told(match, checkpoint, own, path))


def check_weights(model: nn.Module) -> None:
    """Raises `ModelError` for a network whose weights are not there, or are no plain numbers."""
    for name, value in _state_of(model).items():
        if isinstance(value, Tensor):
            if is_lazy(value):
                raise ModelError(
                    f"The network has no {name!r} yet, its module is lazy: let its factory run it once on an image."
                )
            _check_plain("The network has", name, value)
        elif not is_extra(name):
            raise ModelError(
                f"The network keeps a {type(value).__name__} as {name!r}, as quantised modules do: give it before it is "
                f"quantised, in floating point."
            )


def _state_of(model: nn.Module) -> dict[str, Any]:
    try:
        return model.state_dict()
    except Exception as error:  # a module of the user's own may have its own way to tell its state
        raise ModelError(
            f"The network does not tell its weights ({reason(error)}): correct its `state_dict` or `get_extra_state`."
        ) from error


def _fitting(own: Mapping[str, Any], checkpoint: Checkpoint, path: Path) -> Match:
    found = matches(own, checkpoint.states)
    fitting = [match for match in found if not match.n_faults]
    if fitting:
        same = [match for match in fitting if match.place == fitting[0].place and match.changes]
        if fitting[0].changes and len(same) > 1:
            ways = " and with ".join(", ".join(match.changes) for match in same[:2])
            raise ModelError(
                f"The weights in {path} fit the network with {ways}: write those that you mean to a file of their own."
            )
        return fitting[0]
    nearest = min(found, key=lambda match: match.n_faults)
    shapes = "".join(
        f", {tuple(nearest.tensors[name].shape)} for {tuple(own[name].shape)}" for name in nearest.misshapen[:1]
    )
    faults = {
        "missing": (nearest.missing, ""),
        "unexpected": (nearest.unexpected, ""),
        "of another shape": (nearest.misshapen, shapes),
    }
    told = [f"{len(names)} {what} (first: {names[0]}{more})" for what, (names, more) in faults.items() if names]
    made_for = f"; it says that it is of {checkpoint.made_for}" if checkpoint.made_for else ""
    raise ModelError(
        f"The weights in {path} do not fit the network: {'; '.join(told)}{made_for}. Give the file made for this network."
    )


def _check_plain(whose: str, name: str, value: Tensor) -> None:
    kind = ""
    if value.is_meta:
        kind = "without values (on the device meta): load or draw them first"
    elif value.is_quantized:
        kind = "quantised: give it in floating point"
    elif value.layout is not torch.strided:
        kind = "sparse: make it dense with `to_dense()`"
    if kind:
        raise ModelError(f"{whose} {name!r} {kind}.")


def _check_kind(path: Path, name: str, given: Tensor, own: Any) -> None:
    """Nothing is cast in silence but one real floating-point kind to another, and counters."""
    if not isinstance(own, Tensor) or is_counter(name) or given.dtype == own.dtype:
        return
    if {given.dtype, own.dtype} <= set(REAL):
        return
    raise ModelError(
        f"The weights in {path} have {name!r} as {_kind(given)}, the network as {_kind(own)}: a cast would change what they "
        f"mean, so give them as {_kind(own)}."
    )


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _told(match: Match, checkpoint: Checkpoint, own: Mapping[str, Any], path: Path) -> str:
    """What a reader must know of how the file was read, in sentences; "" where it was taken as it is."""
    said = []
    if match.changes:
        said.append(
            f"The names of the weights in {path.name} were changed to fit the network: {', '.join(match.changes)}."
        )
    if match.left_out:
        said.append(
            f"{len(match.left_out)} tensors in {path.name} are no part of the network and were left out (first: "
            f"{match.left_out[0]})."
        )
    others = {m.place for m in matches(own, checkpoint.states) if not m.n_faults} - {match.place}
    if others:
        said.append(
            f"{path.name} holds weights as {', '.join(sorted(others))} too; {match.place or 'its own'} were taken."
        )
    places = list(checkpoint.states)
    passed = [place for place in places[: places.index(match.place)] if place]
    if passed:
        said.append(
            f"From {path.name} the weights under {match.place} were taken: those under {', '.join(passed)} do not fit."
        )
    extra = [name for name in own if is_extra(name) and name not in match.tensors]
    if extra:
        said.append(f"The network's extra state ({extra[0]}) is its own: it was not read from {path.name}.")
    return " ".join(said)
