"""`dissect export`: a finished run for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from data_prep.common.errors import UserError
from data_prep.common.files import at_home

if TYPE_CHECKING:
    from data_prep import LabelledImages
    from dissect.run_store import Run

Format = Literal["netdissect", "csv", "json", "xlsx", "masks"]

_ONLY = {"least_iou": ("csv", "json")} | dict.fromkeys(
    ("networks", "layers", "operators", "units", "data", "weights"), ("masks",)
)
"""Options that only some formats have."""


def export(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    /,
    *,
    format: Format = "netdissect",
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("exported"),
    least_iou: float = 0.0,
    networks: tuple[str, ...] = (),
    layers: tuple[str, ...] = (),
    operators: tuple[str, ...] = (),
    units: tuple[int, ...] = (),
    data: Annotated[str | None, tyro.conf.arg(metavar="DIR|FACTORY")] = None,
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NETWORK=FILE ...]")] = (),
) -> int:
    """Write a finished run for other tools: tables, a spreadsheet, masks.

    netdissect: NetDissect's tally.csv for every layer, DIR/NETWORK/LAYER-OPERATOR/tally.csv. csv: units.csv, concepts.csv and
    units_concepts.csv, which has every unit with every concept. json: the same in one file. xlsx: a spreadsheet. masks: the masks
    of chosen units on all images as COCO run lengths; the networks are loaded again and shown the images.

    Args:
        folder: A run folder.
        format: What to write.
        out: The folder that the files go to.
        least_iou: With csv and json, leave out pairs of unit and concept whose IoU is below this.
        networks: With masks, only these networks of the run; all if none is given.
        layers: With masks, only these layers, by number or module; all if none is given.
        operators: With masks, only layers with these operators.
        units: With masks, only these units of each layer, counted from 0; all if none is given.
        data: With masks, where the label set of the run lies now, or its FACTORY; where it lay if not given.
        weights: With masks, the file of weights of each network that was dissected with one; of a single network, FILE will do.
    """
    from dissect.run_store import open_run

    given = {
        "least_iou": least_iou, "networks": networks, "layers": layers, "operators": operators,
        "units": units, "data": data, "weights": weights,
    }  # fmt: skip
    for name, formats in _ONLY.items():
        if given[name] and format not in formats:
            raise UserError(f"`{name}` is for the format {' or '.join(formats)}, not for {format}: leave it out.")
    run = open_run(folder)
    if format == "masks":
        paths = _masks(
            run, out, networks=networks, layers=layers, operators=operators, units=units, data=data, weights=weights
        )
    elif format == "netdissect":
        from dissect.netdissect_tally import export_tally

        paths = export_tally(run, out)
    elif format == "xlsx":
        from dissect.export_spreadsheet import export_xlsx

        paths = export_xlsx(run, out)
    else:
        from dissect.export_tables import export_csv, export_json

        paths = (export_csv if format == "csv" else export_json)(run, out, least_iou=least_iou)
    for path in paths:
        print(path)
    return 0


def _masks(
    run: Run,
    out: Path,
    *,
    networks: Sequence[str],
    layers: Sequence[str],
    operators: Sequence[str],
    units: Sequence[int],
    data: str | None,
    weights: Sequence[str],
) -> list[Path]:
    from data_prep.common.terminal import progress_bars
    from dissect.mask_export import export_masks

    run.refuse_imported("masks")
    label_set = _open_labels(run, data)
    files = _files(weights, [str(network["name"]) for network in run.networks])
    with progress_bars() as progress:
        return export_masks(
            run,
            label_set,
            out,
            networks=networks,
            layers=layers,
            operators=operators,
            units=units,
            weights=files,
            progress=progress,
        )


def _open_labels(run: Run, data: str | None) -> LabelledImages:
    """The label set of the run, where it lies now."""
    from data_prep import open_broden, open_embedded
    from data_prep.from_factory import is_factory, labels_from_factory

    settings = run.info["settings"]
    chosen = settings.get("split"), settings.get("categories")
    if data and is_factory(data):
        return labels_from_factory(data, *chosen)
    root = at_home(data) if data else run.image_root.parent
    if data is None and not root.is_dir() and run.info["data"]["name"] == "embedded":
        return open_embedded(*chosen)  # the cache was cleared
    if not root.is_dir():
        raise UserError(
            f"{root}, where the label set of the run lay, is no folder: give the one where it lies as `data`."
        )
    return open_broden(root, *chosen)


def _files(words: Sequence[str], networks: Sequence[str]) -> dict[str, Path]:
    """The file of weights of each network that has one.

    >>> _files(["b=x=1.pth"], ["a", "b"]), _files(["x=1.pth"], ["a"])
    ({'b': PosixPath('x=1.pth')}, {'a': PosixPath('x=1.pth')})
    """
    found = {}
    for word in words:
        names = [name for name in networks if word.startswith(f"{name}=")]
        if not names and len(networks) > 1:
            raise UserError(
                f"`weights` has {word!r}, and the run has {len(networks)} networks: give it as NETWORK=FILE, where NETWORK is "
                f"one of {', '.join(networks)}."
            )
        found[names[0] if names else networks[0]] = at_home(word[len(names[0]) + 1 :] if names else word)
    return found
