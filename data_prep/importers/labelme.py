"""LabelMe's JSON files, one beside each image (github.com/wkentaro/labelme).

    source = read(Path("photos"))                      # photos/a.jpg, photos/a.json

Polygons, rectangles, circles and masks are regions; points and lines have no area and are left out, which the notes count. An
image that is not there is taken out of the file where that holds it (`imageData`). Where regions of two labels overlap, both are
kept; a label's flags and group numbers are not used.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.pictures import IMAGE_ERRORS, TURNS, open_picture, orientation
from data_prep.formats import BadImageError
from data_prep.importers.regions import ellipse_mask, polygon_mask, rectangle_mask
from data_prep.importers.source import (
    SUFFIXES,
    Annotation,
    Region,
    Source,
    SourceImage,
    SourceLabel,
    read_json,
    require_folder,
    require_images,
    value_of,
)

NO_AREA = "points and lines, which have no area, left out"
WITHOUT_AREA = ("point", "points", "line", "linestrip")


def read(path: Path) -> Source:
    """Every JSON file in the folder and the folders in it. Raises `UserError` for one that is none of LabelMe's."""
    found, labels = [], {}
    for file in sorted(require_folder(path).rglob("*.json")):
        if any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        content = read_json(file)
        shapes = [(f"{file}, shapes[{k}]", s) for k, s in enumerate(value_of(content, "shapes", list, file))]
        for where, shape in shapes:
            name = value_of(shape, "label", str, where)
            labels[name] = SourceLabel(name, "object")
        image, suffix = _image(file, content)
        height, width = content.get("imageHeight"), content.get("imageWidth")
        size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        name = file.relative_to(path).with_suffix(suffix).as_posix()
        reader = partial(_annotation, shapes, size or partial(_size, image, file), labels)
        found.append(SourceImage(file=image, name=name, shape=size, read=reader))
    require_images(found, path, "JSON file of LabelMe")
    known = tuple(labels.values())
    return Source(images=found, labels=known, complete=known)


def _image(file: Path, content: dict[str, Any]) -> tuple[Path | bytes, str]:
    """The image that the file names, the one beside it, or the one in it; and its suffix."""
    told = PurePosixPath(str(content.get("imagePath") or "").replace("\\", "/"))
    suffix = told.suffix.lower() if told.suffix.lower() in SUFFIXES else ".jpg"
    beside = [file.parent / told, file.parent / told.name, *(file.with_suffix(each) for each in SUFFIXES)]
    for path in beside:
        if path.suffix.lower() in SUFFIXES and path.is_file():
            return path, path.suffix.lower()
    if data := content.get("imageData"):
        try:
            return base64.b64decode(data, validate=True), suffix
        except (binascii.Error, TypeError, ValueError) as error:
            raise UserError(
                f"{file}: 'imageData' is no image ({error}); put {told or 'the image'} beside it."
            ) from error
    return file.parent / told if told.name else file.with_suffix(suffix), suffix


def _size(image: Path | bytes, file: Path) -> tuple[int, int]:
    """(H, W) as LabelMe shows the image, turned by its orientation."""
    try:
        with open_picture(image) as picture:
            return picture.size if orientation(picture) in TURNS else (picture.height, picture.width)
    except IMAGE_ERRORS as error:
        raise BadImageError(
            f"The image of {file} cannot be read ({error}), and the file does not state its size: put it there."
        ) from error


def _annotation(
    shapes: list[tuple[str, dict[str, Any]]],
    size: tuple[int, int] | Callable[[], tuple[int, int]],
    labels: dict[str, SourceLabel],
) -> Annotation:
    found = Annotation()
    size = size() if callable(size) else size
    for where, shape in shapes:
        if shape.get("shape_type") in WITHOUT_AREA:
            found.notes.append(NO_AREA)
        else:
            found.layers.append(Region(labels[shape["label"]], _drawing(shape, size, where)))
    return found


def _drawing(shape: dict[str, Any], size: tuple[int, int], where: str) -> Callable[[], np.ndarray]:
    kind = shape.get("shape_type") or "polygon"
    points = value_of(shape, "points", list, where)
    usable = all(isinstance(p, list) and len(p) == 2 and all(isinstance(v, int | float) for v in p) for p in points)
    least = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2}
    known = len(points) in (2, 4) if kind == "rectangle" else kind in least and len(points) >= least[kind]
    if not known or not usable:
        raise BadImageError(f"{where}: a {kind} with {len(points)} points cannot be drawn; correct it in LabelMe.")
    (x0, y0), (x1, y1) = points[0], points[1]
    if kind == "polygon" or (kind == "rectangle" and len(points) == 4):  # its corners, as X-AnyLabeling writes them
        return partial(polygon_mask, [[value for point in points for value in point]], size, where)
    if kind == "rectangle":
        return partial(rectangle_mask, (x0, y0, x1, y1), size)
    if kind == "circle":
        radius = float(np.hypot(x1 - x0, y1 - y0))
        return partial(ellipse_mask, (x0, y0), (radius, radius), size)
    return partial(_pasted, value_of(shape, "mask", str, where), (round(x0), round(y0)), size, where)


def _pasted(text: str, corner: tuple[int, int], size: tuple[int, int], where: str) -> np.ndarray:
    """A mask of the region's bounding box, a PNG in base64 whose first pixel is `corner` (x, y); what lies outside is cut off."""
    try:
        with open_picture(base64.b64decode(text, validate=True), formats=("PNG",)) as picture:
            part = np.asarray(picture) != 0
    except (*IMAGE_ERRORS, binascii.Error) as error:
        raise BadImageError(f"{where}: 'mask' is no PNG in base64 ({error}); export it again.") from error
    if part.ndim != 2:
        raise BadImageError(f"{where}: 'mask' is a picture in colours, not of one channel; export it again.")
    return paste(part, corner, size)


def paste(part: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool with `part` at `corner` (x, y); what lies outside is cut off.

    >>> paste(np.ones((2, 2), bool), (-1, 1), (2, 3)).astype(int).tolist()
    [[0, 0, 0], [1, 0, 0]]
    """
    mask = np.zeros(size, bool)
    x, y = corner
    rows, columns = np.nonzero(part)
    rows, columns = rows + y, columns + x
    inside = (rows >= 0) & (rows < size[0]) & (columns >= 0) & (columns < size[1])
    mask[rows[inside], columns[inside]] = True
    return mask
