"""The figures of a report, in one list: the page, its contents and the files beside it are all made from it.

    for figure in FIGURES:
        sheets = figure.draw(subject)         # matplotlib figures, one for each sheet

To add a figure, write a function that draws into an axis and returns it, and one entry in `FIGURES`: its heading, caption
and link in the page, and its PNG and SVG files, follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from reports.bars import figure6
from reports.best_units import figure5
from reports.concept_bars import detector_figures
from reports.pictures import Pictures
from reports.summary import Population


@dataclass(frozen=True)
class Subject:
    """What a figure is drawn from: populations by the title of their network, a colour for each category, the pictures."""

    networks: Mapping[str, Sequence[Population]]
    colours: Mapping[str, str]
    pictures: Pictures


@dataclass(frozen=True, kw_only=True)
class ReportFigure:
    """A figure of the report.

    stem: its files are `figures/STEM.png` and `.svg`, those of further sheets `STEM-2` and so on. heading: of its section in
    the page; neighbours in the list with the same heading stand side by side. name, caption: under the figure, the name in
    bold; `{iou_cut}` stands for the IoU above which a unit is a detector. alt: for who cannot see it. draw: its sheets, at
    least one, for a subject with at least one network. photographs: whether it is stored in the page as JPEG.
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
        draw=lambda of: figure5(of.networks, of.pictures.strip, of.colours, of.pictures.n_strongest),
        photographs=True,
    ),
    ReportFigure(
        stem="figure6",
        heading="Attributes by layer",
        name="Figure 6.",
        caption="Number of attributes (unique detectors) by layer and operator.",
        alt=("Figure 6: number of unique detectors by layer and operator; the same numbers are in the summary table"),
        draw=lambda of: [figure6(of.networks, "attributes")],
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
        draw=lambda of: [figure6(of.networks, "share")],
    ),
    ReportFigure(
        stem="detectors",
        heading="Detectors by concept",
        name="Detectors by concept.",
        caption=(
            "How many units detect each concept, by category. A concept with several detectors counts once as an attribute."
        ),
        alt="Number of detectors of each concept, by layer and operator; the same numbers are in units.csv",
        draw=lambda of: [f for title, pops in of.networks.items() for f in detector_figures(title, pops, of.colours)],
    ),
)
"""The figures of the page, from top to bottom."""
