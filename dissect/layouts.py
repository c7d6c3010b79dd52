"""How a layer's output holds its units, and the activation map (B, U, h, w) that it stands for (method, part A.6).

layout = Layout("tokens", shape=(192, 14, 14), left_out=1)
maps = layout.maps("blocks.3", output, n_images=4)      # (4, 197, 192) to (4, 192, 14, 14)

channels-first    (B, U, h, w)    the map as it is
channels-last     (B, h, w, U)    as in Swin and inside ConvNeXt blocks
tokens            (B, N, U)       as in vision transformers: tokens on their grid, row by row; class and register
                                  tokens, which come first, are left out
vector            (B, U)          a map of 1 x 1
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dissect.errors import TapError
from dissect.settings import LayoutName

_AXES: dict[LayoutName, str] = {
    "channels-first": "(B, U, h, w)", "channels-last": "(B, h, w, U)", "tokens": "(B, N, U)", "vector": "(B, U)",
}  # fmt: skip


def fault_of(output: Tensor) -> str:
    """What keeps a tensor from holding activations, in words; empty where nothing does.

    >>> fault_of(torch.zeros(2, dtype=torch.int64))
    'torch.int64 values; activations must be floating point'
    """
    if output.is_meta:
        return "a tensor without values (device meta): load weights into the network, and move it to a device"
    if not output.is_floating_point():
        return f"{output.dtype} values; activations must be floating point"
    if output.layout != torch.strided:
        return f"a tensor stored as {output.layout}; activations must be a plain one"
    return ""


@dataclass(frozen=True)
class Layout:
    """shape: (U, h, w) of the map, None for any. left_out: tokens before those of the grid."""

    name: LayoutName = "channels-first"
    shape: tuple[int, int, int] | None = None
    left_out: int = 0

    @property
    def described(self) -> str:
        """
        >>> Layout("tokens", (192, 14, 14), left_out=1).described
        'tokens: units are their features, on a grid of 14 x 14; the first token, which stands for no place, is left out'
        """
        if self.name == "tokens" and self.shape:
            grid = f"tokens: units are their features, on a grid of {self.shape[1]} x {self.shape[2]}"
            many = f"the first {self.left_out} tokens, which stand for no place, are left out"
            one = "the first token, which stands for no place, is left out"
            return f"{grid}; {one if self.left_out == 1 else many}" if self.left_out else grid
        if self.name == "vector":
            return "one value of each unit for an image, which counts as a map of 1 x 1"
        return f"maps {_AXES[self.name]}"

    def __str__(self) -> str:
        return f"{self.name}, {self.left_out} left out" if self.left_out else self.name

    def maps(self, layer: str, output: Tensor, n_images: int) -> Tensor:
        """A view of `output` as (B, U, h, w). Raises `TapError` where it is not what the layer was listed with.

        >>> Layout("channels-last", (5, 2, 3)).maps("norm", torch.zeros(1, 2, 3, 5), n_images=1).shape
        torch.Size([1, 5, 2, 3])
        """
        if output.ndim != _AXES[self.name].count(",") + 1:
            raise TapError(
                f"Layer {layer!r} gives a tensor of shape {tuple(output.shape)}, not {_AXES[self.name]}: give another `layout`, "
                f"or tap a layer whose output is an activation map, tokens or a vector."
            )
        if self.shape and tuple(output.shape) != (n_images, *self._listed()):
            raise TapError(
                f"Layer {layer!r} gives a tensor of shape {tuple(output.shape)} for {n_images} images, but was listed with "
                f"{self._listed()} for each: what a layer gives must not depend on the image or on how many there are; tap "
                f"another layer, or correct the network."
            )
        if not len(output) == n_images or not output.numel():
            raise TapError(
                f"Layer {layer!r} gives a tensor of shape {tuple(output.shape)} for {n_images} images: it must hold "
                f"something for each."
            )
        if self.name == "channels-last":
            return output.permute(0, 3, 1, 2)
        if self.name == "vector":
            return output[:, :, None, None]
        if self.name == "tokens":
            if not self.shape:
                raise TapError(f"Layer {layer!r} gives tokens, whose grid is known for one input size only.")
            return output[:, self.left_out :].transpose(1, 2).unflatten(2, self.shape[1:])
        return output

    def _listed(self) -> tuple[int, ...]:
        assert self.shape
        n_units, height, width = self.shape
        shapes: dict[LayoutName, tuple[int, ...]] = {
            "channels-first": self.shape,
            "channels-last": (height, width, n_units),
            "tokens": (self.left_out + height * width, n_units),
            "vector": (n_units,),
        }
        return shapes[self.name]
