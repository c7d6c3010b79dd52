"""COCO's annotations: instances, stuff and panoptic, and what other tools export in that format.

    source = read(Path("annotations/instances_val2017.json"), images=Path("val2017"))
    source = read(Path("coco"), kind="panoptic")              # coco/annotations/panoptic_*.json and their folders of PNGs

Polygons, run lengths as lists and as COCO's compressed text, and panoptic pictures: segment = R + 256 * G + 65536 * B, 0 is none.
Crowds (`iscrowd`) are regions of their label like any other, and are counted in the notes. A label's `kind` is its supercategory.
Format: cocodataset.org, "Data format"; Lin et al., ECCV 2014; Caesar et al., CVPR 2018; Kirillov et al., CVPR 2019.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_prep.common.errors import UserError
from data_prep.formats import BadImageError
from data_prep.importers.classes import SPLITS
from data_prep.importers.regions import polygon_mask, rle_mask
from data_prep.importers.source import (
    COLOURS,
    Annotation,
    IndexMap,
    Region,
    Source,
    SourceImage,
    SourceLabel,
    read_codes,
    read_json,
    require_images,
    value_of,
)

CocoKind = Literal["instances", "stuff", "panoptic"]
THINGS_OF_STUFF = ("other", "other")
"""Name and supercategory by which stuff annotations mark what is no stuff; it is no label."""
NO_SHAPE = "annotations without a polygon or run lengths, left out"
CROWD = "crowd regions, imported as regions of their label"


def read(path: Path, *, images: Path | None = None, kind: CocoKind = "instances") -> Source:
    """One JSON file, or all of a kind in a folder or its `annotations/`; `images`: their folder, looked for if not given.

    Raises `UserError` where a file is no such annotation.
    """
    files = [path]
    if path.is_dir():
        files = sorted(path.glob(f"annotations/{kind}_*.json")) or sorted(path.glob(f"{kind}_*.json"))
        if not files:
            raise UserError(f"{path} has no annotations/{kind}_*.json: give the JSON file itself, or another `kind`.")
    found = [_File(file, images) for file in files]
    everything = [image for each in found for image in each.images()]
    require_images(everything, path, "image")
    labels = list(dict.fromkeys(label for each in found for label in each.labels.values() if not _is_rest(label)))
    return Source(images=everything, labels=labels, complete=labels)


class _File:
    """One annotation file: `labels` by category id, which may be 0, and the annotations of each image."""

    def __init__(self, path: Path, images: Path | None):
        self.path, self._folder = path, images
        content = read_json(path)
        self._images: list[dict[str, Any]] = value_of(content, "images", list, path)
        annotations: list[dict[str, Any]] = value_of(content, "annotations", list, path)
        self.labels: dict[int, SourceLabel] = {}
        for k, category in enumerate(value_of(content, "categories", list, path)):
            where = f"{path}, categories[{k}]"
            number, name = value_of(category, "id", int, where), value_of(category, "name", str, where)
            if number in self.labels:
                raise UserError(f"{where}: the id {number} is there twice; give each category its own.")
            self.labels[number] = SourceLabel(name, "object", str(category.get("supercategory") or ""))
        self._of_image: dict[int, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for k, annotation in enumerate(annotations):
            where = f"{path}, annotations[{k}]"
            self._of_image[value_of(annotation, "image_id", int, where)].append((where, annotation))
        self._panoptic = any("segments_info" in annotation for annotation in annotations[:1])

    def images(self) -> list[SourceImage]:
        found, ids = [], set()
        places = _places(self.path, self._folder)
        words = self.path.stem.lower().replace("2017", "").replace("2014", "").split("_")
        split = next((SPLITS[word] for word in reversed(words) if word in SPLITS), None)
        for k, image in enumerate(self._images):
            where = f"{self.path}, images[{k}]"
            number, name = value_of(image, "id", int, where), value_of(image, "file_name", str, where)
            shape = value_of(image, "height", int, where), value_of(image, "width", int, where)
            if number in ids or name.startswith("/") or ".." in name.split("/"):
                raise UserError(
                    f"{where}: the id {number} is there twice, or {name!r} leads out of its folder; correct it."
                )
            ids.add(number)
            file = next((place / name for place in places if (place / name).is_file()), places[0] / name)
            read_image = self._reader(number, shape)
            found.append(SourceImage(file=file, name=name, split=split, shape=shape, read=read_image))
        if strangers := set(self._of_image) - ids:
            raise UserError(
                f"{self.path}: annotations are of image {min(strangers)}, which 'images' lacks; export it again."
            )
        return found

    def _reader(self, number: int, shape: tuple[int, int]) -> Callable[[], Annotation]:
        read_one = self._segments if self._panoptic else self._regions
        return partial(read_one, self._of_image.get(number, []), shape)

    def _regions(self, annotations: list[tuple[str, dict[str, Any]]], shape: tuple[int, int]) -> Annotation:
        found = Annotation()
        for where, annotation in annotations:
            label, segmentation = self._label(annotation, where), annotation.get("segmentation")
            if isinstance(segmentation, list):
                # Exports of boxes have none, or stand-ins with two corners.
                segmentation = [
                    polygon for polygon in segmentation if not (isinstance(polygon, list) and len(polygon) < 6)
                ]
            if not segmentation:
                found.notes.append(NO_SHAPE)
            elif not _is_rest(label):
                found.layers.append(Region(label, partial(_mask, segmentation, shape, where)))
                found.notes += [CROWD] * bool(annotation.get("iscrowd"))
        return found

    def _segments(self, annotations: list[tuple[str, dict[str, Any]]], shape: tuple[int, int]) -> Annotation:
        found = Annotation()
        for where, annotation in annotations:
            name = value_of(annotation, "file_name", str, where)
            file = next((f for f in (self.path.with_suffix("") / name, self.path.parent / name) if f.is_file()), None)
            if file is None:
                raise BadImageError(
                    f"{where}: label picture {self.path.with_suffix('') / name} is missing: put it there."
                )
            codes, largest = read_codes(file)
            if largest == COLOURS:
                codes = (codes >> 16) + (codes & 0xFF00) + ((codes & 0xFF) << 16)
            if codes.shape != shape:
                raise BadImageError(
                    f"Label picture {file} has the shape {codes.shape}, its image {shape}: export it again."
                )
            labels = {}
            for k, segment in enumerate(value_of(annotation, "segments_info", list, where)):
                place = f"{where}, segments_info[{k}]"
                labels[value_of(segment, "id", int, place)] = self._label(segment, place)
                found.notes += [CROWD] * bool(segment.get("iscrowd"))
            if unknown := sorted(set(np.unique(codes).tolist()) - {0, *labels}):
                raise BadImageError(
                    f"{where}: label picture {file} has the segment {unknown[0]}, which segments_info lacks."
                )
            found.layers.append(IndexMap(codes, labels))
        return found

    def _label(self, record: dict[str, Any], where: str) -> SourceLabel:
        number = value_of(record, "category_id", int, where)
        if number not in self.labels:
            raise BadImageError(
                f"{where}: category {number} is not among the categories; add it, or export the file again."
            )
        return self.labels[number]


def _mask(segmentation: object, shape: tuple[int, int], where: str) -> np.ndarray:
    if isinstance(segmentation, dict):
        return rle_mask(segmentation, shape, where)
    if isinstance(segmentation, list) and all(isinstance(polygon, list) for polygon in segmentation):
        return polygon_mask(segmentation, shape, where)
    raise BadImageError(
        f"{where}: 'segmentation' is no list of polygons and no run lengths; export the annotations again."
    )


def _is_rest(label: SourceLabel) -> bool:
    return (label.name, label.kind) == THINGS_OF_STUFF


def _places(path: Path, folder: Path | None) -> list[Path]:
    """Where the pictures of an annotation file may lie, as COCO and tools that export its format have it."""
    if folder is not None:
        return [folder]
    last = path.stem.rpartition("_")[2]
    around = (path.parent.parent, path.parent)
    return [place / name for name in (last, f"images/{last}", "images", "data", "") for place in around]
