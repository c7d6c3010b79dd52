"""The commands that list what there is: `mdl params`, `mdl layers`, `mdl domains`."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from data_prep.common.errors import UserError
from data_prep.common.terminal import Style, print_rows
from mdl.cli.options import Backbone, Folder, open_data

if TYPE_CHECKING:
    from mdl.networks.resnet26 import ResNet26
    from mdl.training.one_domain import DomainSets

EXAMPLES = {
    "params": "mdl params --classes 100 --input-size 72",
    "layers": "mdl layers --backbone plain",
    "domains": "mdl domains --recipe paper",
}


def params(
    *, classes: int | None = 1000, width: int | None = None, input_size: int = 64, style: Style = "table"
) -> int:
    """Print the parameters of both backbones by kind, and the multiply-adds of one image.

    Args:
        classes: Outputs of the last layer; None for a network without one.
        width: Channels of the stem; None for the published width (separable 64, plain 32).
        input_size: Side of the square image in pixels, for the multiply-adds.
        style: A table, or CSV or JSON for another program.
    """
    from mdl.networks.resnet26 import multiply_adds, parameter_counts

    backbones = get_args(Backbone)
    networks = [_build(backbone, classes, width) for backbone in backbones]
    counts = [parameter_counts(network) for network in networks]
    table = {kind: [count[kind] for count in counts] for kind in counts[0]}
    table["all parameters"] = [sum(count.values()) for count in counts]
    table["multiply-adds"] = [multiply_adds(network, input_size) for network in networks]
    rows = [[name, *(_number(n, style) for n in numbers)] for name, numbers in table.items() if any(numbers)]
    print_rows(["" if style == "table" else "kind", *backbones], rows, style=style, numbers=(1, 2))
    return 0


def layers(*, backbone: Backbone = "separable", width: int | None = None, style: Style = "table") -> int:
    """Print the convolutions of a network, numbered 1 to 25 in order of execution, and the BN and ReLU after each.

    After the second convolution of a block the shortcut is added before the ReLU.

    Args:
        backbone: Which network to list.
        width: Channels of the stem; None for the published width (separable 64, plain 32).
        style: A table, or CSV or JSON for another program.
    """
    from mdl.networks.resnet26 import layer_table

    none = "-" if style == "table" else None
    rows = [
        [row.number, row.operator, row.module, row.channels, row.stride, row.bn or none, row.relu or none]
        for row in layer_table(_build(backbone, None, width))
    ]
    header = ["layer", "operator", "module", "units", "stride", "BN", "ReLU"]
    print_rows(header, rows, style=style, numbers=(0, 3, 4))
    return 0


def domains(*, data: Folder = None, recipe: str = "mini", style: Style = "table") -> int:
    """List the domains of a decathlon: classes, images, and how their images enter a network.

    Args:
        data: A decathlon in the official layout; the embedded miniature if not given.
        recipe: The recipe whose sizes, weight decays and dropouts to show.
        style: A table, or CSV or JSON for another program.
    """
    from mdl.training.recipe import load_recipe

    sets, _ = open_data(data)
    chosen = load_recipe(recipe)
    rows: list[list[str | int | float | None]] = []
    for name in sets.domains:
        counts = [_count(sets, name, split) for split in ("train", "val", "test")]
        plan = chosen.plan("train", name)
        rules = plan.input_rules
        size = f"{rules.resize[0]} x {rules.resize[1]}" if isinstance(rules.resize, tuple) else str(rules.resize)
        crop = "none" if rules.train_crop is None else f"{'random' if rules.random else 'centre'} {rules.train_crop}"
        n_classes = None if counts[0] is None else len(sets.split(name, "train").class_names)
        numbers = [_number(n, style) for n in (n_classes, *counts)]
        rates = [plan.weight_decay, plan.dropout]
        rows.append([name, *numbers, size, crop, *(f"{rate:g}" if style == "table" else rate for rate in rates)])
    header = ["domain", "classes", "train", "val", "test", "resize", "crop", "weight decay", "dropout"]
    print_rows(header, rows, style=style, numbers=(1, 2, 3, 4, 7, 8))
    return 0


def _number(n: int | None, style: Style) -> str | int | None:
    """Grouped digits for people, plain ones for programs.

    >>> _number(2884092, "table"), _number(None, "table"), _number(2884092, "csv")
    ('2,884,092', '-', 2884092)
    """
    if style != "table":
        return n
    return "-" if n is None else f"{n:,}"


def _count(sets: DomainSets, domain: str, split: str) -> int | None:
    """Images of a split; None where there is no such split."""
    try:
        return len(sets.split(domain, split))
    except UserError:
        return None


def _build(backbone: Backbone, classes: int | None, width: int | None) -> ResNet26:
    import torch

    from mdl.networks.resnet26 import plain_resnet26, separable_resnet26

    build = {"separable": separable_resnet26, "plain": plain_resnet26}[backbone]
    with torch.device("meta"):  # shapes without weights: nothing here needs their values
        return build(classes) if width is None else build(classes, width)
