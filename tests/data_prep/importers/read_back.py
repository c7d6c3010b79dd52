"""What tests of importers share: making pictures, importing at the size of the source, and reading a set back by name.

back = read_back(import_whole("masks", folder, out))
back["a.jpg"]["object", "cat"]                          # (H, W) bool
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from data_prep import open_broden
from data_prep.broden_check import check_broden
from data_prep.importers import ImportOptions, import_labels

Shown = dict[tuple[str, str], np.ndarray]


def picture(path: Path, shape: tuple[int, int] = (6, 8), colour: tuple[int, int, int] = (90, 120, 60)) -> Path:
    """A plain image (H, W) of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", shape[::-1], colour).save(path)
    return path


def import_whole(format: str, path: Path, out: Path, where: dict | None = None, **options) -> Path:
    """Import with label maps and images of the size of the source; the set must be without fault."""
    chosen = ImportOptions(**{"label_size": "source", "image_size": "source", **options})
    root = import_labels(format, path, out, options=chosen, **(where or {})).root
    report = check_broden(root)
    assert (report.n_faults, report.n_warnings) == (0, 0), [*report.faults, *report.warnings]
    return root


def read_back(root: Path) -> dict[str, Shown]:
    """Image name -> (category, label) -> its pixels, in whichever plane; a label of the whole image has all of them.

    (category, "") is there for each category that was annotated, with the pixels that carry none of its labels.
    """
    data = open_broden(root)
    found: dict[str, Shown] = {}
    for index, image in enumerate(data.images):
        labels, shown = data.read_labels(index), {}
        for plane, k in zip(labels.planes, labels.plane_category.tolist(), strict=True):
            for concept in np.unique(plane[plane >= 0]).tolist():
                key = data.concepts[concept].category, data.concepts[concept].name
                shown[key] = shown.get(key, False) | (plane == concept)
            shown.setdefault((data.categories[k], ""), np.ones(plane.shape, bool))
        for concept in labels.whole_image.tolist():
            shown[data.concepts[concept].category, data.concepts[concept].name] = np.ones(image.label_shape, bool)
        for category in {category for category, _ in shown}:
            named = [mask for (of, name), mask in shown.items() if of == category and name]
            shown[category, ""] = ~np.any(named, axis=0) if named else np.ones(image.label_shape, bool)
        found[image.name] = shown
    return found


def same(shown: Shown, expected: dict[tuple[str, str], np.ndarray]) -> bool:
    """Whether exactly these labels have exactly these pixels."""
    named = {key: mask for key, mask in shown.items() if key[1]}
    return named.keys() == expected.keys() and all((named[key] == mask).all() for key, mask in expected.items())


def box(shape: tuple[int, int], top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """(H, W) bool, true from row `top` to below `bottom` and column `left` to before `right`."""
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask
