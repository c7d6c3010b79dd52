"""The commands of `mdl` that need no images: params, layers, score, table. `cli.py` takes them up."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import tyro

from data_prep.common.errors import UserError
from data_prep.common.terminal import print_table

if TYPE_CHECKING:
    from mdl.networks.resnet26 import ResNet26
    from mdl.results import Result
    from mdl.scoring.score import Score

Kind = Literal["separable", "plain"]
Format = Literal["terminal", "csv", "markdown", "html"]

EXAMPLES = {
    "params": "mdl params --classes 100 --input-size 72",
    "layers": "mdl layers --network plain",
    "score": "mdl score runs/decathlon/mini",
    "table": "mdl table runs/decathlon/mini --tables 2 --style markdown",
}


def params(classes: int | None = 1000, width: int | None = None, input_size: int = 64) -> int:
    """Print the parameters of both networks by kind, and the multiply-adds of one image.

    Args:
        classes: Outputs of the last layer; None for a network without one.
        width: Channels of the stem; None for the published width (separable 64, plain 32).
        input_size: Side of the square image in pixels, for the multiply-adds.
    """
    from mdl.networks.resnet26 import multiply_adds, parameter_counts

    kinds = get_args(Kind)
    networks = [_build(kind, classes, width) for kind in kinds]
    counts = [parameter_counts(network) for network in networks]
    table = {kind: [count[kind] for count in counts] for kind in counts[0]}
    table["all parameters"] = [sum(count.values()) for count in counts]
    table["multiply-adds"] = [multiply_adds(network, input_size) for network in networks]
    rows = [[name, *(f"{n:,}" for n in numbers)] for name, numbers in table.items() if any(numbers)]
    print_table(["", *kinds], rows, numbers=(1, 2))
    return 0


def layers(network: Kind = "separable", width: int | None = None) -> int:
    """Print the convolutions of a network, numbered 1 to 25 in order of execution, and the BN and ReLU after each.

    Behind the second convolution of a block the shortcut is added before the ReLU.

    Args:
        network: Which network to list.
        width: Channels of the stem; None for the published width (separable 64, plain 32).
    """
    from mdl.networks.resnet26 import layer_table

    rows = [
        [str(row.number), row.operator, row.module, str(row.channels), str(row.stride), row.bn or "-", row.relu or "-"]
        for row in layer_table(_build(network, None, width))
    ]
    print_table(["layer", "operator", "module", "units", "stride", "BN", "ReLU"], rows, numbers=(0, 3, 4))
    return 0


def score(
    folders: tyro.conf.Positional[tuple[Path, ...]] = (),
    /,
    submission: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    labels: Annotated[Path | None, tyro.conf.arg(metavar="ZIP|DIR")] = None,
    domains: tuple[str, ...] = (),
    system: str | None = None,
    write: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Score finished runs, or a file of predictions, by the rule of the Visual Decathlon, with a 95 % interval.

    Args:
        folders: Result folders, or folders above them.
        submission: A file of predictions in the official format, instead of folders.
        labels: The official test labels, a zip or a folder of <name>_test.json; needed for --submission.
        domains: Ask only these domains of the submission.
        system: Only this system, such as pointwise-sharing.
        write: Write the predictions of one system as a file in the official format.
    """
    from mdl.scoring.score import decathlon_score
    from mdl.scoring.submission import read_official_labels, score_submission
    from mdl.scoring.tables import by_system

    if (submission is None) == (not folders):
        raise UserError("Give either result folders or --submission FILE to score: one of the two.")
    if submission is not None:
        if labels is None:
            raise UserError("A submission is scored against the official test labels: give them with --labels.")
        if write or system:
            raise UserError("--write and --system go with result folders, not with --submission: leave them out.")
        _print_score(str(submission), score_submission(submission, read_official_labels(labels), domains or None))
        return 0
    systems = by_system(_trained(folders, system, domains))
    if write and len(systems) != 1:
        raise UserError(f"A submission holds one system, and there are {', '.join(systems)}: choose one with --system.")
    for name, group in systems.items():
        _print_score(f"{name} on {group[0].data}", decathlon_score({r.domain: (r.n_correct, r.n_test) for r in group}))
    if write:
        _write_submission(write, folders, next(iter(systems.values())))
    return 0


