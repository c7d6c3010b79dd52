"""A unit's mask drawn on an image, and small images for pages.

    image = read_image(path, 160)             # (h, w, 3) uint8, longest side 160 at most; None where it cannot be read
    tile = masked_tile(image, mask, 160)      # (160, 160, 3) uint8, the mask drawn

A mask covers the whole image whatever its own size: it is stretched to the image. Numpy and Pillow only.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.common.pictures import IMAGE_ERRORS, open_picture, rgb_picture
from reports.style import CONTOUR

TILE_GAP = 0.05
"""Space between the tiles of a strip, as a share of a tile's side."""
OUTSIDE_SHARE = 0.5
"""How much of its brightness the region outside the mask keeps."""


def read_image(path: Path, side: int, stated: tuple[int, int] | None = None) -> np.ndarray | None:
    """The image at `path` as (h, w, 3) uint8, its longest side `side` pixels at most; None where it cannot be read.

    stated: (H, W) of an image that the run turned by its orientation tag (see `data_prep.common.pictures`).
    A JPEG is decoded at a fraction of its size (Pillow's draft mode), which is most of a report's speed.
    """
    try:
        with open_picture(path) as picture:
            image = rgb_picture(picture, stated, draft=side)
    except IMAGE_ERRORS:
        return None
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


def thumbnail_jpeg(path: Path, side: int, quality: int = 65, *, stated: tuple[int, int] | None = None) -> bytes | None:
    """A small JPEG of the image at `path`; None where it cannot be read. stated: as in `read_image`."""
    pixels = read_image(path, side, stated)
    if pixels is None:
        return None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def thumbnail_jpegs(files: Sequence[tuple[Path, tuple[int, int] | None]], side: int) -> list[bytes | None]:
    """`thumbnail_jpeg` of each (path, stated)."""
    return [thumbnail_jpeg(path, side, stated=stated) for path, stated in files]


def fit_mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The (H, W) bool mask at another size: bilinear, then half and above is inside, so enlarged edges stay smooth."""
    if mask.shape == shape:
        return mask
    coverage = Image.fromarray(mask.astype(np.float32)).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(coverage) >= 0.5


def outline(mask: np.ndarray, width: int = 2) -> np.ndarray:
    """The pixels outside `mask` within `width` of it, (H, W) bool.

    >>> outline(np.array([[0, 1, 0, 0]], bool), width=1).astype(int)
    array([[1, 0, 1, 0]])
    """
    grown = mask
    for _ in range(width):
        p = np.pad(grown, 1)
        grown = grown | p[:-2, 1:-1] | p[2:, 1:-1] | p[1:-1, :-2] | p[1:-1, 2:]
    return grown & ~mask


def draw_mask(image: np.ndarray, mask: np.ndarray, width: int = 2) -> np.ndarray:
    """The image, untouched inside the mask, darkened outside, with a bright line around the mask. (h, w, 3) uint8."""
    inside = fit_mask(mask, image.shape[:2])
    drawn = np.where(inside[..., None], image, (image * OUTSIDE_SHARE).astype(np.uint8))
    drawn[outline(inside, width)] = CONTOUR
    return drawn


def masked_tile(image: np.ndarray, mask: np.ndarray, side: int) -> np.ndarray:
    """The image with its mask, centred on a white (side, side, 3) square that it touches; nothing is cut off."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if size != (width, height):
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    tile = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = draw_mask(image, mask)
    return tile


def strip(tiles: list[np.ndarray]) -> np.ndarray:
    """Square tiles of one size side by side on white, `TILE_GAP` apart: (side, n * side + (n - 1) * gap, 3) uint8."""
    side = tiles[0].shape[0]
    gap = round(side * TILE_GAP)
    canvas = np.full((side, len(tiles) * side + (len(tiles) - 1) * gap, 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        canvas[:, k * (side + gap) : k * (side + gap) + side] = tile
    return canvas


def grey_placeholder(side: int) -> np.ndarray:
    """What is shown in place of an image that is no longer there: a grey square with a cross, (side, side, 3) uint8."""
    tile = np.full((side, side, 3), 205, np.uint8)
    across = np.abs(np.subtract.outer(np.arange(side), np.arange(side))) <= max(1, side // 100)
    tile[across | across[:, ::-1]] = 170
    return tile
