"""NetDissect's results as a run folder that can be summarised, reported and compared.

    run = import_tallies(["conv4-result.csv", "conv5-result.csv"], "runs/alexnet", networks=["alexnet"])
    run.units                                 # one row for each unit, as of any run

A tally knows each unit's best concept, in all and in each category, with the integer counts. It knows no thresholds, images,
folds or settings: these are empty in the tables, and a note of the run says so. `source` of run.json tells where it is from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Sized
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from data_prep.common.errors import UserError, check_range
from data_prep.common.files import file_hash, read_regular
from data_prep.common.locks import locked
from dissect.claim import claim
from dissect.netdissect_tally import KINDS, PLACE_FILE, categories_of, read_tally
from dissect.run_info import FILE_NAME, FORMAT_VERSION, is_file_name, seal
from dissect.run_store import (
    CONCEPT_COLUMNS,
    IMAGE_COLUMNS,
    UNIT_CATEGORY_COLUMNS,
    UNIT_COLUMNS,
    Run,
    RunFolderError,
    open_run,
    write_table,
)
from dissect.settings import Settings

SOURCE = "netdissect tally"
"""`source.format` in the run.json of such a run."""

OPERATORS = ("depthwise", "pointwise", "conv", "linear")


class Place(NamedTuple):
    """Which layer a file is of."""

    network: str
    layer: str
    operator: str


def place_of(path: Path) -> Place | None:
    """What place.json beside a tally.csv says, which `dissect export` writes; else what its path says: NETWORK/LAYER.csv,
    NETWORK/LAYER-result.csv, NETWORK/LAYER-OPERATOR/tally.csv; None for a tally.csv elsewhere.

    >>> place_of(Path("out/imagenet12/18-depthwise/tally.csv"))
    Place(network='imagenet12', layer='18', operator='depthwise')
    >>> place_of(Path("dissection/alexnet/conv5-result.csv"))
    Place(network='alexnet', layer='conv5', operator='conv')
    >>> place_of(Path("result/tally.csv"))
    """
    path = path.absolute()
    layer, dash, operator = path.parent.name.rpartition("-")
    if path.stem == "tally":
        if path.with_name(PLACE_FILE).is_file():
            return _told(path.with_name(PLACE_FILE))
        return Place(path.parents[1].name, layer, operator) if layer and dash and operator in OPERATORS else None
    return Place(path.parent.name, path.stem.removesuffix("-result").removesuffix("-tally"), "conv")


def _told(path: Path) -> Place:
    try:
        place = Place(**json.loads(read_regular(path, limit=2**16)))
        if not all(isinstance(name, str) and name for name in place):
            raise ValueError("a name is missing")
    except (OSError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{path} does not name the network, layer and operator of the tally beside it ({error}): remove it, and give them."
        ) from error
    return place


def import_tallies(
    files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    networks: Sequence[str] = (),
    layers: Sequence[str] = (),
    operators: Sequence[str] = (),
    iou_cut: float = Settings.iou_cut,
    overwrite: bool = False,
) -> Run:
    """Write the run folder `out` of NetDissect's tallies, one file for each layer, and open it.

    networks, layers, operators: one for each file, or one for all; what `place_of` reads from its path if none is given.
    iou_cut: a unit is a detector if its IoU is above this. overwrite: replace a run that is there. Units without a label are
    kept, and counted in a note of the run. Raises `UserError`, naming file and row, for what is no tally.
    """
    check_range("`iou_cut`", iou_cut, 0, 1)
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    if not paths:
        raise UserError("There is no tally to import: give one file, or several.")
    places = _places(paths, networks, layers, operators)
    tallies = dict(zip(places, map(read_tally, paths), strict=True))
    categories = list(dict.fromkeys(chain.from_iterable(categories_of(tally) for tally in tallies.values())))
    named: dict[str, list[Place]] = {}
    for place in places:
        named.setdefault(place.network, []).append(place)
    ordered = {place: tallies[place] for members in named.values() for place in members}
    info = _info(paths, ordered, named, categories, iou_cut)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "an import"):
        if claim(out, info, overwrite=overwrite) is None:
            raise RunFolderError(
                f"{out} holds a finished run already: give another folder as `out`, or `overwrite` it."
            )
        write_table(out / "units.csv", pd.concat([_units(*item, iou_cut) for item in ordered.items()]))
        write_table(
            out / "unit_category.csv", pd.concat([_unit_category(*item, categories) for item in ordered.items()])
        )
        write_table(out / "concepts.csv", _concepts(ordered.values(), categories))
        write_table(out / "images.csv", pd.DataFrame(columns=list(IMAGE_COLUMNS)))
        seal(out, info)
    return open_run(out)


def _places(
    paths: Sequence[Path], networks: Sequence[str], layers: Sequence[str], operators: Sequence[str]
) -> list[Place]:
    given = {"networks": networks, "layers": layers, "operators": operators}
    for name, values in given.items():
        if len(values) not in (0, 1, len(paths)):
            raise UserError(
                f"`{name}` has {len(values)} values for {len(paths)} files: give one for each, in their order, or one for all."
            )
    found: list[Place] = []
    for n, path in enumerate(paths):
        said = [values[n if len(values) > 1 else 0] if values else "" for values in given.values()]
        told = place_of(path)
        if told is None and not (said[0] and said[1]):
            raise UserError(
                f"{path} does not tell which layer of which network it is of: give `networks` and `layers`, or put it into a "
                f"folder NETWORK/LAYER-OPERATOR as `dissect export` does."
            )
        place = Place(*(each or other for each, other in zip(said, told or ("", "", "conv"), strict=True)))
        if not is_file_name(place.network):
            raise UserError(
                f"The network name {place.network!r} must have {FILE_NAME}: give another one as `networks`."
            )
        if place in found:
            raise UserError(
                f"{paths[found.index(place)]} and {path} would both be layer {place.layer} {place.operator} of {place.network}: "
                f"tell them apart by `networks`, `layers` or `operators`."
            )
        found.append(place)
    return found


def _units(place: Place, tally: pd.DataFrame, iou_cut: float) -> pd.DataFrame:
    labelled = tally["label"] != ""
    nothing = _unknown(tally).set_axis(tally.index)
    areas = pd.DataFrame({"intersection_area": nothing, "union_area": nothing})
    fires = pd.Series(False, tally.index)
    known = pd.Series(False, tally.index)
    for category in tally.attrs["categories"]:
        label, truth, activation, intersect, _ = (tally[f"{category}-{kind}"] for kind in KINDS)
        here = labelled & (tally["category"] == category) & (label == tally["label"])
        areas.loc[here, "intersection_area"] = intersect[here]
        areas.loc[here, "union_area"] = (truth + activation - intersect)[here]
        fires |= (activation > 0).fillna(True).astype(bool)
        known |= activation.notna()
    dead = known & ~fires & ~labelled
    areas[~labelled] = 0
    values = {
        "network": place.network, "domain": "", "layer": place.layer, "operator": place.operator, "module": "",
        "unit": tally["unit"], "threshold": float("nan"), "category": tally["category"].where(labelled, ""),
        "label": tally["label"], "iou": tally["iou"].where(labelled, 0.0), "score": tally["iou"].where(labelled, 0.0),
        "n_images": nothing, "detector": labelled & (tally["iou"] > iou_cut), "dead": dead,
        "intersection_area": areas["intersection_area"], "union_area": areas["union_area"], "max_activation": float("nan"),
    }  # fmt: skip
    return pd.DataFrame(values, tally.index)[list(UNIT_COLUMNS)]


def _unit_category(place: Place, tally: pd.DataFrame, categories: Sequence[str]) -> pd.DataFrame:
    parts = []
    for category in categories:
        values: dict[str, Any] = {
            "network": place.network, "domain": "", "layer": place.layer, "operator": place.operator,
            "unit": tally["unit"], "category": category,
        }  # fmt: skip
        if category in tally.attrs["categories"]:
            names = {
                "label": "label",
                "truth": "concept_area",
                "activation": "mask_area",
                "intersect": "intersection_area",
            }
            values |= {name: tally[f"{category}-{kind}"] for kind, name in {**names, "iou": "iou"}.items()}
        else:  # the file tells the best concept of all categories only
            here = tally["category"] == category
            values |= {"label": tally["label"].where(here, ""), "iou": tally["iou"].where(here, 0.0)}
            values |= dict.fromkeys(("intersection_area", "mask_area", "concept_area"), _unknown(tally))
        parts.append(pd.DataFrame(values, tally.index))
    table = pd.concat(parts).sort_values("unit", kind="stable", ignore_index=True)
    return table[list(UNIT_CATEGORY_COLUMNS)]


def _unknown(rows: Sized) -> pd.Series:
    """A whole number that is not known, for each row."""
    return pd.Series([pd.NA] * len(rows), dtype="Int64")


def _concepts(tallies: Iterable[pd.DataFrame], categories: Sequence[str]) -> pd.DataFrame:
    """Every concept that a tally names; its pixels, where all that tell them agree."""
    areas: dict[tuple[str, str], set[int]] = {}
    for tally in tallies:
        for pair in zip(tally["category"], tally["label"], strict=True):
            areas.setdefault(pair, set())
        for category in tally.attrs["categories"]:
            for label, truth in zip(tally[f"{category}-label"], tally[f"{category}-truth"], strict=True):
                areas.setdefault((category, label), set()).update([] if pd.isna(truth) else [int(truth)])
    pairs = sorted((pair for pair in areas if pair[1]), key=lambda pair: (categories.index(pair[0]), pair[1]))
    known = [next(iter(areas[pair])) if len(areas[pair]) == 1 else pd.NA for pair in pairs]
    values = {
        "concept": range(len(pairs)), "number": _unknown(pairs),
        "category": [category for category, _ in pairs], "label": [label for _, label in pairs],
        "n_images": _unknown(pairs), "concept_area": pd.array(known, "Int64"), "eligible": True,
    }  # fmt: skip
    return pd.DataFrame(values)[list(CONCEPT_COLUMNS)]


def _info(
    paths: Sequence[Path],
    tallies: Mapping[Place, pd.DataFrame],
    named: Mapping[str, Sequence[Place]],
    categories: Sequence[str],
    iou_cut: float,
) -> dict[str, Any]:
    n_units = sum(map(len, tallies.values()))
    blank = sum(int((tally["label"] == "").sum()) for tally in tallies.values())
    return {
        "format": FORMAT_VERSION,
        "name": "",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": "dissect import",
        "source": {"format": SOURCE, "files": [{"name": path.name, "sha256": file_hash(path)} for path in paths]},
        "settings": {"iou_cut": iou_cut, "folds": 1, "score": "iou"},
        "data": {"name": "", "images": "", "fingerprint": "", "n_images": None, "categories": list(categories)},
        "networks": [
            {
                "name": network, "domain": "", "model": "", "trained": None, "weights": None, "weights_hash": "",
                "n_parameters": None, "input_size": [], "mean": [], "std": [], "input_size_from": None, "mean_from": None,
                "std_from": None,
                "layers": [
                    {"layer": place.layer, "operator": place.operator, "module": "", "n_units": len(tallies[place]), "map": []}
                    for place in members
                ],
            }
            for network, members in named.items()
        ],
        "notes": [
            "Imported from NetDissect's tally: thresholds, images, masks, folds, settings and preprocessing are not known, so "
            "there are no pictures, no intervals and no runner-up concepts beside the best of each category.",
            *([f"{blank} of {n_units} units have no label in the tally."] if blank else []),
        ],
        "versions": {},
        "execution": {},
        "timings": {},
    }  # fmt: skip
