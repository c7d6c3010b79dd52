"""The one `main` of the three commands: parse, run, and say in one sentence what went wrong.

    TOOL = Tool("dissect", "Which concepts do the units detect?", {"run": run}, {"run": "dissect run --layers 18"})
    main(TOOL)                                # exits: 0 done, 2 something the user can fix, 130 interrupted

A command is a function whose parameters are its options (`tyro` reads names, types, defaults and docstring); it returns the
exit status. A `Tool` may hold another one, as `data-prep` holds `data-prep decathlon`.

The library's errors name parameters in backticks, since whoever calls it has no flags; where the command has an option of that
name, its user reads the option:

    give another `out`, or `overwrite` it      becomes      give another --out, or --overwrite it
"""

from __future__ import annotations

import errno
import inspect
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import KW_ONLY, dataclass, field, fields, is_dataclass, replace
from functools import partial, wraps
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args, get_origin, get_type_hints

from data_prep.common.errors import UserError
from data_prep.common.files import at_home
from data_prep.common.launcher import last_words
from data_prep.common.terminal import printable

Command = Callable[..., int]


@dataclass(frozen=True)
class Tool:
    """prog: as the user types it. commands: by name, in the order of the help. examples: a line to paste for each command.
    interrupted: what a user should know after Ctrl-C. flags: option by parameter of the library, for those that the command
    calls otherwise, such as {"name": "--names"}."""

    prog: str
    description: str
    commands: Mapping[str, Command | Tool]
    examples: Mapping[str, str]
    _: KW_ONLY
    interrupted: str = "interrupted: the same command resumes from here."
    flags: Mapping[str, str] = field(default_factory=dict)

    def chosen(self, args: Sequence[str]) -> tuple[Tool, list[str]]:
        """The innermost tool that `args` begin with, and what is left of them."""
        inner = self.commands.get(args[0]) if args else None
        return inner.chosen(args[1:]) if isinstance(inner, Tool) else (self, list(args))

    def with_flags(self, sentence: str, args: Sequence[str]) -> str:
        """The sentence with options in place of parameters in backticks: those of the command that `args` begin with, else of
        the tool's other commands, which a sentence may advise."""
        first = [command for name, command in self.commands.items() if args and name == args[0]]
        known: dict[str, str] = {}
        for command in (*self.commands.values(), *first):
            known |= {} if isinstance(command, Tool) else options(command)
        known |= self.flags
        return re.sub(r"`(\w+)`", lambda name: known.get(name[1], name[0]), sentence)


