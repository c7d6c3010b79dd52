"""A unit with its pictures, for a notebook.

reports.unit_card(run, "imagenet12", 22, 5, "depthwise")     # a cell that ends so shows the unit
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from data_prep.common.notebook_html import card, picture
from dissect.run_store import Run, Unit
from reports.overlay import masked_tile, read_image

SIDE = 112
"""Side of a picture, pixels."""


@dataclass(frozen=True)
class UnitCard:
    """A unit and its strongest images as JPEG, strongest first, each with the unit's mask outlined.

    missing: how many of them could not be read.
    """

    unit: Unit
    images: list[tuple[str, bytes]]
    missing: int

    def _repr_html_(self) -> str:
        pictures = "".join(picture(jpeg, name) for name, jpeg in self.images)
        gone = [f"{self.missing} of its images can no longer be read."] if self.missing else []
        return card("Where it fires most", gone, pictures) + self.unit._repr_html_()


def unit_card(
    run: Run, network: str, layer: str | int, unit: int, operator: str | None = None, *, n_images: int = 6
) -> UnitCard:
    """One unit with its `n_images` strongest images, if they are still there. Raises `UserError` as `run.unit` does."""
    found = run.unit(network, layer, unit, operator)
    facts = found.facts
    units = run.units[run.units["network"] == network].reset_index(drop=True)
    keys = ["layer", "operator", "module", "unit"]
    row = int((units[keys] == facts[keys]).all(axis=1).to_numpy().argmax())
    strongest = run.strongest_masks(network)
    turned = {one["name"]: tuple(one["shape"]) for one in run.info["data"].get("turned", [])}
    images, missing = [], 0
    for rank, image in enumerate(strongest.image[row][:n_images]):
        if image >= 0:
            name = str(run.images["name"][image])
            pixels = read_image(run.image_root / name, SIDE, turned.get(name))
            if pixels is None:
                missing += 1
                continue
            jpeg = io.BytesIO()
            tile = masked_tile(pixels, strongest.mask(row, rank), SIDE)
            Image.fromarray(tile).save(jpeg, "JPEG", quality=75)
            images.append((name, jpeg.getvalue()))
    return UnitCard(found, images, missing)
