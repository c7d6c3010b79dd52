"""The figures of a report, in one list: the page, its contents and the files beside it are all made from it.

    for figure in FIGURES:
        sheets = figure.draw(subject)         # matplotlib figures, one for each sheet

To add a figure, write a function that draws into an axis and returns it, and one entry in `FIGURES`: its heading, caption
and link in the page, and its PNG and SVG files, follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from reports.bars import Intervals, figure6
from reports.best_units import figure5, figure5_by_category
from reports.distributions import HeldOut, iou_figures
from reports.flows import flow_figures
from reports.heatmap import concept_heatmaps
from reports.pictures import Strips
from reports.summary import Population

FEW_NETWORKS = 2
"""Up to so many networks a figure may have a page for each; more are told in figures that hold them all."""

MANY_ROWS = 16
"""Layers and operators of all networks together; with more, a figure that has a row of images for each is left out."""


@dataclass(frozen=True)
class Subject:
    """What a figure is drawn from.

    networks: populations by the title of their network. colours: a colour for each category. pictures: the images. iou_cut:
    the IoU above which a unit is a detector. intervals, held_out: as `intervals_of` and `held_out_ious` give them; empty
    without folds.
    """

    networks: Mapping[str, Sequence[Population]]
    colours: Mapping[str, str]
    pictures: Strips
    iou_cut: float | None = None
    intervals: Intervals = field(default_factory=dict)
    held_out: HeldOut = field(default_factory=dict)

    @property
    def few(self) -> Mapping[str, Sequence[Population]]:
        """The networks where they are few, else none."""
        return self.networks if len(self.networks) <= FEW_NETWORKS else {}


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure of the report.

    stem: its files are `figures/STEM.png` and `.svg`, those of further sheets `STEM-2` and so on. heading: of its section in
    the page; neighbours in the list with the same heading stand side by side. name, caption: under the figure, the name in
    bold; `{iou_cut}` stands for the IoU above which a unit is a detector. alt: for who cannot see it. draw: its sheets, for a
    subject with at least one network; without a sheet the figure is left out. photographs: whether it is stored in the page as
    JPEG.
    """

    stem: str
    heading: str
    name: str
    caption: str
    alt: str
    draw: Callable[[Subject], list[Figure]]
    photographs: bool = False


FIGURES = (
    ReportFigure(
        stem="figure5",
        heading="The best unit of each layer",
        name="Figure 5.",
        caption=(
            "For each network, operator and layer the unit with the highest IoU, on the images on which it fires most. "
            "Bright: the unit's mask, where it fires above its threshold. Under the images its label, category, IoU and "
            "number. “No concept detected”: no unit there has an IoU above {iou_cut}."
        ),
        alt=(
            "Figure 5: the unit with the highest IoU of each network, operator and layer; the same in words is in the "
            "summary table"
        ),
        draw=lambda of: (
            figure5(of.networks, of.pictures.strip, of.colours, of.pictures.n_strongest)
            if of.pictures.n_strongest
            else []
        ),
        photographs=True,
    ),
    ReportFigure(
        stem="figure5-categories",
        heading="The best unit of each category",
        name="The best of each category.",
        caption=(
            "For each network, layer and operator the detector with the highest IoU in each category, where Figure 5 shows the "
            "highest of all. “None”: no detector there has a label of that category."
        ),
        alt=(
            "The detector with the highest IoU of each category, for each network, layer and operator; the same numbers are "
            "among the units"
        ),
        draw=lambda of: (
            figure5_by_category(of.few, of.pictures.strip, of.colours)
            if of.pictures.n_strongest and 0 < sum(map(len, of.few.values())) <= MANY_ROWS
            else []
        ),
        photographs=True,
    ),
    ReportFigure(
        stem="figure6",
        heading="Attributes by layer",
        name="Figure 6.",
        caption=(
            "Number of attributes (unique detectors) by layer and operator. Lines in black, of runs with folds: 95 % intervals "
            "over the choice of images."
        ),
        alt=("Figure 6: number of unique detectors by layer and operator; the same numbers are in the summary table"),
        draw=lambda of: [figure6(of.networks, "attributes", of.intervals)],
    ),
    ReportFigure(
        stem="figure6-share",
        heading="Attributes by layer",
        name="Share of detectors.",
        caption=(
            "Detectors in percent of the units, repeated concepts included. Operators may differ in their number of units, and "
            "more units have more chances to find a concept: read both figures."
        ),
        alt=("Share of units that are detectors by layer and operator; the same numbers are in the summary table"),
        draw=lambda of: [figure6(of.networks, "share", of.intervals)],
    ),
    ReportFigure(
        stem="iou",
        heading="How high IoU is",
        name="IoU of the units.",
        caption=(
            "Boxes hold the middle half of the units that fire, the line in them is the median, whiskers go from the 5th to the "
            "95th percentile. Lighter, of runs with folds: IoU held out, the label chosen on some images and measured on others. "
            "Dashed: {iou_cut}, above which a unit is a detector."
        ),
        alt="IoU of the units by layer and operator, beside their held-out IoU; the same numbers are among the units",
        draw=lambda of: iou_figures(of.networks, iou_cut=of.iou_cut, held_out=of.held_out),
    ),
    ReportFigure(
        stem="concepts",
        heading="Detectors by concept",
        name="Detectors by concept and layer.",
        caption=(
            "How many units detect each concept, with one order of concepts and one scale throughout; blank: none. A concept "
            "with several detectors counts once as an attribute."
        ),
        alt="Number of detectors of each concept, by network, layer and operator; the same numbers are in units.csv",
        draw=lambda of: concept_heatmaps(of.networks, of.colours),
    ),
    ReportFigure(
        stem="flows",
        heading="From layer to layer",
        name="Concepts from layer to layer.",
        caption="A band is as thick as the concept has detectors; the number is theirs.",
        alt="Number of detectors of the most frequent concepts in each layer; the same numbers are in units.csv",
        draw=lambda of: [
            figure
            for title, pops in of.few.items()
            if len({p.layer for p in pops}) > 1
            for figure in flow_figures(title, pops, of.colours)
        ],
    ),
)
"""The figures of the page, from top to bottom."""
