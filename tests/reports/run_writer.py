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
    LABEL_COLUMNS,
    REPLICATE_COLUMNS,
    TRUST_COLUMNS,
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
    n_folds: int = 10,
    null: int = 20,
    **info: object,
) -> Path:
    """Write a run folder and its images. networks: name to its (layer, operator, n_units); detectors come by chance.

    n_folds: 1 for a run without folds, so without replicates, trust and labels. null: 0 for one without p-values.
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
    if n_folds > 1:
        write_table(folder / "replicates.csv", _replicates(rng, units, n_folds, concepts))
        write_table(folder / "trust.csv", _trust(rng, units, n_folds, null))
        write_table(folder / "labels.csv", _labels(rng, units, concepts))
    rows = [(k, k + 1, category, label, 15, 1000, True) for k, (category, label) in enumerate(concepts)]
    write_table(folder / "concepts.csv", pd.DataFrame(rows, columns=list(CONCEPT_COLUMNS)))
    write_table(
        folder / "images.csv", pd.DataFrame({"image": range(len(image_names)), "name": image_names, "split": "train"})
    )
    for name, table in zip(networks, tables, strict=True):
        dead = table["dead"].to_numpy()
        write_arrays(
            folder / "strongest" / f"{name}.npz", _strongest(rng, dead, len(image_names), n_strongest, label_shape)
        )
        write_arrays(folder / "responses" / f"{name}.npz", _responses(rng, dead, len(image_names)))
        if null:
            write_arrays(folder / "counts" / f"{name}.npz", _counts(rng, len(table), len(concepts), n_folds, null))
    start, image, area = _lists(rng, np.ones(len(concepts), np.bool_), len(image_names))
    write_arrays(folder / "concept_images.npz", {"start": start, "image": image, "area": area})
    return reseal(folder, _info(networks, image_root, len(image_names), n_folds, null) | info)


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
            "score": iou,
            "n_images": np.where(dead, 0, 15),
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


def _replicates(
    rng: np.random.Generator, units: pd.DataFrame, n_folds: int, concepts: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """Without each fold a unit has about the same IoU, and one label in ten is another."""
    tables = []
    for _, mine in units.groupby("network", sort=False):
        for fold in range(n_folds):
            table = mine.assign(left_out=fold, iou=mine["iou"] * rng.uniform(0.9, 1.1, len(mine)))
            other = (rng.random(len(mine)) < 0.1) & ~mine["dead"].to_numpy()
            names = [concepts[k] for k in rng.integers(0, len(concepts), len(mine))]
            for n, column in enumerate(("category", "label")):
                table[column] = np.where(other, [name[n] for name in names], mine[column])
            tables.append(table.assign(detector=table["iou"] > 0.04)[list(REPLICATE_COLUMNS)])
    return pd.concat(tables, ignore_index=True)


def _trust(rng: np.random.Generator, units: pd.DataFrame, n_folds: int, null: int) -> pd.DataFrame:
    iou, alive, n = units["iou"], ~units["dead"], len(units)
    held_out = iou * rng.uniform(0.5, 1, n)
    q = np.where(alive, np.clip(0.12 - iou, 0.001, 1), 1)
    return units.assign(
        held_out_iou=held_out,
        iou_low=iou * 0.7,
        iou_high=iou * 1.4,
        kept_folds=np.where(alive, rng.integers(n_folds // 2, n_folds + 1, n), 0),
        kept_share=np.where(alive, rng.integers(300, 1001, n) / 1000, 0),
        n_set=np.where(alive, 1 + (np.arange(n) % 3), 0),
        p=q / 2 if null else np.nan,
        q=q if null else np.nan,
        sure=(held_out > 0.04) & (q < 0.05) if null else pd.NA,
    )[list(TRUST_COLUMNS)]


def _labels(rng: np.random.Generator, units: pd.DataFrame, concepts: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Five for each unit, or as many as there are concepts; the first one to three are its label set."""
    rows = []
    for n, unit in enumerate(units.to_dict("records")):
        if not unit["dead"]:
            others = [pair for pair in concepts if pair != (unit["category"], unit["label"])]
            pairs = [(unit["category"], unit["label"]), *(others[k] for k in rng.permutation(len(others))[:4])]
            for rank, (category, label) in enumerate(pairs):
                iou = unit["iou"] * 0.8**rank
                more = {"rank": rank, "category": category, "label": label, "iou": iou, "score": iou}
                more |= {"iou_low": iou * 0.7, "iou_high": iou * 1.4, "chosen_share": 0.5**rank * 0.6}
                rows.append({**unit, **more, "in_set": rank <= n % 3})
    return pd.DataFrame(rows, columns=[*LABEL_COLUMNS])


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


def _responses(rng: np.random.Generator, dead: np.ndarray, n_images: int) -> dict[str, np.ndarray]:
    """Normal activations in bins of a quarter; a dead unit is 0 everywhere."""
    start, image, area = _lists(rng, ~dead, n_images)
    edges = np.arange(-20, 21, dtype=np.float32) / 4
    histogram = np.stack([np.histogram(rng.normal(size=500) * (not each), edges)[0] for each in dead]).astype(np.int64)
    return {"start": start, "image": image, "mask_area": area, "histogram": histogram, "edges": edges}


def _counts(rng: np.random.Generator, n_units: int, n_concepts: int, n_folds: int, null: int) -> dict[str, np.ndarray]:
    """Nothing counted but the null, in which one unit in ten is a detector."""
    shapes = {"intersection_area": (n_units, n_concepts), "mask_area": (n_units, len(CATEGORIES))}
    shapes |= {"concept_area": (n_concepts,), "n_images": (n_concepts,), "annotated_area": (len(CATEGORIES),)}
    counts = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
    if n_folds > 1:
        counts |= {f"fold_{name}": np.zeros((n_folds, *shape), np.int64) for name, shape in shapes.items()}
    return counts | {
        "threshold": np.zeros(n_units, np.float32), "max_activation": np.zeros(n_units, np.float32),
        "images": np.zeros(0, np.int64), "skipped": np.zeros((0, 2), "U1"),
        "null_score": np.where(rng.random((null, n_units)) < 0.1, 0.05, 0.01),
    }  # fmt: skip


def _lists(rng: np.random.Generator, alive: np.ndarray, n_images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """start, image and area of what is in about a third of the images, or, where it is not alive, in none."""
    where = (rng.random((len(alive), n_images)) < 0.3) & alive[:, None]
    start = np.append(0, where.sum(1).cumsum()).astype(np.int64)
    image = np.nonzero(where)[1].astype(np.int32)
    return start, image, rng.integers(1, 4000, len(image))


def _info(
    networks: dict[str, Layers], image_root: Path | None, n_images: int, n_folds: int, null: int
) -> dict[str, object]:
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
            "folds": n_folds,
            "min_images": 10,
            "score": "iou",
            "null": null,
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
