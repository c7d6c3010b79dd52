"""How a run and a unit show themselves in a notebook. No torch; pictures are `reports.unit_card`'s.

run                                           # a cell that ends so shows its networks, layers, detectors and notes
run.unit("imagenet12", 22, 5, "depthwise")    # its label, and the concepts that it responds to, best first
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.common.notebook_html import card, table

if TYPE_CHECKING:
    from dissect.run_store import Run, Unit

LAYER_COLUMNS = ("network", "layer", "operator", "units", "detectors", "unique", "dead")
UNIT_COLUMNS = ("category", "label", "iou", "intersection_area", "union_area")


def run_html(run: Run) -> str:
    """A run: what was dissected on what, a row for each layer, and the notes for the reader."""
    data, settings = run.info["data"], run.info["settings"]
    n = len(run.networks)
    facts = [
        f"{n} network{'s' * (n > 1)} on {data['name'] or 'unknown data'}: {len(run.images)} images, "
        f"{len(run.concepts)} concepts.",
        f"A detector is a unit whose best IoU is above {settings['iou_cut']}; unique: distinct concepts among detectors.",
        *run.info["notes"],
    ]
    rows = []
    for (network, layer, operator), units in run.units.groupby(["network", "layer", "operator"], sort=False):
        detectors = units[units["detector"]]
        unique = len(detectors[["category", "label"]].drop_duplicates())
        rows.append((network, layer, operator, len(units), len(detectors), unique, int(units["dead"].sum())))
    return card(f"Run {run.path.name}", facts, table(LAYER_COLUMNS, rows, limit=60))


def unit_html(unit: Unit) -> str:
    """A unit: its label, and the concepts that it responds to, best first."""
    facts = unit.facts
    if facts["label"]:
        kind = "a detector" if facts["detector"] else "no detector"
        said = f"{facts['label']} ({facts['category']}), IoU {facts['iou']:.3f}: {kind}."
    else:
        said = "It has no label." + (" It exceeds its threshold nowhere." if facts["dead"] else "")
    rows = list(unit.concepts[list(UNIT_COLUMNS)].itertuples(index=False, name=None))
    title = f"Unit {facts['unit']} of layer {facts['layer']} {facts['operator']} of {facts['network']}"
    return card(title, [said], table(UNIT_COLUMNS, rows))
