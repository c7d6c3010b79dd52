"""Hashes of contents: of what lies there now, whatever the cache remembers."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from data_prep import contents
from data_prep.broden import open_broden
from data_prep.contents import content_hashes

LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("DISSECT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(contents, "RECENT", -1)  # times of change cannot be set back, so that these files count as old
    (tmp_path / "set").mkdir()
    for name in ("a", "b"):
        (tmp_path / "set" / name).write_bytes(name.encode() * 5)
    return tmp_path / "set"


def sha(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def test_hashes_of_contents(root: Path) -> None:
    assert content_hashes(root, ["b", "gone", "a", "b"]) == [sha(b"bbbbb"), "", sha(b"aaaaa"), sha(b"bbbbb")]


def test_unchanged_files_are_not_read_again(root: Path, cache: Path, monkeypatch) -> None:
    first = content_hashes(root, ["a", "b"])
    assert len(list((cache / "hashes").iterdir())) == 1
    monkeypatch.setattr(contents, "_hash", lambda path: 1 // 0)
    assert content_hashes(root, ["b", "a"]) == first[::-1]


def test_a_change_at_equal_size_and_equal_time_shows(root: Path) -> None:
    os.utime(root / "a", (LONG_AGO, LONG_AGO))
    first = content_hashes(root, ["a", "b"])
    (root / "a").write_bytes(b"AAAAA")
    os.utime(root / "a", (LONG_AGO, LONG_AGO))
    assert content_hashes(root, ["a", "b"]) == [sha(b"AAAAA"), first[1]]


def test_what_changed_just_now_is_not_remembered(root: Path, cache: Path, monkeypatch) -> None:
    monkeypatch.setattr(contents, "RECENT", 60)
    content_hashes(root, ["a", "b"])
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["", "[]", '{"a": 1}', '{"a": ["", ""]}', "not json"])
def test_a_damaged_cache_is_none(root: Path, cache: Path, damage: str) -> None:
    content_hashes(root, ["a"])
    (kept,) = (cache / "hashes").iterdir()
    kept.write_text(damage)
    assert content_hashes(root, ["a"]) == [sha(b"aaaaa")]


def test_a_cache_that_cannot_be_written_is_none(root: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert content_hashes(root, ["a"]) == [sha(b"aaaaa")]


def test_only_regular_files_are_read(root: Path) -> None:
    (root / "endless").symlink_to("/dev/zero")
    os.mkfifo(root / "waiting")
    (root / "link").symlink_to("a")
    (root / "folder").mkdir()
    assert content_hashes(root, ["endless", "waiting", "folder", "link"]) == ["", "", "", sha(b"aaaaa")]


@pytest.mark.parametrize("name", ["a/two.jpg", "a/one_part.png"])
def test_the_fingerprint_of_a_set_follows_its_contents(tiny_broden: Path, name: str) -> None:
    file = tiny_broden / "images" / name
    before, content = open_broden(tiny_broden).fingerprint(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert open_broden(tiny_broden).fingerprint() != before
    file.write_bytes(content)
    assert open_broden(tiny_broden).fingerprint() == before
