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

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .. import colours
from ..broden_writer import Plane, hash_share, split_by_hash, write_broden
from ..common.errors import UserError
from ..common.terminal import Progress, silent
from ..drawn_sets import drawing_pool, kept
from . import scenes, textures
from .shapes import MAP, PLANES, SIZE

VERSION = 3
"""Raised whenever the drawing changes; it names the cached set."""

CATEGORIES = ("color", "object", "part", "material", "scene", "texture")
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
    with write_broden(root, CATEGORIES) as writer:
        for kind in _FOLDERS.values():
            (writer.images / kind).mkdir()
        drawn = []
        with drawing_pool(workers) as pool:
            for labels in pool.map(partial(_draw_image, writer.images, seed), range(n_images)):
                drawn.append(labels)
                progress("drawing", len(drawn), n_images)
        for labels in sorted(drawn, key=lambda labels: hash_share(labels.image, "order")):
            writer.add(
                labels.image,
                split=split_by_hash(labels.image),
                image_shape=(SIZE, SIZE),
                label_shape=(MAP, MAP),
                planes=[Plane(category, codes, labels.names) for category, codes in labels.planes],
                whole=labels.whole,
            )
    return root


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
