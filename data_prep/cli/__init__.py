"""The command `data-prep`: `check` looks a Broden set through, `pack` decodes its labels once, `embedded` draws the embedded one,
`decathlon ...` does the same for sets of classified images, and `cache` shows and clears what is kept.

    main(["check", "data/broden"])            # exits: 0 no fault, 1 faults found, 2 something else that the user can fix
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from data_prep.cli import broden, cache, decathlon
from data_prep.common import command
from data_prep.common.command import Tool

TOOL = Tool(
    "data-prep",
    "Make labelled images ready for dissection and training, and check them.",
    {
        "check": broden.check,
        "pack": broden.pack,
        "embedded": broden.embedded,
        "decathlon": decathlon.TOOL,
        "cache": cache.cache,
    },
    {
        "check": "data-prep check data/broden --limit 50",
        "pack": "data-prep pack data/broden",
        "embedded": "data-prep embedded --out data/mini-broden",
        "decathlon": "data-prep decathlon --help",
        "cache": "data-prep cache --clear decoded",
    },
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    command.main(TOOL, args)
