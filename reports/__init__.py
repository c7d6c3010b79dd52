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
    from data_prep.common.errors import UserError
    from reports.bars import attribute_bars, detector_figures, figure6
    from reports.best_units import figure5
    from reports.claims import CLAIMS, Finding, count_table, verdicts
    from reports.curves import layer_curves
    from reports.figures import ReportFigure
    from reports.intervals import Interval, expected_attributes, jackknife
    from reports.page import write_report
    from reports.pictures import Pictures
    from reports.style import figure_style, write_figure
    from reports.summary import Population, populations

    __version__: str

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CLAIMS": "reports.claims",
        "Finding": "reports.claims",
        "Interval": "reports.intervals",
        "Pictures": "reports.pictures",
        "Population": "reports.summary",
        "ReportFigure": "reports.figures",
        "UserError": "data_prep.common.errors",
        "__version__": "data_prep.common.command",
        "attribute_bars": "reports.bars",
        "count_table": "reports.claims",
        "detector_figures": "reports.bars",
        "expected_attributes": "reports.intervals",
        "figure5": "reports.best_units",
        "figure6": "reports.bars",
        "figure_style": "reports.style",
        "jackknife": "reports.intervals",
        "layer_curves": "reports.curves",
        "populations": "reports.summary",
        "verdicts": "reports.claims",
        "write_figure": "reports.style",
        "write_report": "reports.page",
    },
)
