"""Units' masks as small pictures for the page: black and white, a row for each unit, transparent outside the masks.

    sheets = mask_sheets(run.strongest_masks("imagenet12"), 8, 112, 1)     # PNG files of one unit each: 8 masks of 112 pixels

Row and column of a square are the unit and the rank of the image. A mask covers the whole image whatever its own shape, so
each is stretched to the square, and the page stretches it back. A browser reads such a picture in the page and
in a file beside it alike, and lays it over the image; PNG has one bit for a pixel and packs well: about 1 kB a unit.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from dissect.run_store import StrongestMasks
from reports.overlay import fit_mask

LARGEST_SIDE = 128
"""Side of a square at most, pixels; larger masks are reduced to it (figures use them as they are)."""


def square_side(sources: Iterable[StrongestMasks]) -> int:
    """Side of the squares for all these masks: that of the largest, as far as `LARGEST_SIDE` allows."""
    return min(LARGEST_SIDE, max((int(source.mask_shape.max(initial=1)) for source in sources), default=1))


def mask_sheets(source: StrongestMasks, n_images: int, side: int, n_rows: int) -> list[bytes]:
    """The masks of every unit on its `n_images` strongest images: PNG files of `n_rows` units each, the last with the rest.

    Squares have `side` pixels. A file none of whose units has a mask is empty (b"").
    """
    n_units = len(source.image)
    return [
        _sheet(source, range(start, min(start + n_rows, n_units)), n_images, side)
        for start in range(0, n_units, n_rows)
    ]


def _sheet(source: StrongestMasks, units: range, n_images: int, side: int) -> bytes:
    """Masks stand at the places of their ranks; the picture ends with the last one."""
    at = source.image[units.start : units.stop, :n_images] >= 0
    if not at.any():
        return b""
    sheet = np.zeros((len(units) * side, (np.flatnonzero(at.any(axis=0))[-1] + 1) * side), bool)
    for row, rank in np.argwhere(at).tolist():
        square = square_mask(source.mask(units[row], rank), side)
        sheet[row * side : (row + 1) * side, rank * side : (rank + 1) * side] = square
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG", transparency=0)
    return buffer.getvalue()


def square_mask(mask: np.ndarray, side: int) -> np.ndarray:
    """The mask stretched to (side, side) bool. A region too small to fill half a pixel stays a region.

    >>> square_mask(np.array([[1, 0]], bool), 2).astype(int).tolist()
    [[1, 0], [1, 0]]
    """
    fitted = fit_mask(mask, (side, side))
    if mask.any() and not fitted.any():
        coverage = Image.fromarray(mask.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
        return np.asarray(coverage) > 0
    return fitted
