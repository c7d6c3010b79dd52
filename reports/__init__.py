"""Figures and pages from a finished run folder. Needs no model and no torch.

page = reports.write_report("runs/mine")                      # runs/mine/report.html, and figures/ beside it
pops = reports.populations(dissect.open_run("runs/mine"))     # units by network, layer and operator
with reports.figure_style():
    reports.write_figure(reports.figure6({"mine": pops}), Path("attributes"))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.common.doors import attach

if TYPE_CHECKING:
    from data_prep.common.errors import UserError as UserError
    from reports.bars import attribute_bars as attribute_bars
    from reports.bars import figure6 as figure6
    from reports.bars import intervals_of as intervals_of
    from reports.best_units import figure5 as figure5
    from reports.best_units import figure5_by_category as figure5_by_category
    from reports.claims import CLAIMS as CLAIMS
    from reports.claims import Finding as Finding
    from reports.claims import count_table as count_table
    from reports.claims import verdicts as verdicts
    from reports.compare_page import write_comparison as write_comparison
    from reports.comparison import Comparison as Comparison
    from reports.comparison import compare as compare
    from reports.concept_bars import detector_figures as detector_figures
    from reports.curves import layer_curves as layer_curves
    from reports.distributions import held_out_ious as held_out_ious
    from reports.distributions import iou_figures as iou_figures
    from reports.figures import ReportFigure as ReportFigure
    from reports.flows import flow_figures as flow_figures
    from reports.heatmap import concept_heatmaps as concept_heatmaps
    from reports.intervals import Interval as Interval
    from reports.intervals import expected_attributes as expected_attributes
    from reports.intervals import jackknife as jackknife
    from reports.letters import labels_without_letters as labels_without_letters
    from reports.notebook import UnitCard as UnitCard
    from reports.notebook import unit_card as unit_card
    from reports.page import write_report as write_report
    from reports.pictures import Pictures as Pictures
    from reports.style import category_colours as category_colours
    from reports.style import figure_style as figure_style
    from reports.style import write_figure as write_figure
    from reports.summary import Population as Population
    from reports.summary import populations as populations

    __version__: str
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "CLAIMS": "reports.claims",
            "Comparison": "reports.comparison",
            "Finding": "reports.claims",
            "Interval": "reports.intervals",
            "Pictures": "reports.pictures",
            "Population": "reports.summary",
            "ReportFigure": "reports.figures",
            "UnitCard": "reports.notebook",
            "UserError": "data_prep.common.errors",
            "__version__": "data_prep.common.command",
            "attribute_bars": "reports.bars",
            "category_colours": "reports.style",
            "concept_heatmaps": "reports.heatmap",
            "compare": "reports.comparison",
            "count_table": "reports.claims",
            "detector_figures": "reports.concept_bars",
            "expected_attributes": "reports.intervals",
            "figure5": "reports.best_units",
            "figure5_by_category": "reports.best_units",
            "figure6": "reports.bars",
            "figure_style": "reports.style",
            "flow_figures": "reports.flows",
            "held_out_ious": "reports.distributions",
            "intervals_of": "reports.bars",
            "iou_figures": "reports.distributions",
            "jackknife": "reports.intervals",
            "labels_without_letters": "reports.letters",
            "layer_curves": "reports.curves",
            "populations": "reports.summary",
            "unit_card": "reports.notebook",
            "verdicts": "reports.claims",
            "write_comparison": "reports.compare_page",
            "write_figure": "reports.style",
            "write_report": "reports.page",
        },
    )
