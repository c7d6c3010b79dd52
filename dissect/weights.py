"""Weights from files: safetensors, or a PyTorch state dict, which is never unpickled beyond tensors.

    load_weights(model, Path("mine.safetensors"))

Also the one kind of error for a network that cannot be built or filled.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data_prep.common.errors import UserError


class ModelError(UserError):
    """A network that cannot be built, or weights that do not fit it."""


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a safetensors file or a PyTorch state dict, every name and shape of which must fit. Raises `ModelError`."""
    state = _read_state(path)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    misshapen = [name for name in own if name in state and own[name].shape != state[name].shape]
    faults = {
        "missing": (missing, ""),
        "unexpected": (unexpected, ""),
        "of another shape": (
            misshapen,
            "".join(f", {tuple(state[name].shape)} for {tuple(own[name].shape)}" for name in misshapen[:1]),
        ),
    }
    told = [f"{len(names)} {what} (first: {names[0]}{more})" for what, (names, more) in faults.items() if names]
    if told:
        raise ModelError(
            f"The weights in {path} do not fit the network: {'; '.join(told)}. Give the file made for this network."
        )
    model.load_state_dict(state, strict=False)


def reason(error: BaseException) -> str:
    """The kind of the error and the first line of its words.

    >>> reason(ValueError("too wide\\nby far"))
    'ValueError: too wide'
    """
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0][:300]}"


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise ModelError(
            f"The weights file {path} does not exist: give the path of a safetensors file or a state dict."
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is said in the error
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen kinds of error for a damaged file
        raise ModelError(
            f"The weights file {path} cannot be read ({reason(error)}): it must be safetensors, or a plain state dict of "
            f"tensors."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise ModelError(f"The weights file {path} holds no state dict of tensors: save `model.state_dict()`.")
    return state
