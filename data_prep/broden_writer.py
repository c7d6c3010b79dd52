"""Write a set in the Broden layout: images with their labels, and the tables, counted from what was written.

    with write_broden("sets/pets", ["object", "part"]) as writer:
        plane = Plane("object", codes, ["", "cat", "dog"])          # codes: (H, W) places in the names; "" is no label
        writer.add("a.jpg", split="train", image_shape=(224, 224), label_shape=(112, 112), planes=[plane], image=path)

The folder appears when the `with` block has ended well: whole, or not at all. Labels get their numbers at the end (see
`broden_counts`), so label maps wait in one file until then. Layout: Bau, Zhou, Khosla, Oliva, Torralba, "Network Dissection",
CVPR 2017.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import tempfile
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from data_prep.broden_counts import Counted, Numbers, write_csv
from data_prep.broden_tables import INDEX_COLUMNS, MAX_SIDE
from data_prep.common.errors import UserError
from data_prep.drawn_sets import new_folder
from data_prep.formats import encode_label_map

VAL_SHARE = 0.3
"""Of the images, where the hash of their names draws a split."""
_CATEGORY = r"(?!(?s:.*)Unnamed: \d)(?!\s)[^/\\;()\0]+(?<!\s)"
"""A name that `broden_csv` and `broden_tables` read as it was written."""


class Plane(NamedTuple):
    """One label map of an image. `codes`: (H, W) whole numbers, places in `names` from 0 on, where "" means no label, or bool."""

    category: str
    codes: np.ndarray
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Row:
    """An image that was added. `maps`: (category, first byte, bytes) of each label map that waits; `whole`: (category, name)."""

    name: str
    split: str
    sizes: tuple[int, int, int, int]
    maps: list[tuple[str, int, int]]
    whole: list[tuple[str, str]]


@contextmanager
def write_broden(
    root: str | Path, categories: Sequence[str], *, labels: Numbers | None = None
) -> Iterator[BrodenWriter]:
    """Write the new set `root`, whose index has these categories as columns; gives a `BrodenWriter` to add images to.

    labels: category to name to number of all labels, where what the images show shall not number them; all are listed then.
    Raises `UserError` where `root` is there and not empty, or cannot be written, where a category cannot be called so, and where
    no image or no label was added.
    """
    with new_folder(Path(root)) as scratch:
        writer = BrodenWriter(scratch, categories, labels)
        yield writer
        writer.finish()


class BrodenWriter:
    """Adds images to a set, in the order of its index. `images` is the folder that holds them, `counted` what they show."""

    def __init__(self, root: Path, categories: Sequence[str], labels: Numbers | None = None):
        for category in categories:
            if category in INDEX_COLUMNS or not re.fullmatch(_CATEGORY, category):
                raise UserError(
                    f"{category!r} cannot name a category: a name has no / \\ ; ( ), no space at either end, no 'Unnamed: 0' of "
                    f"pandas, and is none of the other columns of index.csv ({', '.join(INDEX_COLUMNS)}); give another."
                )
        self.images = root / "images"
        self.images.mkdir()
        self.counted = Counted(tuple(dict.fromkeys(categories)), labels)
        self._root = root
        self._rows: list[_Row] = []
        self._taken: set[str] = set()
        self._names: dict[str, int] = {"": 0}
        self._waiting = tempfile.TemporaryFile(dir=root)  # noqa: SIM115  it is closed by finish()

    def add(
        self,
        name: str,
        *,
        split: str,
        image_shape: tuple[int, int],
        label_shape: tuple[int, int],
        planes: Iterable[Plane] = (),
        whole: Iterable[tuple[str, str]] = (),
        image: Path | bytes | None = None,
    ) -> None:
        """Add one image; `name` is its path in the set, below `images/`.

        image_shape, label_shape: (H, W) of the image and of its label maps. whole: (category, label) of the image as a whole.
        image: its file, which is linked or copied, or what the file holds; without it, it lies in `images` already.
        A category without plane or label was not annotated; a plane without any label says that nothing was there. Dissection
        counts neither for the category (`Settings.union`), unless all images are to count.
        Raises `UserError` for a name that is taken or not safe, a plane of another shape or with codes that are no places in its
        names (-1 is none either), or a label that is not known.
        """
        planes, whole = list(planes), list(dict.fromkeys(whole))
        if empty := [category for category, label in whole if not label]:
            raise UserError(
                f"Image {name} has the label '' of {empty[0]!r} in `whole`: name the label, or leave it out."
            )
        sizes = (image_shape[0], image_shape[1], label_shape[0], label_shape[1])
        self._require(
            name, split, sizes, [*whole, *((plane.category, label) for plane in planes for label in plane.names)]
        )
        maps: list[tuple[str, int, int]] = []
        shares: dict[tuple[str, int], float] = {}
        for category in dict.fromkeys(plane.category for plane in planes):
            coded = [self._coded(plane, name, label_shape) for plane in planes if plane.category == category]
            shares |= {(category, code): share for code, share in _shares(coded).items()}
            maps += [(category, *self._wait(codes)) for codes in coded]
        names = list(self._names)
        found = {(category, names[code]): share for (category, code), share in shares.items()}
        self.counted.add(found | dict.fromkeys(whole, 1.0))
        self._taken.add(name)
        self._rows.append(_Row(name, split, sizes, maps, whole))
        if isinstance(image, Path):
            copy_file(image, self.images / name)
        elif image is not None:
            (self.images / name).parent.mkdir(parents=True, exist_ok=True)
            (self.images / name).write_bytes(image)

    def finish(self) -> None:
        """Number the labels, write label maps and tables; `write_broden` calls it."""
        columns = self.counted.listed
        if not self._rows or not columns:
            what = "label" if self._rows else "image"
            raise UserError(f"The new set would have no {what}, and needs one at least; nothing was written.")
        numbers = self.counted.numbers
        lookup = np.array([numbers.get(name, 0) for name in self._names], np.int32)
        rows, maps = [], []
        for row in self._rows:
            fields: dict[str, list[str]] = {category: [] for category in columns}
            kept = [each for each in row.maps if each[0] in columns]
            for (category, *place), path in zip(kept, self._paths(row.name, [c for c, *_ in kept]), strict=True):
                fields[category].append(path)
                maps.append((path, row.sizes[2:], *place))
            for category, name in row.whole:
                fields[category].append(str(numbers[name]))
            rows.append([row.name, row.split, *row.sizes, *map(";".join, fields.values())])
        from data_prep.common.pictures import in_threads  # Pillow comes with it, which options need not wait for

        for _ in in_threads(partial(self._write_map, lookup), maps):
            pass
        self._waiting.close()
        self.counted.write(self._root)
        write_csv(self._root / "index.csv", (*INDEX_COLUMNS, *columns), rows)

    def _require(self, name: str, split: str, sizes: tuple[int, ...], concepts: list[tuple[str, str]]) -> None:
        if name in self._taken or name != safe_name(name) or not split or not all(1 <= n <= MAX_SIDE for n in sizes):
            raise UserError(
                f"Image {name!r} of split {split!r} and sizes {sizes} cannot be written: its name is there once and is one that "
                f"`safe_name` gives, it has a split, and its sizes lie in 1..{MAX_SIDE}."
            )
        told = self.counted.told
        for category, label in concepts:
            known = self.counted.categories if told is None else told.get(category, ())
            if category not in self.counted.categories or (told is not None and label and label not in known):
                raise UserError(f"Image {name} has the label {label!r} of {category!r}; known: {', '.join(known)}.")

    def _coded(self, plane: Plane, name: str, shape: tuple[int, int]) -> np.ndarray:
        """The plane in numbers of our own, by order of appearance, 0 for no label."""
        if plane.codes.shape != shape:
            raise UserError(f"A label map of {name} has the shape {plane.codes.shape}, but `label_shape` is {shape}.")
        codes = plane.codes.astype(np.uint8) if plane.codes.dtype == bool else plane.codes
        if codes.dtype.kind not in "iu":
            raise UserError(f"A label map of {name} has codes of type {codes.dtype}: give whole numbers.")
        if wrong := [code for code in (int(codes.min()), int(codes.max())) if not 0 <= code < len(plane.names)]:
            raise UserError(
                f"A label map of {name} has the code {wrong[0]}, which is no place in its {len(plane.names)} names, counted from "
                f'0: give pixels without a label the place of "".'
            )
        return np.array([self._names.setdefault(label, len(self._names)) for label in plane.names], np.uint32)[codes]

    def _wait(self, codes: np.ndarray) -> tuple[int, int]:
        """Where the map waits: first byte, number of bytes."""
        data = zlib.compress(codes.tobytes(), 1)
        start = self._waiting.seek(0, os.SEEK_END)
        self._waiting.write(data)
        return start, len(data)

    def _write_map(self, lookup: np.ndarray, waiting: tuple[str, tuple[int, int], int, int]) -> None:
        from PIL import Image

        path, shape, start, n_bytes = waiting
        self._waiting.flush()
        data = zlib.decompress(os.pread(self._waiting.fileno(), n_bytes, start))
        file = self.images / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(encode_label_map(lookup[np.frombuffer(data, np.uint32).reshape(shape)])).save(file)

    def _paths(self, image: str, categories: Sequence[str]) -> list[str]:
        """A path for each label map of an image, which no other file has."""
        stem = posixpath.splitext(image)[0].replace(";", "_")
        paths = []
        for k, category in enumerate(categories):
            number = f"_{categories[:k].count(category) + 1}" if categories.count(category) > 1 else ""
            path = f"{stem}_{category}{number}.png"
            while path in self._taken:
                path = f"{path[:-4]}_.png"
            self._taken.add(path)
            paths.append(path)
        return paths


def _shares(planes: list[np.ndarray]) -> dict[int, float]:
    """The share of the image that each number covers in planes of one category; a pixel that has it twice counts once."""
    if len(planes) == 1:
        counts = np.bincount(planes[0].ravel())
        return {code: int(counts[code]) / planes[0].size for code in np.flatnonzero(counts).tolist() if code}
    stack = np.stack(planes)
    return {code: int((stack == code).any(0).sum()) / planes[0].size for code in np.unique(stack).tolist() if code}


def safe_name(name: str) -> str:
    """A path below `images/` that every reader takes: characters that lead out, or that tables and systems mistake, become "_".

    >>> safe_name("a;b/c: d.jpg"), safe_name("../x.jpg"), safe_name("naïve/犬.jpg")
    ('a_b/c_ d.jpg', '_/x.jpg', 'naïve/犬.jpg')
    """
    text = "".join("_" if c in '\\:;"' or unicodedata.category(c) in ("Cc", "Cs") else c for c in name)
    parts = [part.strip() for part in text.split("/")]
    return "/".join("_" if set(part) <= {"."} else part for part in parts if part) or "_"


def free_name(name: str, taken: set[str], suffix: str | None = None) -> str:
    """A safe name that is not in `taken` and is put there: `name` with another suffix if one is given, numbered if it must be.

    >>> taken = {"a.jpg"}
    >>> free_name("a.png", taken, ".jpg"), free_name('a".jpg', taken)
    ('a_2.jpg', 'a_.jpg')
    """
    path = PurePosixPath(safe_name(name))
    suffix = path.suffix if suffix is None else suffix
    free, k = str(path.with_suffix(suffix)), 1
    while free in taken:
        k += 1
        free = str(path.with_name(f"{path.stem}_{k}{suffix}"))
    taken.add(free)
    return free


def split_by_hash(name: str, val_share: float = VAL_SHARE) -> str:
    """ "val" for this share of all names, else "train": the name alone decides.

    >>> [split_by_hash(name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")]
    ['train', 'train', 'train', 'train']
    """
    return "val" if hash_share(name, "split") >= 1 - val_share else "train"


def hash_share(name: str, purpose: str) -> float:
    """A number in [0, 1) that depends on the name and the purpose alone."""
    return int.from_bytes(hashlib.sha256(f"{purpose}:{name}".encode()).digest()[:6], "big") / 2**48


def copy_file(source: Path, target: Path) -> None:
    """`source` as `target`: a second link to the same file where the disk can, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)
