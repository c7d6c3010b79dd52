"""Terminals that are closed, or know few letters: the command does its work all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from data_prep.common.command import Tool, main

def say(what: str = "", /) -> int:
    open({made!r}, "w", encoding="utf-8").write("first")   # must not get the number of a closed stream
    print("Grüße, 猫, " + what)
    print("aside", file=sys.stderr)
    open({made!r}, "a", encoding="utf-8").write(", last")
    return 0

main(Tool("say", "Says.", {{"say": say, "no": say}}, {{"say": "say say"}}), sys.argv[1:])
"""


def said(tmp_path: Path, *args: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    script = tmp_path / "say.py"
    script.write_text(CODE.format(made=str(tmp_path / "made")), encoding="utf-8")
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, str(script), *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, env=environment, check=False)


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("args", "status"), [(("say",), 0), (("--help",), 0), (("nothing",), 2)])
def test_closed_streams(tmp_path: Path, shell: str, args: tuple[str, ...], status: int) -> None:
    done = said(tmp_path, *args, shell=shell)
    assert done.returncode == status and b"Traceback" not in done.stdout + done.stderr
    if args == ("say",):
        assert (tmp_path / "made").read_text() == "first, last"


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PYTHONIOENCODING": "ascii"}, rb"Gr\xfc\xdfe, \u732b, "),
        ({"PYTHONIOENCODING": "latin-1"}, "Grüße".encode("latin-1") + rb", \u732b, "),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, rb"Gr\xfc\xdfe, \u732b, "),
        ({"LC_ALL": "C"}, "Grüße, 猫, ".encode()),
    ],
)
def test_letters_that_the_terminal_does_not_know(tmp_path: Path, environment: dict[str, str], shown: bytes) -> None:
    done = said(tmp_path, "say", **environment)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, shown.strip(), b"aside\n")
    done = said(tmp_path, "say", "--größe", **environment)
    assert done.returncode == 2 and done.stderr.startswith(b"error: ") and b"Traceback" not in done.stderr
