"""Read a Broden set: images with their labels, pixel by pixel.

    data = open_broden("data/broden", split="train", categories=["object", "part"])
    labels = data.read_labels(3)              # planes (P, H, W): indices into data.concepts, -1 where there is none

A label map is an RGB PNG, label = R + 256 * G, and may have another size than its image; `broden_tables.py` says what
the tables hold. Faults of the tables raise `UserError` on opening, faults of one image `BadImageError` on reading it.
Source: Bau, Zhou, Khosla, Oliva, Torralba, "Network Dissection", CVPR 2017, and the layout of its data set Broden.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from data_prep.broden_csv import Told
from data_prep.broden_tables import MAX_NUMBER, IndexRow, Tables, read_tables
from data_prep.common.errors import UserError, choose
from data_prep.common.files import read_regular
from data_prep.common.pictures import IMAGE_ERRORS, open_picture
from data_prep.common.terminal import Progress, silent
from data_prep.contents import content_hashes
from data_prep.formats import NO_CONCEPT, BadImageError, Concept, ImageLabels, decode_label_map
from data_prep.packed import Packed, open_packed, pack, packed_file

ROOM = 2**24
"""Bytes that a label map may have beyond its pixels: a file without end must not fill the memory."""
LEAST_PACKED = 500
"""Images from which on labels are packed unasked: those of fewer are decoded in a fraction of a second."""
_UNKNOWN = NO_CONCEPT - 1
_log = logging.getLogger(__name__)


class Broden:
    """An opened Broden set, a `LabelledImages`; `open_broden` makes it. Images without a chosen label stay in."""

    def __init__(self, tables: Tables, split: str | None, categories: Sequence[str], name: str | None = None):
        self.name = name or tables.root.resolve().name
        self.root = tables.root
        self.image_root = (tables.root / "images").resolve()
        self.split = split
        self.categories = tuple(categories)
        self.rows = [row for row in tables.rows if split is None or row.record.split == split]
        self.images = [row.record for row in self.rows]
        pairs = sorted((number, k) for k, name in enumerate(self.categories) for number in tables.categories[name])
        self.concepts = [Concept(number, tables.labels[number].name, self.categories[k]) for number, k in pairs]
        self._tables = tables
        # From category and label number to concept index: one look-up for each pixel.
        self._lookup = np.full((len(self.categories), MAX_NUMBER + 1), _UNKNOWN, np.int32)
        self._lookup[:, 0] = NO_CONCEPT
        for index, (number, k) in enumerate(pairs):
            self._lookup[k, number] = index

    def read_labels(self, index: int) -> ImageLabels:
        """The labels of `images[index]`; planes in the order of `categories`, then of the index.

        Raises `BadImageError` where a label map is missing, broken or of another size or mode, or where a label number
        is not one of its category's.
        """
        row = self.rows[index]
        maps = [(k, path) for k, name in enumerate(self.categories) for path in row.maps.get(name, ())]
        numbers = [(k, number) for k, name in enumerate(self.categories) for number in row.numbers.get(name, ())]
        read = [self.read_plane(row, k, path) for k, path in maps]
        planes = np.stack(read) if read else np.empty((0, *row.record.label_shape), np.int32)
        whole_image = dict.fromkeys(self.concept_of(row, k, number) for k, number in numbers)
        return ImageLabels(planes, np.array([k for k, _ in maps], np.int32), np.array(list(whole_image), np.int32))

    def read_plane(self, row: IndexRow, category: int, path: str) -> np.ndarray:
        """(H, W) int32 concept indices of one label map of the row, given by its path below `images/`."""
        file = self.root / "images" / path
        numbers = decode_label_map(_read_rgb(file, row.record.label_shape))
        indices = self._lookup[category][numbers]
        if indices.min() == _UNKNOWN:
            self._refuse(f"label map {file}", category, int(numbers[indices == _UNKNOWN].min()))
        return indices

    def concept_of(self, row: IndexRow, category: int, number: int) -> int:
        """The concept index of an image-level label number of the row."""
        index = int(self._lookup[category, number]) if number <= MAX_NUMBER else _UNKNOWN
        if index == _UNKNOWN:
            self._refuse(f"{self.root / 'index.csv'}, row {row.row}, image {row.record.name}", category, number)
        return index

    def frequencies(self, category: str) -> dict[str, int]:
        """The labels of a category and in how many images each is, as the tables state it; 0 where they do not."""
        members = self._tables.categories[category]
        return {self._tables.labels[number].name: member.frequency or 0 for number, member in members.items()}

    def fingerprint(self) -> str:
        """sha256 of the tables, the split and categories chosen, and each file's name and content (see `contents`)."""
        digest = hashlib.sha256(repr((self._tables.digest, self.split, self.categories)).encode())
        names = [
            name
            for row in self.rows
            for name in (row.record.name, *(path for k in self.categories for path in row.maps.get(k, ())))
        ]
        for name, content in zip(names, content_hashes(self.root / "images", names), strict=True):
            digest.update(f"{name}\0{content}\n".encode())
        return digest.hexdigest()

    def packed_file(self) -> Path:
        """Where the labels of these images and categories are kept packed; raises `UserError` where there is no home for them."""
        names = [image.name for image in self.images]
        return packed_file(self.name, repr((str(self.root.resolve()), self.split, self.categories, names)))

    def packed(self, progress: Progress = silent) -> Packed | None:
        """The labels in packed form (`data_prep.packed`), packed first where they are not yet, or the set has changed since.

        None where they cannot be kept, or there are fewer than `LEAST_PACKED` images and nobody asked to pack them before.
        """
        try:
            path = self.packed_file()
            if not path.exists() and len(self.rows) < LEAST_PACKED:
                return None
            return open_packed(path, self.fingerprint()) or pack(path, self, progress)
        except UserError as error:
            _log.info("The labels of %s cannot be kept packed (%s): they are read from their maps.", self.name, error)
            return None

    def _refuse(self, where: str, category: int, number: int) -> None:
        table = f"c_{self.categories[category]}.csv"
        label = self._tables.labels.get(number)
        known = f"it as {label.name!r} of {', '.join(label.categories)}" if label else "no such number either"
        raise BadImageError(
            f"Label number {number} in {where} is not in {table}, and label.csv has {known}: "
            f"add the number to {table} or correct the label."
        )


