"""A miniature visual decathlon, drawn on the spot: ten small domains in the official layout, the same bytes every time.

    from data_prep import mini_decathlon
    from data_prep.decathlon import open_decathlon
    root = mini_decathlon.ensure()                       # drawn once (seconds), then found in the cache
    data = open_decathlon(root)
    data.domains                                         # ('mini-imagenet12', 'mini-aircraft', ...)

Each domain is named after the official one whose kind it imitates, carries its number in the ids, and keeps its quirks: class
folders for train and val, a flat shuffled test set, a stripped copy of its annotations, grey omniglot and daimlerpedcls, the
latter twice as high as wide. Two domains are files, eight are tars, one for each split. `mean_std.json` holds the
measured values. Results on it say whether a method works, never how well it does on the real decathlon.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.common.terminal import Progress, silent
from data_prep.decathlon_images import channel_counts, decode, mean_std_of
from data_prep.decathlon_tables import DOMAIN_NUMBERS, DOMAIN_STEP, MINI_PREFIX, SPLITS
from data_prep.drawn_sets import drawing_pool, kept, new_folder
from data_prep.mini_decathlon import figures, objects, shapes, strokes, textures

VERSION = 1
"""Raised whenever the drawing changes; it names the cached set."""

SPLIT_STEP = 10**5


@dataclass(frozen=True, slots=True)
class Domain:
    """How one domain is drawn. `n_images`: train, val, test. `draw(class name, rng)` gives (H, W, 3) or grey (H, W) uint8."""

    class_names: Sequence[str]
    draw: Callable[[str, np.random.Generator], np.ndarray]
    n_images: tuple[int, int, int]
    as_files: bool = False


DOMAINS = {
    "mini-imagenet12": Domain(sorted(objects.THINGS), objects.draw_thing, (600, 120, 200)),
    "mini-aircraft": Domain(sorted(objects.AIRCRAFT), objects.draw_aircraft, (300, 100, 150)),
    "mini-cifar100": Domain(sorted(shapes.SURFACED), shapes.draw_surfaced, (480, 112, 160)),
    "mini-daimlerpedcls": Domain(sorted(figures.CROSSING), figures.draw_crossing, (300, 100, 160)),
    "mini-dtd": Domain(sorted(textures.TEXTURES), textures.draw_texture, (300, 100, 150), as_files=True),
    "mini-gtsrb": Domain(sorted(shapes.SIGNS), shapes.draw_sign, (360, 108, 156)),
    "mini-vgg-flowers": Domain(sorted(textures.FLOWERS), textures.draw_flower, (300, 108, 156), as_files=True),
    "mini-omniglot": Domain(sorted(strokes.CHARACTERS), strokes.draw_character, (300, 100, 160)),
    "mini-svhn": Domain(sorted(strokes.DIGITS), strokes.draw_house_number, (400, 100, 160)),
    "mini-ucf101": Domain(sorted(figures.MOTIONS), figures.draw_motion, (320, 104, 160)),
}


def ensure(cache: Path | None = None, progress: Progress = silent) -> Path:
    """The root of the set, drawn into `cache` (default: `cache_folder()`) if it is not there yet.

    Two processes may call this at once: each draws into a folder of its own, the first to finish is kept.
    """
    return kept(f"mini-decathlon-v{VERSION}", "mean_std.json", lambda root: make(root, progress=progress), cache)


def make(root: str | Path, *, seed: int = 0, progress: Progress = silent, workers: int | None = None) -> Path:
    """Draws the ten domains into the new folder `root`, which appears only when complete.

    `progress("drawing", n_done, n_all)` counts images, as splits are done. Each image depends on `seed` and its own place alone,
    whatever `workers` (default: one for each core). Raises `UserError` if `root` is there and not empty, or cannot be written.
    """
    root = Path(root)
    with new_folder(root) as scratch:
        for folder in ("annotations", "data"):
            (scratch / folder).mkdir()
        _draw_all(scratch, seed, progress, workers)
    return root


def _draw_all(root: Path, seed: int, progress: Progress, workers: int | None) -> None:
    jobs = [(name, split) for name in DOMAINS for split in range(len(SPLITS))]
    n_all, n_done = sum(sum(domain.n_images) for domain in DOMAINS.values()), 0
    pack = {}
    with drawing_pool(workers) as pool:
        drawn = pool.map(partial(_draw_split, root, seed), *zip(*jobs, strict=True))
        for (name, split), counts in zip(jobs, drawn, strict=True):
            if SPLITS[split] == "train":
                mean, std = mean_std_of(counts)
                pack[name] = {"mean": mean.tolist(), "std": std.tolist()}
            n_done += DOMAINS[name].n_images[split]
            progress("drawing", n_done, n_all)
    (root / "mean_std.json").write_text(json.dumps({"pack": pack}, indent=1), encoding="utf-8")


def _draw_split(root: Path, seed: int, name: str, split: int) -> np.ndarray:
    """Draws, writes and counts one split; returns (3, 256), how many pixels have each value."""
    domain, what = DOMAINS[name], SPLITS[split]
    first = DOMAIN_NUMBERS[name.removeprefix(MINI_PREFIX)] * DOMAIN_STEP
    labels = np.sort(np.arange(domain.n_images[split]) % len(domain.class_names))
    if what == "test":
        labels = np.random.default_rng([seed, first, split]).permutation(labels)
    before = sum(domain.n_images[:split])
    counts, images, annotations, files = np.zeros((3, 256), np.int64), [], [], []
    for n, label in enumerate(labels.tolist(), 1):
        rng = np.random.default_rng([seed, first, split, n])
        data = _jpeg(domain.draw(domain.class_names[label], rng))
        pixels = decode(data, name)
        counts += channel_counts(pixels)
        folder = "" if what == "test" else f"{label + 1:04d}/"
        file_name, number = f"data/{name}/{what}/{folder}{n:06d}.jpg", first + split * SPLIT_STEP + before + n
        height, width = pixels.shape[:2]
        images.append({"id": number, "width": width, "height": height, "file_name": file_name})
        annotations.append(_annotation(number, first + label + 1))
        files.append((file_name, data))
    _write_files(root, name, what, files, as_files=domain.as_files)
    for suffix, known in (("", annotations), ("_stripped", [])) if what == "test" else (("", annotations),):
        text = {**_heading(name, domain.class_names, first), "images": images, "annotations": known}
        (root / "annotations" / f"{name}_{what}{suffix}.json").write_text(json.dumps(text), encoding="utf-8")
    return counts


def _jpeg(pixels: np.ndarray) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "JPEG", quality=90, subsampling=0)
    return memory.getvalue()


def _annotation(image: int, category: int) -> dict:
    rest = {"segmentation": [], "area": 0, "bbox": [], "iscrowd": 0}
    return {"id": image, "image_id": image, "category_id": category, **rest}


def _heading(name: str, class_names: Sequence[str], first: int) -> dict:
    info = {"year": 2017, "version": VERSION, "description": "miniature decathlon, drawn", "contributor": "", "url": ""}
    categories = [{"id": first + k, "name": each, "supercategory": name} for k, each in enumerate(class_names, 1)]
    return {"info": {**info, "date_created": ""}, "categories": categories, "licenses": []}


def _write_files(root: Path, name: str, split: str, files: Sequence[tuple[str, bytes]], *, as_files: bool) -> None:
    if not as_files:
        with tarfile.open(root / "data" / f"{name}_{split}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for member, data in _members(files):
                tar.addfile(member, io.BytesIO(data))
        return
    for file_name, data in files:
        path = root / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _members(files: Sequence[tuple[str, bytes]]) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Headers without time or owner, so that the same images make the same tar."""
    for file_name, data in files:
        member = tarfile.TarInfo(file_name)
        member.size = len(data)
        yield member, data
