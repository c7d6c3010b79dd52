"""Taps on any `nn.Module`.

    with tap_layers(model, ["stage3.0.conv1.depthwise", "layer1.0.relu@2"]) as look:
        maps = look(images)                   # {"stage3.0.conv1.depthwise": (B, U, h, w) float32, ...}

`name@2` is the second call of a module that fires several times. The hooks go on at entry and always come off. A forward pass
ends as soon as the last tapped layer has fired, unless that shows in the next one: a network may tidy up at its end. Every map
is a copy, so that an in-place ReLU further down cannot change what was seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data_prep.common.errors import UserError, reason
from dissect.errors import TapError
from dissect.evaluation import evaluating
from dissect.layouts import Layout, fault_of

Look = Callable[[Tensor], dict[str, Tensor]]


@dataclass
class Passes:
    """whole: whether forward passes go on to their end; None until the first look found out."""

    whole: bool | None = None


class _AllSeen(BaseException):  # a network may well catch an Exception
    """Ends a forward pass: every tap has fired, what follows cannot matter."""


@contextmanager
def tap_layers(
    model: nn.Module,
    layers: Sequence[str],
    layouts: Mapping[str, Layout] | None = None,
    passes: Passes | None = None,
) -> Iterator[Look]:
    """Tap the named calls of `model`, put it in evaluation mode, and yield a function from images to their maps.

    The function takes (B, C, H, W) and returns, for each layer, (B, U, h, w) float32 on the images' device. layouts: how each
    layer's output holds its units; as (B, U, h, w) of any size where it says nothing. What fires after the last tapped layer
    goes unseen: `layers.list_layers` counts how often each fires in a whole pass. passes: of several copies of a network, so that
    only one has to find out.
    Raises `TapError`; on leaving, hooks are gone and every module is in the mode it was in.
    """
    modules = dict(model.named_modules())
    layers = list(dict.fromkeys(layers))
    layouts = layouts or {}
    called: Counter[str] = Counter()
    seen: dict[str, Tensor] = {}
    images_seen: list[Tensor] = []
    passes = passes or Passes()

    def tap(layer: str, module_name: str, number: int | None) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            called[layer] += 1
            if number is None and called[layer] > 1:
                raise TapError(
                    f"Layer {layer!r} fires more than once a forward pass: name one of its calls, such as '{layer}@2'."
                )
            if called[layer] == (number or 1):
                seen[layer] = _activation_map(layer, output, layouts.get(layer, Layout()), images_seen[0])
                if len(seen) == len(layers) and not passes.whole:
                    raise _AllSeen

        return hook

    def look(images: Tensor) -> dict[str, Tensor]:
        if passes.whole is None:
            passes.whole = _shows_in_the_next(images if images.is_cuda else images[:1], look_once, passes)
        return look_once(images)

    def look_once(images: Tensor) -> dict[str, Tensor]:
        seen.clear()
        called.clear()
        images_seen[:] = [images]
        with suppress(_AllSeen):
            forward(model, images)
        silent = [layer for layer in layers if layer not in seen]
        if silent:
            often = f"fires only {called[silent[0]]} times" if called[silent[0]] else "never fires"
            raise TapError(f"Layer {silent[0]!r} {often} in a forward pass: list those that do with `dissect layers`.")
        return {layer: seen[layer] for layer in layers}

    check_hooks_allowed(model)
    calls = {layer: _call(layer, modules) for layer in layers}
    handles = []
    try:
        handles = [modules[name].register_forward_hook(tap(layer, name, n)) for layer, (name, n) in calls.items()]
        with evaluating(model):
            yield look
    finally:
        for handle in handles:
            handle.remove()
        seen.clear()
        images_seen.clear()


def _shows_in_the_next(images: Tensor, look: Look, passes: Passes) -> bool:
    """Whether a pass that ends early changes what the next one gives, as in a network that keeps features in itself and drops
    them at the end of its forward pass. It is left as after a whole pass then."""
    passes.whole = True
    try:
        right = look(images)
    except TapError:  # what comes after the layers may fail, as the images are shown at another size
        return False
    passes.whole = False
    with suppress(TapError):
        look(images.flip(-1))
        again = look(images)
        if all(torch.equal(right[layer].nan_to_num(), again[layer].nan_to_num()) for layer in right):
            return False
    passes.whole = True
    with suppress(TapError):
        look(images)
    return True


def check_hooks_allowed(model: nn.Module) -> None:
    """Raises `TapError` for a compiled network, on whose layers no hook can be put."""
    if isinstance(model, torch.jit.ScriptModule):
        raise TapError(
            f"The network is TorchScript ({type(model).__name__}), whose layers cannot be tapped: give the nn.Module that it was "
            f"made from."
        )


def forward(model: nn.Module, images: Tensor, *, versions: bool = False) -> None:
    """Run the network without gradients. Raises `TapError` with the network's own words where it fails.

    versions: let tensors keep count of the changes made to them in place.
    """
    try:
        with torch.inference_mode(not versions), torch.no_grad():
            model(images)
    except (UserError, _AllSeen, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit, which would end the command as if all were well
        kinds = {p.dtype for p in model.parameters() if p.is_floating_point()} - {torch.float32}
        advice = "try another `image_size`, a smaller `batch_size`, or correct the network"
        if kinds:
            kind = str(min(kinds, key=str)).removeprefix("torch.")
            advice = f"images are float32 and it has weights of {kind}, so give it as float32 (`model.float()`)"
        raise TapError(
            f"The network fails on images of shape {tuple(images.shape)} ({reason(error)}): {advice}."
        ) from error


def _call(layer: str, modules: Mapping[str, nn.Module]) -> tuple[str, int | None]:
    """The module that a layer's name stands for, and the number of its call, None where it has only one."""
    name, at, number = layer.rpartition("@")
    called = (
        (layer, None) if layer in modules or not (at and number.isdecimal() and int(number)) else (name, int(number))
    )
    if called[0] not in modules:
        raise TapError(f"The network has no module {called[0]!r}: list its modules with `dissect layers`.")
    if isinstance(modules[called[0]], torch.jit.ScriptModule):
        raise TapError(f"Layer {layer!r} is TorchScript, which cannot be tapped: tap a layer outside of it.")
    return called


def _activation_map(layer: str, output: object, layout: Layout, images: Tensor) -> Tensor:
    if not isinstance(output, Tensor):
        raise TapError(f"Layer {layer!r} gives a {type(output).__name__}, not a tensor: tap a module inside it.")
    if fault := fault_of(output):
        raise TapError(f"Layer {layer!r} gives {fault}.")
    maps = layout.maps(layer, output, len(images))
    return maps.to(images.device, torch.float32, memory_format=torch.contiguous_format, copy=True)
