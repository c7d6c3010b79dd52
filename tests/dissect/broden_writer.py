"""Small Broden sets, made by hand or at random.

root = write_broden(folder, {"color": [1, 2], "object": [2, 3]}, pictures)
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep import broden_writer

Categories = Mapping[str, Sequence[int]]
"""Category -> label numbers, in the order of category.csv."""


@dataclass
class Picture:
    """pixels: (H, W, 3) uint8. planes: (category, label numbers of the map's shape). whole: (category, label number)."""

    pixels: np.ndarray
    label_shape: tuple[int, int]
    planes: list[tuple[str, np.ndarray]] = field(default_factory=list)
    whole: list[tuple[str, int]] = field(default_factory=list)


def write_broden(root: Path, categories: Categories, pictures: Sequence[Picture]) -> Path:
    """Label n is called `label-n`. Pictures and label maps are PNG, so nothing is lost. Returns `root`."""
    labels = {category: {f"label-{n}": n for n in members} for category, members in categories.items()}
    with broden_writer.write_broden(root, list(categories), labels=labels) as writer:
        for i, picture in enumerate(pictures):
            file = io.BytesIO()
            Image.fromarray(picture.pixels).save(file, "PNG")
            writer.add(
                f"{i}.png",
                split="train",
                image_shape=picture.pixels.shape[:2],
                label_shape=picture.label_shape,
                planes=[_plane(category, numbers) for category, numbers in picture.planes],
                whole=[(category, f"label-{n}") for category, n in picture.whole],
                image=file.getvalue(),
            )
    # Broden itself lists label 0; it must not become a concept.
    header, *rows = (root / "label.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (root / "label.csv").write_text("".join([header, "0,-,,0,0,\n", *rows]), encoding="utf-8")
    return root


def _plane(category: str, numbers: np.ndarray) -> broden_writer.Plane:
    present, codes = np.unique(numbers, return_inverse=True)
    names = [f"label-{n}" if n else "" for n in present.tolist()]
    return broden_writer.Plane(category, codes.reshape(numbers.shape), names)


def numbered(i: int) -> np.ndarray:
    """(4, 4, 3) pixels that a look-up network reads as image `i`."""
    return np.full((4, 4, 3), (i % 256, i // 256, 0), np.uint8)


def random_pictures(
    rng: np.random.Generator, categories: Categories, label_shapes: Sequence[tuple[int, int]], n: int
) -> list[Picture]:
    """Rectangles of labels: up to three planes for each category, the later ones repeating part of the first; label numbers for
    the whole image, also of labels that a plane shows; empty planes; categories, and whole images, without labels."""
    pictures = []
    for i in range(n):
        shape = label_shapes[i % len(label_shapes)]
        picture = Picture(numbered(i), shape)
        for category, members in categories.items() if rng.random() < 0.9 else ():
            first = _rectangles(rng, members, shape)
            planes = [first, np.where(rng.random(shape) < 0.5, first, _rectangles(rng, members, shape)), first]
            picture.planes += [(category, plane) for plane in planes[: rng.integers(4)]]
            if rng.random() < 0.2:
                picture.planes.append((category, np.zeros(shape, int)))
            whole = rng.choice(members, rng.integers(1, len(members) + 1), replace=False) if rng.random() < 0.4 else ()
            picture.whole += [(category, int(number)) for number in whole]
        pictures.append(picture)
    return pictures


def _rectangles(rng: np.random.Generator, members: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
    plane = np.zeros(shape, int)
    for number in rng.choice(members, rng.integers(1, 4)):
        top, left = (rng.integers(side) for side in shape)
        plane[top : top + rng.integers(1, shape[0] + 1), left : left + rng.integers(1, shape[1] + 1)] = number
    return plane
