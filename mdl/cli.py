"""The command `mdl`: `mdl params` counts what a network costs, `mdl layers` lists where it can be tapped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import tyro

from data_prep.formats import UserError

if TYPE_CHECKING:
    from mdl.resnet26 import ResNet26

Kind = Literal["separable", "plain"]

EXAMPLES = {
    "params": "mdl params --classes 100 --input-size 72",
    "layers": "mdl layers --network plain",
}


def params(classes: int | None = 1000, width: int | None = None, input_size: int = 64) -> None:
    """Print the parameters of both networks by kind, and the multiply-adds of one image.

    Args:
        classes: Outputs of the last layer; None for a network without one.
        width: Channels of the stem; None for the published width (separable 64, plain 32).
        input_size: Side of the square image in pixels, for the multiply-adds.
    """
    from mdl.resnet26 import multiply_adds, parameter_counts

    kinds = get_args(Kind)
    networks = [_build(kind, classes, width) for kind in kinds]
    counts = [parameter_counts(network) for network in networks]
    table = {kind: [count[kind] for count in counts] for kind in counts[0]}
    table["all parameters"] = [sum(count.values()) for count in counts]
    table["multiply-adds"] = [multiply_adds(network, input_size) for network in networks]
    rows = [[name, *(f"{n:,}" for n in numbers)] for name, numbers in table.items() if any(numbers)]
    _print_table(["", *kinds], rows, numbers=(1, 2))


def layers(network: Kind = "separable", width: int | None = None) -> None:
    """Print the convolutions of a network, numbered 1 to 25 in order of execution, and the BN and ReLU after each.

    Behind the second convolution of a block the shortcut is added before the ReLU.

    Args:
        network: Which network to list.
        width: Channels of the stem; None for the published width (separable 64, plain 32).
    """
    from mdl.resnet26 import layer_table

    rows = [
        [str(row.number), row.operator, row.module, str(row.channels), str(row.stride), row.bn or "-", row.relu or "-"]
        for row in layer_table(_build(network, None, width))
    ]
    _print_table(["layer", "operator", "module", "units", "stride", "BN", "ReLU"], rows, numbers=(0, 3, 4))


def main(args: Sequence[str] | None = None) -> None:
    """Run one command. Exit status: 0 done, 2 something the user can mend, 130 interrupted."""
    args = list(sys.argv[1:] if args is None else args)
    try:
        tyro.extras.subcommand_cli_from_dict(
            {"params": params, "layers": layers},
            prog="mdl",
            description="Networks for many visual domains: what they cost and where they can be tapped.",
            args=args,
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as done:
        if not done.code and {"-h", "--help"} & set(args):
            print(f"\nexample:\n  {EXAMPLES.get(args[0], EXAMPLES['params'])}")
        raise


def _build(kind: Kind, classes: int | None, width: int | None) -> ResNet26:
    import torch

    from mdl.resnet26 import plain_resnet26, separable_resnet26

    build = {"separable": separable_resnet26, "plain": plain_resnet26}[kind]
    with torch.device("meta"):  # shapes without weights: nothing here needs their values
        return build(classes) if width is None else build(classes, width)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> None:
    """Columns as wide as their widest cell; those in `numbers` flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [f"{cell:{'>' if i in numbers else '<'}{widths[i]}}" for i, cell in enumerate(row)]
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    main()
