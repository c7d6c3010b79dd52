"""The page of a comparison: its words, its data, its figures and files, and the page in a real browser."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from opened_page import opened
from playwright.sync_api import Browser, Page
from runs_in_memory import CONCEPTS, run_in_memory

from reports.compare_data import page_data
from reports.compare_figures import comparison_figures
from reports.compare_members import ALL
from reports.compare_page import page_html, write_comparison
from reports.compare_words import answer
from reports.comparison import TABLES, Comparison, compare
from reports.style import figure_style, render

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def three() -> Comparison:
    concepts = [*CONCEPTS, ("object", HOSTILE)]
    both = run_in_memory("both", ["first", HOSTILE.replace("/", "")], seed=1, concepts=concepts)
    return compare([both, run_in_memory("c", ["third"], seed=2, concepts=concepts, settings={"rotate": 3})])


class Elements(HTMLParser):
    """The elements of a page and what their attributes refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]


def test_names_stay_text_and_only_the_page_s_own_script_runs(three: Comparison) -> None:
    page = page_html(three)
    elements = Elements(page)
    assert elements.names.count("script") == 2 and "img" not in elements.names
    assert all(address.startswith("#") for address in elements.addresses)
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    told = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{told}'; base-uri" in page and "&lt;img src=x" in page
    assert "<img" not in three._repr_html_() and "&lt;" in three._repr_html_()


def test_networks_of_other_operators() -> None:
    a = run_in_memory("a", ["x"], layers=[("18", "depthwise", 5)])
    b = run_in_memory("b", ["y"], layers=[("18", "pointwise", 5), ("20", "conv", 5)], seed=2)
    page = page_html(compare([a, b]))
    assert page.count('<td class="n">—</td>') >= 3 + 5  # in the table of networks, in that of counts


def test_what_the_script_gets_is_what_the_tables_say(three: Comparison) -> None:
    data = page_data(three)
    json.dumps(data, allow_nan=False)
    names = [(data["categories"][category], label) for category, label in data["concepts"]]
    told = {
        (m, p, *names[sparse[k]], sparse[k + 1])
        for m, member in enumerate(data["counts"]) for p, sparse in enumerate(member) for k in range(0, len(sparse), 2)
        if data["layers"][p] != ALL
    }  # fmt: skip
    parts = {(part.layer, part.operator): p for p, part in enumerate(three.parts)}
    titles = {title: m for m, title in enumerate(three.titles)}
    assert told == {
        (titles[r["network"]], parts[r["layer"], r["operator"]], r["category"], r["label"], r["detectors"])
        for r in three.concepts.to_dict("records")
    }
    unsteady = three.changes[(three.changes["layer"] == ALL) & (three.changes["a"] == "first")]
    unsteady = unsteady[(unsteady["operator"] == ALL) & (unsteady["b"] == three.titles[1])]
    unsure = {names[c] for m in (0, 1) for c in data["unsure"][m][0]}
    assert [(r["category"], r["label"]) in unsure for r in unsteady.to_dict("records")] == [
        not steady for steady in unsteady["steady"]
    ]
    assert {len(rows) for rows in data["differences"].values()} == {7 * 3 + 3 * 3 * 3}
    assert [[part is None for part in member] for member in data["units"]] == [[True] * 3 + [False] * 4] * 2 + [
        [True] * 7
    ]
    concept, iou, low, high = map(np.array, data["units"][0][3])
    assert (concept >= 0).any() and set(low[concept < 0]) == {0} and (low < iou)[concept >= 0].all()
    assert high[concept >= 0] == pytest.approx(iou[concept >= 0] * 1.2, abs=1.2)


def test_the_answer_in_words() -> None:
    two = compare([run_in_memory("a", ["first"], seed=1), run_in_memory("b", ["second"], seed=2)])
    n = two.counts.set_index(["network", "layer", "operator", "category"])["unique"]
    a, b = (n[network, ALL, ALL, ALL] for network in ("first", "second"))
    said = answer(two)
    assert said[0].startswith(f"second detects {b} different concepts, first {a}: a difference of ")
    kept = int((two.matrix > 0).all(axis=1).sum())
    assert said[1].startswith(f"They share {kept} concepts; ")
    assert said[2].startswith(f"Unit beside unit, {two.unit_counts['n_kept'].sum()} detect the same concept in both")
    many = compare([run_in_memory("a", ["x", "y", "z"], seed=1, n_folds=1)])
    assert "not divided into folds" in answer(many)[1] and f"of {len(many.matrix)} that any detects" in answer(many)[2]


