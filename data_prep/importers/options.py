"""What all importers can be told, and which concept each label becomes.

    options = ImportOptions(label_size="source", to=("stuff/*=material",), names=Path("names.csv"))
    options.placing()(SourceLabel("sky-other", "object", kind="sky"))              # ("object", "sky")

Defaults stand here; `data-prep import` takes each field as an option of the same name and shows the sentence below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from data_prep.broden_tables import MAX_SIDE, NO_LABEL_NAMES
from data_prep.broden_writer import VAL_SHARE
from data_prep.common.errors import UserError, check_range, nearest
from data_prep.importers.source import SourceLabel, read_pairs

Size = int | Literal["source"]
Crop = Literal["none", "square", "4:3"]
Concept = tuple[str, str]
"""(category, name)."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """The choices that all formats share."""

    label_size: Size = 112
    """Side of the label maps in pixels, sampled at pixel centres (nearest neighbour); source: as they were annotated."""
    image_size: Size = 224
    """Side of the images in pixels, resized with antialiasing and saved as JPEG; source: the files as they are."""
    crop: Crop = "none"
    """Before resizing, which does not keep the aspect ratio: nothing, the middle square, or the middle of at most 4:3 or 3:4."""
    category: str | None = None
    """Category of every label that --to does not place; each format has its own without it."""
    to: tuple[str, ...] = ()
    """LABEL=CATEGORY: where labels go; LABEL may be a glob or KIND/LABEL, as in 'wall-*=material' 'vehicle/*=object'. The first
    that fits counts."""
    names: Path | None = None
    """CSV file of two columns, a label of the source and its new name: equal names become one label, an empty one none."""
    min_area: int = 1
    """Pixels of a label map that a label must have there; it is left out of that map otherwise."""
    split: Literal["source", "hash"] = "source"
    """Whether train and val are those of the source, where it has them, or drawn by a hash of each image's name."""
    val_share: float = VAL_SHARE
    """Share of the images that the hash puts into val."""
    max_images: int | None = None
    """Import only so many images, drawn by a hash of their names; all without it."""
    skip_bad: bool = False
    """Leave out images that are missing or cannot be used, and say how many, instead of stopping at the first."""

    def __post_init__(self) -> None:
        for name in ("label_size", "image_size"):
            if (size := getattr(self, name)) != "source" and not 1 <= size <= MAX_SIDE:
                raise UserError(f"`{name}` is {size}: give a side in pixels, 1..{MAX_SIDE}, or source.")
        check_range("`val_share`", self.val_share, 0, 1)
        if self.min_area < 1 or (self.max_images is not None and self.max_images < 1):
            raise UserError(f"`min_area` {self.min_area} and `max_images` {self.max_images} must be 1 or more.")

    def placing(self) -> Placing:
        """Which concept each label becomes; raises `UserError` where `to` or the file `names` cannot be understood."""
        return Placing(self)


class Placing:
    """`placing(label)` is the concept of a label, or None. Remembers which rules were of use."""

    def __init__(self, options: ImportOptions):
        self._rules: list[Concept] = []
        for rule in options.to:
            pattern, equals, category = (part.strip() for part in rule.rpartition("="))
            if not (pattern and equals and category):
                raise UserError(f"`to` has {rule!r}: write LABEL=CATEGORY, as in 'wall-*=material'.")
            self._rules.append((pattern, category))
        self._category, self._file = options.category, options.names
        self._names = _read_names(options.names) if options.names else {}
        self._used: set[str] = set()
        self._seen: dict[SourceLabel, Concept | None] = {}

    def __call__(self, label: SourceLabel) -> Concept | None:
        if label not in self._seen:
            self._seen[label] = self._place(label)
        return self._seen[label]

    def categories(self) -> list[str]:
        """The categories of all labels that were asked for, in order."""
        return list(dict.fromkeys(concept[0] for concept in self._seen.values() if concept))

    def unused(self) -> list[str]:
        """A sentence about each rule that fitted no label: it may be misspelt."""
        names = {label.name for label in self._seen}
        rules = [(f"`to` {pattern}={category}", pattern) for pattern, category in self._rules]
        rules += [(f"{name!r} in {self._file}", name) for name in self._names]
        return [f"{words} fits no label{nearest(key, names, 1)}" for words, key in rules if key not in self._used]

    def _place(self, label: SourceLabel) -> Concept | None:
        keys = (label.name, f"{label.kind}/{label.name}")
        self._used.update(key for key in keys if key in self._names)
        name = next((self._names[key] for key in reversed(keys) if key in self._names), label.name)
        name = " ".join(name.split())
        fitting = [(p, category) for p, category in self._rules if any(fnmatchcase(key, p) for key in keys)]
        self._used.update(pattern for pattern, _ in fitting)
        category = fitting[0][1] if fitting else self._category or label.category
        return None if name.lower() in NO_LABEL_NAMES else (category, name)


def _read_names(path: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for row, source, name in read_pairs(path, ("source", "name")):
        if names.setdefault(source, name) != name:
            raise UserError(f"{path}, row {row}: {source!r} has another name above; give it one.")
    return names
