"""Tables from results written by hand: cells, missing domains, the paper's rows, and text that is escaped."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from data_prep.common.errors import UserError
from mdl.closed_form import PUBLISHED_CLASSES
from mdl.networks.sharing.arithmetic import method_rows, system_multiply_adds
from mdl.published import DOMAINS, OFFICIAL, PAPER_ROWS
from mdl.results import Cost, ParameterRow, Result, read_results, write_result
from mdl.scoring.ledger import ledger_ratio
from mdl.scoring.rendering import Column, Table
from mdl.scoring.score import decathlon_score, points
from mdl.scoring.tables import by_system, joint_rows, table1, table2, table3, to_csv, to_html, to_markdown, to_terminal


def result(domain, system="pointwise-sharing", n_correct=30, **values):
    values = {
        "domain": domain, "system": system, "method": system, "data": "embedded", "split": "test", "n_classes": 4,
        "n_test": 40, "n_correct": n_correct, "backbone": "separable", "width": 64, "cost": Cost(seconds=30),
    } | values  # fmt: skip
    return Result(**values)


def row_of(table, system, source):
    found = [row for row in table.rows if system in row[0].split("(")[-1].rstrip(")") and row[1] == source]
    assert len(found) == 1, [row[:2] for row in table.rows]
    return dict(zip([column.title for column in table.columns], found[0], strict=True))


ALL_TEN = [result(f"mini-{name}", n_correct=30 + i) for i, name in enumerate(DOMAINS)]


def test_the_paper_alone():
    table = table2()
    assert [row[0].split(" (")[0] for row in table.rows] == [r.name for r in PAPER_ROWS.values() if r.table == 2]
    row = row_of(table, "piggyback", "paper")
    assert row["#par"] == "1.28x" and row["C100"] == 79.87 and row["S printed"] == 2838
    assert row["S"] == pytest.approx(2840.2, abs=0.1) and row["S low"] < 2838 < row["S high"]
    assert [r[0].split(" (")[0] for r in table3().rows] == ["early", "middle", "late"]
    assert "2456.9" in " ".join(table.notes) and "2456.9" not in " ".join(table3().notes)


def test_a_complete_row():
    table = table2(ALL_TEN)
    row = row_of(table, "pointwise-sharing", "embedded")
    assert row["ImNet"] == 75 and row["UCF"] == pytest.approx(97.5)
    assert row["mean"] == pytest.approx(sum(30 + i for i in range(10)) / 4)
    by_hand = sum(points(d.name, 1 - (30 + i) / 40) for i, d in enumerate(OFFICIAL))
    assert row["S"] == pytest.approx(by_hand)
    assert row["S printed"] is None and row["#par"] is None
    score = decathlon_score({r.domain: (r.n_correct, 40) for r in ALL_TEN})
    assert (row["S low"], row["S high"]) == (score.low, score.high)
    assert not any(column.title.endswith(" of 10") for column in table.columns)
    places = [r[0] for r in table.rows]
    assert places[places.index("pointwise-sharing") - 1] == "Proposed (pointwise-sharing)"
    assert "E_max is that of the official test sets" in " ".join(table.notes)
    assert "pointwise-sharing 5.0" in " ".join(table.notes)


def test_missing_domains():
    results = [*ALL_TEN, result("mini-dtd", "dan", 20), result("mini-svhn", "dan", 39), result("mini-dtd", "mine", 1)]
    table = table2(results)
    row = row_of(table, "dan", "embedded")
    assert row["Airc"] is None and row["S"] is None and row["mean"] is None and row["DTD"] == 50
    assert row["mean of 1"] == 50 and row["S of 1"] == pytest.approx(points("dtd", 0.5))
    assert row_of(table, "pointwise-sharing", "embedded")["S"] is not None
    paper = row_of(table, "dan", "paper")
    assert paper["S of 1"] == pytest.approx(points("dtd", 1 - 0.5664)) and paper["mean of 1"] == pytest.approx(56.64)
    assert table.rows[-1][0] == "mine"
    notes = " ".join(table.notes)
    assert "dan lacks imagenet12, aircraft" in notes and "over what all measured rows have: dtd." in notes
    assert "–" in to_terminal(table) and ",,," in to_csv(table)


def test_no_domain_in_common():
    table = table2([result("mini-dtd", "dan"), result("mini-svhn", "individual")])
    assert table.columns[-1].title == "S printed"


def test_table_3():
    late = result("mini-dtd", "soft-sharing-late", 35, options={"sources": ["mini-dtd", "mini-svhn"], "region": "late"})
    table = table3([*ALL_TEN, late, result("mini-dtd", "dan")])
    assert [row[0] for row in table.rows] == [
        "early (soft-sharing-early)", "middle (soft-sharing-middle)", "late (soft-sharing-late)", "soft-sharing-late",
        "pointwise-sharing",
    ]  # fmt: skip
    assert "soft-sharing-late" not in [row[0] for row in table2([late, *ALL_TEN]).rows]


def with_parameters(system, n_classes):
    """Results that recorded what the arithmetic says: shared rows in each, own rows in one."""
    rows = method_rows(system, n_classes)
    return [
        result(domain, system, parameters=tuple(row for row in rows if row.domain in ("", domain)), multiply_adds=5)
        for domain in n_classes
    ]


@pytest.mark.parametrize("system", ["pointwise-sharing", "individual"])
def test_sizes_of_measured_rows(system):
    results = with_parameters(system, PUBLISHED_CLASSES)
    assert joint_rows(results) == method_rows(system)
    row = row_of(table2(results), system, "embedded")
    assert row["#par"] == pytest.approx(ledger_ratio(method_rows(system)))


@pytest.mark.parametrize(
    ("backbone", "width", "unit"),
    [
        ("separable", 32, 9 * (3 * 16 + 7.5 * (32**2 + 64**2 + 128**2)) + 2 * (16 + 8 * 224 + 128)),
        ("plain", 32, 5_814_688),
        ("efficientnet_lite0", 1280, 5_814_688),
        ("separable", 15, None),
    ],
)
def test_the_unit_of_sizes(backbone, width, unit):
    """A plain ResNet-26 of width 16 beside a separable one of 32, counted by hand; the published one beside other networks."""
    rows = (ParameterRow("shared conv", "conv", 3_400_000), ParameterRow("dtd bn", "bn", 42_016, domain="dtd"))
    measured = result("dtd", "mine", backbone=backbone, width=width, parameters=rows)
    size = row_of(table2([measured]), "mine", "embedded")["#par"]
    assert size == (None if unit is None else pytest.approx(3_442_016 / unit))


@pytest.mark.parametrize(
    ("system", "suffix"),
    [("pointwise-sharing", ""), ("individual", ""), ("classifier", ""), ("series-adapters", "-series-adapters")],
)
def test_the_base_network_completes_a_row(system, suffix):
    """Its accuracy, and its parameters: as many as if the base domain had been counted with the others."""
    plain = system == "series-adapters"
    network = {"backbone": "plain" if plain else "separable", "width": 32 if plain else 64}
    classes = {"imagenet12": 10, "dtd": 4, "svhn": 5}
    results = [replace(r, **network) for r in with_parameters(system, classes)]
    whole = [row for row in method_rows(system, classes) if row.domain in ("", "imagenet12")]
    base_rows = tuple(replace(row, name=row.name + "!", domain="imagenet12") for row in merged(whole))
    base = result("imagenet12", f"base-{network['backbone']}{suffix}", 33, parameters=base_rows, **network)
    other = replace(base, system="base-plain-other", n_correct=1, method="pretrain")
    group = by_system([base, other, *results[1:]] if plain else [base, *results[1:]])[system]
    assert [(r.domain, r.n_correct) for r in group] == [("imagenet12", 33), ("dtd", 30), ("svhn", 30)]
    assert ledger_ratio(joint_rows(group)) == pytest.approx(ledger_ratio(joint_rows(results)))
    assert by_system([base, *results])[system] == results  # a row that has the domain keeps its own


def merged(rows):
    counts = {}
    for row in rows:
        counts[row.kind] = counts.get(row.kind, 0) + row.count
    return [ParameterRow(kind, kind, count) for kind, count in counts.items()]


def test_a_base_alone_or_of_another_width_stays():
    base = result("imagenet12", "base-separable")
    assert list(by_system([base])) == ["base-separable"]
    groups = by_system([base, replace(ALL_TEN[4], width=8)])
    assert sorted(groups) == ["base-separable", "pointwise-sharing"]


def test_table_1():
    results = with_parameters("pointwise-sharing", PUBLISHED_CLASSES)
    table = table1(results, method_rows=method_rows, system_multiply_adds=system_multiply_adds)
    row = row_of(table, "separable ResNet-26", "arithmetic")
    assert row["total"] == 3_169_667 and row["pointwise %"] == pytest.approx(81.418, abs=0.001)
    assert row["multiply-adds"] == 394_379_264
    row = row_of(table, "pointwise-sharing", "arithmetic")
    assert row["own"] == 322_651 and row["own %"] == pytest.approx(10.18, abs=0.005) and row["total"] == 3_169_667
    assert row_of(table, "soft-sharing-late", "arithmetic")["other"] == 489_704
    row = row_of(table, "pointwise-sharing on aircraft", "embedded")
    assert row["own"] == 322_651 and row["total"] == 2_707_967 and row["multiply-adds"] == 5
    notes = "\n".join(table.notes)
    assert "#par of Individual: printed 5x, counted 4.569" in notes and "#par of DAN: printed 2.17x" in notes


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([ALL_TEN[0], replace(ALL_TEN[1], data="other")], "different data"),
        ([ALL_TEN[0], replace(ALL_TEN[1], split="val")], "different split"),
        ([ALL_TEN[0], replace(ALL_TEN[1], width=8)], "mixes networks"),
        ([ALL_TEN[4], replace(ALL_TEN[4], domain="dtd")], "comes twice"),
        (
            [replace(ALL_TEN[n], base_hash=letter * 64) for n, letter in enumerate("aab")],
            "pointwise-sharing start from different base networks .*aircraft aaaaaaaa, mini-cifar100 bbbbbbbb.: give",
        ),
        (
            [replace(ALL_TEN[n], shared_hash=letter) for n, letter in enumerate("ab")],
            "made from different trained domains",
        ),
    ],
)
def test_results_that_do_not_compare(results, words):
    with pytest.raises(UserError, match=words):
        table2(results)


def test_different_recipes_of_one_row_are_noted():
    recipe = {"phase": "train", "epochs": 3, "seed": 0, "weight_decay": 0.1, "domain": "x"}
    changes = ({}, {"weight_decay": 0.2, "domain": "y"}, {"epochs": 9, "phase": "pretrain"}, {"epochs": 9, "seed": 1})
    mixed = [replace(ALL_TEN[n], recipe=recipe | change, base_hash="a" * (n % 2)) for n, change in enumerate(changes)]
    note = "The domains of pointwise-sharing were trained with different epochs, seed."
    assert note in table2(mixed).notes and note not in table2(mixed[:3]).notes


def test_a_base_completes_rows_that_started_from_it():
    base = result("imagenet12", "base-separable", method="pretrain", base_hash="a")
    for base_hash, domains in (("a", ["imagenet12", "dtd"]), ("", ["imagenet12", "dtd"]), ("b", ["dtd"])):
        groups = by_system([base, result("dtd", base_hash=base_hash)])
        assert [r.domain for r in groups["pointwise-sharing"]] == domains
    late = result("dtd", "soft-sharing-late", options={"sources": ["dtd"]}, base_hash="a")
    dan = result("dtd", "dan", base_hash="a")
    rows = [row[0] for row in table3([base, late, dan]).rows if row[1] == "embedded"]
    assert rows == ["soft-sharing-late"], "a base that completes rows of the other table has none of its own here"


def test_own_domains_have_columns_of_their_own():
    own = replace(ALL_TEN[1], domain="cars", n_correct=3, n_test=4)
    lone = replace(own, system="my-method", method="my-method")
    table, without = table2([*ALL_TEN, own, lone]), table2(ALL_TEN)
    system = ALL_TEN[0].system
    row = row_of(table, system, "embedded")
    assert row.pop("cars (own)") == 75.0
    assert row == row_of(without, system, "embedded"), "an own domain changes mean or S"
    alone = row_of(table, "my-method", "embedded")
    assert {title: cell for title, cell in alone.items() if isinstance(cell, float)} == {"cars (own)": 75.0}
    assert row_of(table, "pointwise-sharing", "paper")["cars (own)"] is None
    assert any("cars of my-method: 30.06 .. 95.44 % (95 %, 4 images)" in note for note in table.notes)
    assert row_of(table2([lone]), "my-method", "embedded")["cars (own)"] == 75.0


NASTY = '<script>alert("x")</script>|[red]*b*[/red]\n=1+1'


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_names_are_escaped_everywhere():
    table = Table(NASTY, (Column("name", None), Column("n", 1)), ((NASTY, 1.25), ("=cmd", None)), (NASTY,))
    reader = Reader()
    reader.feed(to_html(table, title=NASTY))
    tags = [tag for tag, _ in reader.tags]
    assert "script" not in tags and tags.count("td") == 4
    assert not any({"src", "href", "onclick"} & set(attributes) for _, attributes in reader.tags)
    assert NASTY in reader.text
    lines = to_markdown(table).splitlines()
    assert "<script" not in "\n".join(lines)
    assert [line.replace("\\|", "").count("|") for line in lines if line.startswith("|")] == [3, 3, 3, 3]
    terminal = to_terminal(table)
    assert "[red]*b*[/red] =1+1" in terminal and "1.2" in terminal
    rows = list(csv.reader(io.StringIO(to_csv(table))))
    assert rows == [["name", "n"], [NASTY, "1.25"], ["'=cmd", ""]]


def test_forms_hold_the_same_cells(tmp_path):
    for each in ALL_TEN:
        write_result(tmp_path / each.domain, each)
    table = table2(read_results(tmp_path))
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    mine = next(row for row in rows if row["system"] == "pointwise-sharing")
    assert float(mine["UCF"]) == 97.5 and mine["S printed"] == ""
    text = f"{float(mine['S']):,.0f}"
    for form in (to_terminal, to_markdown, to_html):
        assert text in form(table) and "97.50" in form(table) and "Proposed" in form(table)


def test_a_narrow_terminal_cuts_no_number():
    """Blocks of whole columns, each with the names; together they hold every cell of the wide table."""
    table = table2(ALL_TEN)
    narrow = to_terminal(table, width=90).splitlines()[: -len(table.notes)]
    assert max(map(len, narrow)) <= 90 and not any("…" in line for line in narrow)
    mine = [line.split()[2:] for line in narrow if line.lstrip().startswith("pointwise-sharing")]
    wide = next(line for line in to_terminal(table).splitlines() if line.lstrip().startswith("pointwise-sharing"))
    assert len(mine) > 1 and [cell for line in mine for cell in line] == wide.split()[2:]


def test_no_torch():
    """Scores and tables answer at once, on a machine without torch too."""
    code = "import mdl.scoring.tables, mdl.scoring.submission, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