def open_broden(
    root: str | Path, split: str | None = None, categories: Iterable[str] | None = None, *, name: str | None = None
) -> Broden:
    """Open the Broden set in folder `root`, all of it or one split, with all or some of its categories.

    `categories` of the result follow `category.csv`, whatever order they are asked for in. `name` stands in reports; the
    folder's if not given. Only the tables are read; what looks wrong in them but changes no result is logged in one line.
    Raises `UserError` where a table is missing or faulty, or where the split or a category is not there.
    """
    root = Path(root)

    def refuse(file: str, row: int, sentence: str) -> None:
        raise UserError(f"{root / file}, row {row}: {sentence}")

    warnings: list[str] = []
    tables = read_tables(
        root, Told(refuse, lambda file, row, sentence: warnings.append(f"{file}, row {row}: {sentence}"))
    )
    if warnings:
        more = f" ({len(warnings)} warnings, this is the first; `data-prep check` shows all)" if warnings[1:] else ""
        _log.warning("%s: %s%s", root, warnings[0], more)
    present = list(tables.categories)
    chosen = [categories] if isinstance(categories, str) else present if categories is None else list(categories)
    if split is not None:
        splits = dict.fromkeys(row.record.split for row in tables.rows)
        choose("split", split, splits, where=root / "index.csv")
    for category in chosen:
        choose("category", category, present, where=root / "category.csv")
    if not chosen:
        raise UserError(f"`categories` is empty: name at least one of {', '.join(present)}, or leave it out.")
    return Broden(tables, split, [category for category in present if category in chosen], name)


def _read_rgb(file: Path, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 pixels of a label map, refused unless they are exactly what was written."""
    try:
        data = read_regular(file, limit=4 * shape[0] * shape[1] + ROOM)
        with open_picture(data, formats=("PNG",)) as image:
            # Pillow narrows 16 bits per channel to 8 silently; byte 24 of the file is the true depth.
            mode = image.mode if data[24] == 8 else f"{image.mode} with {data[24]} bits per channel"
            width, height = image.size
            usable = mode == "RGB" and (height, width) == shape
            if usable:
                _require_checksums(data)
                image.load()
            pixels = np.asarray(image) if usable else np.empty((0, 0, 3), np.uint8)
    except FileNotFoundError:
        raise BadImageError(f"Label map {file} is missing: put it there, or take it out of index.csv.") from None
    except IMAGE_ERRORS as error:
        why = "not a PNG file" if isinstance(error, UnidentifiedImageError) else error
        raise BadImageError(f"Label map {file} cannot be read ({why}): write it again.") from error
    if mode != "RGB":
        raise BadImageError(
            f"Label map {file} has mode {mode}, not RGB of 8 bits per channel: write it as R + 256 * G."
        )
    if not usable:
        raise BadImageError(
            f"Label map {file} is {height} high and {width} wide, but index.csv says sh {shape[0]}, sw {shape[1]}: "
            f"correct index.csv, or resize the map with nearest-neighbour sampling."
        )
    if pixels[..., 2].any():
        raise BadImageError(f"Label map {file} has blue above 0, so it is no R + 256 * G: write it again.")
    return pixels


def _require_checksums(data: bytes) -> None:
    """Raise `ValueError` where a chunk of a PNG differs from its checksum, which Pillow does not look at.

    Without it a flipped bit would pass as another label. PNG specification, section 5.3: length, type, data, CRC-32.
    """
    start, kind = 8, b""
    while kind != b"IEND":
        kind = data[start + 4 : start + 8]
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        if end + 4 > len(data):
            raise ValueError("the file is cut short")
        if zlib.crc32(data[start + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError("its contents differ from their checksum")
        start = end + 4
