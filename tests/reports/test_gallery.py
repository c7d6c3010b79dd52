"""The code of the gallery runs, and draws the pictures that its page shows, no more and no less."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from run_writer import make_run

DOCS = Path(__file__).parents[2] / "docs"


def test_the_code_draws_every_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [("22", "depthwise", 9), ("22", "pointwise", 9)]
    make_run(tmp_path / "runs" / "demo", {"imagenet12": layers, "cifar100-individual": layers})
    (tmp_path / "docs" / "gallery").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(DOCS / "gallery.py"))["run_code"]()
    shown = set(re.findall(r"!\[[^]]+\]\((.+?)\)", (DOCS / "gallery.md").read_text(encoding="utf-8")))
    for folder in (tmp_path / "docs", DOCS):
        assert {f"gallery/{path.name}" for path in (folder / "gallery").iterdir()} == shown
