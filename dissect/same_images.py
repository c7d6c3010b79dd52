"""Several networks in one run must have been shown the same images: images.csv is one list, whose rows stand for those of each.

    files = up_to_date(out, files, ["a", "b"], data)       # before: without networks that an interrupted run showed others
    check_same_images(["a", "b"], stored, data)            # after: raises `UserError`

An image that cannot be used is skipped, if the user wishes so, and may become usable, or unusable, between two networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.common.errors import UserError
from data_prep.formats import BadImageError, LabelledImages
from dissect.found import Stored
from dissect.images import read_image
from dissect.run_files import read_arrays
from dissect.run_schema import FOLD


def up_to_date(out: Path, files: Mapping[str, Any], names: Sequence[str], data: LabelledImages) -> dict[str, Any]:
    """Of the records of stored files, those of networks that saw the images as they are now, as far as the networks differ."""
    counts = {name: f"counts/{name}.npz" for name in names if f"counts/{name}.npz" in files}
    seen = {name: set(read_arrays(out / file, FOLD)["images"].tolist()) for name, file in counts.items()}
    if len(seen) < 2:
        return dict(files)
    differing = set.union(*seen.values()) - set.intersection(*seen.values())
    now = {number for number in differing if _is_usable(data, number)}
    gone = {counts[name] for name, images in seen.items() if images & differing != now}
    return {file: record for file, record in files.items() if file not in gone}


def check_same_images(names: Sequence[str], stored: Sequence[Stored], data: LabelledImages) -> None:
    """Raises `UserError` at the first image that only some of the networks were shown. stored: what there is of each."""
    seen = [set(arrays["images"].tolist()) for arrays in stored]
    for name, images in zip(names, seen, strict=True):
        if differing := images ^ seen[0]:
            number = min(differing)
            with_it, without = (names[0], name) if number in seen[0] else (name, names[0])
            raise UserError(
                f"The image {data.images[number].name} could be used for the network {with_it}, and not for {without}: give the "
                f"same command again once it stays as it is, and the network that saw it otherwise is dissected again."
            )


def _is_usable(data: LabelledImages, number: int) -> bool:
    record = data.images[number]
    try:
        data.read_labels(number)
        read_image(record.path, record.label_shape, record.image_shape)
    except BadImageError:
        return False
    return True
