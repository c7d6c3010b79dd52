"""Does a network give the same for the same images, whatever comes with them?

    look = SteadyLook(look, allow_varying=False)
    maps = look(images)                        # the first images are looked at again, and in two halves

A convolution library may round the last bits of another batch size differently, so a difference of up to `TOLERANCE` times the
unit's largest activation counts as rounding. Dropout that was left on, BatchNorm that normalises by the batch, and layers that
compare images with each other differ by far more: with them, a result depends on chance or on `batch_size`. A batch of one image
cannot be split, and a network that was shown one at a time is only looked at twice.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dissect.errors import TapError
from dissect.taps import Look

TOLERANCE = 1e-4

LEAST_SCALE = 0.3, 1e-3
"""A unit that stays small may be a difference of large values, rounded as these are: its activations count as at least these
parts of the layer's middle unit, and of its largest."""

MOST_IMAGES = 8
"""Of the first batch, that are looked at again on a CPU. A GPU is quick with all, and slow to plan for another number of them."""


class SteadyLook:
    """`look`, but the first call makes sure that the network answers steadily.

    allow_varying: keep in `varying` the sentence that says how it differs, in place of raising it as `TapError`.
    """

    def __init__(self, look: Look, *, allow_varying: bool) -> None:
        self.look, self.allow_varying = look, allow_varying
        self.varying = ""
        self.example: Tensor | None = None
        """(1, C, H, W), of the first images."""

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.look(images)
        if self.example is None:
            self.example = images[:1]
            self.varying = self._find_varying(images, maps)
            if self.varying and not self.allow_varying:
                raise TapError(
                    f"{self.varying}: units would be labelled by chance; correct the network, or allow it (`allow_varying`)."
                )
        return maps

    def _find_varying(self, images: Tensor, maps: Mapping[str, Tensor]) -> str:
        few = images if images.is_cuda else images[:MOST_IMAGES]
        whole = maps if len(few) == len(images) else self.look(few)
        if found := _difference(whole, self.look(few)):
            return f"{found} when the network is shown the same images again, as with dropout that is left on"
        half = len(few) // 2
        parts = (self.look(few[:half]), self.look(few[half:])) if half else (whole,)
        split = {layer: torch.cat([part[layer] for part in parts]) for layer in maps}
        if found := _difference(whole, split) or _difference(maps, whole):
            return f"{found} when the network is shown fewer images at once, as with BatchNorm that normalises by the batch"
        return ""


def largest_difference(maps: Tensor, others: Tensor) -> float:
    """The largest difference of any unit in parts of its largest value, for (B, U, ...) of both; values that are not finite are
    somebody else's business.

    >>> largest_difference(torch.tensor([[100.0, 4.0]]), torch.tensor([[100.0, 3.0]]))
    0.25
    """
    finite = torch.isfinite(maps) & torch.isfinite(others)
    nothing = maps.new_zeros(())
    difference, scale = (
        torch.where(finite, each, nothing).abs().transpose(0, 1).flatten(1).amax(1) for each in (maps - others, maps)
    )
    largest = float(scale.max())
    middle = float(scale[scale > 0].median()) if largest else 0.0
    share = difference / scale.clamp(min=max(LEAST_SCALE[0] * middle, LEAST_SCALE[1] * largest))
    return float(share.nan_to_num(posinf=float("inf")).max())  # 0 / 0 where a layer gives nothing but zeros


def _difference(maps: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> str:
    """others: of as many images as `maps`, or of the first of them."""
    for layer in maps:
        share = largest_difference(maps[layer][: len(others[layer])], others[layer])
        if share > TOLERANCE:
            return f"Layer {layer!r} differs by up to {share:.2g} of a unit's largest activation"
    return ""
