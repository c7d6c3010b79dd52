"""What the three commands share: options found in signatures, and parameters in errors that become options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from data_prep.common.command import Tool, main, options
from data_prep.common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Way:
    batch_size: int = 4
    memory: float = 0.5


def count(
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")],
    /,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("counts"),
    way: tyro.conf.OmitArgPrefixes[Way] = Way(),
) -> int:
    """Count what is there.

    Args:
        folder: Where to look.
        out: Where to write.
    """
    raise UserError(
        f"`batch_size` {way.batch_size} for `folder` is wrong: give another `out` or `name`, or call `count`."
    )


def other(*, name: str = "") -> int:
    """Do something else."""
    raise UserError("Give a `name` or a `batch_size`.")


COMMANDS = {"count": count, "other": other}
EXAMPLES = {"count": "tool count here", "other": "tool other"}
TOOL = Tool("tool", "A tool.", COMMANDS, EXAMPLES, flags={"name": "--names"})


def said(capsys: pytest.CaptureFixture[str], tool: Tool, *args: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(tool, args)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_options_are_those_that_the_command_takes() -> None:
    assert options(count) == {"out": "--out", "batch_size": "--batch-size", "memory": "--memory"}


def test_parameters_in_errors_become_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, TOOL, "count", "here", "--batch-size", "3") == (
        "error: --batch-size 3 for `folder` is wrong: give another --out or --names, or call `count`.\n"
    )


def test_options_of_other_commands_are_named_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`dissect report` may advise to dissect again with --overwrite, which is an option of `dissect run`."""
    plain = Tool("tool", "A tool.", COMMANDS, EXAMPLES)
    assert said(capsys, plain, "other") == "error: Give a --name or a --batch-size.\n"
    assert said(capsys, Tool("outer", "", {"tool": plain, "x": other}, EXAMPLES), "tool", "count", "here").startswith(
        "error: --batch-size 4 for `folder`"
    )
