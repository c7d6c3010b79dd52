"""How a network wants its images: their size, mean and standard deviation, and whether in colour or grey.

    size = checked_size(96)                                # (96, 96)
    mean = checked_colour("mean", [0.5, 0.5, 0.5])         # refused outside 0..1
    n_channels = input_channels(model, size)               # 3, or 1 for a network that wants grey images

Images are always resized whole, bilinearly and whatever their aspect ratio, so that they stay aligned with their label maps;
how the training resized them is recorded where it is known, and not imitated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from dissect.errors import ModelError
from dissect.evaluation import evaluating

DEFAULT_SIZE = (224, 224)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

LARGEST_SIDE = 8192
"""Of an input, in pixels: one image of this side takes 0.8 GB before the first layer."""

Source = Literal["option", "file", "library", "default"]
"""Who said how the images shall be: the user; the file of the weights; whoever builds the network (a library, a package or the
user's own factory); or nobody."""

_GREY = (19595, 38470, 7471)  # red, green and blue of ITU-R 601 in 1/65536, as Pillow's mode L


def checked_size(wanted: int | Sequence[int], what: str = "image_size") -> tuple[int, int]:
    """(H, W) of one side or of two; `what` names it in the `ModelError` for anything else.

    >>> checked_size(96), checked_size((64, 96))
    ((96, 96), (64, 96))
    """
    sides = list(wanted) if isinstance(wanted, Sequence) else [wanted]
    if len(sides) not in (1, 2) or not all(is_side(side) for side in sides):
        raise ModelError(
            f"`{what}` is {_listed(sides)}; give one side, or height and width, in pixels: 1 to {LARGEST_SIDE}."
        )
    return sides[0], sides[-1]


def checked_colour(what: Literal["mean", "std"], values: float | Sequence[float]) -> tuple[float, float, float]:
    """One number for each of red, green and blue, or one for all three, in 0..1. Raises `ModelError`.

    >>> checked_colour("std", [0.5])
    (0.5, 0.5, 0.5)
    """
    values = tuple(values) if isinstance(values, Iterable) else (values,)
    if not is_colour(what, values):
        counts_bytes = all(isinstance(value, int | float) and 0 <= value <= 255 for value in values)
        advice = ": divide what counts bytes by 255" if counts_bytes and max(values, default=0) > 1 else ""
        raise ModelError(
            f"`{what}` is {_listed(values)}; give three numbers, for red, green and blue, or one for all, in 0..1"
            f"{', above 0' * (what == 'std')}{advice}."
        )
    return as_colour(values)


def is_side(side: Any) -> bool:
    """Whether this is a number of pixels that an input may have."""
    return type(side) is int and 1 <= side <= LARGEST_SIDE


def is_colour(what: str, values: Any) -> bool:
    """Whether these are means or standard deviations ("mean", "std") of pixels in 0..1."""
    return (
        isinstance(values, tuple)
        and len(values) in (1, 3)
        and all(isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1 for value in values)
        and (what == "mean" or min(values) > 0)
    )


def as_colour(values: Sequence[float]) -> tuple[float, float, float]:
    """
    >>> as_colour([0.5])
    (0.5, 0.5, 0.5)
    """
    red, green, blue = values if len(values) == 3 else (*values, *values, *values)
    return red, green, blue


def grey_pixels(pixels: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, H, W, 1) uint8 by the luma of ITU-R 601, to the bit what Pillow's mode L gives.

    >>> grey_pixels(torch.tensor([[[[255, 0, 0], [0, 255, 0], [9, 9, 9]]]], dtype=torch.uint8)).flatten().tolist()
    [76, 150, 9]
    """
    parts = torch.tensor(_GREY, dtype=torch.int32, device=pixels.device)
    return ((pixels.to(torch.int32) * parts).sum(-1, keepdim=True).add_(1 << 15) >> 16).to(torch.uint8)


def grey_colour(values: Sequence[float]) -> float:
    """Mean or standard deviation of grey, from those of red, green and blue: their mean weighted by ITU-R 601.

    >>> grey_colour((0.5, 0.5, 0.5))
    0.5
    """
    return sum(part * value for part, value in zip(_GREY, values, strict=True)) / 65536


def input_channels(model: nn.Module, input_size: tuple[int, int]) -> int:
    """3 for a network of colour images; 1 for one whose first convolution takes one channel. Raises `ModelError` for others.

    >>> input_channels(nn.Sequential(nn.Conv2d(1, 8, 3)), (8, 8))
    1
    >>> input_channels(nn.Sequential(nn.Conv2d(5, 8, 3)), (8, 8))
    Traceback (most recent call last):
    ...
    dissect.errors.ModelError: The first convolution of the network, '0', takes 5 channels, but an image has 3, or 1 as ...
    """
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    # Most networks are spared a forward pass: the convolution that was written first is the one that takes the image.
    if not convolutions or convolutions[0].in_channels == 3:
        return 3
    refused = None
    for n_channels in (3, 1):
        met = _first_convolution(model, n_channels, input_size)
        if met is None or met.given == met.module.in_channels:
            return n_channels
        refused = refused or met
    assert refused
    raise ModelError(
        f"The first convolution of the network, {refused.name!r}, takes {refused.module.in_channels} channels, but an image "
        f"has 3, or 1 as grey: give a network that takes such images, or wrap it in a module that makes its channels of them."
    )


class _Met(BaseException):  # a network may well catch an Exception
    """The first convolution of a forward pass, which ends here. given: channels of what it was handed."""

    def __init__(self, name: str, module: nn.Conv2d, given: int) -> None:
        self.name, self.module, self.given = name, module, given


def _first_convolution(model: nn.Module, n_channels: int, input_size: tuple[int, int]) -> _Met | None:
    """None where no convolution is reached; what else is wrong with the network shows when its layers are listed."""

    def stop(name: str, module: nn.Conv2d, taken: tuple[Any, ...]) -> NoReturn:
        raise _Met(name, module, taken[0].shape[1] if taken and isinstance(taken[0], Tensor) else n_channels)

    handles = [
        module.register_forward_pre_hook(lambda module, taken, name=name: stop(name, module, taken))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        with evaluating(model), torch.no_grad():
            model(torch.zeros(1, n_channels, *input_size, device=device))
    except _Met as met:
        return met
    except (Exception, SystemExit):
        return None
    finally:
        for handle in handles:
            handle.remove()
    return None


def _listed(values: Sequence[object]) -> str:
    return " ".join(map(str, values)) or "empty"
