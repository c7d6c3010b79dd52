"""Finished run folders that were damaged since: the commands refuse them by a sentence that names the file, or show what was."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from damaged_runs import (
    CELLS,
    OF_ANY_ARRAYS,
    OF_ANY_TABLE,
    OF_BYTES,
    OF_COUNTS,
    OF_INFO,
    OF_STRONGEST,
    Damage,
    of_fields,
    put,
    reseal,
)
from hostile_box import Said, command, rng_of

from dissect.run_store import RunFolderError, open_run

TABLES = tuple(CELLS)
ARRAYS = ("counts/small.npz", "strongest/small.npz")


def asked(folder: Path, *, commands: bool = True) -> list[Said]:
    """What the commands say of a folder, and whether everything that the library reads of it can be read."""
    said = []
    if commands:
        said = [command("report", folder, "--out", folder.parent / "report")]
        said.append(command("export", folder, "--out", folder.parent / "exported"))
    try:
        run = open_run(folder)
        run.units, run.concepts, run.images, run.replicates, run.trust, run.labels, run.unit_category, run.iou()
        for network in run.networks:
            run.strongest_masks(network["name"])
        said.append(Said(0, "", ""))
    except RunFolderError as error:
        said.append(Said(2, "", f"error: {error}\n"))
    return said


def refused(folder: Path, name: str, *, commands: bool = True) -> list[str]:
    """The sentences of the commands, all of which must refuse the folder because of this file."""
    sentences = [said.sentence() for said in asked(folder, commands=commands)]
    assert all(name in words for words in sentences), sentences
    assert not (folder.parent / "exported").exists()
    return sentences


def same_or_refused(folder: Path, finished: Path, *, commands: bool = True) -> list[str]:
    """Each command refuses the folder by a sentence, or shows what the folder held before. The sentences."""
    sentences = [said.sentence() for said in asked(folder, commands=commands) if said.status]
    assert all(words.endswith(("--overwrite.", "`overwrite`.", "run again.")) for words in sentences), sentences
    if (folder.parent / "exported").exists():
        assert command("export", finished, "--out", folder.parent / "other").status == 0
        for path in (folder.parent / "other").rglob("*.csv"):
            there = folder.parent / "exported" / path.relative_to(folder.parent / "other")
            assert there.read_bytes() == path.read_bytes()
    return sentences


@pytest.mark.parametrize("how", OF_BYTES)
@pytest.mark.parametrize("name", [*TABLES, *ARRAYS])
def test_bytes(damaged: Callable[[Path], Path], finished: Path, name: str, how: str) -> None:
    folder = damaged(finished)
    OF_BYTES[how](folder / name, rng_of(name + how))
    for words in refused(folder, name, commands=how == "halved"):
        assert "was changed since the run wrote it" in words or "is missing: restore it" in words


@pytest.mark.parametrize("name", [*TABLES, *ARRAYS])
def test_files_of_another_run(damaged, finished: Path, other_run: Path, name: str) -> None:
    folder = damaged(finished)
    shutil.copy(other_run / name, folder / name)
    if (folder / name).read_bytes() != (finished / name).read_bytes():
        refused(folder, name)
    else:
        assert name in ("concepts.csv", "images.csv")  # they are of the labels alone


@pytest.mark.parametrize("how", OF_ANY_TABLE)
@pytest.mark.parametrize("name", TABLES)
def test_tables(damaged: Callable[[Path], Path], finished: Path, name: str, how: str) -> None:
    """Here and below, sealed again: it is the contents that are refused."""
    folder = damaged(finished)
    OF_ANY_TABLE[how](folder / name, rng_of(name + how))
    reseal(folder)
    assert any(name in words for words in same_or_refused(folder, finished))


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        (name, column, value)
        for name, columns in CELLS.items()
        for column, values in columns.items()
        for value in values
    ],
)
def test_cells(damaged: Callable[[Path], Path], finished: Path, name: str, column: str, value: str) -> None:
    folder = damaged(finished)
    put(column, value)(folder / name, rng_of(name + column + value))
    reseal(folder)
    sentences = same_or_refused(folder, finished, commands=value == CELLS[name][column][0])
    # A concept that was renamed is missed where it was found.
    assert any((name in words and "row " in words) or name == "concepts.csv" for words in sentences), sentences


ARRAY_CASES = [
    *((name, how, damage) for name in ARRAYS for how, damage in OF_ANY_ARRAYS.items()),
    *(("counts/small.npz", how, damage) for how, damage in OF_COUNTS.items()),
    *(("strongest/small.npz", how, damage) for how, damage in OF_STRONGEST.items()),
]


@pytest.mark.parametrize(("name", "how", "damage"), ARRAY_CASES, ids=[f"{name} {how}" for name, how, _ in ARRAY_CASES])
def test_arrays(damaged: Callable[[Path], Path], finished: Path, name: str, how: str, damage: Damage) -> None:
    folder = damaged(finished)
    damage(folder / name, rng_of(name + how))
    reseal(folder)
    assert any(name in words for words in same_or_refused(folder, finished))


@pytest.mark.parametrize("how", OF_INFO)
def test_run_json(damaged: Callable[[Path], Path], finished: Path, how: str) -> None:
    folder = damaged(finished)
    OF_INFO[how](folder / "run.json", np.random.default_rng(0))
    assert same_or_refused(folder, finished)


def test_each_field_of_run_json(damaged: Callable[[Path], Path], finished: Path) -> None:
    folder = damaged(finished)
    info = folder / "run.json"
    whole = info.read_text(encoding="utf-8")
    cases = of_fields()
    assert len(cases) > 50
    for how, damage in cases.items():
        damage(info, np.random.default_rng(0))
        field = how.split()[0].replace(".0", "[0]")
        try:
            open_run(folder)
        except RunFolderError as error:
            assert field.split(".")[-1].split("[")[0] in str(error), (how, str(error))
            assert str(info) in str(error) or "has run-folder format" in str(error), how
        else:
            raise AssertionError(f"{how} was accepted")
        info.write_text(whole, encoding="utf-8")
    open_run(folder)
