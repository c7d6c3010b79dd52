"""What the tests of the command share: what it said, and what it left in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

STORED = (
    "units.csv", "unit_category.csv", "concepts.csv", "images.csv", "replicates.csv", "trust.csv", "labels.csv", "counts",
    "strongest", "responses", "concept_images.npz",
)  # fmt: skip


class Said(NamedTuple):
    status: int | str | None
    out: str
    err: str


def sentence(said: Said, out: Path | None = None) -> str:
    assert said.status == 2, said
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and said.err.endswith("\n"), said.err
    assert "Traceback" not in said.err + said.out
    assert out is None or not (out / "DONE").exists()
    return said.err.removeprefix("error: ").rstrip("\n")


def stored(folder: Path) -> dict[str, bytes]:
    """All that decides what is read from a run folder."""
    files = [path for name in STORED for path in ((folder / name), *(folder / name).glob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
