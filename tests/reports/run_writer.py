"""A finished run folder made of chance, in the format of `dissect.run_store`, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dissect.run_store import (
    CONCEPT_COLUMNS,
    FORMAT_VERSION,
    UNIT_CATEGORY_COLUMNS,
    UNIT_COLUMNS,
    read_info,
    seal,
    write_arrays,
    write_table,
)

CATEGORIES = ["color", "object", "part", "material", "scene", "texture"]
CONCEPTS = [
    ("color", "red"), ("color", "grey"), ("object", "car"), ("object", "tree"), ("object", "person"), ("part", "wheel"),
    ("part", "hair"), ("material", "hair"), ("material", "glass"), ("scene", "street"), ("texture", "striped"),
    ("texture", "dotted"),
]  # fmt: skip
Layers = Sequence[tuple[str, str, int]]  # layer, operator, number of units
THREE_LAYERS = [(str(n), o, 12 if o == "depthwise" else 16) for n in (18, 20, 22) for o in ("depthwise", "pointwise")]


def make_run(
    folder: Path,
    networks: dict[str, Layers] | None = None,
    *,
    detector_share: float = 0.5,
    concepts: Sequence[tuple[str, str]] = CONCEPTS,
    n_images: int = 12,
    image_size: tuple[int, int] = (64, 48),
    label_shape: tuple[int, int] = (36, 48),
    n_strongest: int = 4,
    image_root: Path | None = None,
    image_names: Sequence[str] | None = None,
    seed: int = 0,
    **info: object,
) -> Path:
    """Write a run folder and its images. networks: name to its (layer, operator, n_units); detectors come by chance.

    image_root, image_names: take these images instead of drawing some. info: replaces top-level fields of run.json.
    """
    rng = np.random.default_rng(seed)
    networks = networks or {"separable": THREE_LAYERS}
    if image_names is None:
        image_root = folder.parent / f"{folder.name}-images"
        image_names = [f"group/image {k:02}.jpg" for k in range(n_images)]
        _draw_images(image_root, image_names, image_size, rng)
    tables = [_units(rng, name, layers, concepts, detector_share) for name, layers in networks.items()]
    units = pd.concat(tables, ignore_index=True)
    write_table(folder / "units.csv", units[list(UNIT_COLUMNS)])
    write_table(folder / "unit_category.csv", _unit_category(units)[list(UNIT_CATEGORY_COLUMNS)])
    rows = [(k, k + 1, category, label, 5, 1000) for k, (category, label) in enumerate(concepts)]
    write_table(folder / "concepts.csv", pd.DataFrame(rows, columns=list(CONCEPT_COLUMNS)))
    write_table(
        folder / "images.csv", pd.DataFrame({"image": range(len(image_names)), "name": image_names, "split": "train"})
    )
    for name, table in zip(networks, tables, strict=True):
        dead = table["dead"].to_numpy()
        write_arrays(
            folder / "strongest" / f"{name}.npz", _strongest(rng, dead, len(image_names), n_strongest, label_shape)
        )
    return reseal(folder, _info(networks, image_root, len(image_names)) | info)


def reseal(folder: Path, info: Mapping[str, Any] | None = None) -> Path:
    """After a test changed a file: run.json has its hash again. info: replaces what run.json holds."""
    for network in (info or read_info(folder))["networks"]:
        counts = folder / "counts" / f"{network['name']}.npz"
        if not counts.exists():  # no report reads them
            write_arrays(counts, {})
    seal(folder, info or read_info(folder))
    return folder


def _unit_category(units: pd.DataFrame) -> pd.DataFrame:
    """Nothing found in any category."""
    table = units.loc[units.index.repeat(len(CATEGORIES))].reset_index(drop=True)
    zeros = dict.fromkeys(("iou", "intersection_area", "mask_area", "concept_area"), 0)
    return table.assign(category=CATEGORIES * len(units), label="", **zeros)


def _draw_images(root: Path, names: Sequence[str], size: tuple[int, int], rng: np.random.Generator) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(root / name, quality=85)


def _units(
    rng: np.random.Generator, network: str, layers: Layers, concepts: Sequence[tuple[str, str]], detector_share: float
) -> pd.DataFrame:
    n = sum(count for *_, count in layers)
    iou = np.where(rng.random(n) < detector_share, rng.uniform(0.041, 0.4, n), rng.uniform(0.001, 0.04, n))
    dead = rng.random(n) < 0.05
    iou[dead] = 0
    index = rng.integers(0, len(concepts), n)
    table = pd.DataFrame(
        {
            "layer": np.repeat([layer for layer, _, _ in layers], [count for *_, count in layers]),
            "operator": np.repeat([operator for _, operator, _ in layers], [count for *_, count in layers]),
            "unit": np.concatenate([np.arange(count) for *_, count in layers]),
            "threshold": rng.normal(2, 0.5, n).astype(np.float32),
            "category": ["" if d else concepts[k][0] for k, d in zip(index, dead, strict=True)],
            "label": ["" if d else concepts[k][1] for k, d in zip(index, dead, strict=True)],
            "iou": iou,
            "detector": iou > 0.04,
            "dead": dead,
            "intersection_area": (iou * 1000).astype(int),
            "union_area": 1000,
            "max_activation": 5.0,
        }
    )
    table["network"], table["domain"] = network, "untrained"
    table["module"] = "stage." + table["layer"] + "." + table["operator"]
    return table


def _strongest(
    rng: np.random.Generator, dead: np.ndarray, n_images: int, n_strongest: int, shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    """Smooth random masks, as an enlarged activation map gives them; a dead unit has none, others may lack the last."""
    n_units = len(dead)
    image = np.stack([rng.permutation(n_images)[:n_strongest] for _ in range(n_units)]).astype(np.int32)
    image[:, -1] = np.where(rng.random(n_units) < 0.2, -1, image[:, -1])
    image[dead] = -1
    masks = []
    for _ in range(min(n_units * n_strongest, 256)):
        field = Image.fromarray(rng.normal(size=(6, 6)).astype(np.float32)).resize(
            shape[::-1], Image.Resampling.BICUBIC
        )
        masks.append(np.packbits(np.asarray(field) > 1.0))
    size = (shape[0] * shape[1] + 7) // 8
    which = rng.integers(0, len(masks), (n_units, n_strongest))
    return {
        "image": image,
        "peak": -np.sort(-rng.uniform(2, 9, (n_units, n_strongest)).astype(np.float32), axis=1),
        "mask_shape": np.broadcast_to(np.int32(shape), (n_units, n_strongest, 2)).copy(),
        "mask_offset": (which * size).astype(np.int64),
        "mask_bits": np.concatenate(masks),
    }


def _info(networks: dict[str, Layers], image_root: Path | None, n_images: int) -> dict[str, object]:
    return {
        "format": FORMAT_VERSION,
        "name": "synthetic",
        "created": "2026-01-02T03:04:05Z",
        "command": "dissect run --name synthetic",
        "settings": {
            "quantile": 0.995,
            "iou_cut": 0.04,
            "upsample": "half-pixel",
            "union": "category",
            "tap": "conv",
            "split": None,
            "categories": None,
            "strongest": 4,
        },
        "data": {
            "name": "mini-broden",
            "images": str(image_root),
            "fingerprint": "5ad1" * 16,
            "n_images": n_images,
            "n_skipped": 7,
            "skipped": [{"name": f"bad{k}.jpg", "reason": "the file is cut short"} for k in range(7)],
            "categories": CATEGORIES,
        },
        "networks": [
            {
                "name": name,
                "domain": "untrained",
                "model": f"mdl:{name}",
                "trained": False,
                "weights": None,
                "weights_hash": "0f" * 32,
                "input_size": [72, 72],
                "mean": [0.5] * 3,
                "std": [0.25] * 3,
                "input_size_from": "file",
                "mean_from": "library",
                "std_from": "default",
                "n_parameters": 2656667,
                "layers": [
                    {"layer": la, "operator": op, "module": f"stage.{la}.{op}", "n_units": n, "map": [9, 9]}
                    for la, op, n in layers
                ],
            }
            for name, layers in networks.items()
        ],
        "notes": ["The network is untrained: its detectors show what chance gives."],
        "versions": {"python": "3.11", "numpy": "2.4"},
        "execution": {"device": "cpu", "batch_size": 8},
        "timings": {name: {"forward": 1.2, "tally": 3.4} for name in networks},
    }
