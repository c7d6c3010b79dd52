"""PASCAL VOC's segmentation: a palette picture for each image, as the challenge and labelling tools write it.

    source = read(Path("VOCdevkit/VOC2012"))

`SegmentationClass/*.png` hold class numbers, 255 is the void border; `JPEGImages/*.jpg`; `ImageSets/Segmentation/train.txt` and
`val.txt` give the split. Names are those of VOC's 20 classes, or of a `labelmap.txt` (`name:r,g,b::` in the order of the
numbers), which CVAT and others write, also where the pictures have colours in place of numbers. Everingham et al., IJCV 2015.
"""

from __future__ import annotations

import re
from pathlib import Path

from data_prep.common.errors import UserError
from data_prep.importers.masks import index_map_reader
from data_prep.importers.source import (
    Source,
    SourceImage,
    SourceLabel,
    by_stem,
    read_text,
    require_folder,
    require_images,
)

NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""By class number."""
BORDER = 0xE0E0C0
"""The colour of class 255 in VOC's palette: 224, 224, 192."""


def read(path: Path) -> Source:
    """The images that have a label picture. Raises `UserError` where a folder is missing or `labelmap.txt` has other lines."""
    maps = by_stem(require_folder(path / "SegmentationClass", "VOC's segmentation has its label pictures there"))
    numbers, colours = _labels(path / "labelmap.txt")
    splits: dict[str, str] = {}
    lists = {listed.stem.lower(): listed for listed in sorted((path / "ImageSets" / "Segmentation").glob("*.txt"))}
    for split in ("train", "val", "test"):
        if split in lists:  # tools put names with spaces into quotes
            splits |= dict.fromkeys((line.strip().strip('"') for line in read_text(lists[split]).splitlines()), split)
    pictures = by_stem(path / "JPEGImages")
    found = []
    for stem, file in maps.items():
        reader = index_map_reader(file, numbers, "is the number or colour of no class", colours)
        image = pictures.get(stem, path / "JPEGImages" / f"{stem}.jpg")
        found.append(SourceImage(file=image, name=f"{stem}.jpg", split=splits.get(stem), read=reader))
    require_images(found, path / "SegmentationClass", "label picture")
    known = tuple(numbers.values())
    return Source(images=found, labels=known, complete=known)


def _labels(labelmap: Path) -> tuple[dict[int, SourceLabel], dict[int, SourceLabel]]:
    """Class number to label, and colour (65536 * R + 256 * G + B) to label; background and border to one that is none."""
    if not labelmap.is_file():
        numbers = {k: SourceLabel(name, "object") for k, name in enumerate(NAMES)}
        return numbers, {_colour(k): label for k, label in numbers.items()} | {BORDER: SourceLabel("void", "object")}
    numbers, colours = {}, {}
    for k, line in enumerate(read_text(labelmap).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"(.*?):(\d+),\s*(\d+),\s*(\d+):[^:]*:[^:]*", line.strip())
        if not found:
            raise UserError(f"{labelmap}, line {k}: {line!r} is not name:red,green,blue:parts:actions; correct it.")
        label = SourceLabel(found[1], "object")
        numbers[len(numbers)] = label
        colours[(int(found[2]) << 16) + (int(found[3]) << 8) + int(found[4])] = label
    return numbers, colours


def _colour(number: int) -> int:
    """The colour of a class in VOC's palette: its bits, three at a time, dealt to R, G and B from the highest bit down.

    >>> hex(_colour(1)), hex(_colour(15))
    ('0x800000', '0xc08080')
    """
    red = green = blue = 0
    for place in range(8):
        red |= (number & 1) << (7 - place)
        green |= (number >> 1 & 1) << (7 - place)
        blue |= (number >> 2 & 1) << (7 - place)
        number >>= 3
    return (red << 16) + (green << 8) + blue
