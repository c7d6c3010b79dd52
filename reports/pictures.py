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

from dissect.run_store import Run, StrongestMasks
from reports.overlay import grey_placeholder, masked_tile, read_image, strip, thumbnail_jpeg
from reports.summary import Population

TILE = 224
"""Side of an image in a figure, pixels."""


class Pictures:
    """Reads the images of a run by their position in `images.csv`, and remembers which could not be read."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.names: list[str] = [str(name) for name in run.images["name"]]
        self.missing: set[str] = set()
        self._turned = {one["name"]: tuple(one["shape"]) for one in run.info["data"].get("turned", [])}
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
                pixels = read_image(self._run.image_root / self.names[image], TILE, self._turned.get(self.names[image]))
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
            jpeg = thumbnail_jpeg(
                self._run.image_root / self.names[image], side, stated=self._turned.get(self.names[image])
            )
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
