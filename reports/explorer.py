"""What the page's explorer shows, as plain lists and numbers ready for JSON.

    pictures = PagePictures(members, outside=False)
    data = explorer_data(members, categories, pictures)
    html = htmlsafe_json_dumps(data)      # goes into the page, and the scripts in templates/ draw from it

Columns instead of rows; a column that a run does not have (its null was not counted, it has no folds) is None. What is counted or
saved from the page is as exact as in the run: a rounded IoU may lie on the other side of the cut. Images and masks are not in
here but beside it, each image once: see `reports.page_pictures`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dissect.run_store import Run
from reports.members import Member
from reports.page_pictures import PagePictures
from reports.style import one_line
from reports.summary import layer_title
from reports.trust import units_with_trust

N_BINS = 40
"""Bars of a unit's histogram on its card."""
_HEIGHTS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

UNIT_KEY = ["network", "layer", "operator", "unit"]
_TRUST = {
    "held": "held_out_iou", "low": "iou_low", "high": "iou_high", "keptFolds": "kept_folds", "kept": "kept_share",
    "nSet": "n_set", "p": "p", "q": "q", "sure": "sure",
}  # fmt: skip
"""Columns of the page and of trust.csv."""


def explorer_data(members: Sequence[Member], categories: Sequence[str], pictures: PagePictures) -> dict[str, Any]:
    """Runs, networks, populations, concepts and units of a page.

    Units stand in the order of the members' populations; `populations[population[k]]` says where unit k is, `images[k]` and
    `peaks[k]` which images of the page it is strongest on, `sheet[k]` which picture has its masks, and in which row.
    """
    concepts = _Concepts(categories)
    data: dict[str, Any] = {
        "runs": [member.name for member in members],
        "categories": [one_line(c) for c in categories],
        "networks": [],
        "populations": [],
        "units": {name: [] for name in ("population", "unit", "concept", "images", "peaks", "sheet", "best")},
    }
    columns: dict[str, list[list[Any]]] = {}
    for number, member in enumerate(members):
        networks = {str(n["name"]): n for n in member.run.networks}
        places = {name: len(data["networks"]) + k for k, name in enumerate(networks)}
        data["networks"] += [
            {
                "run": number,
                "name": one_line(name),
                "title": member.titles[name],
                "domain": one_line(n.get("domain") or ""),
            }
            for name, n in networks.items()
        ]
        table = units_with_trust(member.run)
        best = _best_concepts(member.run, concepts)
        for p in member.pops:
            data["populations"].append(
                [places[p.network], layer_title(p.layer), one_line(p.operator), one_line(p.module)]
            )
            rows = table.loc[p.units.index]
            units = data["units"]
            units["population"] += [len(data["populations"]) - 1] * len(rows)
            units["unit"] += rows["unit"].tolist()
            units["concept"] += [concepts.number(c, la) for c, la in zip(rows["category"], rows["label"], strict=True)]
            units["best"] += [best.get(key, []) for key in rows[UNIT_KEY].itertuples(index=False, name=None)]
            images, peaks, sheets = pictures.of_units(member, p)
            units["images"] += images
            units["peaks"] += peaks
            units["sheet"] += sheets
            for name, values in _numbers(rows, member.run.score).items():
                columns.setdefault(name, []).append(values)
            columns.setdefault("bars", []).append(_bars(member.run, p.network, p.rows))
            fires = member.run.images_per_unit(p.network)
            columns.setdefault("fires", []).append([None] * len(rows) if fires is None else fires[p.rows].tolist())
    data["units"] |= {name: _joined(parts) for name, parts in columns.items()}
    data["concepts"] = concepts.found
    data["conceptImages"] = pictures.of_concepts(concepts.pairs)
    data["imageNames"] = pictures.names
    return data


class _Concepts:
    """Numbers for (category, label), given as they are first asked for."""

    def __init__(self, categories: Sequence[str]) -> None:
        self._category = {c: k for k, c in enumerate(categories)}
        self._number: dict[tuple[str, str], int] = {}

    def number(self, category: str, label: str) -> int:
        return self._number.setdefault((category, label), len(self._number)) if label else -1

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return list(self._number)

    @property
    def found(self) -> list[list[Any]]:
        return [[self._category[category], one_line(label)] for category, label in self._number]


