"""Cityscapes' fine or coarse annotations: maps of label ids.

    source = read(Path("cityscapes"))

`gtFine/SPLIT/CITY/*_gtFine_labelIds.png` with `leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`. The ids of the group void, 0 to 6,
carry no label; a label's `kind` is its group. The test split has no annotations and is left out.
Cordts et al., CVPR 2016; ids and groups of `cityscapesScripts`, `helpers/labels.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from data_prep.importers.masks import index_map_reader
from data_prep.importers.source import Source, SourceImage, SourceLabel, require_folder, require_images

Annotations = Literal["gtFine", "gtCoarse"]
VOID = range(7)
GROUPS = {
    "flat": {7: "road", 8: "sidewalk", 9: "parking", 10: "rail track"},
    "construction": {11: "building", 12: "wall", 13: "fence", 14: "guard rail", 15: "bridge", 16: "tunnel"},
    "object": {17: "pole", 18: "polegroup", 19: "traffic light", 20: "traffic sign"},
    "nature": {21: "vegetation", 22: "terrain"},
    "sky": {23: "sky"},
    "human": {24: "person", 25: "rider"},
    "vehicle": {
        26: "car", 27: "truck", 28: "bus", 29: "caravan", 30: "trailer", 31: "train", 32: "motorcycle", 33: "bicycle",
    },
}  # fmt: skip
LABELS = {n: SourceLabel(name, "object", group) for group, names in GROUPS.items() for n, name in names.items()}


def read(path: Path, *, annotations: Annotations = "gtFine") -> Source:
    """Every annotated image. Raises `UserError` where there is none."""
    folder = require_folder(path / annotations, "Cityscapes has its annotations there")
    known = LABELS | {n: SourceLabel("void", "object", "void") for n in VOID}
    end = f"_{annotations}_labelIds.png"
    found = []
    for file in sorted(folder.glob(f"*/*/*{end}")):
        place = file.relative_to(folder)
        name = place.with_name(f"{file.name.removesuffix(end)}_leftImg8bit.png")
        if place.parts[0] == "test":
            continue
        split = "train" if place.parts[0] == "train_extra" else place.parts[0]
        reader = index_map_reader(file, known, "is the id of no label; take the labelIds pictures, not trainIds")
        found.append(SourceImage(file=path / "leftImg8bit" / name, name=name.as_posix(), split=split, read=reader))
    require_images(found, folder, f"SPLIT/CITY/*{end}")
    labels = tuple(LABELS.values())
    return Source(images=found, labels=labels, complete=labels)