def test_page_figures_and_tables_are_written(
    three: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures are drawn; that they can be rendered is seen by a slow test. Those that another comparison left go."""
    monkeypatch.setattr("reports.compare_page.render", lambda figure: {"png": b"png", "svg": b"<svg/>"})
    figures = comparison_figures(three)
    monkeypatch.setattr("reports.compare_page.comparison_figures", lambda _: figures)
    page = write_comparison(three, tmp_path / "out")
    assert page == tmp_path / "out" / "compare.html" and HOSTILE not in page.read_text(encoding="utf-8")
    stems = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert stems == {"counts", "differences", "concepts", "flows", "units"}
    assert stems == {path.stem for path in (tmp_path / "out" / "figures").glob("*.svg")}
    monkeypatch.setattr("reports.compare_page.comparison_figures", lambda _: figures[:2])
    write_comparison(three, tmp_path / "out")
    assert {path.stem for path in (tmp_path / "out" / "figures").iterdir()} == {"counts", "differences"}
    for name in TABLES:
        with (tmp_path / "out" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        table = getattr(three, name)
        assert len(rows) == len(table) and (not rows or list(rows[0]) == list(table.columns))
    with (tmp_path / "out" / "counts.csv").open(encoding="utf-8", newline="") as file:
        assert [int(row["unique"]) for row in csv.DictReader(file)] == list(three.counts["unique"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "runs",
    [
        pytest.param([("a", {"detects": False}), ("b", {"networks": ["other"]})], id="no detector"),
        pytest.param(
            [("a", {"layers": [("features.3.very.long.name", "conv", 9)]}), ("b", {"n_folds": 1})], id="others"
        ),
        pytest.param([("a", {"networks": [f"network {k}" for k in range(9)]})], id="nine"),
    ],
)
def test_figures_of_odd_comparisons(runs: list[tuple[str, dict[str, object]]]) -> None:
    made = []
    for name, options in runs:
        detects = options.pop("detects", True)
        made.append(run_in_memory(name, **{"networks": ["net"], **options}))  # type: ignore[arg-type]
        made[-1].units["detector"] &= bool(detects)
    with figure_style():
        for drawn in comparison_figures(compare(made)):
            width, _ = drawn.figure.get_size_inches()
            assert width <= 7.21 and len(render(drawn.figure, ("png",), dpi=40)["png"]) > 1000


def column(page: Page, table: str, n: int) -> list[str]:
    cells = page.locator(f"#{table} tbody tr td:nth-child({n})").all()
    return [cell.evaluate("cell => cell.firstChild ? cell.firstChild.textContent : ''") for cell in cells]


def test_in_a_browser(three: Comparison, tmp_path: Path, browser: Browser) -> None:
    """Choose a pair, turn it, search, sort, reload the address, dark; what is shown is what the tables say."""
    path = tmp_path / "compare.html"
    path.write_text(page_html(three), encoding="utf-8")
    second = three.titles[1]
    with opened(browser, path, "#a=0&b=2&measure=0", color_scheme="dark") as page:
        between = three.between("first", three.titles[2])
        wanted = between[(between["category"] == ALL) & (between["measure"] == "detectors")]["difference"]
        told = [float(text.replace("−", "-")) for text in column(page, "differences", 4)]
        assert told == list(wanted) and any(told)
        assert "no layer in common" in page.locator("#unit-count").inner_text()
        page.locator("#swap").click()
        assert [float(text.replace("−", "-")) for text in column(page, "differences", 4)] == [
            -value for value in wanted
        ]
        page.locator("#a").select_option("0")
        page.locator("#b").select_option("1")
        address = page.evaluate("location.hash")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 26)"
    with opened(browser, path, f"{address}&status=lost&part=1&ustatus=changed&upart=4") as page:
        changes = three.changes
        changes = changes[(changes["a"] == "first") & (changes["b"] == second) & (changes["status"] == "lost")]
        changes = changes[(changes["layer"] == ALL) & (changes["operator"] == three.parts[1].operator)]
        assert sorted(column(page, "concepts", 1)) == sorted(changes["label"]) != []
        assert set(column(page, "concepts", 5)) == {"·"} or set(column(page, "concepts", 6)) == {"lost"}
        units = three.units[(three.units["a"] == "first") & (three.units["b"] == second)]
        units = units[(units["status"] == "changed") & (units["layer"] == "18") & (units["operator"] == "pointwise")]
        assert column(page, "unit-list", 2) == [str(unit) for unit in units["unit"]] != []
        assert column(page, "unit-list", 6) == [text.replace(" ", ", ") for text in units["taken_over_by"]]
        page.locator("#unit-list th", has_text="unit").first.locator("button").click()
        assert column(page, "unit-list", 2) == [str(unit) for unit in units["unit"]][::-1]
        page.locator("#status").select_option("")
        page.locator("#find").fill(HOSTILE.upper())
        assert set(column(page, "concepts", 1)) <= {HOSTILE}
        with page.expect_download() as download:
            page.locator("#save-units").click()
        saved = pd.read_csv(download.value.path())
        assert list(saved["unit"]) == list(units["unit"])
        page.locator("#networks th", has_text="detectors").last.locator("button").click()
        in_order = three.counts[(three.counts["layer"] == ALL) & (three.counts["operator"] == ALL)]
        in_order = in_order[in_order["category"] == ALL].sort_values("detectors", ascending=False, kind="stable")
        assert page.locator("#networks tbody tr td:first-child b").all_text_contents() == list(in_order["network"])