def main(tool: Tool, args: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit. Status: that of the command, 2 for something the user can fix, 130 interrupted."""
    args = list(sys.argv[1:] if args is None else args)
    _given[:] = args
    _open_closed_streams()
    if logging.lastResort:  # warnings name files too
        logging.lastResort.setFormatter(_Printable())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        if args[:1] == ["--version"]:
            print(f"{tool.prog} {__version__}")
            sys.exit(0)
        tool, args = tool.chosen(args)
        status = _parse(tool, args)()
        sys.stdout.flush()
        sys.exit(status)
    except UserError as error:
        sys.exit(_fail(tool.with_flags(str(error), args)))
    except BrokenPipeError:  # who reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno is None:
            raise
        sys.exit(_fail(_explain(error)))
    except UnicodeEncodeError as error:
        sys.exit(_fail(f"A path has a character that cannot be written ({error.reason}): rename that file or folder."))
    except MemoryError as error:
        advice = "ask for less at a time, as with a smaller --batch-size, fewer --workers or fewer layers"
        sys.exit(_fail(f"The memory of this machine does not suffice ({error or 'no more is left'}): {advice}."))
    except KeyboardInterrupt:
        last_words(tool.interrupted)
        sys.exit(130)


def given() -> list[str]:
    """The arguments of the command that runs, as its user typed them."""
    return list(_given)


_given: list[str] = []


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


def _open_closed_streams() -> None:
    """What a caller closed (`>&-`) leads nowhere: nobody reads it, and no file of the work gets its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, so mostly that of the stream
            setattr(sys, name, os.fdopen(handle, "w" if number else "r", encoding="utf-8"))


def options(command: Command) -> dict[str, str]:
    """The options of a command by parameter; a dataclass among the parameters stands for its fields.

    >>> def count(folder: str, /, *, batch_size: int = 4, memory: float = 0.5) -> int: ...
    >>> options(count)
    {'batch_size': '--batch-size', 'memory': '--memory'}
    """
    names: list[str] = []
    hints = get_type_hints(command, include_extras=True)
    for parameter in inspect.signature(command).parameters.values():
        kind, marks = _unwrapped(hints.get(parameter.name))
        if is_dataclass(kind):
            names += [each.name for each in fields(kind)]
        elif parameter.kind is not parameter.POSITIONAL_ONLY and "Positional" not in marks:
            names.append(parameter.name)
    return {name: f"--{name.replace('_', '-')}" for name in names}


def _unwrapped(hint: Any) -> tuple[Any, str]:
    """The type in an `Annotated` one, and what is written beside it."""
    if get_origin(hint) is not Annotated:
        return hint, ""
    kind, *marks = get_args(hint)
    return kind, repr(marks)


def package_version() -> str:
    """The version of the installed package; "unknown" where it runs from a folder that was never installed."""
    try:
        return version("multidomain-dissection")
    except PackageNotFoundError:
        return "unknown"


__version__ = package_version()
"""What the four packages show as their version."""


def _parse(tool: Tool, args: Sequence[str]) -> Command:
    """The command that `args` ask for, ready to be called. Raises `UserError` where they ask for none."""
    import tyro

    def later(command: Command) -> Callable[..., Command]:
        return wraps(command)(
            lambda *values, **options: partial(
                command, *_at_home(values), **{k: _at_home(v) for k, v in options.items()}
            )
        )

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.extras.subcommand_cli_from_dict(
                {name: later(_help_of(command)) for name, command in tool.commands.items()},
                prog=tool.prog,
                description=tool.description,
                args=args,
            )
    except SystemExit as done:
        if not done.code:
            if {"-h", "--help"} & set(args):
                print(f"\nexample:\n  {tool.examples.get(args[0], next(iter(tool.examples.values())))}")
            raise
    # tyro draws a box: a title, what is wrong and, behind a rule, what was perhaps meant.
    lines = [line.strip("│╭╮╰╯─ ") for line in said.getvalue().splitlines()]
    parts = [" ".join(part) for ruled, part in groupby(lines[1:], lambda line: not line.strip("-")) if not ruled]
    wrong = parts[0].rstrip(".") if parts else "The command line is not understood"
    meant = re.search(r"Perhaps you meant:[^-]*(--[a-z-]+)", said.getvalue())
    command = " ".join([tool.prog, *(name for name in args[:1] if name in tool.commands)])
    guess = f"did you mean {meant[1]}? " if meant else ""
    raise UserError(f"{wrong}; {guess}`{command} --help` tells what there is.")


def _at_home(value: Any) -> Any:
    """The value with `~` in its paths expanded, which a shell leaves alone in quotes and after `=`."""
    if isinstance(value, Path):
        return at_home(value)
    if isinstance(value, tuple | list):
        return type(value)(map(_at_home, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _at_home(getattr(value, each.name)) for each in fields(value) if each.init})
    return value


def _help_of(command: Command | Tool) -> Command:
    """A tool inside another, as an entry of the outer one's help: called, it asks for one of its own commands."""
    if not isinstance(command, Tool):
        return command

    def missing() -> int:
        raise UserError(
            f"{command.prog} needs one of {', '.join(command.commands)}; `{command.prog} --help` tells more."
        )

    missing.__doc__ = command.description
    return missing


def _fail(sentence: str) -> int:
    last_words(f"error: {printable(' '.join(sentence.split()))}")
    return 2


def _explain(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or "the output folder"
        return f"The disk of {where} is full: free some space and give the same command again to resume."
    where = error.filename2 or error.filename or "A file"  # the second is what a new file was to replace
    return f"{where} cannot be used ({error.strerror}): correct that, or choose another with --out."
