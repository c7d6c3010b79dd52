"""The ground floor, the front door and the helper that finds the real test data."""

from __future__ import annotations

import json

import pytest
import real_data

import data_prep
from data_prep.common.errors import UserError, choose
from data_prep.common.files import atomic_write, write_json
from data_prep.common.terminal import print_rows


def test_a_file_takes_its_place_only_when_it_is_whole_and_passes_its_check(tmp_path):
    path = tmp_path / "folder/file.json"
    write_json(path, {"ä": 1})
    assert path.read_text(encoding="utf-8") == '{\n "ä": 1\n}\n'

    def refuse(written):
        assert written.read_bytes() == b"new"
        raise UserError("not good enough.")

    for check, content in ((refuse, b"new"), (None, "no bytes")):
        with pytest.raises((UserError, TypeError)), atomic_write(path, check=check) as file:
            file.write(content)
    assert json.loads(path.read_text(encoding="utf-8")) == {"ä": 1}
    assert [file.name for file in path.parent.iterdir()] == ["file.json"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))


def test_a_listing_keeps_numbers_for_programs(capsys):
    header, rows = ("name", "n", "share"), [("a", 12, 0.5), ("b", 3, None)]
    print_rows(header, rows, style="json")
    assert json.loads(capsys.readouterr().out) == [dict(zip(header, row, strict=True)) for row in rows]
    print_rows(header, rows, style="csv")
    assert capsys.readouterr().out == "name,n,share\na,12,0.5\nb,3,\n"
    print_rows(header, rows, numbers=(1,))
    assert capsys.readouterr().out == "name   n  share\na     12  0.5\nb      3\n"


def test_an_unknown_name_says_where_it_was_looked_for():
    with pytest.raises(UserError, match=r"^Unknown split 'x' in index\.csv; there is none yet\.$"):
        choose("split", "x", [], where="index.csv")
    names = [f"thing {n}" for n in range(1000)]
    with pytest.raises(UserError, match=r"known: thing 0, .*, thing 39 and 960 more; nearest: thing 90, "):
        choose("concept", "thing 90O", names)


def test_the_embedded_sets_open_without_a_path():
    val, whole = data_prep.open_embedded(split="val", categories=["object"]), data_prep.open_embedded()
    assert val.name == whole.name == "embedded" and val.categories == ("object",)
    assert {image.split for image in val.images} == {"val"} and len(val.images) < len(whole.images) == 400
    domains = data_prep.open_embedded_decathlon()
    assert domains.domains[0] == "mini-imagenet12" and len(domains.domains) == 10


def test_a_set_is_named_after_its_folder_or_as_the_caller_says(tiny_broden):
    assert data_prep.open_broden(tiny_broden).name == "tiny"
    assert data_prep.open_broden(tiny_broden, name="mine").name == "mine"


def test_real_data_are_found_by_the_variable_or_the_test_is_skipped(tmp_path, monkeypatch):
    (tmp_path / "broden_real").mkdir()
    monkeypatch.setenv(real_data.VARIABLE, str(tmp_path))
    assert real_data.real_data("broden_real") == tmp_path / "broden_real"
    with pytest.raises(pytest.skip.Exception, match=rf"no decathlon_mini in {tmp_path}; DISSECT_TEST_DATA names"):
        real_data.real_data("decathlon_mini")
    monkeypatch.delenv(real_data.VARIABLE)
    monkeypatch.setattr(real_data, "BESIDE", tmp_path)
    assert real_data.real_data("broden_real") == tmp_path / "broden_real"
