"""The command `data-prep`: `import ...`, `colors`, `join` and `broden` make label sets, `check` looks one through, `pack` decodes
its labels once, `embedded` draws the embedded one, `decathlon ...` is for sets of classified images, `cache` for what is kept.

    main(["check", "data/broden"])            # exits: 0 no fault, 1 faults found, 2 something else that the user can fix
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from data_prep.cli import broden, cache, decathlon, importing
from data_prep.common import command
from data_prep.common.command import Tool

TOOL = Tool(
    "data-prep",
    "Make labelled images ready for dissection and training, and check them.",
    {
        "import": importing.TOOL,
        "colors": importing.colors,
        "join": importing.join,
        "broden": importing.broden,
        "check": broden.check,
        "pack": broden.pack,
        "embedded": broden.embedded,
        "decathlon": decathlon.TOOL,
        "cache": cache.cache,
    },
    {
        "import": "data-prep import --help",
        "colors": "data-prep colors sets/coco --out sets/coco-colors",
        "join": "data-prep join sets/coco sets/dtd --out sets/both",
        "broden": "data-prep broden broden1_224.zip --out data/broden1_224",
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
