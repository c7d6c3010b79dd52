"""Put trained networks into the package: python -m mdl.shipped RUNS

RUNS is what `mdl decathlon` left for one data set, such as runs/decathlon/decathlon_mini; `mdl.shipped.make` says which of its
folders are needed. Everything is checked before `mdl/shipped/weights/` is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from data_prep.common.errors import UserError
from mdl.shipped.reader import WEIGHTS


def main(
    runs: tyro.conf.Positional[Path], out: Path = WEIGHTS, data: str | None = None, device: str | None = None
) -> None:
    """Check the runs' weights and results, copy the weights, and write weights.json and CARD.md.

    Args:
        runs: The folder that holds base-separable, pointwise-sharing and individual.
        out: The folder that the package ships.
        data: What to call the data set, where the results call it otherwise.
        device: What the networks were trained on, where the results were counted again elsewhere.
    """
    from mdl.shipped.make import ship

    for one in ship(runs, out, data=data, device=device):
        print(
            f"{one.name}: {one.n_correct} of {one.n_test} right ({one.accuracy:.1%}), {one.n_parameters:,} parameters"
        )
    print(f"written to {out}")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        sys.exit(f"error: {error}")
