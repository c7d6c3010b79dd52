"""Read one annotation file of the visual decathlon: which images a split holds, and the class of each.

    table = read_table(root / "annotations/dtd_val.json", "dtd", refuse)
    table.file_names[3], table.labels[3]      # 'data/dtd/val/0001/000004.jpg', 0

A file is COCO-style JSON: `images` (id, width, height, file_name relative to the root), `categories` (id, name) and
`annotations` (image_id, category_id), one for each image, or none at all where the labels are withheld
(`*_test_stripped.json`). A category id is D * 10^7 + k, D the domain's number and k = 1..K; label = k - 1.
Source: Rebuffi, Bilen, Vedaldi 2017 and the annotation files of their Visual Domain Decathlon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeGuard, TypeVar

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.files import read_regular

DOMAIN_NUMBERS = {
    "aircraft": 1, "cifar100": 2, "daimlerpedcls": 3, "dtd": 4, "gtsrb": 5,
    "imagenet12": 6, "omniglot": 7, "svhn": 8, "ucf101": 9, "vgg-flowers": 10,
}  # fmt: skip
"""D of the official category ids; the miniature domains `mini-<name>` carry the same numbers."""

OFFICIAL_ORDER = (
    "imagenet12", "aircraft", "cifar100", "daimlerpedcls", "dtd",
    "gtsrb", "vgg-flowers", "omniglot", "svhn", "ucf101",
)  # fmt: skip
"""The order of the columns in the tables of the papers."""

MINI_PREFIX = "mini-"
DOMAIN_STEP = 10**7
MAX_SIDE = 0xFFFF  # of an image, in pixels; JPEG goes no further
SPLITS = ("train", "val", "test")
ANNOTATION_NAME = re.compile(r"(?P<domain>.+?)_(?P<kind>train|val|test|test_stripped)\.json")

Kind = TypeVar("Kind")
Tell = Callable[[str, str], None]
Refuse = Callable[[str, str, str], None]
"""Called with file, entry and one sentence for every fault; whoever opens a set raises, whoever checks one continues."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One annotation file, faulty entries left out. N images, K classes.

    image_ids: (N,) int64. labels: (N,) int64, 0..K-1, -1 where withheld. shapes: (N, 2) int32, (H, W) as stated.
    """

    file: Path
    class_names: tuple[str, ...]
    category_ids: np.ndarray
    file_names: list[str]
    image_ids: np.ndarray
    labels: np.ndarray
    shapes: np.ndarray

    def take(self, rows: Sequence[int]) -> Table:
        """The same table with these images only."""
        index = np.asarray(rows, np.int64)
        return replace(
            self,
            file_names=[self.file_names[row] for row in rows],
            image_ids=self.image_ids[index],
            labels=self.labels[index],
            shapes=self.shapes[index],
        )


def domain_number(domain: str) -> int | None:
    """D of an official or miniature domain; None for any other, whose files are free to choose one.

    >>> domain_number("dtd"), domain_number("mini-dtd"), domain_number("birds")
    (4, 4, None)
    """
    return DOMAIN_NUMBERS.get(domain.removeprefix(MINI_PREFIX))


def read_table(file: Path, domain: str, refuse: Refuse) -> Table:
    """Read and check one annotation file; each faulty entry goes to `refuse` and is left out.

    Raises `UserError` where the file as a whole cannot be read.
    """
    text = _read_json(file)
    tell = partial(refuse, file.name)
    category_ids, names = _read_categories(text["categories"], file, domain, tell)
    images = _read_images(text["images"], tell)
    withheld = file.name.endswith("_stripped.json")
    if withheld and text["annotations"]:
        tell("annotations", "a stripped file must hold no annotation; delete them or rename the file.")
    labels = {} if withheld else _read_labels(text["annotations"], images, category_ids, tell)
    if not withheld:
        for image_id in images.keys() - labels.keys():
            sentence = "the image has no usable annotation; add one, or name the file *_test_stripped.json."
            tell(f"image {image_id}", sentence)
        images = {image_id: image for image_id, image in images.items() if image_id in labels}
    return Table(
        file=file,
        class_names=names,
        category_ids=category_ids,
        file_names=[name for name, _ in images.values()],
        image_ids=np.array(list(images), np.int64),
        labels=np.array([labels.get(image_id, -1) for image_id in images], np.int64),
        shapes=np.array([shape for _, shape in images.values()], np.int32).reshape(-1, 2),
    )


def _read_json(file: Path) -> dict[str, list[object]]:
    try:
        text = json.loads(read_regular(file))
    except FileNotFoundError:
        raise UserError(f"{file} is missing: put it there, or name another domain or split.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as JSON ({error}): write or download it again.") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(text, dict) or not isinstance(text.get(key), list):
            raise UserError(f"{file} has no list {key!r}: an annotation file needs images, annotations and categories.")
    return text


def _read_categories(rows: list[object], file: Path, domain: str, tell: Tell) -> tuple[np.ndarray, tuple[str, ...]]:
    """Ids (K,) and names in order of the ids, which must be D * 10^7 + 1 to D * 10^7 + K without a gap."""
    names: dict[int, str] = {}
    for place, row in enumerate(rows, 1):
        number, name = _field(row, "id", int), _field(row, "name", str)
        if number is None or name is None:
            tell(f"category entry {place}", "it needs an integer id, of 64 bits at most, and a name; write both.")
        elif number in names or name in names.values():
            tell(f"category {number} {name!r}", "its id or name is there twice; give each class its own.")
        else:
            names[number] = name
    if not names:
        raise UserError(f"{file} holds no category: it needs one entry for each class.")
    ids = np.array(sorted(names), np.int64)
    wanted = domain_number(domain)
    first = (int(ids[0]) // DOMAIN_STEP if wanted is None else wanted) * DOMAIN_STEP + 1
    if not np.array_equal(ids, np.arange(first, first + len(ids))):
        raise UserError(
            f"The category ids of {file} lie in {ids[0]}..{ids[-1]}, but its {len(ids)} classes of {domain!r} must "
            f"have {first}..{first + len(ids) - 1} without a gap: renumber them."
        )
    return ids, tuple(names[number] for number in ids.tolist())


def _read_images(rows: list[object], tell: Tell) -> dict[int, tuple[str, tuple[int, int]]]:
    """Image id to (file name, (H, W)), in the order of the file."""
    images: dict[int, tuple[str, tuple[int, int]]] = {}
    seen: set[str] = set()
    for place, row in enumerate(rows, 1):
        number, name = _field(row, "id", int), _field(row, "file_name", str)
        width, height = _field(row, "width", int), _field(row, "height", int)
        entry = f"image {number}" if number is not None else f"image entry {place}"
        if number is None or name is None or not _is_side(width) or not _is_side(height):
            tell(
                entry,
                f"it needs an integer id, of 64 bits at most, a file_name, and a width and height in 1..{MAX_SIDE}.",
            )
        elif number in images:
            tell(entry, "its id is there twice; give each image its own.")
        elif not is_inside(name):
            tell(entry, f"its file_name {name!r} leads out of the root; write a path below it, with /.")
        elif name in seen:
            tell(entry, f"its file_name {name!r} is there twice; list each image once.")
        else:
            images[number] = name, (height, width)
            seen.add(name)
    return images


def _read_labels(rows: list[object], images: Container[int], category_ids: np.ndarray, tell: Tell) -> dict[int, int]:
    labels: dict[int, int] = {}
    first, last = int(category_ids[0]), int(category_ids[-1])
    for place, row in enumerate(rows, 1):
        image, category = _field(row, "image_id", int), _field(row, "category_id", int)
        if image is None or category is None:
            tell(
                f"annotation entry {place}",
                "it needs an integer image_id and category_id, of 64 bits at most; write both.",
            )
        elif image not in images:
            tell(f"annotation of image {image}", "there is no such image in the file; add it or delete this.")
        elif not first <= category <= last:
            tell(
                f"annotation of image {image}",
                f"category_id {category} is not in {first}..{last}; correct it.",
            )
        elif image in labels:
            tell(f"annotation of image {image}", "the image has two annotations; keep one.")
        else:
            labels[image] = category - first
    return labels


def is_inside(name: str) -> bool:
    """Whether a relative path with `/` stays below the folder that it starts from.

    >>> is_inside("data/dtd/a.jpg"), is_inside("../a.jpg"), is_inside("/a.jpg")
    (True, False, False)
    """
    parts = name.split("/")
    return (
        bool(name)
        and ".." not in parts
        and "" not in parts
        and not any(c in name for c in "\\\0")
        and ":" not in parts[0]
    )


def _is_side(value: int | None) -> TypeGuard[int]:
    return value is not None and 1 <= value <= MAX_SIDE


def _field(row: object, key: str, kind: type[Kind]) -> Kind | None:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        return None
    return value if not isinstance(value, int) or abs(value) < 2**63 else None
