"""Finished runs that need no folder: units, replicates, concepts and what run.json says, made of chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dissect.run_store import Run

CONCEPTS = [(category, f"{category} {k}") for category in ("object", "part", "texture") for k in range(4)]
LAYERS = [("18", "depthwise", 8), ("18", "pointwise", 12), ("20", "depthwise", 12), ("20", "pointwise", 12)]


def run_in_memory(
    name: str,
    networks: Sequence[str] = ("net",),
    *,
    layers: Sequence[tuple[str, str, int]] = LAYERS,
    n_folds: int = 5,
    seed: int = 0,
    concepts: Sequence[tuple[str, str]] = CONCEPTS,
    settings: Mapping[str, object] | None = None,
    fingerprint: str = "f" * 64,
    n_images: int = 20,
    trained: bool = True,
    null: bool = False,
    weights_hash: str = "0f" * 32,
) -> Run:
    """Two units in three are detectors; without a fold one in eight is none, and one in eight detects something else."""
    rng = np.random.default_rng(seed)
    tables, replicates = [], []
    for network in networks:
        units = pd.DataFrame(
            [(layer, operator, unit) for layer, operator, n in layers for unit in range(n)],
            columns=["layer", "operator", "unit"],
        )
        units["network"], units["domain"], units["dead"] = network, network, rng.random(len(units)) < 0.1
        labels = rng.integers(0, len(concepts), len(units))
        units["category"], units["label"] = ([concepts[k][n] for k in labels] for n in (0, 1))
        units["detector"] = ~units["dead"] & (rng.random(len(units)) < 0.66)
        units["iou"] = np.where(units["detector"], rng.uniform(0.041, 0.4, len(units)), 0.01)
        tables.append(units)
        for fold in range(n_folds if n_folds > 1 else 0):
            other = units.assign(left_out=fold, detector=units["detector"] & (rng.random(len(units)) > 0.125))
            changed = np.flatnonzero(rng.random(len(units)) < 0.125)
            names = [concepts[k] for k in rng.integers(0, len(concepts), len(changed))]
            for n, column in enumerate(("category", "label")):
                other.loc[changed, column] = [pair[n] for pair in names]
            replicates.append(other)
    info = {
        "name": name,
        "command": f"dissect run --name {name}",
        "settings": {"quantile": 0.995, "iou_cut": 0.04, "union": "category", "folds": n_folds, **(settings or {})},
        "data": {"name": "drawn", "fingerprint": fingerprint, "categories": ["object", "part", "texture"]},
        "networks": [
            {
                "name": network, "domain": network, "model": f"mdl:{network}", "trained": trained,
                "weights_hash": weights_hash, "layers": [{"layer": la, "operator": op, "n_units": n} for la, op, n in layers],
            }
            for network in networks
        ],
        "notes": [],
        "versions": {"python": "3.11"},
    }  # fmt: skip
    run = Run(Path("runs") / name, info)
    run.__dict__.update(
        units=pd.concat(tables, ignore_index=True),
        replicates=pd.concat(replicates, ignore_index=True) if replicates else None,
        concepts=pd.DataFrame(list(concepts), columns=["category", "label"]),
        images=pd.DataFrame({"name": [f"image {k}.jpg" for k in range(n_images)]}),
        trust=_trust(pd.concat(tables, ignore_index=True), rng, null) if n_folds > 1 else None,
    )
    return run


def _trust(units: pd.DataFrame, rng: np.random.Generator, null: bool) -> pd.DataFrame:
    held_out = units["iou"] * rng.uniform(0.3, 1, len(units))
    sure = (held_out > 0.04) & (rng.random(len(units)) < 0.7)
    return units.assign(
        held_out_iou=held_out,
        iou_low=units["iou"] * 0.9,
        iou_high=units["iou"] * 1.2,
        sure=sure.astype("boolean") if null else pd.NA,
    )[["network", "layer", "operator", "unit", "held_out_iou", "iou_low", "iou_high", "sure"]]
