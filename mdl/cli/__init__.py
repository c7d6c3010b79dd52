"""The command `mdl`: train networks for many visual domains, evaluate and export them, count, score and compare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from data_prep.common import command
from data_prep.common.command import Tool
from mdl.cli import count, finished, score, train

TOOL = Tool(
    "mdl",
    "Networks for many visual domains: train, share, count, score and compare them.",
    {
        "pretrain": train.pretrain,
        "train": train.train,
        "decathlon": train.decathlon,
        "eval": finished.evaluate,
        "export": finished.export,
        "domains": count.domains,
        "params": count.params,
        "layers": count.layers,
        "score": score.score,
        "table": score.table,
    },
    {**train.EXAMPLES, **finished.EXAMPLES, **count.EXAMPLES, **score.EXAMPLES},
    flags={"overrides": "--set"},
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    command.main(TOOL, args)
