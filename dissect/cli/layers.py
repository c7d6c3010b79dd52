"""`dissect layers`: what there is to tap."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from data_prep.common.terminal import Style, print_rows
from dissect.cli.run import DEFAULT_NETWORKS, load
from dissect.settings import LayoutRule


def layers(
    network: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NETWORK]")] = f"mdl:{DEFAULT_NETWORKS[0]}",
    /,
    *,
    everything: bool = False,
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    image_size: tuple[int, ...] = (),
    layout: LayoutRule = "auto",
    style: Style = "table",
) -> int:
    """List the layers of a network that can be tapped, with the numbers and names by which --layers takes them.

    Args:
        network: A network by name, as in `dissect run`.
        everything: List every module that fires, not only convolutions.
        weights: A file with its weights, which may say what images it wants.
        image_size: Side, or height and width, of the input; the network's own if not given.
        layout: Which axis of the output holds the units: auto finds it. Tokens that stand for no place are left out.
        style: A table, or CSV or JSON for another program; then all else that is said goes to standard error.
    """
    from dissect.layers import list_layers

    loaded = load([network], image_size=image_size, weights=[str(weights)] if weights else ())[0]
    rows = []
    for layer in list_layers(loaded.model, loaded.input_size, layout):
        if layer.numbered or everything:
            size = f"{layer.shape[1]} x {layer.shape[2]}" if layer.shape else f"none: {layer.output}"
            number = layer.label if layer.numbered else ""
            held = str(layer.layout or "")
            rows.append((number, layer.operator, layer.module, str(layer.n_units or ""), size, held))
    aside = sys.stdout if style == "table" else sys.stderr
    height, width = loaded.input_size
    print(f"images: {height} x {width} ({loaded.source('input_size')})", file=aside)
    for what, values in (("mean", loaded.mean), ("std", loaded.std)):
        print(f"{what}: {' '.join(f'{value:.6g}' for value in values)} ({loaded.source(what)})", file=aside)
    for note in loaded.notes:
        print(f"note: {note}", file=aside)
    print_rows(("number", "operator", "module", "units", "map", "layout"), rows, style=style)
    return 0
