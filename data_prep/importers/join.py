"""One set of several, and a set with colour names: both copy sets, whose files stay as they are.

    join_broden(["sets/ade", "sets/dtd"], "sets/both")
    add_colors("sets/both", "sets/both-colors")

Equal names become one label, and a label serves all its categories, as in Broden itself; images lie in a folder for each set.
Where a set has not annotated a category, its images stay without it. Pictures are linked where the disk can: they take no room.
What cannot stand in a name becomes "_".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.broden import Broden, open_broden
from data_prep.broden_writer import BrodenWriter, Plane, free_name, safe_name, write_broden
from data_prep.colours import NAMES, colour_codes
from data_prep.common.errors import UserError
from data_prep.common.pictures import IMAGE_ERRORS, in_threads, open_picture, rgb_picture
from data_prep.common.terminal import Progress, silent
from data_prep.formats import BadImageError, ImageLabels

COLOR = "color"


def join_broden(roots: Sequence[str | Path], out: str | Path, progress: Progress = silent) -> Path:
    """Join the sets in the folders `roots` into the new set `out`; `progress("joining", n_done, n_images)`.

    Raises `UserError` where there are not two of them at least, one cannot be read, or `out` is there.
    """
    if len(roots) < 2:
        raise UserError(f"`roots` has {len(roots)} folder: name two sets or more to join.")
    sets = [open_broden(root) for root in roots]
    categories = list(dict.fromkeys(category for data in sets for category in data.categories))
    total, done = sum(len(data.images) for data in sets), 0
    taken: set[str] = set()
    with write_broden(out, categories) as writer:
        for data, folder in zip(sets, _folders(sets), strict=True):
            for index, (planes, whole) in enumerate(_labels(data)):
                _add(writer, data, index, free_name(f"{folder}/{data.images[index].name}", taken), planes, whole)
                done += 1
                progress("joining", done, total)
    return Path(out)


def add_colors(root: str | Path, out: str | Path, progress: Progress = silent) -> Path:
    """Copy a set to the new set `out` with the category color: at each label pixel one of the eleven basic colour names.

    The name is that of the mean of the image's pixels that the label pixel covers, by the rule of `data_prep.colours`.
    `progress("colors", n_done, n_images)`. Raises `UserError` where the set has that category already or an image cannot be read.
    """
    data = open_broden(root)
    if COLOR in data.categories:
        raise UserError(f"{root} has the category {COLOR} already: it needs no other.")
    taken: set[str] = set()
    with write_broden(out, [COLOR, *data.categories]) as writer:
        colours = in_threads(lambda index: color_plane(data, index), range(len(data.images)))
        for index, (colour, (planes, whole)) in enumerate(zip(colours, _labels(data), strict=True)):
            _add(writer, data, index, free_name(data.images[index].name, taken), [colour, *planes], whole)
            progress("colors", index + 1, len(data.images))
    return Path(out)


def color_plane(data: Broden, index: int) -> Plane:
    """The colour names of an image, at the size of its label map."""
    record = data.images[index]
    try:
        with open_picture(record.path) as picture:
            channels = rgb_picture(picture, record.image_shape).split()
    except IMAGE_ERRORS as error:
        raise BadImageError(f"Image {record.path} cannot be read ({error}): write it again.") from error
    # In floating point: Pillow would round the means of whole numbers twice, once in each direction.
    means = [c.convert("F").resize(record.label_shape[::-1], Image.Resampling.BOX) for c in channels]
    mean = np.floor(np.stack([np.asarray(channel) for channel in means], -1) + 0.5).astype(np.uint8)
    return Plane(COLOR, colour_codes(mean), ["", *NAMES])


def _folders(sets: Sequence[Broden]) -> list[str]:
    """A folder for each set, called as it is, with a number where two are called alike."""
    names = [safe_name(data.name) for data in sets]
    folders: list[str] = []
    for k, name in enumerate(names, 1):
        folder, numbers = name, count(k)
        while folder in folders or names.count(folder) > (folder == name):
            folder = f"{name}-{next(numbers)}"
        folders.append(folder)
    return folders


def _labels(data: Broden) -> Iterator[tuple[list[Plane], list[tuple[str, str]]]]:
    """Planes and whole-image labels of each image, by name."""
    for labels in in_threads(data.read_labels, range(len(data.images))):
        yield (
            _planes(data, labels),
            [(data.concepts[c].category, data.concepts[c].name) for c in labels.whole_image.tolist()],
        )


def _planes(data: Broden, labels: ImageLabels) -> list[Plane]:
    planes = []
    for plane, k in zip(labels.planes, labels.plane_category.tolist(), strict=True):
        present, codes = np.unique(plane, return_inverse=True)
        names = [data.concepts[c].name if c >= 0 else "" for c in present.tolist()]
        planes.append(Plane(data.categories[k], codes.reshape(plane.shape), names))
    return planes


def _add(
    writer: BrodenWriter, data: Broden, index: int, name: str, planes: list[Plane], whole: list[tuple[str, str]]
) -> None:
    record = data.images[index]
    writer.add(
        name,
        split=record.split,
        image_shape=record.image_shape or record.label_shape,
        label_shape=record.label_shape,
        planes=planes,
        whole=whole,
        image=record.path,
    )
