"""Files: label sets in the Broden layout, classification sets in the decathlon layout. No model, no plotting, no torch.

    data = data_prep.open_embedded(split="val")           # drawn on the spot: nothing to download
    data = data_prep.open_broden("data/broden", categories=["object", "part"])
    report = data_prep.check_broden("data/broden")
    data_prep.import_labels("coco", "annotations/instances_val2017.json", "sets/coco")
    train = data_prep.open_decathlon("data/decathlon").split("dtd", "train")

The names in `__all__` are the public ones; each is loaded when it is first used, so importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_prep.common.doors import attach

if TYPE_CHECKING:
    from data_prep.broden import open_broden as open_broden
    from data_prep.broden_check import check_broden as check_broden
    from data_prep.broden_writer import BrodenWriter as BrodenWriter
    from data_prep.broden_writer import Plane as Plane
    from data_prep.broden_writer import write_broden as write_broden
    from data_prep.common.errors import UserError as UserError
    from data_prep.decathlon import open_decathlon as open_decathlon
    from data_prep.decathlon_add import add_domain as add_domain
    from data_prep.decathlon_check import check_decathlon as check_decathlon
    from data_prep.download import download_decathlon as download_decathlon
    from data_prep.embedded import open_embedded as open_embedded
    from data_prep.embedded import open_embedded_decathlon as open_embedded_decathlon
    from data_prep.formats import BadImageError as BadImageError
    from data_prep.formats import ClassifiedImages as ClassifiedImages
    from data_prep.formats import Concept as Concept
    from data_prep.formats import ImageLabels as ImageLabels
    from data_prep.formats import ImageRecord as ImageRecord
    from data_prep.formats import LabelledImages as LabelledImages
    from data_prep.importers import import_labels as import_labels
    from data_prep.importers.archive import unpack_broden as unpack_broden
    from data_prep.importers.join import add_colors as add_colors
    from data_prep.importers.join import join_broden as join_broden
    from data_prep.importers.options import ImportOptions as ImportOptions

    __version__: str
else:
    __getattr__, __dir__, __all__ = attach(
        __name__,
        {
            "BadImageError": "data_prep.formats",
            "BrodenWriter": "data_prep.broden_writer",
            "ClassifiedImages": "data_prep.formats",
            "Concept": "data_prep.formats",
            "ImageLabels": "data_prep.formats",
            "ImageRecord": "data_prep.formats",
            "ImportOptions": "data_prep.importers.options",
            "LabelledImages": "data_prep.formats",
            "Plane": "data_prep.broden_writer",
            "UserError": "data_prep.common.errors",
            "__version__": "data_prep.common.command",
            "add_colors": "data_prep.importers.join",
            "add_domain": "data_prep.decathlon_add",
            "check_broden": "data_prep.broden_check",
            "check_decathlon": "data_prep.decathlon_check",
            "download_decathlon": "data_prep.download",
            "import_labels": "data_prep.importers",
            "join_broden": "data_prep.importers.join",
            "open_broden": "data_prep.broden",
            "open_decathlon": "data_prep.decathlon",
            "open_embedded": "data_prep.embedded",
            "open_embedded_decathlon": "data_prep.embedded",
            "unpack_broden": "data_prep.importers.archive",
            "write_broden": "data_prep.broden_writer",
        },
    )
