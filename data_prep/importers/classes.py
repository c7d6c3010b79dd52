"""A folder of images for each class, as labels of the whole image: textures, scenes, anything.

    source = read(Path("dtd/images"))

`FOLDER/CLASS/a.jpg`, or `FOLDER/SPLIT/CLASS/a.jpg` where all of the outer folders are called as `SPLITS` are and have folders in
them. Images beside the folders of classes are left out, and told.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_prep.importers.source import Annotation, Source, SourceImage, SourceLabel, pictures_below, require_images

SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test",
}  # fmt: skip
"""What folders of splits are called, in any case, and which split that is."""


def read(path: Path) -> Source:
    """Each image labelled by its folder, as a scene unless told otherwise. Raises `UserError` where there is none."""
    found: list[SourceImage] = []
    pictures = [(file, file.relative_to(path)) for file in pictures_below(path)]
    outer = {name.parts[0].lower() for _, name in pictures if len(name.parts) > 1}
    in_splits = outer <= set(SPLITS) and any(len(name.parts) > 2 for _, name in pictures)
    for file, name in pictures:
        split = SPLITS.get(name.parts[0].lower()) if in_splits else None
        if folders := name.parts[in_splits:-1]:
            label = SourceLabel("/".join(folders), "scene")
            found.append(SourceImage(file=file, name=name.as_posix(), split=split, read=whole_image(label)))
    require_images(found, path, "folder of images for each class")
    notes = ["images that lie in no class's folder, left out"] * (len(pictures) - len(found))
    return Source(images=found, notes=notes)


def whole_image(*labels: SourceLabel) -> Callable[[], Annotation]:
    """The annotation of an image that shows these labels as a whole."""
    return lambda: Annotation(whole=list(labels))
