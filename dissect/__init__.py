"""Units and concepts: which concept does each unit of a network detect? Network dissection (Bau et al. 2017).

    network = dissect.load_network("torchvision:squeezenet1_1")
    run = dissect.run([network], data_prep.open_embedded(split="val"), layers=["features.3"], out="runs/mine")
    run.units                                 # a pandas table, one row for each unit

The names in `__all__` are the public ones; each is loaded when it is first used, so importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.common.doors import attach

if TYPE_CHECKING:
    from data_prep.common.errors import UserError as UserError
    from dissect.engine import Dissection as Dissection
    from dissect.engine import dissect as dissect_layers
    from dissect.export_spreadsheet import export_xlsx as export_xlsx
    from dissect.export_tables import export_csv as export_csv
    from dissect.export_tables import export_json as export_json
    from dissect.layers import Layer as Layer
    from dissect.layers import list_layers as list_layers
    from dissect.layers import select_layers as select_layers
    from dissect.mask_export import export_masks as export_masks
    from dissect.models import Network as Network
    from dissect.models import load_network as load_network
    from dissect.netdissect_import import import_tallies as import_tallies
    from dissect.netdissect_tally import export_tally as export_tally
    from dissect.pipeline import run as run
    from dissect.run_store import Run as Run
    from dissect.run_store import Unit as Unit
    from dissect.run_store import open_run as open_run
    from dissect.settings import Execution as Execution
    from dissect.settings import Settings as Settings
    from dissect.weights import load_weights as load_weights

    __version__: str
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "Dissection": "dissect.engine",
            "Execution": "dissect.settings",
            "Layer": "dissect.layers",
            "Network": "dissect.models",
            "Run": "dissect.run_store",
            "Settings": "dissect.settings",
            "Unit": "dissect.run_store",
            "UserError": "data_prep.common.errors",
            "__version__": "data_prep.common.command",
            "dissect_layers": "dissect.engine:dissect",
            "export_csv": "dissect.export_tables",
            "export_json": "dissect.export_tables",
            "export_masks": "dissect.mask_export",
            "export_tally": "dissect.netdissect_tally",
            "export_xlsx": "dissect.export_spreadsheet",
            "import_tallies": "dissect.netdissect_import",
            "list_layers": "dissect.layers",
            "load_network": "dissect.models",
            "load_weights": "dissect.weights",
            "open_run": "dissect.run_store",
            "run": "dissect.pipeline",
            "select_layers": "dissect.layers",
        },
    )
