"""Which images a unit's mask and a concept are in, and which values a unit takes: read from a run folder. No torch.

    run.images_with("lamp")                   # pandas table: image, name, area
    run.images_of("imagenet12", 18, 5)        # the same of a unit's mask: image, name, mask_area
    edges, counts = run.histograms("imagenet12")

responses/NETWORK.npz holds, `U` units in the order of units.csv, `n` (unit, image) pairs:

    start, image, mask_area  (U + 1,) int64, (n,) int32, (n,) int64: for start[k] <= i < start[k + 1] the mask of unit k has
                             `mask_area[i]` label pixels on the image in row `image[i]` of images.csv, images ascending; on others
                             it is empty
    histogram, edges         (U, N) int64, (N + 1,) float32: how many of the unit's activations lie in each bin, on all images or,
                             of a large set, on some (`dissect.histograms`)

and concept_images.npz, of the concepts of concepts.csv: start (C + 1,), image (n,) and area (n,) in the same way.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data_prep.common.errors import UserError, choose
from dissect.image_areas import Lists
from dissect.run_files import REMEDY, RunFolderError, read_arrays
from dissect.run_info import CONCEPT_IMAGES
from dissect.run_schema import check_arrays

if TYPE_CHECKING:
    from dissect.run_store import Run


def responses_arrays(units: Lists, histogram: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of responses/NETWORK.npz."""
    return {
        "start": units.start, "image": units.image, "mask_area": units.area, "histogram": histogram, "edges": edges,
    }  # fmt: skip


def responses_of(run: Run, network: str, n_units: int) -> dict[str, np.ndarray]:
    """The arrays of a network's file, checked."""
    path = run.path / "responses" / f"{network}.npz"
    arrays = read_arrays(path)
    n_bins = len(arrays["edges"]) - 1 if "edges" in arrays and arrays["edges"].ndim == 1 else -1
    check_arrays(
        path,
        arrays,
        {
            "start": ("i8", (n_units + 1,)), "image": ("i4", (-1,)), "mask_area": ("i8", (-1,)),
            "histogram": ("i8", (n_units, n_bins)), "edges": ("f4", (-1,)),
        },
    )  # fmt: skip
    _check_lists(path, arrays["start"], arrays["image"], arrays["mask_area"], n_images=len(run.images))
    if n_bins < 1 or not (np.diff(arrays["edges"]) > 0).all() or arrays["histogram"].min(initial=0) < 0:
        raise RunFolderError(f"{path}: edges do not rise, or histogram has counts below 0: {REMEDY}.")
    return arrays


def images_of(run: Run, network: str, row: int, n_units: int) -> pd.DataFrame:
    """See `Run.images_of`. row: of the unit among those of its network."""
    arrays = responses_of(run, network, n_units)
    there = slice(*arrays["start"][row : row + 2].tolist())
    return _table(run, arrays["image"][there], "mask_area", arrays["mask_area"][there])


def images_with(run: Run, label: str, category: str | None) -> pd.DataFrame:
    """See `Run.images_with`."""
    found = run.concepts[run.concepts["label"] == label]
    if found.empty:
        choose("concept", label, dict.fromkeys(run.concepts["label"]))
    if category is not None:
        choose(f"category of {label}", category, list(found["category"]))
        found = found[found["category"] == category]
    elif len(found) > 1:
        raise UserError(
            f"{label} is a label of several categories: set `category` to {' or '.join(found['category'])}."
        )
    path = run.path / CONCEPT_IMAGES
    arrays = read_arrays(path)
    kinds = {"start": ("i8", (len(run.concepts) + 1,)), "image": ("i4", (-1,)), "area": ("i8", (-1,))}
    check_arrays(path, arrays, kinds)
    _check_lists(path, arrays["start"], arrays["image"], arrays["area"], n_images=len(run.images))
    row = int(found.index[0])
    there = slice(*arrays["start"][row : row + 2].tolist())
    return _table(run, arrays["image"][there], "area", arrays["area"][there])


def _table(run: Run, image: np.ndarray, column: str, area: np.ndarray) -> pd.DataFrame:
    names = run.images["name"].iloc[image].reset_index(drop=True)
    return pd.DataFrame({"image": image.astype(np.int64), "name": names, column: area})


def _check_lists(path: Path, start: np.ndarray, image: np.ndarray, area: np.ndarray, *, n_images: int) -> None:
    n = len(image)
    if start[0] != 0 or start[-1] != n or len(area) != n or (np.diff(start) < 0).any():
        raise RunFolderError(f"{path}: start does not part image and its areas into lists: {REMEDY}.")
    if n and not 0 <= image.min() <= image.max() < n_images:
        wrong = image.min() if image.min() < 0 else image.max()
        raise RunFolderError(f"{path}: image has {wrong}; images.csv has rows 0 to {n_images - 1}: {REMEDY}.")
    first = np.zeros(n + 1, np.bool_)
    first[start] = True
    if (np.diff(image)[~first[1:n]] <= 0).any() if n else False:
        raise RunFolderError(f"{path}: image does not rise within a list: {REMEDY}.")
    if n and area.min() < 1:
        raise RunFolderError(f"{path}: an area is {area.min()}; what is there has a pixel at least: {REMEDY}.")