def table(
    folders: tyro.conf.Positional[tuple[Path, ...]] = (),
    /,
    tables: tuple[Literal[1, 2, 3], ...] = (1, 2, 3),
    style: Format = "terminal",
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> int:
    """Print Tables 1, 2 and 3 from finished runs, with the paper's rows beside them.

    The notes below the tables name the convention of every count. On a terminal a wide table is cut between columns.

    Args:
        folders: Result folders, or folders above them; without any, the paper's rows alone.
        tables: Which tables.
        style: terminal, csv, markdown or html.
        out: A file to write instead of printing.
    """
    from data_prep.common.files import write_bytes
    from mdl.scoring import tables as rendered

    results = _trained(folders, None, ()) if folders else []
    made = [getattr(rendered, f"table{number}")(results) for number in tables]
    if style == "html":
        text = rendered.to_html(*made)
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() and not out else None
        forms = {"csv": rendered.to_csv, "markdown": rendered.to_markdown}
        texts = [forms[style](one) if style in forms else rendered.to_terminal(one, width) for one in made]
        text = "\n".join(one.rstrip("\n") + "\n" for one in texts)
    if out:
        write_bytes(out, text.encode())
        print(out)
    else:
        print(text, end="")
    return 0


COMMANDS: dict[str, Callable[..., int]] = {"params": params, "layers": layers, "score": score, "table": table}


def _trained(folders: Sequence[Path], system: str | None, domains: Sequence[str]) -> list:
    """The results below the folders but those of base networks, whose cells stand in the rows."""
    from mdl.results import read_results

    results = [result for result in read_results(folders) if result.method != "pretrain"]
    kept = [r for r in results if (system is None or r.system == system) and (not domains or r.domain in domains)]
    if not kept:
        there = ", ".join(sorted({r.system for r in results})) or "base networks only"
        raise UserError(f"No result of what was asked lies below {', '.join(map(str, folders))}; there are: {there}.")
    return kept


def _print_score(title: str, score: Score) -> None:
    rows = [
        [
            term.domain, f"{term.n_correct:,}", f"{term.n_test:,}", f"{term.accuracy:.2%}",
            f"{term.accuracy_low:.2%} .. {term.accuracy_high:.2%}", f"{term.points:.1f}",
        ]
        for term in score.terms
    ]  # fmt: skip
    print(title)
    print_table(["domain", "correct", "of", "accuracy", "95 %", "points"], rows, numbers=(1, 2, 3, 4, 5))
    print(f"mean accuracy {score.mean_accuracy:.2%}; S = {score.total:.0f}, 95 % {score.low:.0f} .. {score.high:.0f}")
    if score.caveat:
        print(f"note: {score.caveat}")


def _write_submission(path: Path, folders: Sequence[Path], results: Sequence[Result]) -> None:
    from mdl.results import PREDICTION_FILE, is_done, read_predictions, read_result
    from mdl.scoring.submission import write_submission

    wanted = {(result.system, result.domain) for result in results}
    predictions = {}
    for file in sorted(file for folder in folders for file in Path(folder).rglob(PREDICTION_FILE)):
        if is_done(file.parent):
            result = read_result(file.parent)
            if (result.system, result.domain) in wanted:
                predictions[result.domain] = read_predictions(file.parent)
    if missing := sorted({domain for _, domain in wanted} - predictions.keys()):
        raise UserError(f"There are no predictions of {', '.join(missing)}: run `mdl eval` on their folders first.")
    write_submission(path, predictions)
    print(path)


def _build(kind: Kind, classes: int | None, width: int | None) -> ResNet26:
    import torch

    from mdl.networks.resnet26 import plain_resnet26, separable_resnet26

    build = {"separable": separable_resnet26, "plain": plain_resnet26}[kind]
    with torch.device("meta"):  # shapes without weights: nothing here needs their values
        return build(classes) if width is None else build(classes, width)
