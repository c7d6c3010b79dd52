"""Small Broden sets, made by hand or at random.

root = write_broden(folder, {"color": [1, 2], "object": [2, 3]}, pictures)
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

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
    (root / "images").mkdir(parents=True)
    numbers = sorted({number for members in categories.values() for number in members})
    served = {n: [name for name, members in categories.items() if n in members] for n in numbers}
    _table(root / "category.csv", ["name"], [[name] for name in categories])
    labels = [[n, f"label-{n}", ";".join(f"{name}(1)" for name in served[n]), 1, 1, ""] for n in numbers]
    # Broden itself lists label 0; it must not become a concept.
    labels.insert(0, [0, "-", "", 0, 0, ""])
    _table(root / "label.csv", ["number", "name", "category", "frequency", "coverage", "syns"], labels)
    for name, members in categories.items():
        rows = [[code, n, f"label-{n}", 1, 1] for code, n in enumerate(members, 1)]
        _table(root / f"c_{name}.csv", ["code", "number", "name", "frequency", "coverage"], rows)
    index = [_write_picture(root / "images", i, picture, categories) for i, picture in enumerate(pictures)]
    _table(root / "index.csv", ["image", "split", "ih", "iw", "sh", "sw", *categories], index)
    return root


def _write_picture(folder: Path, i: int, picture: Picture, categories: Categories) -> list[object]:
    Image.fromarray(picture.pixels).save(folder / f"{i}.png")
    tokens: dict[str, list[str]] = {name: [] for name in categories}
    for p, (category, plane) in enumerate(picture.planes):
        rgb = np.zeros((*picture.label_shape, 3), np.uint8)
        rgb[..., 0], rgb[..., 1] = plane % 256, plane // 256
        Image.fromarray(rgb).save(folder / f"{i}_{category}_{p}.png")
        tokens[category].append(f"{i}_{category}_{p}.png")
    for category, number in picture.whole:
        tokens[category].append(str(number))
    fields = [";".join(tokens[name]) for name in categories]
    return [f"{i}.png", "train", *picture.pixels.shape[:2], *picture.label_shape, *fields]


def _table(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


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
