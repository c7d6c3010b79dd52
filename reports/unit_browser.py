"""Every unit of a run as one compact table for the page's browser of units.

    data = browser_table(run, populations(run), Pictures(run), categories, crew=Crew(0))
    html = htmlsafe_json_dumps(data)      # goes into the page, and unit_browser.js draws from it

Each image that some unit needs is held once, as a small JPEG; a mask is a short text (`reports.mask_text`). Columns instead
of rows, numbers rounded as they are shown: 2,800 units on 2,862 images stay below 20 MB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dissect.run_store import Run, StrongestMasks
from reports.crew import Crew
from reports.mask_text import encode_masks
from reports.pictures import Pictures
from reports.style import one_line
from reports.summary import Population, layer_title, network_title

PAGE_BYTES = 18_000_000
"""How many bytes the images and masks of a page may take; beyond it the strips get shorter, then the images smaller."""
MAX_STRIP = 8
_MASK_BYTES = 170
_SIDES = {112: 3600, 80: 2400, 56: 1700}
"""Side of a thumbnail in pixels, and the bytes that one takes as text, with room to spare."""


def choose_size(image: Sequence[np.ndarray], budget: int = PAGE_BYTES) -> tuple[int, int]:
    """How many images a strip gets, and how large they are, so that the page stays within `budget` bytes.

    image: (U, N) arrays of image positions, -1 for none. Prefers large thumbnails to long strips of more than 3 images.

    >>> choose_size([np.arange(10).reshape(2, 5)])
    (5, 112)
    >>> choose_size([np.arange(10).reshape(2, 5)], budget=25_000)
    (3, 112)
    """
    longest = min(MAX_STRIP, max((a.shape[1] for a in image), default=0))
    for side, thumbnail in _SIDES.items():
        for n in range(longest, min(3, longest) - 1, -1):
            shown = np.concatenate([a[:, :n].ravel() for a in image]) if image else np.zeros(0, int)
            shown = shown[shown >= 0]
            if len(np.unique(shown)) * thumbnail + len(shown) * _MASK_BYTES <= budget:
                return n, side
    return min(3, longest), min(_SIDES)


def browser_table(
    run: Run,
    pops: Sequence[Population],
    pictures: Pictures,
    categories: Sequence[str],
    *,
    crew: Crew,
    done: Callable[[int, int], None] = lambda n, total: None,
    budget: int = PAGE_BYTES,
) -> dict[str, Any]:
    """The table as plain lists and numbers, ready for JSON.

    crew: makes the thumbnails. done: called with the number made so far, and of all. budget: bytes, as for `choose_size`.
    """
    strongest = {name: pictures.strongest(name) for name in dict.fromkeys(p.network for p in pops)}
    n_images, side = choose_size([s.image for s in strongest.values()], budget)
    masks = {name: _masks(source, n_images) for name, source in strongest.items()}
    position: dict[int, int] = {}  # image position in the run -> in the page
    concepts: dict[tuple[str, str], int] = {}
    titles = {str(n["name"]): network_title(n) for n in run.networks}
    data: dict[str, Any] = {
        "populations": [
            [titles.get(p.network, p.network), layer_title(p.layer), one_line(p.operator), one_line(p.module)]
            for p in pops
        ],
        "categories": list(categories),
        "side": side,
        "population": [],
        "unit": [],
        "threshold": [],
        "concept": [],
        "iou": [],
        "detector": [],
        "dead": [],
        "images": [],
        "peaks": [],
        "masks": [],
    }
    for k, p in enumerate(pops):
        source = strongest[p.network]
        for unit, row in zip(p.units.to_dict("records"), p.rows, strict=True):
            ranks = [rank for rank in range(n_images) if source.image[row, rank] >= 0]
            data["population"].append(k)
            data["unit"].append(int(unit["unit"]))
            data["threshold"].append(_short(unit["threshold"]))
            key = (unit["category"], unit["label"])
            data["concept"].append(concepts.setdefault(key, len(concepts)) if unit["label"] else -1)
            data["iou"].append(round(float(unit["iou"]), 4))
            data["detector"].append(int(unit["detector"]))
            data["dead"].append(int(unit["dead"]))
            data["images"].append([position.setdefault(int(source.image[row, r]), len(position)) for r in ranks])
            data["peaks"].append([_short(source.peak[row, r]) for r in ranks])
            data["masks"].append(masks[p.network][row, ranks].tolist())
    data["concepts"] = [[categories.index(c) if c in categories else -1, one_line(label)] for c, label in concepts]
    data["names"] = [one_line(pictures.names[i]) for i in position]
    data["thumbnails"] = pictures.thumbnails(position, side, crew, done)
    return data


def _masks(source: StrongestMasks, n_images: int) -> np.ndarray:
    """(U, n_images) texts, of every unit's masks on its strongest images."""
    texts = np.full((len(source.image), n_images), "", object)
    unit_rows, ranks = np.nonzero(source.image[:, :n_images] >= 0)
    texts[unit_rows, ranks] = encode_masks(source, unit_rows, ranks)
    return texts


def _short(value: float) -> float | None:
    """Four significant digits; None where there is no number, which JSON cannot hold."""
    return float(f"{value:.4g}") if value is not None and math.isfinite(value) else None
