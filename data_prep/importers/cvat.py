"""CVAT's own format, "CVAT for images 1.1": one XML file for a task.

    source = read(Path("task/annotations.xml"), images=Path("task/images"))

Polygons, boxes and ellipses, turned ones too, and masks are regions; tags are labels of the whole image; points, lines, cuboids
and skeletons have no area and are left out, which the notes count. Where regions of two labels overlap, both are kept, whatever
their `z_order`. Format: docs.cvat.ai, "XML annotation format".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.files import read_regular
from data_prep.formats import BadImageError
from data_prep.importers.classes import SPLITS
from data_prep.importers.labelme import NO_AREA, paste
from data_prep.importers.regions import ellipse_mask, polygon_mask, rectangle_mask
from data_prep.importers.source import Annotation, Region, Source, SourceImage, SourceLabel, require_images

REGIONS = ("polygon", "box", "ellipse", "mask")
WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton")


def read(path: Path, *, images: Path | None = None) -> Source:
    """The XML file, or `annotations.xml` in a folder; the images lie in `images/` beside it if not given.

    Raises `UserError` where the file is no such XML, or one of a video.
    """
    path = path / "annotations.xml" if path.is_dir() else path
    images = images or next((f for f in (path.parent / "images", path.parent) if f.is_dir()), path.parent)
    root = _root(path)
    if root.find("track") is not None:
        raise UserError(
            f"{path} holds the tracks of a video: export the task as `CVAT for images 1.1`, which has each frame."
        )
    named = root.findall("meta//labels/label")
    names = [label.findtext("name") or "" for label in named if label.findtext("type") != "tag"]
    names += [shape.get("label") or "" for image in root.iter("image") for shape in image if shape.tag in REGIONS]
    labels = {name: SourceLabel(name, "object") for name in names if name}
    found = []
    for k, image in enumerate(root.iter("image")):
        where = f"{path}, image {image.get('name', k)}"
        name, subset = image.get("name", "").replace("\\", "/"), image.get("subset", "")
        if not name or ".." in f"{subset}/{name}".split("/") or name.startswith("/") or subset.startswith("/"):
            raise UserError(f"{where}: the name {name!r} is none of a file in the folder of images; correct it.")
        if subset and (images / subset / name).is_file():  # of a project with subsets
            name = f"{subset}/{name}"
        split = SPLITS.get(subset.lower(), subset.lower()) or None
        shape: tuple[int, int] | None = None
        try:
            shape = int(_number(image, "height", where)), int(_number(image, "width", where))
            reader = partial(_annotation, image, shape, where)
        except BadImageError as error:
            reader = partial(_refused, error)
        found.append(SourceImage(file=images / name, name=name, split=split, shape=shape, read=reader))
    require_images(found, path, "image")
    known = tuple(labels.values())
    return Source(images=found, labels=known, complete=known)


def _root(path: Path) -> ElementTree.Element:
    try:
        data = read_regular(path)
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
            raise UserError(
                f"{path} declares a document type, which CVAT does not write and which may be harmful: export it again."
            )
        root = ElementTree.fromstring(data)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: give CVAT's XML file, or the folder that holds annotations.xml.") from None
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"{path} is no XML that can be read ({error}): export it again.") from error
    if root.tag != "annotations":
        raise UserError(
            f"{path} begins with <{root.tag}>, not <annotations>: export the task as `CVAT for images 1.1`."
        )
    return root


def _annotation(image: ElementTree.Element, size: tuple[int, int], where: str) -> Annotation:
    found = Annotation()
    for k, shape in enumerate(image):
        name = shape.get("label", "")
        if shape.tag == "tag":
            found.whole.append(SourceLabel(name, "scene"))
        elif shape.tag in WITHOUT_AREA:
            found.notes.append(NO_AREA)
        elif shape.tag in REGIONS:
            found.layers.append(Region(SourceLabel(name, "object"), _drawing(shape, size, f"{where}, {shape.tag} {k}")))
    return found


def _refused(error: BadImageError) -> Annotation:
    raise error


def _drawing(shape: ElementTree.Element, size: tuple[int, int], where: str) -> Callable[[], np.ndarray]:
    number = partial(_number, shape, where=where)
    turn = number("rotation") if shape.get("rotation") else 0.0
    if shape.tag == "box":
        box = (number("xtl"), number("ytl"), number("xbr"), number("ybr"))
        return partial(rectangle_mask, box, size, turn)
    if shape.tag == "ellipse":
        return partial(ellipse_mask, (number("cx"), number("cy")), (number("rx"), number("ry")), size, turn)
    if shape.tag == "mask":
        place = [int(number(key)) for key in ("left", "top", "width", "height")]
        return partial(_runs, shape.get("rle", ""), place, size, where)
    try:
        points = [[float(v) for point in shape.get("points", "").split(";") for v in point.split(",")]]
    except ValueError as error:
        raise BadImageError(f"{where}: its points are no x,y;x,y ({error}); export it again.") from error
    return partial(polygon_mask, points, size, where)


def _runs(text: str, place: list[int], size: tuple[int, int], where: str) -> np.ndarray:
    """CVAT's run lengths: along the rows of the bounding box left, top, width, height, zeros first."""
    left, top, wide, high = place
    counts = [int(n) if n.strip().isdigit() else -1 for n in text.split(",")]
    if min(counts) < 0 or min(wide, high) < 1 or sum(counts) != wide * high:
        raise BadImageError(f"{where}: its run lengths do not add up to {wide} x {high} pixels; export it again.")
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return paste(values.reshape(high, wide), (left, top), size)


def _number(shape: ElementTree.Element, key: str, where: str) -> float:
    try:
        number = float(shape.get(key, ""))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadImageError(f"{where}: {key!r} is {shape.get(key)!r}, which is no number; export it again.")
    return number
