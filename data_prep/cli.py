"""The command `data-prep`: `check` looks a Broden set through, `embedded` draws a built-in one, `decathlon ...` does the like
for sets of classified images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import tyro

from data_prep import decathlon_cli
from data_prep.formats import UserError

EXAMPLES = {
    "check": "data-prep check data/broden --limit 50",
    "embedded": "data-prep embedded --out data/mini-broden",
    "decathlon": "data-prep decathlon --help",
}


def check(path: tyro.conf.Positional[Path], limit: int = 20) -> int:
    """Check a whole Broden set: read every table, decode every image and label map, count every label.

    Exit status: 0 no fault, 1 faults found, 2 a table as a whole cannot be read.

    Args:
        path: Folder of the set: index.csv, category.csv, label.csv, c_*.csv and images/.
        limit: How many faults, and how many warnings, to tell; all are counted.
    """
    from data_prep.broden_check import check_broden

    with _progress("checking images") as progress:
        report = check_broden(path, limit, progress)
    print(*report.lines(), sep="\n")
    return 1 if report.n_faults else 0


def embedded(out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None) -> int:
    """Print where the embedded miniature Broden set lies, and draw it first where it is not there yet.

    Args:
        out: A new folder to draw the set into; without it the set is kept in the cache.
    """
    from data_prep import mini_broden

    with _progress("drawing images") as progress:
        root = mini_broden.ensure(progress=progress) if out is None else mini_broden.make(out, progress=progress)
    print(root)
    return 0


def decathlon() -> int:
    """Check, measure, download or draw a visual decathlon; `data-prep decathlon --help` tells more."""
    return main(["decathlon", "--help"])


def main(args: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: that of the command, 2 for something the user can mend, 130 interrupted."""
    args = list(sys.argv[1:] if args is None else args)
    prog, examples = "data-prep", EXAMPLES
    commands: dict[str, Callable[..., int]] = {"check": check, "embedded": embedded, "decathlon": decathlon}
    description = "Make labelled images ready for dissection and training, and check them."
    if args[:1] == ["decathlon"]:
        del args[0]
        prog, examples, commands = "data-prep decathlon", decathlon_cli.EXAMPLES, decathlon_cli.commands(_progress)
        description = "Check, measure, download or draw a visual decathlon."
    try:
        return tyro.extras.subcommand_cli_from_dict(commands, prog=prog, description=description, args=args)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except SystemExit as done:
        if not done.code and {"-h", "--help"} & set(args):
            print(f"\nexample:\n  {examples.get(args[0], examples['check'])}")
        raise


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """`with _progress("checking") as progress: progress(n_done, n_all)` draws a bar, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, auto_refresh=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda n_done, n_all: bar.update(task, completed=n_done, total=n_all, refresh=True)


if __name__ == "__main__":
    sys.exit(main())
