"""From the annotations people have to a label set in the Broden layout: one format a file, each with a function `read`.

    options = ImportOptions(label_size=112, to=("wall-*=material",))
    report = import_labels("coco", "annotations/instances_val2017.json", "sets/coco", options=options)

`source` is what they read, `options` what they can be told, `convert` and `planes` what becomes of it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.common.errors import choose
from data_prep.common.terminal import Progress, silent
from data_prep.importers.options import ImportOptions

if TYPE_CHECKING:
    from data_prep.importers.convert import ImportReport

FORMATS = ("coco", "voc", "ade20k", "cityscapes", "labelme", "cvat", "masks", "classes", "concept-images")
"""Each is read by `read` of the module of that name, which is imported when it is asked for."""


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
    from data_prep.importers.convert import convert

    choose("format", format, FORMATS)
    read = import_module(f"{__name__}.{format.replace('-', '_')}").read
    return convert(read(Path(path), **where), out, options, progress)
