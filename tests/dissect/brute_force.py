"""Network dissection by the letter of its definitions: dense, slow and shared with no part of the toolkit.

    reference = brute_force([maps_18, maps_20], read_broden("data/broden"))
    reference.intersection_area            # (U, C) int64
    reference.mask_area["category"]        # (U, K) int64

Maps are raw activations (N, U, h, w) float32, one array for each layer, in the order of index.csv; the units of all layers count
through. Every pixel of every mask is settled exactly: bilinear weights are integers over 4HW, and where rounding could
decide whether a value lies above its threshold, rational arithmetic does. Letters: `N` images, `U` units, `C` concepts,
`K` categories, `h w` map, `H W` label map. Source: Bau, Zhou, Khosla, Oliva, Torralba, "Network Dissection", CVPR 2017.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

UNION_RULES = ("category", "all-images", "touched")


@dataclass
class PlainImage:
    """One row of index.csv: label maps and image-level label numbers by category."""

    name: str
    shape: tuple[int, int]
    maps: list[tuple[str, Path]] = field(default_factory=list)
    whole: list[tuple[str, int]] = field(default_factory=list)


@dataclass
class PlainBroden:
    """concepts: (category, label number), by number, then by the order of category.csv."""

    categories: list[str]
    concepts: list[tuple[str, int]]
    images: list[PlainImage]

    def dense_labels(self, image: PlainImage) -> dict[int, np.ndarray]:
        """Concept -> (H, W) bool: where the image carries it, in whatever plane. Concepts without a pixel are left out."""
        index = {concept: c for c, concept in enumerate(self.concepts)}
        where: dict[int, np.ndarray] = {}
        for category, path in image.maps:
            pixels = np.asarray(Image.open(path)).astype(int)
            numbers = pixels[:, :, 0] + 256 * pixels[:, :, 1]
            assert numbers.shape == image.shape
            for number in set(numbers.ravel().tolist()) - {0}:
                c = index[category, number]
                where[c] = where.get(c, np.zeros(image.shape, bool)) | (numbers == number)
        for category, number in image.whole:
            where[index[category, number]] = np.ones(image.shape, bool)
        return where


def read_broden(root: str | Path) -> PlainBroden:
    """The tables of a Broden set that is known to be sound."""
    root = Path(root)
    categories = [row["name"] for row in _rows(root / "category.csv")]
    pairs = [
        (int(row["number"]), categories.index(category))
        for row in _rows(root / "label.csv")
        for category in re.findall(r"([^();]+)\(", row["category"])
        if int(row["number"]) > 0
    ]
    images = []
    for row in _rows(root / "index.csv"):
        image = PlainImage(row["image"], (int(row["sh"]), int(row["sw"])))
        for category in categories:
            for entry in filter(None, row[category].split(";")):
                if not entry.isdecimal():
                    image.maps.append((category, root / "images" / entry))
                elif int(entry) > 0:
                    image.whole.append((category, int(entry)))
        images.append(image)
    return PlainBroden(categories, [(categories[k], number) for number, k in sorted(pairs)], images)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@dataclass
class Reference:
    """What dissection must find; units of all layers, layer after layer."""

    thresholds: np.ndarray  # (U,) float32
    maximum: np.ndarray  # (U,) float32
    intersection_area: np.ndarray  # (U, C) int64
    mask_area: dict[str, np.ndarray]  # union rule -> (U, K) int64
    concept_area: np.ndarray  # (C,) int64
    n_images: np.ndarray  # (C,) int64: images that carry the concept
    category_of: np.ndarray  # (C,) category of each concept

    @property
    def dead(self) -> np.ndarray:
        return self.maximum <= self.thresholds

    def iou(self, rule: str = "category") -> np.ndarray:
        """(U, C) float64: I / (A + G - I); 0 where there is nothing to divide by."""
        union = self.mask_area[rule][:, self.category_of] + self.concept_area - self.intersection_area
        return np.where(union > 0, self.intersection_area / np.maximum(union, 1), 0.0)

    def label(self, rule: str = "category") -> np.ndarray:
        """(U,) the concept with the highest IoU, the first of equals; -1 for a dead unit, or one that meets no concept."""
        iou = self.iou(rule)
        best = np.array([row.tolist().index(max(row)) for row in iou], int)
        return np.where(self.dead | (iou.max(axis=1) == 0), -1, best)

    def detector(self, rule: str = "category", iou_threshold: float = 0.04) -> np.ndarray:
        return ~self.dead & (self.iou(rule).max(axis=1) > iou_threshold)


def brute_force(layers: list[np.ndarray], broden: PlainBroden, level: float = 0.995, skip: bool = False) -> Reference:
    """All counts of all units. `skip` passes over maps whose maximum is not above the threshold: interpolation is a
    convex combination, so their masks are empty."""
    # Adding 0 gives zero one sign: which of the equals -0.0 and 0.0 is met first means nothing.
    thresholds = np.concatenate([_thresholds(maps, level) for maps in layers]) + np.float32(0)
    maximum = np.concatenate([maps.max(axis=(0, 2, 3)) for maps in layers]) + np.float32(0)
    n_units, n_concepts, n_categories = len(thresholds), len(broden.concepts), len(broden.categories)
    category_of = np.array([broden.categories.index(category) for category, _ in broden.concepts], int)
    intersection = np.zeros((n_units, n_concepts), np.int64)
    area = {rule: np.zeros((n_units, n_categories), np.int64) for rule in UNION_RULES}
    concept_area, n_images = np.zeros(n_concepts, np.int64), np.zeros(n_concepts, np.int64)
    first_unit = np.cumsum([0, *(maps.shape[1] for maps in layers)])
    for i, image in enumerate(broden.images):
        labels = broden.dense_labels(image)
        here = np.array(list(labels), int)
        stack = np.array([labels[c].ravel() for c in here], bool).reshape(
            len(here), -1 if labels else np.prod(image.shape)
        )
        concept_area[here] += stack.sum(axis=1)
        n_images[here] += 1
        for first, maps in zip(first_unit, layers, strict=False):
            units = np.arange(maps.shape[1])
            if skip:
                units = units[maps[i].max(axis=(1, 2)) > thresholds[first + units]]
            for some in np.array_split(units, max(1, len(units) // 64)):
                rows = first + some
                masks = exact_masks(maps[i][some], thresholds[rows], *image.shape).reshape(len(some), stack.shape[1])
                size, overlap = masks.sum(axis=1), _overlap(masks, stack)
                intersection[np.ix_(rows, here)] += overlap
                area["all-images"][rows] += size[:, None]
                for k in set(category_of[here].tolist()):
                    met = overlap[:, category_of[here] == k].any(axis=1)
                    area["category"][rows, k] += size
                    area["touched"][rows, k] += np.where(met, size, 0)
    return Reference(thresholds, maximum, intersection, area, concept_area, n_images, category_of)


def _thresholds(maps: np.ndarray, level: float) -> np.ndarray:
    return np.array([quantile(maps[:, u].ravel(), level) for u in range(maps.shape[1])], np.float32)


def quantile(values: np.ndarray, level: float) -> np.float32:
    """`numpy.quantile`. Before 2.4 numpy rounded the level and the rank to float32, which names another order statistic
    of many values; there the rank is found in float64 and only the step between two values is left to numpy."""
    if tuple(int(part) for part in np.__version__.split(".")[:2]) >= (2, 4):
        return np.quantile(values, level)
    rank = (len(values) - 1) * level
    ordered = np.append(np.sort(values), np.float32(np.inf))[int(rank) : int(rank) + 2]
    return np.quantile(ordered, rank - int(rank)) if rank > int(rank) else ordered[0]


def _overlap(masks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(u, HW) and (n, HW) bool to (u, n) int64: pixels in both."""
    unit, pixel = np.divmod(np.flatnonzero(masks), masks.shape[1])
    both = [np.bincount(unit[label[pixel]], minlength=len(masks)) for label in labels]
    return np.array(both, np.int64).reshape(len(labels), len(masks)).T


