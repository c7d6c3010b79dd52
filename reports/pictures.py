"""The images and masks of a run, for figures and for the page.

    pictures = Pictures(run)
    strip = pictures.strip(population, position, 3)   # a unit's three strongest images with masks, side by side
    pictures.missing                                  # names of the images that could not be read so far

An image that has gone since the run becomes a grey square: a report is made all the same, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from dissect.run_store import Run, StrongestMasks
from reports.crew import Crew
from reports.overlay import grey_placeholder, masked_tile, read_image, strip, thumbnail_jpegs
from reports.summary import Population

TILE = 224
"""Side of an image in a figure, pixels."""
PORTION = 48
"""Images that are read in one go, by whoever is free."""


class Strips(Protocol):
    """Whoever has the pictures that figures show: `Pictures` of one run, or those of several."""

    @property
    def n_strongest(self) -> int: ...

    def strip(self, population: Population, position: int, n_images: int) -> np.ndarray | None: ...


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
                path, stated = self._file(image)
                pixels = read_image(path, TILE, stated)
                if pixels is None:
                    self.missing.add(self.names[image])
                    tiles.append(grey_placeholder(TILE))
                else:
                    tiles.append(masked_tile(pixels, strongest.mask(row, rank), TILE))
        return strip(tiles) if tiles else None

    def thumbnails(self, images: Iterable[int], side: int, crew: Crew, done: Callable[[int, int], None]) -> list[bytes]:
        """Each image as a small JPEG, in the order given; nothing (b"") where it cannot be read.

        done: called with the number finished and the number in all.
        """
        images, files = list(images), list[bytes]()
        portions = [images[start : start + PORTION] for start in range(0, len(images), PORTION)]
        tasks = [crew.submit(thumbnail_jpegs, [self._file(image) for image in portion], side) for portion in portions]
        for portion, task in zip(portions, tasks, strict=True):
            jpegs = crew.result(task)
            for image, jpeg in zip(portion, jpegs, strict=True):
                if jpeg is None:
                    self.missing.add(self.names[image])
                files.append(jpeg or b"")
                done(len(files), len(images))
        return files

    def _file(self, image: int) -> tuple[Path, tuple[int, int] | None]:
        """Where an image lies, and the size stated for it if the run turned it."""
        name = self.names[image]
        return self._run.image_root / name, self._turned.get(name)
