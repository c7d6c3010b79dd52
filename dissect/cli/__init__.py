"""The command `dissect`: run, layers, report, compare, claims, sanity, export, import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from data_prep.common import command
from data_prep.common.command import Tool
from dissect.cli.claims import claims
from dissect.cli.compare import compare
from dissect.cli.export import export
from dissect.cli.imports import import_
from dissect.cli.layers import layers
from dissect.cli.report import report
from dissect.cli.run import run
from dissect.cli.sanity import sanity

TOOL = Tool(
    "dissect",
    "Which concepts do the units of a network detect? Network dissection (Bau et al. 2017).",
    {
        "run": run,
        "layers": layers,
        "report": report,
        "compare": compare,
        "claims": claims,
        "sanity": sanity,
        "export": export,
        "import": import_,
    },
    {
        "run": "dissect run --domains gtsrb omniglot --layers 18 20 22 --out runs/signs-and-letters",
        "layers": "dissect layers mdl:imagenet12",
        "report": "dissect report runs/embedded-imagenet12-cifar100-individual-18-20-22",
        "compare": "dissect compare runs/a runs/b --out runs/a-and-b",
        "claims": "dissect claims runs/embedded-imagenet12-cifar100-individual-18-20-22",
        "sanity": "dissect sanity runs/embedded-imagenet12-cifar100-individual-18-20-22",
        "export": "dissect export runs/embedded-imagenet12-cifar100-individual-18-20-22 --format xlsx",
        "import": "dissect import dissection/alexnet/conv5-result.csv --out runs/alexnet",
    },
    flags={"name": "--names", "domain": "--domains"},
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    command.main(TOOL, args)
