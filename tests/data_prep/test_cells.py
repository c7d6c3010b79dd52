"""Texts of others in tables and on the terminal: no formula is run, no escape code is heard, and nothing is lost."""

from __future__ import annotations

import csv
import io
import json
import logging

import numpy as np
import pytest

from data_prep.broden_counts import write_csv
from data_prep.common import terminal
from data_prep.common.command import Tool, main
from data_prep.common.errors import UserError
from data_prep.common.files import escape_cell, unescape_cell
from data_prep.common.terminal import print_rows, print_table, printable

FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "'=1",
    "''+x",
    "-",
    "=HYPERLINK(\"x\",'y')",
)
HARMLESS = ("", "dog", "a=b", "'tis", "''", "1-2", " =1", "ünï 犬")
ESCAPES = "a\x1b[31mred\x07\x9b2J\u202etxt.jpg"


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_a_text(text):
    assert escape_cell(text) == f"'{text}" and unescape_cell(escape_cell(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay_as_they_are(text):
    assert escape_cell(text) == unescape_cell(text) == text


def test_every_text_comes_back():
    rng = np.random.default_rng(0)
    letters = [*"'=+-@ab\t\r\n\uff0b ", ""]
    for _ in range(5000):
        text = "".join(rng.choice(letters, 4))
        cell = escape_cell(text)
        assert unescape_cell(cell) == text and cell[:1] not in {*"=+-@\t\r\n\uff0b"}


def test_listings_are_escaped_for_spreadsheets_and_numbers_are_not(capsys, tmp_path):
    print_rows(("name", "n"), [("=1+1", -1), ("dog", -0.5)], style="csv")
    assert capsys.readouterr().out == "name,n\n'=1+1,-1\ndog,-0.5\n"
    print_rows(("name", "n"), [("a\rb", -1)], style="csv")
    assert capsys.readouterr().out == 'name,n\n"a\rb",-1\n', "a carriage return ends a line, but in quotes"
    write_csv(tmp_path / "a.csv", ("name",), [("a\rb",)])
    assert (tmp_path / "a.csv").read_bytes() == b'name\n"a\rb"\n'
    print_rows(("name", "n"), [("=1+1", -1)], style="json")
    assert json.loads(capsys.readouterr().out) == [{"name": "=1+1", "n": -1}]


def is_plain(text: str) -> bool:
    return not any(c in text.replace("\n", "") for c in "\x1b\x07\x9b\u202e")


def test_escape_codes_do_not_reach_the_terminal(capsys, monkeypatch):
    assert printable(ESCAPES) == "a\\x1b[31mred\\x07\\x9b2J\\u202etxt.jpg"
    print_table(("name", "n"), [(ESCAPES, "1"), ("b", "22")], numbers=(1,))
    out = capsys.readouterr().out
    assert is_plain(out) and len({len(line) for line in out.splitlines()}) == 1, (
        "the columns are as wide as what is shown"
    )
    print_rows(("name",), [(ESCAPES,)], style="json")
    out = capsys.readouterr().out
    assert is_plain(out) and json.loads(out) == [{"name": ESCAPES}]
    print_rows(("name",), [(ESCAPES,)], style="csv")
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["name"], [ESCAPES]], "a program gets it as it is"
    monkeypatch.setattr(terminal.sys.stdout, "isatty", lambda: True, raising=False)
    print_rows(("name",), [(ESCAPES,)], style="csv")
    assert is_plain(capsys.readouterr().out)


def test_errors_and_warnings_are_plain(capsys):
    def fail() -> int:
        """Fail."""
        logging.getLogger("data_prep.test").warning("%s is odd", ESCAPES)
        raise UserError(f"{ESCAPES} is wrong.")

    handlers, logging.root.handlers = logging.root.handlers, []  # as outside of tests
    try:
        with pytest.raises(SystemExit) as done:
            main(Tool("tool", "A tool.", {"fail": fail, "other": fail}, {"fail": "tool fail"}), ["fail"])
    finally:
        logging.root.handlers = handlers
    err = capsys.readouterr().err
    assert done.value.code == 2 and is_plain(err)
    assert err.splitlines() == [f"{printable(ESCAPES)} is odd", f"error: {printable(ESCAPES)} is wrong."]


def test_names_of_files_in_a_report_of_faults_are_plain(tiny_broden, said):
    index = tiny_broden / "index.csv"
    index.write_text(index.read_text().replace("a/two.jpg", "a/two\x1b[2J.jpg"))
    for style in ("table", "json"):
        code, out, err = said("check", tiny_broden, "--style", style)
        assert code == 1 and is_plain(out + err) and "two\\" in out
