"""Check a whole Broden set before hours are spent on it.

    report = check_broden("data/broden")
    report.n_faults, report.faults            # all of them counted, the first of them kept

Every table is read, every image and label map decoded, every label counted. A fault makes something unusable, for whoever reads
the set as well as here; a warning says what looks wrong but is used as it is. Frequencies that are stated are never used.
Coverage is not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.broden import Broden
from data_prep.broden_csv import Told
from data_prep.broden_tables import IndexRow, Tables, read_tables
from data_prep.common.pictures import IMAGE_ERRORS, in_threads, is_turned, open_picture, orientation, rgb_picture
from data_prep.common.terminal import Progress, silent
from data_prep.findings import LIMIT, CheckReport, Findings
from data_prep.formats import BadImageError


@dataclass(frozen=True, kw_only=True)
class BrodenReport(CheckReport):
    """What was checked and what was found; `faults` and `warnings` hold the first `limit` of each.

    annotated: by category, the images with some label of it, which are those that dissection counts for it.
    """

    n_images: int
    n_label_maps: int
    n_categories: int
    n_concepts: int
    annotated: Mapping[str, int]


def check_broden(root: str | Path, limit: int = LIMIT, progress: Progress = silent) -> BrodenReport:
    """Check the Broden set in folder `root`; `progress("checking", n_done, n_images)` is called after each image.

    Continues after a fault and counts them all. Raises `UserError` only where a table as a whole cannot be used.
    """
    faults, warnings = Findings(limit), Findings(limit)
    tables = read_tables(Path(root), Told(faults.add, warnings.add))
    data = Broden(tables, None, list(tables.categories))
    _check_agreement(tables, warnings)
    n_images = len(data.rows)
    n_faults_of_tables = faults.n
    frequency = np.zeros(len(data.concepts), np.int64)
    annotated = dict.fromkeys(data.categories, 0)
    checked = in_threads(partial(_check_image, data), data.rows)
    for done, (row, (found, oddity, present)) in enumerate(zip(data.rows, checked, strict=True), start=1):
        for sentence in found:
            faults.add("index.csv", row.row, sentence)
        if oddity:
            warnings.add("index.csv", row.row, oddity)
        frequency += present
        for category in {data.concepts[n].category for n in np.flatnonzero(present)}:
            annotated[category] += 1
        progress("checking", done, n_images)
    if faults.n == n_faults_of_tables:  # labels that cannot be read cannot be counted either
        _compare_frequencies(data, tables, frequency, warnings)
    return BrodenReport(
        root=tables.root,
        n_faults=faults.n,
        faults=tuple(faults.first),
        n_warnings=warnings.n,
        warnings=tuple(warnings.first),
        n_images=n_images,
        n_label_maps=sum(len(paths) for row in data.rows for paths in row.maps.values()),
        n_categories=len(data.categories),
        n_concepts=len(data.concepts),
        annotated=annotated,
    )


def _check_agreement(tables: Tables, warnings: Findings) -> None:
    """`label.csv` and the `c_<category>.csv` must list the same labels for each category."""
    for number, label in tables.labels.items():
        for category, stated in label.categories.items():
            members = tables.categories.get(category)
            if members is None:
                sentence = f"label number {number} serves {category!r}, which is not in category.csv."
                warnings.add("label.csv", label.row, sentence)
            elif number not in members:
                sentence = f"label number {number} serves {category!r}, but c_{category}.csv does not have it; add it."
                warnings.add("label.csv", label.row, sentence)
            elif None not in (stated, members[number].frequency) and stated != members[number].frequency:
                there = f"c_{category}.csv states {members[number].frequency}"
                warnings.add("label.csv", label.row, f"{label.name!r} is stated in {stated} images, but {there}.")
    for category, members in tables.categories.items():
        for number, member in members.items():
            if category not in tables.labels[number].categories:
                sentence = f"label number {number} does not serve {category!r} in label.csv; add it there."
                warnings.add(f"c_{category}.csv", member.row, sentence)


def _check_image(data: Broden, row: IndexRow) -> tuple[list[str], str | None, np.ndarray]:
    """Faults of one image, what is odd but used, and which concepts it holds: (C,) bool."""
    fault, oddity = _look_at(row)
    sentences = [fault] if fault else []
    present = np.zeros(len(data.concepts) + 1, bool)  # shifted by one, for NO_CONCEPT
    for k, category in enumerate(data.categories):
        for path in row.maps.get(category, ()):
            try:
                indices = data.read_plane(row, k, path)
                present |= np.bincount(indices.ravel() + 1, minlength=len(present)).astype(bool)
            except BadImageError as error:
                sentences.append(str(error))
        for number in row.numbers.get(category, ()):
            try:
                present[data.concept_of(row, k, number) + 1] = True
            except BadImageError as error:
                sentences.append(str(error))
    return sentences, oddity, present[1:]


def _look_at(row: IndexRow) -> tuple[str | None, str | None]:
    """A fault and an oddity of the image itself, where there are any."""
    path, stated = row.record.path, row.record.image_shape
    try:
        with open_picture(path) as picture:
            tag, turned = orientation(picture), is_turned(picture, stated)
            width, height = rgb_picture(picture, stated).size
    except FileNotFoundError:
        return f"Image {path} is missing: put it there, or delete the row.", None
    except IMAGE_ERRORS as error:
        return f"Image {path} cannot be read ({error}): write it again, or delete the row.", None
    ih, iw = stated or (height, width)
    if (height, width) != (ih, iw):
        return None, (
            f"Image {path} is {height} high and {width} wide, but index.csv says ih {ih}, iw {iw}: it is used as it is stored, "
            f"its labels stretched over it; put the image there that was labelled, or correct the row."
        )
    if turned:
        return None, f"Image {path} is stored on its side; it is turned by its EXIF tag, as ih {ih}, iw {iw} ask for."
    if tag != 1:
        return None, (
            f"Image {path} has the EXIF orientation {tag} and is used as it is stored, {ih} high and {iw} wide, as index.csv "
            f"says; if its labels were drawn on the upright image, store it upright, without the tag."
        )
    return None, None


def _compare_frequencies(data: Broden, tables: Tables, frequency: np.ndarray, warnings: Findings) -> None:
    for concept, counted in zip(data.concepts, frequency.tolist(), strict=True):
        member = tables.categories[concept.category][concept.number]
        if counted == 0:
            sentence = f"label number {concept.number}, {concept.name!r}, is in no image."
        elif member.frequency is not None and counted != member.frequency:
            sentence = f"{concept.name!r} is stated in {member.frequency} images and counted in {counted}."
        else:
            continue
        warnings.add(f"c_{concept.category}.csv", member.row, sentence)
