"""The numbers of a report, from the tables of a run folder: what the figures draw and the page prints.

    for population in populations(open_run(path)):
        print(population.title, population.n_detectors, len(population.attributes))

A population is the units of one network, layer and operator. A detector is counted as `units.csv` says; an attribute
(unique detector, Guo et al. 2019, Figure 6) is a distinct concept, that is a (category, label) pair, among detectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from data_prep.common.notebook_html import card, table
from dissect.run_store import Run
from reports.style import one_line

SEPARABLE = ("depthwise", "pointwise")


@dataclass(frozen=True, eq=False, kw_only=True)
class Population:
    """The units of one network, layer and operator.

    units: their rows of `units.csv`. rows: (n,) the position of each among the rows of its network, as the arrays in
    `strongest/` and `counts/` number them. module: the module whose output was tapped.
    """

    network: str
    layer: str
    operator: str
    module: str
    units: pd.DataFrame
    rows: np.ndarray

    def _repr_html_(self) -> str:
        """What a notebook shows: the counts, and the concepts by number of detectors."""
        facts = (
            f"{self.n_units} units, {self.n_detectors} detectors ({self.detector_share:.1%}) of {len(self.attributes)} concepts, "
            f"{self.n_dead} dead."
        )
        best = self.detectors.groupby(["category", "label"], sort=False)["iou"].max()
        rows = [(*pair, n, best[pair]) for pair, n in self.detectors_per_concept.most_common()]
        header = ("category", "concept", "detectors", "best IoU")
        return card(f"{self.network}, {self.title}", [facts], table(header, rows))

    @property
    def title(self) -> str:
        """`layer 18 · depthwise`."""
        return f"{layer_title(self.layer)} · {one_line(self.operator)}"

    @property
    def n_units(self) -> int:
        """How many units there are, dead ones included."""
        return len(self.units)

    @cached_property
    def detectors(self) -> pd.DataFrame:
        """The rows of `units` that are detectors."""
        return self.units[self.units["detector"]]

    @property
    def n_detectors(self) -> int:
        """How many units detect a concept."""
        return int(self.units["detector"].sum())

    @property
    def n_dead(self) -> int:
        """How many units fire nowhere."""
        return int(self.units["dead"].sum())

    @property
    def detector_share(self) -> float:
        """Detectors divided by units, in [0, 1]."""
        return self.n_detectors / self.n_units if self.n_units else 0.0

    @cached_property
    def detectors_per_concept(self) -> Counter[tuple[str, str]]:
        """How many detectors each (category, label) has."""
        return Counter(zip(self.detectors["category"], self.detectors["label"], strict=True))

    @property
    def attributes(self) -> set[tuple[str, str]]:
        """The distinct (category, label) among detectors: the unique detectors."""
        return set(self.detectors_per_concept)

    def n_attributes(self, category: str) -> int:
        """How many of the attributes are of one category."""
        return sum(c == category for c, _ in self.attributes)

    @property
    def best(self) -> int:
        """Position in `units` of the unit with the highest IoU; of equals the first."""
        return int(self.units["iou"].to_numpy().argmax())


def populations(run: Run) -> list[Population]:
    """The populations of a run: networks as `run.json` names them, the layers of each in order of execution, if known."""
    units = _clean(run.units)
    units["row"] = units.groupby("network", sort=False).cumcount()
    order = {
        (str(n["name"]), str(entry["layer"]), str(entry["operator"])): (i, k)
        for i, n in enumerate(run.networks)
        for k, entry in enumerate(layers_of(n))
    }
    found = [
        Population(
            network=str(network),
            layer=str(layer),
            operator=str(operator),
            module=str(group["module"].iloc[0]),
            units=group,
            rows=group["row"].to_numpy(),
        )
        for (network, layer, operator), group in units.groupby(["network", "layer", "operator"], sort=False)
    ]
    return sorted(found, key=lambda p: order.get((p.network, p.layer, p.operator), (len(order), 0)))


def _clean(units: pd.DataFrame) -> pd.DataFrame:
    """Names are text even where they look like numbers; `iou` is 0 where there is none."""
    units = units.reset_index(drop=True).copy()
    for column in ("network", "domain", "layer", "operator", "module", "category", "label"):
        units[column] = units[column].fillna("").astype(str)
    for column in ("detector", "dead"):
        units[column] = units[column].astype(str) == "True"
    units["iou"] = units["iou"].fillna(0.0).astype(float)
    return units


def layers_of(network: Mapping[str, Any]) -> list[Any]:
    """A network's layers in order of execution, as far as it is known: by number where all have one, else as they were named to
    `dissect run`. network: its entry in `run.json`.

    >>> [entry["layer"] for entry in layers_of({"layers": [{"layer": name} for name in ("22", "9@10", "9@2", "18")]})]
    ['9@2', '9@10', '18', '22']
    """
    layers = list(network.get("layers", []))
    numbers = [str(entry["layer"]).split("@") for entry in layers]
    if not all(part.isdecimal() for number in numbers for part in number):
        return layers
    return sorted(layers, key=lambda entry: [int(part) for part in str(entry["layer"]).split("@")])


def layer_title(layer: str) -> str:
    """How a figure names a layer: a number as "layer 18", a module by its name.

    >>> layer_title("18"), layer_title("features.3")
    ('layer 18', 'features.3')
    """
    return f"layer {layer}" if layer.isdigit() else one_line(layer)


def network_title(network: dict[str, Any]) -> str:
    """A network's name as a reader needs it: with its domain, and a warning where it was never trained.

    network: its entry in `run.json`.

    >>> network_title({"name": "separable", "domain": "dtd", "trained": False})
    'separable, dtd, untrained'
    """
    name, domain = one_line(network["name"]), one_line(network.get("domain") or "")
    title = f"{name}, {domain}" if domain and domain.lower() not in name.lower() else name
    if network.get("trained") is False and "untrained" not in title.lower():
        title += ", untrained"
    return title


def categories_of(run: Run, pops: Iterable[Population]) -> list[str]:
    """The categories of the data set in its own order, then any other that some unit is labelled with."""
    listed = [str(c) for c in run.info.get("data", {}).get("categories", [])]
    used = sorted({c for p in pops for c in p.units["category"] if c})
    return list(dict.fromkeys([*listed, *used]))


def lanes(pops: list[Population]) -> dict[str, list[Population]]:
    """One network's populations as rows of a figure: depthwise, pointwise, then the rest.

    Other operators share one row where each has layers of its own (`conv1`, `layer2`); else each gets a row.
    """
    result = {operator: [p for p in pops if p.operator == operator] for operator in SEPARABLE}
    rest = [p for p in pops if p.operator not in SEPARABLE]
    if len({p.layer for p in rest}) == len(rest):
        kinds = list(dict.fromkeys(p.operator for p in rest))
        result["\n".join(kinds) if len(kinds) <= 2 else "layers"] = rest
    else:
        for p in rest:
            result.setdefault(p.operator, []).append(p)
    return {name: members for name, members in result.items() if members}
