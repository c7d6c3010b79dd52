"""Polygons, run lengths and simple shapes as masks, (H, W) bool.

    polygon_mask([[0, 0, 4, 0, 4, 3, 0, 3]], (10, 10), "a.json, annotations[0]")
    rle_mask({"size": [10, 10], "counts": [3, 2, 95]}, (10, 10), "a.json, annotations[0]")

Polygons and run lengths are those of COCO and are drawn by its own library, `pycocotools`: x right, y down, whole numbers are
corners of pixels; what lies outside the image is cut off. Run lengths go down the columns and begin with the zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_prep.formats import BadImageError

FAR = 1e6
"""Pixels that a corner may lie away from the image: beyond it, the number is damage."""


def polygon_mask(polygons: Sequence[Sequence[float]], shape: tuple[int, int], where: str) -> np.ndarray:
    """The pixels of all polygons together, each x, y, x, y, ...; raises `BadImageError` for what is no polygon."""
    from pycocotools import mask as masks

    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2 or not all(_is_number(value) for value in polygon):
            raise BadImageError(f"{where} has a polygon that is no list of three or more x, y: correct it.")
    runs = masks.frPyObjects([list(map(float, polygon)) for polygon in polygons], *shape)
    return masks.decode(masks.merge(runs)).astype(bool)


def rle_mask(segmentation: dict[str, Any], shape: tuple[int, int], where: str) -> np.ndarray:
    """The mask of run lengths, a list or COCO's compressed text. Raises `BadImageError` where they are of another image."""
    from pycocotools import mask as masks

    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != list(shape):
        raise BadImageError(f"{where} has run lengths of size {size}, but the image is {list(shape)}: correct one.")
    if isinstance(counts, str):
        counts = _counts(counts)
    if not isinstance(counts, list) or not all(isinstance(n, int) and n >= 0 for n in counts):
        counts = []
    if sum(counts) != shape[0] * shape[1]:
        raise BadImageError(
            f"{where} has run lengths that do not add up to the {shape[0] * shape[1]:,} pixels: export it again."
        )
    return masks.decode(masks.frPyObjects({"size": size, "counts": counts}, *shape)).astype(bool)


def _counts(text: str) -> list[int] | None:
    """Run lengths from COCO's text, checked here since its library trusts them; None where they are damaged.

    Five bits a character, lowest first, from "0" on; bit 5 says that more follow, bit 4 of the last is the sign. From the fourth
    on, each is the difference to the one two before (`rleFrString` in cocoapi's maskApi.c).
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 35:
            return None
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) and 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return None if shift else counts


def rectangle_mask(box: Sequence[float], shape: tuple[int, int], turn: float = 0.0) -> np.ndarray:
    """The pixels whose centres lie in the rectangle left, top, right, bottom, turned clockwise by degrees about its middle."""
    left, top, right, bottom = box
    across, down = _about_centre((left + right) / 2, (top + bottom) / 2, shape, turn)
    return (np.abs(across) <= abs(right - left) / 2) & (np.abs(down) <= abs(bottom - top) / 2)


def ellipse_mask(
    centre: tuple[float, float], radii: tuple[float, float], shape: tuple[int, int], turn: float = 0.0
) -> np.ndarray:
    """The pixels whose centres lie in the ellipse, `centre` and `radii` as x, y, turned clockwise by degrees."""
    across, down = _about_centre(*centre, shape, turn)
    wide, high = (max(radius, 1e-9) for radius in radii)
    return (across / wide) ** 2 + (down / high) ** 2 <= 1


def _about_centre(x: float, y: float, shape: tuple[int, int], turn: float) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel's centre lies from (x, y), along the axes of what is turned."""
    down, across = np.ogrid[: shape[0], : shape[1]]
    down, across = down + 0.5 - y, across + 0.5 - x
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return across * cos + down * sin, down * cos - across * sin


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) <= FAR
