"""The cache folder: where it is, what is in it, and that only what is ours is deleted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from data_prep.common.caches import LIMIT, cache_folder, cache_limit, cached, clear, make_room, mark_used
from data_prep.common.errors import UserError
from data_prep.drawn_sets import kept, new_folder

FILES = {
    "decoded/dtd-train-0123.pixels": 3000, "decoded/.dtd-val-0123.pixels.x7": 500, "hashes/ab.json": 20,
    "compiled/dissect_1/tally.py.1.nbi": 10, "compiled/dissect_1/tally.py.1.1.nbc": 90, "mini-broden-v2/index.csv": 5,
    "mini-broden-v2/images/a.png": 7,
}  # fmt: skip
OTHERS = ("decoded/mine.txt", "compiled/deep/mine.txt", "mine/decoded.pixels", "mini-broden-mine/index.csv")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in a folder that holds somebody's own files too."""
    root = tmp_path / "cache"
    monkeypatch.setenv("DISSECT_CACHE", str(root))
    for name, size in [*FILES.items(), *((name, 1) for name in OTHERS)]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes(size))
    return root


def left(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_what_is_kept_is_counted_and_nothing_else(folder):
    assert [(entry.name, entry.n_files, entry.n_bytes) for entry in cached()] == [
        ("compiled", 2, 100), ("decoded", 2, 3500), ("hashes", 1, 20), ("mini-broden-v2", 2, 12),
    ]  # fmt: skip


def test_only_what_is_ours_is_deleted(folder):
    clear(["decoded"])
    assert left(folder) == {name for name in (*FILES, *OTHERS) if not name.startswith("decoded/") or "mine" in name}
    clear(["all"])
    assert left(folder) == set(OTHERS)
    assert {path.name for path in folder.iterdir()} == {"decoded", "compiled", "mine", "mini-broden-mine"}
    assert cached() == []


def test_links_lead_nowhere(folder, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.pixels").write_text("mine")
    clear(["decoded"])
    (folder / "decoded/mine.txt").unlink()
    (folder / "decoded").rmdir()
    (folder / "decoded").symlink_to(tmp_path / "photos")
    clear(["all"])
    assert (tmp_path / "photos/a.pixels").read_text() == "mine"


def test_no_cache_is_an_empty_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DISSECT_CACHE", str(tmp_path / "none"))
    clear(["all"])
    assert cached() == [] and not (tmp_path / "none").exists()


def test_the_command_shows_and_clears(folder, said):
    code, out, err = said("cache")
    assert (code, err) == (0, "")
    header, *rows, total = out.splitlines()
    assert header.split() == ["part", "MB", "files", "used", "what"]
    assert [row.split()[0] for row in rows] == ["compiled", "decoded", "hashes", "mini-broden-v2"]
    assert total == f"{folder}: 0.00 GB; decoded images up to {LIMIT:g} GB (DISSECT_CACHE_LIMIT)"
    code, out, err = said("cache", "--clear", "decoded", "hashes", "--style", "json")
    assert code == 0 and [(row["part"], row["n_bytes"]) for row in json.loads(out)] == [
        ("compiled", 100), ("mini-broden-v2", 12)
    ]  # fmt: skip
    assert err.startswith(f"{folder}: ")
    assert said("cache", "--clear", "decoded")[0] == 0, "it is empty already"
    code, out, err = said("cache", "--clear", "pictures")
    assert (code, out) == (2, "")
    assert err.startswith(
        f"error: Unknown part of the cache 'pictures' in {folder}; known: compiled, mini-broden-v2, decoded, "
    )


def test_what_was_of_use_longest_ago_makes_room(tmp_path, monkeypatch):
    now = time.time()
    for n, name in enumerate(["a", "b", "c", "d"]):
        (tmp_path / f"{name}.pixels").write_bytes(bytes(400_000_000 // 1000))
        os.utime(tmp_path / f"{name}.pixels", (now, now - 1000 + n))
    (tmp_path / "mine.txt").write_bytes(bytes(1_000_000))
    mark_used(tmp_path / "a.pixels")
    monkeypatch.setenv("DISSECT_CACHE_LIMIT", "0.001")  # 1 MB: two of the four
    make_room(tmp_path, "*.pixels", keep=tmp_path / "d.pixels")
    assert left(tmp_path) == {"a.pixels", "d.pixels", "mine.txt"}
    monkeypatch.setenv("DISSECT_CACHE_LIMIT", "0")
    make_room(tmp_path, "*.pixels", keep=tmp_path / "d.pixels")
    assert left(tmp_path) == {"d.pixels", "mine.txt"}, "what was just made stays, whatever its size"


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    for name, age in (("old", 90_000), ("new", 60)):
        (tmp_path / f".{name}.pixels.x7").write_bytes(b"half")
        os.utime(tmp_path / f".{name}.pixels.x7", (time.time() - age,) * 2)
    make_room(tmp_path, "*.pixels", keep=tmp_path / "a.pixels")
    assert left(tmp_path) == {".new.pixels.x7"}


@pytest.mark.parametrize(("text", "limit"), [("", LIMIT * 1e9), ("20", 20e9), ("0.5", 5e8), ("0", 0)])
def test_the_limit_is_a_number_of_gb(monkeypatch, text, limit):
    monkeypatch.setenv("DISSECT_CACHE_LIMIT", text)
    assert cache_limit() == limit


@pytest.mark.parametrize("text", ["many", "-1", "nan", "inf", "20GB"])
def test_a_wrong_limit_is_told(monkeypatch, text):
    monkeypatch.setenv("DISSECT_CACHE_LIMIT", text)
    with pytest.raises(UserError) as caught:
        cache_limit()
    assert str(caught.value) == (
        f"DISSECT_CACHE_LIMIT is {text!r}; it must be a number of GB, 0 or more: {LIMIT:g} if it is not set."
    )


def test_without_a_home_the_variable_is_named(monkeypatch):
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("DISSECT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(UserError, match="There is no home folder to keep files in: set DISSECT_CACHE to a folder"):
        cache_folder()


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path):
    def make(root: Path) -> None:
        with new_folder(root):
            pass

    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError) as caught:
        kept("mini-broden-v2", "index.csv", make, tmp_path / "file")
    assert str(caught.value) == (
        f"{tmp_path / 'file'} cannot keep the embedded set (Not a directory): set DISSECT_CACHE to a folder that can be written."
    )
