"""A miniature data set in the Broden layout, drawn on the spot: nothing to download, the same bytes every time.

    from data_prep import mini_broden
    root = mini_broden.ensure()                      # drawn once, then found in the cache
    root = mini_broden.make(Path("mini"), n_images=100)

Images are 224 x 224 JPEG, label maps 112 x 112 PNG (label number = R + 256 * G). About a quarter of the images are
full-frame textures (texture and colour only), a sixth are single objects before a plain backdrop (no scene), the others
are scenes with objects, parts and materials. A label pixel is 2 x 2 image pixels; objects, parts and materials are
read at its centre from the very shapes that were painted (`shapes` states the rule), its colour name is that of the
mean of the four pixels as they stand in the JPEG. Layout after Bau et al. 2017; see `formats` for the encoding.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..common.errors import UserError
from ..common.terminal import Progress, silent
from ..drawn_sets import drawing_pool, kept, new_folder
from ..formats import encode_label_map
from . import colours, scenes, textures
from .shapes import MAP, PLANES, SIZE

VERSION = 2
"""Raised whenever the drawing changes; it names the cached set."""

CATEGORIES = ("color", "object", "part", "material", "scene", "texture")
TRAIN_SHARE = 0.7
_SCHEDULE = "tsostsstsosstsosstsstsots"
"""What image i shows, repeated: t a texture, o one object, s a scene. Mixed, so that any first few images have each."""
_FOLDERS = {"t": "texture", "o": "object", "s": "scene"}


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of one drawn image. `planes`: (category, (112, 112) codes into `names`); `whole`: (category, name)."""

    image: str
    planes: list[tuple[str, np.ndarray]]
    names: list[str]
    whole: list[tuple[str, str]]

    def shares(self) -> dict[tuple[str, str], float]:
        """(category, name) to the share of the image it covers; a pixel that has it in two planes counts once."""
        shares = dict.fromkeys(self.whole, 1.0)
        for category in {category for category, _ in self.planes}:
            stack = np.stack([plane for c, plane in self.planes if c == category])
            for code in np.unique(stack[stack > 0]):
                shares[category, self.names[code]] = float((stack == code).any(0).mean())
        return shares


def ensure(cache: Path | None = None, progress: Progress = silent) -> Path:
    """The root of the full set (400 images), drawn into `cache` (see `data_prep.common.caches`) if it is not there yet.

    `progress("drawing", done, total)` is called after each image. Two processes may call this at once: each draws into a
    folder of its own, the first to finish is kept.
    """
    return kept(f"mini-broden-v{VERSION}", "index.csv", lambda root: make(root, progress=progress), cache)


def make(
    root: Path, *, n_images: int = 400, seed: int = 0, progress: Progress = silent, workers: int | None = None
) -> Path:
    """Draws `n_images` images and their label maps into the new folder `root`, which appears only when complete.

    `progress("drawing", done, total)` is called after each image. Image i depends on `seed` and i alone, whatever `workers`
    (default: one for each core). Raises `UserError` if `root` is there and not empty, or cannot be written.
    """
    root = Path(root)
    if n_images < 1:
        raise UserError(f"`n_images` is {n_images}; a set needs at least 1 image: give a positive number.")
    with new_folder(root) as scratch:
        (scratch / "images").mkdir()
        _write_set(scratch, n_images=n_images, seed=seed, progress=progress, workers=workers)
    return root


def _write_set(root: Path, *, n_images: int, seed: int, progress: Progress, workers: int | None) -> None:
    for kind in _FOLDERS.values():
        (root / "images" / kind).mkdir()
    drawn = []
    with drawing_pool(workers) as pool:
        for labels in pool.map(partial(_draw_image, root / "images", seed), range(n_images)):
            drawn.append(labels)
            progress("drawing", len(drawn), n_images)
        drawn.sort(key=lambda labels: _hash(labels.image, "order"))
        numbers = _write_tables(root, drawn)
        rows = list(pool.map(partial(_write_label_maps, root / "images", numbers), drawn))
    _write_csv(root / "index.csv", ("image", "split", "ih", "iw", "sh", "sw", *CATEGORIES), rows)


def _subject(i: int) -> tuple[str, str]:
    """What image i shows: 't', 'o' or 's', and which one; each kind goes round its list."""
    turn, place = divmod(i, len(_SCHEDULE))
    kind = _SCHEDULE[place]
    count = turn * _SCHEDULE.count(kind) + _SCHEDULE[:place].count(kind)
    subjects: Mapping[str, Mapping[str, object]] = {"t": textures.TEXTURES, "o": scenes.STUDIO, "s": scenes.SCENES}
    return kind, list(subjects[kind])[count % len(subjects[kind])]


