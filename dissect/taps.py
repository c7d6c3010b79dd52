"""Taps on any `nn.Module`.

    with tap_layers(model, ["stage3.0.conv1.depthwise"]) as look:
        maps = look(images)                   # {"stage3.0.conv1.depthwise": (B, U, h, w) float32}

The hooks go on at entry and always come off. A forward pass ends as soon as the last tapped layer has fired. Every map
is a copy, so that an in-place ReLU further down cannot change what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError

Look = Callable[[Tensor], dict[str, Tensor]]


class TapError(UserError):
    """A tapped layer does not exist, does not fire exactly once an image, or gives no activation map."""


class _AllSeen(Exception):
    """Ends a forward pass: every tap has fired, what follows cannot matter."""


@contextmanager
def tap_layers(model: nn.Module, layers: Sequence[str]) -> Iterator[Look]:
    """Tap the named modules of `model`, put it in evaluation mode, and yield a function from images to their maps.

    The function takes (B, 3, H, W) and returns, for each layer, (B, U, h, w) float32 on the model's device. What fires
    after the last tapped layer goes unseen: `layers.list_layers` counts how often each fires in a whole pass.
    Raises `TapError`; on leaving, hooks are gone and every module is in the mode it was in.
    """
    modules = dict(model.named_modules())
    layers = list(dict.fromkeys(layers))
    seen: dict[str, Tensor] = {}

    def tap(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if name in seen:
                raise TapError(f"Layer {name!r} fires more than once a forward pass: tap a module inside or around it.")
            seen[name] = _activation_map(name, output)
            if len(seen) == len(layers):
                raise _AllSeen

        return hook

    def look(images: Tensor) -> dict[str, Tensor]:
        seen.clear()
        with suppress(_AllSeen):
            forward(model, images)
        silent = [name for name in layers if name not in seen]
        if silent:
            raise TapError(
                f"Layer {silent[0]!r} never fires in a forward pass: list those that do with `dissect layers`."
            )
        return {name: seen[name] for name in layers}

    missing = [name for name in layers if name not in modules]
    if missing:
        raise TapError(f"The network has no module {missing[0]!r}: list its modules with `dissect layers`.")
    modes = [(module, module.training) for module in modules.values()]
    handles = []
    try:
        model.eval()
        handles = [modules[name].register_forward_hook(tap(name)) for name in layers]
        yield look
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
        seen.clear()


def forward(model: nn.Module, images: Tensor) -> None:
    """Run the network without gradients. Raises `TapError` with the network's own words where it fails."""
    try:
        with torch.inference_mode():
            model(images)
    except (UserError, _AllSeen):
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
        raise TapError(
            f"The network fails on images of shape {tuple(images.shape)} ({type(error).__name__}: {reason}): "
            f"try another `image_size`, a smaller `batch_size`, or correct the network."
        ) from error


def _activation_map(name: str, output: object) -> Tensor:
    if not isinstance(output, Tensor):
        raise TapError(f"Layer {name!r} gives a {type(output).__name__}, not a tensor: tap a module inside it.")
    if output.ndim != 4:
        raise TapError(
            f"Layer {name!r} gives a tensor of shape {tuple(output.shape)}, not an activation map (B, U, h, w): "
            f"tap a layer before pooling or flattening."
        )
    if not output.is_floating_point():
        raise TapError(f"Layer {name!r} gives {output.dtype} values; activations must be floating point.")
    return output.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
