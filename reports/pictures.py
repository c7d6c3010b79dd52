"""The images and masks of a run, for figures and for the page.

    pictures = Pictures(run)
    strip = pictures.strip(population, position, 3)   # a unit's three strongest images with masks, side by side
    pictures.missing                                  # names of the images that could not be read so far

An image that has gone since the run becomes a grey square: a report is made all the same, and says so.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from PIL import Image

from dissect.run_store import Run, StrongestMasks
from reports.overlay import fit_mask, grey_placeholder, masked_tile, read_image, strip, thumbnail_jpeg
from reports.summary import Population

MASK_SIDE = 80
"""Longest side of a mask in the page's small pictures; a larger mask is reduced to it (figures use it as it is)."""
TILE = 224
"""Side of an image in a figure, pixels."""


class Pictures:
    """Reads the images of a run by their position in `images.csv`, and remembers which could not be read."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.names: list[str] = [str(name) for name in run.images["name"]]
        self.missing: set[str] = set()
        self.strongest: Callable[[str], StrongestMasks] = cache(run.strongest_masks)

    @property
    def n_strongest(self) -> int:
        """How many images the run kept of each unit."""
        return max((self.strongest(str(n["name"])).image.shape[1] for n in self._run.networks), default=0)

    def strip(self, population: Population, position: int, n_images: int) -> np.ndarray | None:
        """The unit's strongest images with its mask, (TILE, n * TILE + gaps, 3) uint8; None where it has none."""
        strongest, row = self.strongest(population.network), int(population.rows[position])
        tiles = []
        for rank, image in enumerate(strongest.image[row][:n_images]):
            if image >= 0:
                pixels = read_image(self._run.image_root / self.names[image], TILE)
                if pixels is None:
                    self.missing.add(self.names[image])
                    tiles.append(grey_placeholder(TILE))
                else:
                    tiles.append(masked_tile(pixels, strongest.mask(row, rank), TILE))
        return strip(tiles) if tiles else None

    def thumbnails(self, images: Iterable[int], side: int, done: Callable[[int, int], None]) -> list[str]:
        """Each image as a small JPEG in base64, in the order given; an empty string where it cannot be read.

        done: called with the number finished and the number in all.
        """

        def encode(image: int) -> str:
            jpeg = thumbnail_jpeg(self._run.image_root / self.names[image], side)
            if jpeg is None:
                self.missing.add(self.names[image])
                return ""
            return base64.b64encode(jpeg).decode("ascii")

        images, encoded = list(images), []
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for text in pool.map(encode, images):
                encoded.append(text)
                done(len(encoded), len(images))
        return encoded


def encode_mask(mask: np.ndarray) -> str:
    """A mask as base64 text for the page: a byte each for width and height, then the lengths of its runs.

    mask: (H, W) bool, reduced to `MASK_SIDE` where larger. Runs go along the rows; the first is outside, outside and
    inside alternate, and the last is left out. A length below 128 is one byte; a longer one is two, the low 7 bits with
    the top bit set, then the rest (below 2^14, as 80 * 80 is).

    >>> encode_mask(np.array([[0, 0, 1, 0]], bool)) == base64.b64encode(bytes([4, 1, 2, 1])).decode()
    True
    """
    if max(mask.shape) > MASK_SIDE:
        scale = MASK_SIDE / max(mask.shape)
        shape = tuple(max(1, round(n * scale)) for n in mask.shape)
        reduced = fit_mask(mask, shape)
        if mask.any() and not reduced.any():  # too small a region to fill half a pixel is still a region
            coverage = Image.fromarray(mask.astype(np.float32)).resize(shape[::-1], Image.Resampling.BOX)
            reduced = np.asarray(coverage) > 0
        mask = reduced
    flat = np.concatenate([[False], mask.ravel()])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(starts, prepend=0)
    long = runs > 127
    pairs = np.stack([(runs & 127) | (long << 7), runs >> 7], axis=1).astype(np.uint8)
    kept = pairs[np.stack([np.ones_like(long), long], axis=1)]
    height, width = mask.shape
    return base64.b64encode(bytes((width, height)) + kept.tobytes()).decode("ascii")