def _numbers(rows: pd.DataFrame, score: str) -> dict[str, list[Any]]:
    """The columns that the table and the card print. score: the one that chose the labels, not said twice where it is IoU."""
    columns: dict[str, list[Any]] = {
        "iou": _exact(rows["iou"]),
        "score": [None] * len(rows) if score == "iou" else _exact(rows["score"]),
        "threshold": [_short(v) for v in rows["threshold"]],
        "nImages": [None if pd.isna(n) else n for n in rows["n_images"].tolist()],
        "detector": rows["detector"].astype(int).tolist(),
        "dead": rows["dead"].astype(int).tolist(),
    }
    for name, column in _TRUST.items():
        columns[name] = _exact(rows[column])
    return columns


def _best_concepts(run: Run, concepts: _Concepts) -> dict[tuple[Any, ...], list[list[Any]]]:
    """By unit: the concepts that its card lists, best first, as [concept, IoU, low, high, share of resamples, in the set].

    Without folds the best concept of each category stands in, which every run has.
    """
    best: dict[tuple[Any, ...], list[list[Any]]] = {}
    if run.labels is None:
        table = run.unit_category[run.unit_category["iou"] > 0].sort_values("iou", ascending=False, kind="stable")
        for row in table[[*UNIT_KEY, "category", "label", "iou"]].itertuples(index=False, name=None):
            best.setdefault(row[:4], []).append([concepts.number(*row[4:6]), _round(row[6])])
        return best
    numbers = ["iou", "iou_low", "iou_high", "chosen_share", "in_set"]
    for row in run.labels[[*UNIT_KEY, "category", "label", *numbers]].itertuples(index=False, name=None):
        entry = [concepts.number(*row[4:6]), *map(_round, row[6:10]), int(row[10])]
        best.setdefault(row[:4], []).append(entry)
    return best


def _bars(run: Run, network: str, rows: np.ndarray) -> list[Any]:
    """Each unit's histogram as [lowest value, highest value, heights]: a letter for each bar, logarithm of its count.

    None where the run has no histograms, or the unit no activations.
    """
    histograms = run.histograms(network)
    if histograms is None:
        return [None] * len(rows)
    edges, counts = histograms
    return [bars(np.asarray(edges, float), counts[row]) for row in rows]


def bars(edges: np.ndarray, counts: np.ndarray, n_bins: int = N_BINS) -> list[Any] | None:
    """One histogram with `n_bins` equal bars between its lowest and its highest value.

    edges: (N+1,) of bins of any width; what a bin holds is spread evenly over it. counts: (N,) integers.

    >>> bars(np.array([0.0, 1, 2, 4]), np.array([0, 9, 0]), n_bins=2)
    [1.0, 2.0, 'zz']
    """
    (used,) = np.nonzero(counts)
    if not len(used):
        return None
    finite = np.clip(edges, np.min(edges[np.isfinite(edges)]), np.max(edges[np.isfinite(edges)]))
    low, high = finite[used[0]], finite[used[-1] + 1]
    if high <= low:  # everything is one value, such as 0
        low, high = low - 0.5, high + 0.5
    cumulative = np.concatenate([[0], np.cumsum(counts)])
    inside = np.diff(np.interp(np.linspace(low, high, n_bins + 1), finite, cumulative))
    height = np.log1p(np.maximum(inside, 0)) / max(np.log1p(inside.max()), 1e-9)
    letters = "".join(_HEIGHTS[k] for k in np.ceil(height * (len(_HEIGHTS) - 1)).astype(int))
    return [_short(low), _short(high), letters]


def _joined(parts: list[list[Any]]) -> list[Any] | None:
    """One column of all populations; None where nothing is known of any unit."""
    column = [value for part in parts for value in part]
    return column if any(value is not None for value in column) else None


def _exact(values: pd.Series) -> list[float | None]:
    """As the run has them, whole numbers without a point; None where there is no number, which JSON cannot hold."""
    numbers = (float(value) for value in values)
    return [None if not math.isfinite(n) else int(n) if n.is_integer() else n for n in numbers]


def _round(value: float) -> float | None:
    """Four decimals, for what is only looked at; None where there is no number."""
    return round(float(value), 4) if math.isfinite(value) else None


def _short(value: float) -> float | None:
    """Four significant digits."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
