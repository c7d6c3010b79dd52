"""From the annotations people have to a label set in the Broden layout: one format a file, each with a function `read`.

    options = ImportOptions(label_size=112, to=("wall-*=material",))
    report = import_labels("coco", "annotations/instances_val2017.json", "sets/coco", options=options)

`source` is what they read, `options` what they can be told, `convert` and `planes` what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from data_prep.common.errors import choose
from data_prep.common.terminal import Progress, silent
from data_prep.importers import ade20k, cityscapes, classes, coco, concept_images, cvat, labelme, masks, voc
from data_prep.importers.convert import ImportReport, convert
from data_prep.importers.options import ImportOptions
from data_prep.importers.source import Source

FORMATS: Mapping[str, Callable[..., Source]] = {
    "coco": coco.read,
    "voc": voc.read,
    "ade20k": ade20k.read,
    "cityscapes": cityscapes.read,
    "labelme": labelme.read,
    "cvat": cvat.read,
    "masks": masks.read,
    "classes": classes.read,
    "concept-images": concept_images.read,
}


def import_labels(
    format: str,
    path: str | Path,
    out: str | Path,
    *,
    options: ImportOptions = ImportOptions(),  # noqa: B008  frozen
    progress: Progress = silent,
    **where: object,
) -> ImportReport:
    """Import annotations of a format into the new set `out`, which `open_broden` and `dissect.run` take.

    `where` goes to the format's `read`, such as `images` for coco. `progress("importing", n_done, n_images)` is called after each
    image. Raises `UserError` where something cannot be used; then there is no set.
    """
    choose("format", format, FORMATS)
    return convert(FORMATS[format](Path(path), **where), out, options, progress)
