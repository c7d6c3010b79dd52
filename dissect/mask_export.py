"""The masks of units over all images, as COCO run lengths, for pycocotools and whatever reads its files.

    paths = export_masks(run, data, Path("masks"), layers=["18"], units=[5, 7])    # NETWORK/LAYER-OPERATOR/masks.json
    coco = pycocotools.coco.COCO(paths[0])
    coco.annToMask(coco.anns[1])                             # (H, W) uint8

A file holds one layer. Its `categories` are the units (`id` is the unit's number + 1, as COCO counts from 1), its `images` those
of the run (`id` is the row of images.csv + 1), an annotation is one unit's mask on one image; empty masks have none. `height` and
`width` are those of the image's label map, in whose pixels masks are counted: stretch a mask to lay it over the image.

A run keeps the masks of the strongest images only, so its networks are loaded again and shown the images: see `masks_again`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import pycocotools.mask

from data_prep.common.errors import UserError, choose
from data_prep.common.files import atomic_write, slug
from data_prep.common.terminal import Progress, silent
from data_prep.formats import LabelledImages
from dissect.layers import Layer
from dissect.masks_again import UnitMask, unit_masks
from dissect.models import Network
from dissect.reload import check_data, reload_network, wanted_layers
from dissect.run_store import Run


def export_masks(
    run: Run,
    data: LabelledImages,
    out: str | Path,
    *,
    networks: Sequence[str] = (),
    layers: Sequence[str] = (),
    operators: Sequence[str] = (),
    units: Sequence[int] = (),
    loaded: Mapping[str, Network] | None = None,
    weights: Mapping[str, str | Path] | None = None,
    device: str | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Write OUT/NETWORK/LAYER-OPERATOR/masks.json for each chosen layer of a finished run; returns their paths.

    data: the label set of the run. networks: names, layers: labels or modules; all if none is given. operators: keep only
    layers with these. units: their numbers, counted from 0; all if none is given. loaded, weights: by the network's name in the
    run, where run.json alone cannot load it, see `reload.reload_network`. device: that of the run if not given.
    Raises `UserError` where network or data are not those of the run, or a mask is not the one that was counted.
    """
    run.refuse_imported("masks")
    check_data(run, data)
    names = [str(entry["name"]) for entry in run.networks]
    for name in networks:
        choose("network", name, names)
    paths: list[Path] = []
    for name in networks or names:
        network, its_layers = reload_network(
            run, name, weights=(weights or {}).get(name), network=(loaded or {}).get(name)
        )
        chosen = {k: _chosen_units(its_layers[k], units) for k in wanted_layers(its_layers, layers, operators)}
        if not any(len(each) for each in chosen.values()):
            raise UserError(
                f"No layer chosen of {name} has a unit of `units` {list(units)}: they count from 0 in each layer; "
                f"units.csv lists them."
            )
        with ExitStack() as stack:
            files: dict[int, _CocoFile] = {}
            for k, its_units in chosen.items():
                if len(its_units):
                    layer = its_layers[k]
                    path = Path(out) / name / f"{slug(layer.label)}-{slug(layer.operator)}" / "masks.json"
                    if path in paths:  # two modules whose names differ in signs only
                        path = path.parent.with_name(f"{path.parent.name}-{len(paths)}") / path.name
                    paths.append(path)
                    file = stack.enter_context(atomic_write(path, "w"))
                    files[k] = _CocoFile(file, _header(run, data, name, layer, its_units))
            for each in unit_masks(run, network, its_layers, data, chosen, device=device, progress=progress):
                files[each.layer].add(each)
            for coco in files.values():
                coco.end()
    return paths


def _chosen_units(layer: Layer, units: Sequence[int]) -> np.ndarray:
    """Those of `units` that the layer has, once each; all of it if none is given."""
    there = [unit for unit in dict.fromkeys(units) if 0 <= unit < layer.n_units]
    return np.array(there, np.int64) if units else np.arange(layer.n_units)


def _header(run: Run, data: LabelledImages, name: str, layer: Layer, units: np.ndarray) -> dict[str, Any]:
    """What a file says beside its annotations."""
    shape = {record.name: record.label_shape for record in data.images}
    table = run.units
    here = (table["network"] == name) & (table["layer"] == layer.label) & (table["operator"] == layer.operator)
    facts = table[here & (table["module"] == layer.module)].set_index("unit")
    return {
        "info": {
            "description": f"Masks of {name}, layer {layer.label}, {layer.operator}, at the size of the label maps",
            "network": name, "layer": layer.label, "operator": layer.operator, "module": layer.module,
            "quantile": run.info["settings"].get("quantile"), "data": data.name,
        },
        "images": [
            {"id": row + 1, "file_name": image, "height": shape[image][0], "width": shape[image][1]}
            for row, image in enumerate(run.images["name"])
        ],
        "categories": [
            {
                "id": unit + 1, "name": f"unit {unit}", "supercategory": f"{name} {layer.label} {layer.operator}",
                "unit": unit, "label": facts["label"][unit], "label_category": facts["category"][unit],
                "iou": float(facts["iou"][unit]), "threshold": float(facts["threshold"][unit]),
            }
            for unit in units.tolist()
        ],
    }  # fmt: skip


class _CocoFile:
    """One file, written annotation by annotation: those of a layer's units over a large set would not fit in memory."""

    def __init__(self, file: IO[str], header: Mapping[str, Any]) -> None:
        self._file, self._n = file, 0
        file.write(json.dumps(header, ensure_ascii=False, allow_nan=False)[:-1] + ', "annotations": [')

    def add(self, each: UnitMask) -> None:
        run_lengths = pycocotools.mask.encode(np.asfortranarray(each.mask, np.uint8))
        self._n += 1
        annotation = {
            "id": self._n, "image_id": each.image + 1, "category_id": each.unit + 1, "iscrowd": 0,
            "segmentation": {"size": run_lengths["size"], "counts": run_lengths["counts"].decode("ascii")},
            "area": int(each.mask.sum()), "bbox": pycocotools.mask.toBbox(run_lengths).tolist(),
        }  # fmt: skip
        self._file.write(("" if self._n == 1 else ",") + "\n" + json.dumps(annotation))

    def end(self) -> None:
        self._file.write("]}\n")
