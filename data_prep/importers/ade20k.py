"""ADE20K, in both of its forms; which one a folder holds is found out.

    source = read(Path("ADEChallengeData2016"))             # the scene-parsing benchmark: maps of 150 numbers
    source = read(Path("ADE20K_2021_17_01"))                # the full release: every object, with its parts

Benchmark: `annotations/SPLIT/*.png`, `images/SPLIT/*.jpg`, names in `objectInfo150.txt`, scenes in `sceneCategories.txt`; 0 is
"other" and no label. Full release (2016 or 2021): `*_seg.png` and, for each level of parts, `*_parts_1.png`, ...; a pixel's class
is R // 10 * 256 + G, its instance the rank of B; names are in `*_atr.txt` by instance or `*.json` by class; folders name the
scene. Of a name's synonyms the first is taken; scenes end in "-s", as in Broden. Parts are annotated in some images only.
Zhou et al., CVPR 2017; `loadAde20K.m` and `utils_ade20k.py` of github.com/CSAILVision/ADE20K.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from data_prep.common.errors import UserError
from data_prep.formats import BadImageError
from data_prep.importers.classes import SPLITS
from data_prep.importers.masks import index_map_reader
from data_prep.importers.source import (
    COLOURS,
    Annotation,
    IndexMap,
    Source,
    SourceImage,
    SourceLabel,
    by_stem,
    read_codes,
    read_json,
    read_text,
    require_folder,
    require_images,
    value_of,
)

NO_SCENE = ("misc", "outliers", "unclassified", "images")
ANY_OBJECT = SourceLabel("object", "object", "object")
"""Stands for the objects of the full release, whose names are known only when the images are read."""


def read(path: Path) -> Source:
    """Every annotated image of either form. Raises `UserError` where the folder holds neither."""
    require_folder(path)
    if (path / "annotations").is_dir():
        return _benchmark(path)
    found = []
    for seg in sorted(path.rglob("*_seg.png")):
        stem = seg.with_name(seg.name.removesuffix("_seg.png"))
        folders = seg.relative_to(path).parts[:-1]
        place = next((k for k, folder in enumerate(folders) if folder.lower() in SPLITS), None)
        split, below = (None, folders) if place is None else (SPLITS[folders[place].lower()], folders[place + 1 :])
        image = stem.with_name(f"{stem.name}.jpg")
        name = image.relative_to(path).as_posix()
        found.append(SourceImage(file=image, name=name, split=split, read=partial(_full, stem, _scene(_folded(below)))))
    require_images(found, path, "annotations/ of the benchmark and no *_seg.png of the full ADE20K")
    return Source(images=found, complete=[ANY_OBJECT])


def _benchmark(path: Path) -> Source:
    labels = _object_names(path / "objectInfo150.txt")
    scenes: dict[str, str] = {}
    if (path / "sceneCategories.txt").is_file():
        lines = (line.split() for line in read_text(path / "sceneCategories.txt").splitlines())
        scenes = {words[0]: words[1] for words in lines if len(words) > 1}
    found = []
    pictures = by_stem(path / "images")
    for stem, file in by_stem(path / "annotations").items():
        split, _, name = stem.rpartition("/")
        reader = index_map_reader(file, labels, f"{path / 'objectInfo150.txt'} does not name")
        image = pictures.get(stem, path / "images" / f"{stem}.jpg")
        read_image = partial(_with_scene, reader, _scene(scenes.get(name, "")))
        found.append(SourceImage(file=image, name=f"{stem}.jpg", split=SPLITS.get(split.lower()), read=read_image))
    require_images(found, path / "annotations", "label picture")
    known = tuple(labels.values())
    return Source(images=found, labels=known, complete=known)


def _with_scene(reader: Callable[[], Annotation], scene: list[SourceLabel]) -> Annotation:
    annotation = reader()
    annotation.whole += scene
    return annotation


def _object_names(path: Path) -> dict[int, SourceLabel]:
    """Tabs between the columns; the first is the number, the last the names."""
    labels = {}
    for line in read_text(path).splitlines():
        first, _, last = line.partition("\t")
        if first.strip().isdigit():
            labels[int(first)] = SourceLabel(_first_name(last.rpartition("\t")[2]), "object", "object")
    if not labels:
        raise UserError(
            f"{path} has no line of a number and, behind the last tab, a name: take the file of the benchmark."
        )
    return labels


def _scene(name: str) -> list[SourceLabel]:
    return [] if name in ("", *NO_SCENE) or len(name) == 1 else [SourceLabel(f"{name}-s", "scene", "scene")]


def _folded(folders: Sequence[str]) -> str:
    """The scene of the folders below the split: all behind a first letter, as in 2016; the last, behind a group, as in 2021.

    >>> _folded(("p", "parking_garage", "outdoor")), _folded(("urban", "street"))
    ('parking_garage_outdoor', 'street')
    """
    letter = next((k for k, folder in enumerate(folders) if len(folder) == 1), len(folders) - 2)
    return "_".join(folders[max(letter + 1, 0) :])


def _first_name(names: str) -> str:
    return re.split("[,;]", names)[0].strip()


def _full(stem: Path, scene: list[SourceLabel]) -> Annotation:
    """An image of the full release: its objects, then each level of parts, as the classes or instances are called."""
    layers: list[IndexMap] = []
    names = _names(stem)
    while True:
        level = len(layers)
        file = stem.with_name(f"{stem.name}_parts_{level}.png" if level else f"{stem.name}_seg.png")
        if level and not file.is_file():
            return Annotation([*layers], scene)
        codes, largest = read_codes(file)
        if largest != COLOURS:
            raise BadImageError(
                f"Label picture {file} has no colours, and the full ADE20K has classes in them: unpack it again."
            )
        layers.append(names(codes, level, file))


def _names(stem: Path) -> Callable[[np.ndarray, int, Path], IndexMap]:
    """What makes an `IndexMap` of the colours of one level."""
    by_instance, by_class = stem.with_name(f"{stem.name}_atr.txt"), stem.with_name(f"{stem.name}.json")
    if by_instance.is_file():
        return partial(_instances, _attributes(by_instance), by_instance)
    if by_class.is_file():
        return partial(_classes, _objects(by_class), by_class)
    raise BadImageError(
        f"{by_instance} and {by_class} are missing: one of them names what the image shows; unpack it again."
    )


def _attributes(path: Path) -> dict[tuple[int, int], str]:
    """(level, instance) -> name, from lines `instance # level # occluded # class # name # attributes`."""
    names = {}
    for number, line in enumerate(read_text(path, latin=True).splitlines(), 1):
        fields = [field.strip() for field in line.split("#")]
        if not line.strip():
            continue
        if len(fields) < 4 or not (fields[0].isdigit() and fields[1].isdigit()):
            raise BadImageError(
                f"{path}, line {number}: {line!r} is not instance # level # occluded # class; unpack it again."
            )
        names[int(fields[1]), int(fields[0])] = _first_name(fields[3])
    return names


def _instances(names: dict[tuple[int, int], str], told: Path, colours: np.ndarray, level: int, file: Path) -> IndexMap:
    present, codes = np.unique(colours & 0xFF, return_inverse=True)
    codes = codes.reshape(colours.shape) + int(present[0] != 0)  # 0 is no instance, whether or not a pixel has it
    labels = {}
    for instance in range(1, int(codes.max(initial=0)) + 1):
        if (level, instance) not in names:
            raise BadImageError(
                f"{file} has {codes.max()} instances, but {told} does not name {instance}: unpack both again."
            )
        labels[instance] = _label(names[level, instance], level)
    return IndexMap(codes, labels)


def _objects(path: Path) -> dict[tuple[bool, int], str]:
    """(whether it is a part, class) -> name."""
    annotation = value_of(read_json(path, latin=True), "annotation", dict, path)
    names = {}
    for k, thing in enumerate(value_of(annotation, "object", list, path)):
        where = f"{path}, object[{k}]"
        parts = value_of(thing, "parts", dict, where)
        is_part = str(parts.get("part_level", 0)) not in ("0", "")
        names[is_part, value_of(thing, "name_ndx", int, where)] = _first_name(value_of(thing, "name", str, where))
    return names


def _classes(names: dict[tuple[bool, int], str], told: Path, colours: np.ndarray, level: int, file: Path) -> IndexMap:
    codes = (colours >> 16) // 10 * 256 + (colours >> 8 & 0xFF)
    labels = {}
    for number in np.unique(codes[codes > 0]).tolist():
        name = names.get((level > 0, number), names.get((level == 0, number)))
        if name is None:
            raise BadImageError(f"{file} has the class {number}, which {told} does not name: unpack both again.")
        labels[number] = _label(name, level)
    return IndexMap(codes, labels)


def _label(name: str, level: int) -> SourceLabel:
    return SourceLabel(name, "part", "part") if level else SourceLabel(name, "object", "object")
