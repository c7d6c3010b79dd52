"""Where drawn sets lie, and that none is ever there by half."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.common.errors import UserError
from data_prep.drawn_sets import cache_folder, drawing_pool, kept, new_folder


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


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pool_keeps_the_order(workers):
    with drawing_pool(workers) as pool:
        assert list(pool.map(abs, range(-5, 0))) == [5, 4, 3, 2, 1]