def exact_masks(maps: np.ndarray, thresholds: np.ndarray, height: int, width: int) -> np.ndarray:
    """(u, h, w) float32 maps to (u, H, W) bool: bilinear interpolation, half-pixel centres, edges clamped, strictly above.

    Compares 4HW times the value with 4HW times the threshold. The products of a float32 with the integer weights are
    exact in float64, so only sums round; a comparison closer than their rounding is done again with fractions.
    """
    rows, columns = weights(maps.shape[1], height), weights(maps.shape[2], width)
    scale = 4 * height * width
    wide, limit = maps.astype(np.float64), scale * thresholds.astype(np.float64)[:, None, None]
    value = rows @ wide @ columns.T
    masks = value > limit
    slack = 1e-12 * scale * np.maximum(abs(wide).max(axis=(1, 2)), abs(thresholds))[:, None, None]
    unit, y, x = np.unravel_index(np.flatnonzero(abs(value - limit) <= slack), value.shape)
    low, high = np.full(len(unit), np.inf), np.full(len(unit), -np.inf)
    for corner in _corners(rows, columns, y, x):
        used = rows[y, corner[0]] * columns[x, corner[1]] > 0
        at = wide[unit, corner[0], corner[1]]
        low, high = np.where(used, np.minimum(low, at), low), np.where(used, np.maximum(high, at), high)
    own = thresholds[unit].astype(np.float64)
    masks[unit, y, x] = (low >= own) & (high > own)  # right wherever the corners do not straddle the threshold
    for n in np.flatnonzero((low < own) & (high > own)):
        corners = {(a[n], b[n]) for a, b in _corners(rows, columns, y, x)}
        parts = [Fraction(int(rows[y[n], a] * columns[x[n], b])) * Fraction(wide[unit[n], a, b]) for a, b in corners]
        masks[unit[n], y[n], x[n]] = sum(parts) > scale * Fraction(float(own[n]))
    return masks


@cache
def weights(n: int, size: int) -> np.ndarray:
    """(size, n) whole numbers: 2 * size times the weight of each of n samples at each of `size` pixel centres.

    Pixel i lies at (i + 1/2) n / size - 1/2 in units of samples, held inside the first and the last sample.
    """
    matrix = np.zeros((size, n))
    for i in range(size):
        place = min(max((2 * i + 1) * n - size, 0), 2 * size * (n - 1))
        lower, part = divmod(place, 2 * size)
        matrix[i, lower] += 2 * size - part
        if part:
            matrix[i, lower + 1] += part
    return matrix


def _corners(
    rows: np.ndarray, columns: np.ndarray, y: np.ndarray, x: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The four samples that pixels (y, x) lie between; the second of a pair may carry no weight."""
    top, left = (rows > 0).argmax(axis=1)[y], (columns > 0).argmax(axis=1)[x]
    below, right = np.minimum(top + 1, rows.shape[1] - 1), np.minimum(left + 1, columns.shape[1] - 1)
    return [(top, left), (top, right), (below, left), (below, right)]
