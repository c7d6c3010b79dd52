"""What the README tells a newcomer to type works as it stands there."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(console|python)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]
SNIPPETS = [text for kind, text in BLOCKS if kind == "python"]
ZOO = importlib.util.find_spec("efficientnet_lite_pytorch") is not None


def _run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=900, check=False)


def test_the_two_commands_are_make_targets() -> None:
    targets = [line.split()[1] for line in COMMANDS if line.startswith("make ")]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


PROGRAMS = {"dissect": "dissect.cli", "data-prep": "data_prep.cli", "mdl": "mdl.cli"}

RUN_EACH = f"""
import importlib, sys
for line in sys.argv[1:]:
    program, *rest = line.split()
    try:
        importlib.import_module({PROGRAMS}[program]).main(rest)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{{line}}: status {{end.code}}")
"""
"""The commands one after the other in one process, as each on its own would spend most of its time importing torch."""


DEAR = ("dissect run --domains gtsrb omniglot", "dissect run efficientnet_lite0", "data-prep")
"""Commands that take long, and on which none that are left build."""


@pytest.mark.parametrize("left_out", [DEAR, pytest.param((), marks=pytest.mark.slow)], ids=["most", "all"])
def test_commands_run_in_order(tmp_path: Path, left_out: tuple[str, ...]) -> None:
    """One test, since later commands use what earlier ones leave. data-prep forks, so it has a process without threads."""
    lines = [line for line in COMMANDS if line.split()[0] != "make" and (ZOO or "efficientnet_lite0" not in line)]
    assert {line.split()[0] for line in lines} == set(PROGRAMS)
    lines = [line for line in lines if not line.startswith(left_out)] if left_out else lines
    for _, together in itertools.groupby(lines, key=lambda line: line.startswith("data-prep")):
        done = _run([sys.executable, "-c", RUN_EACH, *together], tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/embedded-imagenet12-cifar100-individual-18-20-22/report.html").exists()
    assert (tmp_path / "runs/embedded-gtsrb-omniglot-22/report.html").exists() == (not left_out)
    assert len(list((tmp_path / "tally").rglob("tally.csv"))) == 12


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippets_run(snippet: str, tmp_path: Path) -> None:
    done = _run([sys.executable, "-c", snippet + "\nprint(len(units))"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 0