def _draw_image(folder: Path, seed: int, i: int) -> _Labels:
    """Draws image i, writes its JPEG, and gives its labels."""
    rng = np.random.default_rng([seed, i])
    kind, subject = _subject(i)
    image = f"{_FOLDERS[kind]}/{subject}_{i:04d}.jpg"
    if kind == "t":
        rgb, planes, names, whole = textures.draw_texture(subject, rng), [], [""], [("texture", subject)]
    else:
        draw = scenes.draw_object if kind == "o" else scenes.draw_scene
        canvas = draw(subject, rng)
        rgb, names = canvas.rgb, canvas.names
        planes = [(c, plane) for c, plane in zip(PLANES, canvas.planes, strict=True) if plane.any()]
        whole = [("scene", f"{subject}-s")] if kind == "s" else []
    pixels = _write_jpeg(folder / image, rgb)
    named = colours.colour_codes(label_pixel_means(pixels)) + np.uint8(len(names) - 1)
    return _Labels(image, [("color", named), *planes], [*names, *colours.NAMES], whole)


def _write_jpeg(path: Path, rgb: np.ndarray) -> np.ndarray:
    """Writes (224, 224, 3) in [0, 1] and gives the pixels as a reader will see them, uint8."""
    memory = io.BytesIO()
    Image.fromarray((np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)).save(memory, "JPEG", quality=92, subsampling=0)
    path.write_bytes(memory.getvalue())
    return np.asarray(Image.open(memory).convert("RGB"))


def label_pixel_means(pixels: np.ndarray) -> np.ndarray:
    """(224, 224, 3) uint8 to (112, 112, 3) uint8: the mean of the 2 x 2 pixels of each label pixel, rounded."""
    side = SIZE // MAP
    blocks = pixels.reshape(MAP, side, MAP, side, 3).astype(np.uint16)
    return ((blocks.sum((1, 3)) + side * side // 2) // (side * side)).astype(np.uint8)


def _write_label_maps(folder: Path, numbers: dict[str, int], labels: _Labels) -> list[object]:
    """Writes the label maps of one image and gives its row of the index."""
    lookup = np.array([numbers.get(name, 0) for name in labels.names], np.int32)
    stem = labels.image.removesuffix(".jpg")
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for category, plane in labels.planes:
        count = sum(c == category for c, _ in labels.planes)
        path = f"{stem}_{category}{f'_{len(fields[category]) + 1}' if count > 1 else ''}.png"
        Image.fromarray(encode_label_map(lookup[plane])).save(folder / path)
        fields[category].append(path)
    for category, name in labels.whole:
        fields[category].append(str(numbers[name]))
    split = "train" if _hash(labels.image, "split") < TRAIN_SHARE else "val"
    return [labels.image, split, SIZE, SIZE, MAP, MAP, *(";".join(fields[c]) for c in CATEGORIES)]


def _hash(name: str, purpose: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{name}".encode()).digest()[:6], "big") / 2**48


def _write_tables(root: Path, drawn: list[_Labels]) -> dict[str, int]:
    """Writes label.csv, category.csv and c_*.csv; gives the number of each name. Frequency counts images, coverage
    sums shares of the image area; numbers go by falling frequency, then coverage, then name."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for labels in drawn:
        for concept, share in labels.shares().items():
            found[concept].append(share)
    served = {name: [c for c in CATEGORIES if (c, name) in found] for _, name in found}
    totals = {name: [found[c, name] for c in served[name]] for name in served}

    def rank(name: str) -> tuple[int, float, str]:
        return -sum(map(len, totals[name])), -sum(map(sum, totals[name])), name

    numbers = {name: n for n, name in enumerate(sorted(served, key=rank), 1)}
    rows = []
    for name, number in numbers.items():
        counts = sorted(((len(found[c, name]), c) for c in served[name]), key=lambda pair: (-pair[0], pair[1]))
        words = ";".join(f"{c}({n})" for n, c in counts)
        rows.append([number, name, words, sum(n for n, _ in counts), f"{sum(map(sum, totals[name])):.6f}", ""])
    _write_csv(root / "label.csv", ("number", "name", "category", "frequency", "coverage", "syns"), rows)
    _write_category_tables(root, found, numbers)
    return numbers


def _write_category_tables(root: Path, found: dict[tuple[str, str], list[float]], numbers: dict[str, int]) -> None:
    rows = []
    for category in CATEGORIES:
        names = [name for name in numbers if (category, name) in found]
        if not names:
            continue
        names.sort(key=lambda name: (-len(found[category, name]), -sum(found[category, name]), name))
        shares = [found[category, name] for name in names]
        table = [
            [k, numbers[n], n, len(s), f"{sum(s):.6f}"] for k, (n, s) in enumerate(zip(names, shares, strict=True), 1)
        ]
        _write_csv(root / f"c_{category}.csv", ("code", "number", "name", "frequency", "coverage"), table)
        span = [numbers[name] for name in names]
        rows.append((category, min(span), max(span), len(names), sum(map(len, shares))))
    rows.sort(key=lambda row: row[1])
    _write_csv(root / "category.csv", ("name", "first", "last", "count", "frequency"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
