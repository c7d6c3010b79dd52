"""Where drawn sets lie, and that none is ever there by half."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.common.caches import cache_folder
from data_prep.common.errors import UserError
from data_prep.drawn_sets import drawing_pool, kept, new_folder


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("DISSECT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "multidomain-dissection"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "multidomain-dissection"
    monkeypatch.setenv("DISSECT_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_a_folder_with_something_in_it_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="already there"), new_folder(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_could_not_be_replaced_in_the_end_is_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "broken").symlink_to(tmp_path / "none")
    monkeypatch.chdir(tmp_path / "empty")
    for root in (Path(), Path("../empty"), tmp_path / "link", tmp_path / "broken"):
        with pytest.raises(UserError, match="already there"), new_folder(root):
            pytest.fail("the set would be made in vain")


def test_a_file_elsewhere_that_fails_is_named(tmp_path):
    sentence = r"none.txt cannot be used \(No such file or directory\), and .*set was not written"
    with pytest.raises(UserError, match=sentence), new_folder(tmp_path / "set"):
        (tmp_path / "none.txt").read_text()
    with pytest.raises(UserError, match="set could not be written"), new_folder(tmp_path / "set") as scratch:
        (scratch / "none.txt").read_text()


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "set") as scratch:
        (scratch / "half").write_text("")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "set").mkdir()  # empty: as good as new
    with new_folder(tmp_path / "set") as scratch:
        (scratch / "whole").write_text("")
        assert list((tmp_path / "set").iterdir()) == []
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["whole"]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_set_is_made_once_and_a_folder_without_its_file_is_none(tmp_path):
    made = []

    def make(root):
        made.append(root)
        with new_folder(root) as scratch:
            (scratch / "index.csv").write_text("")

    (tmp_path / "mini").mkdir()
    assert kept("mini", "index.csv", make, tmp_path) == kept("mini", "index.csv", make, tmp_path) == tmp_path / "mini"
    assert made == [tmp_path / "mini"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="already there"):
        kept("other", "index.csv", make, tmp_path)


def test_what_a_killed_process_left_half_drawn_is_deleted_after_a_day(tmp_path):
    left, fresh, other = tmp_path / ".set-0123456789ab", tmp_path / ".set-ba9876543210", tmp_path / ".set-of-mine"
    for folder in (left, fresh, other):
        folder.mkdir()
    for folder in (left, other):
        os.utime(folder, (time.time() - 90_000,) * 2)
    with new_folder(tmp_path / "set") as scratch:
        (scratch / "file").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".set-ba9876543210", ".set-of-mine", "set"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pool_keeps_the_order(workers):
    with drawing_pool(workers) as pool:
        assert list(pool.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]


DRAWS = """
import os, sys, time
from pathlib import Path
from data_prep.drawn_sets import drawing_pool

def draw(n):
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    with drawing_pool(2) as pool:
        list(pool.map(draw, range(2)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes draw on Linux only")
def test_no_process_outlives_one_that_was_killed(tmp_path):
    command = [sys.executable, "-c", DRAWS, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        assert _soon(lambda: len(list(tmp_path.iterdir())) == 2)
        process.kill()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert process.pid not in workers
    assert _soon(lambda: not any(map(_lives, workers)))


def _soon(true: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # one that nobody has waited for yet
