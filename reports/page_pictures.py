"""The images and masks of a page, each image once: inside the page, or in a folder beside it.

    pictures = PagePictures(members, outside=False)
    images, peaks, sheets = pictures.of_units(member, population)     # numbers of images and masks in the page
    stored = pictures.make(crew)                                      # the JPEG and PNG files themselves

Inside, so many images of a unit are shown, and so large, that the page stays below a size that mail and browsers bear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dissect.run_store import StrongestMasks
from reports.crew import Crew
from reports.mask_strips import mask_sheets, square_side
from reports.members import Member
from reports.style import one_line
from reports.summary import Population

PAGE_BYTES = 26_000_000
"""How many bytes the images and masks inside a page may take; beyond it the images get smaller, then the strips shorter."""
MAX_STRIP = 10
N_OF_CONCEPT = 6
"""How many images that show a concept its card has."""
_MASK_BYTES = 200
_SIDES = {224: 11_000, 160: 6200, 112: 3600, 80: 2400, 56: 1700}
"""Side of an image in pixels, and the bytes that one takes as text, with room to spare."""
_ROWS_OUTSIDE = 24
"""Units in one file of masks beside the page: a file each would be tens of thousands."""


def choose_size(image: Sequence[np.ndarray], n_more: int = 0, budget: int = PAGE_BYTES) -> tuple[int, int]:
    """How many images a strip gets, and how large they are, so that the page stays within `budget` bytes.

    image: (U, N) arrays of image numbers, -1 for none. n_more: images that the page shows besides. Prefers long strips to
    large images; at least 3 images, however many bytes they take.

    >>> choose_size([np.arange(10).reshape(2, 5)])
    (5, 224)
    >>> choose_size([np.arange(10).reshape(2, 5)], budget=45_000)
    (5, 112)
    """
    longest = min(MAX_STRIP, max((a.shape[1] for a in image), default=0))
    for n in range(longest, min(3, longest) - 1, -1):
        shown = np.concatenate([a[:, :n].ravel() for a in image]) if image else np.zeros(0, int)
        shown = shown[shown >= 0]
        for side, n_bytes in _SIDES.items():
            if (len(np.unique(shown)) + n_more) * n_bytes + len(shown) * _MASK_BYTES <= budget:
                return n, side
    return min(3, longest), min(_SIDES)


@dataclass(frozen=True)
class StoredPictures:
    """The files of a page's pictures: JPEG of each image (b"" where it cannot be read), PNG of each sheet of masks."""

    images: list[bytes]
    masks: list[bytes]


class PagePictures:
    """Which images a page shows and what they are called there: images are numbered as they are first asked for."""

    def __init__(self, members: Sequence[Member], *, outside: bool, budget: int = PAGE_BYTES) -> None:
        self._members = list(members)
        self._sources = {
            (k, name): member.pictures.strongest(name)
            for k, member in enumerate(members)
            for name in dict.fromkeys(p.network for p in member.pops)
        }
        # Images of different runs are different pictures, so each run's are numbered apart from the others'.
        first = np.cumsum([0, *(len(member.pictures.names) for member in members)])
        apart = [np.where(s.image >= 0, s.image + first[k], -1) for (k, _), s in self._sources.items()]
        self._detected = {concept for member in members for p in member.pops for concept in p.attributes}
        n_more = min(int(first[-1]), N_OF_CONCEPT * len(self._detected) * len(self._members))
        self.n_images, self.side = choose_size(apart, n_more, 10**12 if outside else budget)
        self.n_rows = _ROWS_OUTSIDE if outside else 1
        self.mask_side = square_side(self._sources.values())
        n_sheets = [math.ceil(len(source.image) / self.n_rows) for source in self._sources.values()]
        self._first_sheet = dict(zip(self._sources, np.cumsum([0, *n_sheets]).tolist(), strict=False))
        self._number: dict[tuple[int, int], int] = {}

    @property
    def names(self) -> list[str]:
        """The name of each image of the page."""
        return [one_line(self._members[k].pictures.names[image]) for k, image in self._number]

    def of_units(self, member: Member, p: Population) -> tuple[list[Any], list[Any], list[Any]]:
        """For each unit of a population: its images, their highest activations, and (sheet, row) of its masks."""
        k = self._members.index(member)
        source, first = self._sources[k, p.network], self._first_sheet[k, p.network]
        images, peaks, sheets = [], [], []
        for row in p.rows.tolist():
            ranks = self._ranks(source, row)
            images.append([self._image(k, int(source.image[row, rank])) for rank in ranks])
            peaks.append([_short(source.peak[row, rank]) for rank in ranks])
            sheets.append([first + row // self.n_rows, row % self.n_rows])
        return images, peaks, sheets

    def of_concepts(self, concepts: Sequence[tuple[str, str]]) -> list[list[int]]:
        """For each (category, label) that some unit detects: the images that show most of it, of each run in turn."""
        return [
            [self._image(k, image) for k, member in enumerate(self._members) for image in _showing(member, *concept)]
            if concept in self._detected
            else []
            for concept in concepts
        ]

    def make(self, crew: Crew, done: Callable[[int, int], None] = lambda n, total: None) -> StoredPictures:
        """Draw them all. done: called with the number of images made so far, and of all."""
        jpegs: dict[tuple[int, int], bytes] = {}
        for k, member in enumerate(self._members):
            mine = [image for number, image in self._number if number == k]
            made = member.pictures.thumbnails(
                mine, self.side, crew, partial(_tell, done, len(jpegs), len(self._number))
            )
            jpegs |= {(k, image): jpeg for image, jpeg in zip(mine, made, strict=True)}
        masks = [
            sheet
            for source in self._sources.values()
            for sheet in mask_sheets(source, self.n_images, self.mask_side, self.n_rows)
        ]
        return StoredPictures([jpegs[key] for key in self._number], masks)

    def _ranks(self, source: StrongestMasks, row: int) -> list[int]:
        """The ranks at which the unit has an image: the first ones, without gaps."""
        return [rank for rank in range(min(self.n_images, source.image.shape[1])) if source.image[row, rank] >= 0]

    def _image(self, k: int, image: int) -> int:
        return self._number.setdefault((k, image), len(self._number))


def _showing(member: Member, category: str, label: str) -> list[int]:
    """Numbers of the images of one run that show most of a concept, which only another run of the page may have, or
    which an imported run has no images of."""
    concepts = member.run.concepts
    if member.run.source or not ((concepts["category"] == category) & (concepts["label"] == label)).any():
        return []
    return member.run.images_with(label, category).nlargest(N_OF_CONCEPT, "area")["image"].tolist()


def _tell(done: Callable[[int, int], None], before: int, total: int, n: int, _: int) -> None:
    done(before + n, total)


def _short(value: float) -> float | None:
    """Four significant digits; None where there is no number, which JSON cannot hold."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
