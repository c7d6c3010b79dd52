"""The commands that compare: `mdl score`, `mdl table`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from data_prep.common.errors import UserError
from data_prep.common.terminal import Style, print_rows, print_table
from mdl.cli.options import File

if TYPE_CHECKING:
    from mdl.results import Result
    from mdl.scoring.rendering import Table
    from mdl.scoring.score import Score

EXAMPLES = {
    "score": "mdl score runs/decathlon/mini",
    "table": "mdl table runs/decathlon/mini --tables 2 --style markdown",
}

Folders = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[DIR ...]")]


def score(
    folders: Folders = (),
    /,
    *,
    submission: File = None,
    labels: Annotated[Path | None, tyro.conf.arg(metavar="ZIP|DIR")] = None,
    domains: tuple[str, ...] = (),
    system: str | None = None,
    write: File = None,
    style: Style = "table",
) -> int:
    """Score finished runs, or a file of predictions, by the rule of the Visual Decathlon, with a 95 % interval.

    Args:
        folders: Result folders, or folders above them.
        submission: A file of predictions in the official format, instead of folders.
        labels: The official test labels, a zip or a folder of <name>_test.json; needed for --submission.
        domains: Ask only these domains of the submission.
        system: Only this system, such as pointwise-sharing.
        write: Write the predictions of one system as a file in the official format.
        style: A table, or CSV or JSON for another program; then all else that is said goes to standard error.
    """
    from mdl.scoring.score import decathlon_score
    from mdl.scoring.submission import read_official_labels, score_submission
    from mdl.scoring.tables import by_system, mixed_recipes

    if (submission is None) == (not folders):
        raise UserError("Give either result folders or --submission FILE to score: one of the two.")
    if submission is not None:
        if labels is None:
            raise UserError("A submission is scored against the official test labels: give them with --labels.")
        if write or system:
            raise UserError("--write and --system go with result folders, not with --submission: leave them out.")
        scored = score_submission(submission, read_official_labels(labels), domains or None)
        _print_scores({str(submission): scored}, style)
        return 0
    systems = by_system(_trained(folders, system, domains))
    if write and len(systems) != 1:
        raise UserError(f"A submission holds one system, and there are {', '.join(systems)}: choose one with --system.")
    scores = {}
    for name, group in systems.items():
        title = f"{name} on {group[0].data}" + ("" if group[0].split == "test" else f", split {group[0].split}")
        scores[title] = decathlon_score({r.domain: (r.n_correct, r.n_test) for r in group})
    _print_scores(scores, style)
    for note in filter(None, map(mixed_recipes, systems.values())):
        print(f"note: {note}", file=sys.stdout if style == "table" else sys.stderr)
    if write:
        _write_submission(write, folders, next(iter(systems.values())))
        print(write, file=sys.stdout if style == "table" else sys.stderr)
    return 0


def table(
    folders: Folders = (),
    /,
    *,
    tables: tuple[Literal[1, 2, 3], ...] = (1, 2, 3),
    style: Literal["table", "csv", "markdown", "html"] = "table",
    out: File = None,
) -> int:
    """Print Tables 1, 2 and 3 from finished runs, with the paper's rows beside them.

    The notes below the tables name the convention of every count. On a terminal a wide table is cut between columns.

    Args:
        folders: Result folders, or folders above them; without any, the paper's rows alone.
        tables: Which tables.
        style: A table on the terminal, CSV for another program, or a page.
        out: A file to write instead of printing.
    """
    from data_prep.common.files import write_bytes
    from mdl.scoring import tables as rendered

    results = _trained(folders, None, ()) if folders else []
    made = [_table(number, results) for number in tables]
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


def _table(number: Literal[1, 2, 3], results: list[Result]) -> Table:
    from mdl.scoring import tables

    if number != 1:
        return {2: tables.table2, 3: tables.table3}[number](results)
    from mdl.networks.sharing.arithmetic import method_rows, system_multiply_adds  # the methods come with torch

    return tables.table1(results, method_rows=method_rows, system_multiply_adds=system_multiply_adds)


def _trained(folders: Sequence[Path], system: str | None, domains: Sequence[str]) -> list[Result]:
    """The results below the folders, those of base networks only where they complete a row."""
    from mdl.results import read_results
    from mdl.scoring.tables import by_system

    results = read_results(folders)
    of_domains = [result for result in results if not domains or result.domain in domains]
    bases = [result for result in of_domains if result.method == "pretrain"]
    kept = [r for r in of_domains if r.method != "pretrain" and system in (None, r.system)]
    if not kept:
        there = ", ".join(sorted({r.system for r in results if r.method != "pretrain"})) or "base networks only"
        raise UserError(f"No result of what was asked lies below {', '.join(map(str, folders))}; there are: {there}.")
    like = {(result.data, result.split) for result in kept}
    bases = [base for base in bases if (base.data, base.split) in like]
    idle = by_system([*kept, *bases])
    return [*kept, *(base for base in bases if base.system not in idle)]


def _print_scores(scores: Mapping[str, Score], style: Style) -> None:
    """For people a table of each, with S below it; for programs one list of all, with a last row for S."""
    rows: list[list[str | int | float | None]] = []
    for title, score in scores.items():
        if style == "table":
            _print_score(title, score)
            continue
        for term in (*score.terms, *score.own):
            accuracies = [term.accuracy, term.accuracy_low, term.accuracy_high]
            earned = term.points if term in score.terms else None
            rows.append(
                [
                    title,
                    term.domain,
                    term.n_correct,
                    term.n_test,
                    *accuracies,
                    earned,
                    None,
                    None,
                ]
            )
        if score.terms:
            rows.append([title, "all", None, None, score.mean_accuracy, None, None, score.total, score.low, score.high])
        if score.caveat:
            print(f"note: {score.caveat}", file=sys.stderr)
    if style != "table":
        header = ["system", "domain", "correct", "of", "accuracy", "accuracy_low", "accuracy_high"]
        print_rows([*header, "points", "points_low", "points_high"], rows, style=style)


def _print_score(title: str, score: Score) -> None:
    rows = [
        [
            term.domain, f"{term.n_correct:,}", f"{term.n_test:,}", f"{term.accuracy:.2%}",
            f"{term.accuracy_low:.2%} .. {term.accuracy_high:.2%}", f"{term.points:.1f}" if term in score.terms else "-",
        ]
        for term in (*score.terms, *score.own)
    ]  # fmt: skip
    print(title)
    print_table(["domain", "correct", "of", "accuracy", "95 %", "points"], rows, numbers=(1, 2, 3, 4, 5))
    if score.terms:
        print(
            f"mean accuracy {score.mean_accuracy:.2%}; S = {score.total:.0f}, 95 % {score.low:.0f} .. {score.high:.0f}"
        )
    if score.caveat:
        print(f"note: {score.caveat}")


def _write_submission(path: Path, folders: Sequence[Path], results: Sequence[Result]) -> None:
    from mdl.results import PREDICTION_FILE, is_done, read_predictions, read_result
    from mdl.scoring.submission import write_submission

    wanted = {result.domain: result for result in results}
    predictions = {}
    for file in sorted(file for folder in folders for file in Path(folder).rglob(PREDICTION_FILE)):
        if is_done(file.parent):
            found = read_result(file.parent)
            cell = wanted.get(found.domain, found)
            # A base network that completes the row is in it under the row's name and parameters, and else as it is.
            if replace(found, system=cell.system, method=cell.method, parameters=cell.parameters) == wanted.get(
                found.domain
            ):
                predictions[found.domain] = read_predictions(file.parent, found.n_classes)
    if missing := sorted(wanted.keys() - predictions.keys()):
        raise UserError(f"There are no predictions of {', '.join(missing)}: run `mdl eval` on their folders first.")
    write_submission(path, predictions)
