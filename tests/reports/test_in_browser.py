"""The page in a real browser: filter, search, sort, cards, states, downloads; nothing complains and nothing is loaded."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from opened_page import count_line, opened, settled
from PIL import Image
from playwright.sync_api import Browser, Locator
from run_writer import reseal

from dissect.run_store import open_run, read_info, write_table
from reports.page import write_report

Rows = Callable[..., list[dict[str, str]]]
HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_the_list_opens_best_first(browser: Browser, reported: Path, rows: Rows) -> None:
    with opened(browser, reported / "report.html") as page:
        settled(page, 8)
        units = rows(reported)
        n_detectors = sum(r["detector"] == "True" for r in units)
        n_unique = len({(r["category"], r["label"]) for r in units if r["detector"] == "True"})
        assert count_line(page) == f"168 of 168 units · {n_detectors} detectors · {n_unique} unique"
        shown = [float(text.split()[0]) for text in page.locator("#rows td.iou").all_inner_texts()]
        assert shown == sorted(shown, reverse=True) and len(shown) >= 50
        assert shown[0] == pytest.approx(max(float(r["iou"]) for r in units), abs=5e-4)
        assert page.locator("canvas[data-drawn=missing]").count() == 0


def test_filters_and_search(browser: Browser, reported: Path, rows: Rows) -> None:
    with opened(browser, reported / "report.html") as page:
        page.select_option("#network", "cifar100, untrained")
        page.select_option("#operator", "depthwise")
        page.select_option("#show", "sure")
        page.fill("#find", "HAIR")
        sure = [r["sure"] for r in rows(reported, "trust.csv")]
        wanted = [
            r
            for r, known in zip(rows(reported), sure, strict=True)
            if (r["network"], r["operator"], r["label"], known) == ("cifar100", "depthwise", "hair", "True")
        ]
        assert wanted and count_line(page).startswith(f"{len(wanted)} of 168 units")
        places = sorted(text.split("\n")[0] for text in page.locator("#rows td.place").all_inner_texts())
        assert places == sorted(f"layer {r['layer']} · depthwise · unit {r['unit']}" for r in wanted)
        page.select_option("#category", "part")
        assert count_line(page).startswith(
            f"{sum(r['category'] == 'part' for r in wanted)} of"
        ) or "No unit" in count_line(page)
        page.reload()
        assert page.input_value("#find") == "HAIR" and page.input_value("#show") == "sure"
        page.click("#clear")
        assert count_line(page).startswith("168 of 168")


def test_columns_sort_both_ways(browser: Browser, reported: Path) -> None:
    with opened(browser, reported / "report.html") as page:
        page.click("#head th.held button")
        falling = [float(text) for text in page.locator("#rows td.held").all_inner_texts()]
        assert falling == sorted(falling, reverse=True)
        assert page.get_attribute("#head th.held", "aria-sort") == "descending"
        page.click("#head th.held button")
        rising = [float(text) for text in page.locator("#rows td.held").all_inner_texts()]
        assert rising == sorted(rising) and rising[0] < falling[0]
        page.click("#head th.label button")
        labels = [text for text in page.locator("#rows td.label").all_inner_texts() if text != "no label"]
        assert labels == sorted(labels) and len(labels) > 40


def test_a_unit_s_card_and_the_way_back(browser: Browser, reported: Path, rows: Rows) -> None:
    with opened(browser, reported / "report.html") as page:
        page.locator("#rows tr").nth(2).click()
        best = sorted(rows(reported), key=lambda r: -float(r["iou"]))[2]
        trust = next(
            t
            for t in rows(reported, "trust.csv")
            if all(t[k] == best[k] for k in ("network", "layer", "operator", "unit"))
        )
        card = page.locator("#card").inner_text()
        assert f"layer {best['layer']} · {best['operator']} · unit {best['unit']}" in card and best["label"] in card
        assert f"{float(best['iou']):.4f}" in card and f"{float(trust['held_out_iou']):.4f}" in card
        assert f"95 % interval {float(trust['iou_low']):.3f}–{float(trust['iou_high']):.3f}" in card
        assert "Concepts that fit best" in card and page.locator("#card .tiles canvas").count() >= 3
        address = page.url
        page.reload()
        assert page.locator("#card").inner_text() == card and "unit=" in page.url
        page.go_back()
        assert page.locator("#card").inner_text().startswith("What the listed units detect")
        page.goto("about:blank")
        page.goto(address)
        assert page.locator("#card").inner_text() == card


def test_a_concept_s_card_holds_all_its_detectors(browser: Browser, reported: Path, rows: Rows) -> None:
    detectors = [r for r in rows(reported) if r["detector"] == "True"]
    (category, label), n = Counter((r["category"], r["label"]) for r in detectors).most_common(1)[0]
    with opened(browser, reported / "report.html", f"#concept={category}+%2F+{label}") as page:
        card = page.locator("#card")
        assert f"{n} units detect it; 15 images show it" in card.inner_text()
        assert sum(int(text) for text in card.locator(".places td").all_inner_texts() if text.isdigit()) == n
        card.get_by_text("Show them in the list").click()
        assert count_line(page) == f"{n} of 168 units · {n} detectors · 1 unique"


def test_keyboard(browser: Browser, reported: Path) -> None:
    with opened(browser, reported / "report.html", "#sort=place") as page:
        page.locator("#rows a.open").first.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert "unit 1" in page.locator("#card").inner_text()
        page.keyboard.press("Escape")
        assert "unit=" not in page.url and page.evaluate("document.activeElement.closest('tr').rowIndex") == 2


def test_a_picture_opens_large(browser: Browser, reported: Path) -> None:
    with opened(browser, reported / "report.html", "#view=pictures") as page:
        settled(page, 4)
        page.locator("#rows .tile").first.click()
        first = page.locator("#large-name").inner_text()
        assert re.fullmatch(r"group/image \d\d\.jpg, highest activation [\d.]+", first)
        page.keyboard.press("ArrowRight")
        assert page.locator("#large-name").inner_text() != first
        page.locator("#large-picture[data-drawn=mask]").wait_for()
        page.locator("#large-masks").uncheck()
        page.locator("#large-picture[data-drawn=image]").wait_for()
        assert "masks=off" in page.url
        page.keyboard.press("Escape")
        assert not page.locator("#large").is_visible()


def test_downloads_hold_what_is_shown(browser: Browser, reported: Path, rows: Rows) -> None:
    with opened(browser, reported / "report.html", "#category=scene") as page:
        with page.expect_download() as caught:
            page.click("#csv")
        table = list(csv.DictReader(io.StringIO(Path(caught.value.path()).read_text(encoding="utf-8"))))
        keys = ("network", "layer", "operator", "unit", "category", "label")
        wanted = {tuple(r[k] for k in keys): float(r["iou"]) for r in rows(reported) if r["category"] == "scene"}
        assert {tuple(r[k] for k in keys): float(r["iou"]) for r in table} == wanted and wanted
        for name in ("units.csv", "concepts.csv", "run.json"):
            with page.expect_download() as caught:
                page.click(f"button[data-save='{name}']")
            assert caught.value.suggested_filename == name and Path(caught.value.path()).stat().st_size > 100


def test_dark_as_the_system_says_or_as_chosen(browser: Browser, reported: Path) -> None:
    brightness = (
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0)"
    )
    with opened(browser, reported / "report.html", color_scheme="dark") as page:
        assert page.evaluate(brightness) < 150
        page.click("#theme")
        assert page.evaluate(brightness) > 700
        page.reload()
        assert page.evaluate(brightness) > 700
    with opened(browser, reported / "report.html", color_scheme="light") as page:
        assert page.evaluate(brightness) > 700


def test_phone(browser: Browser, reported: Path) -> None:
    with opened(browser, reported / "report.html", viewport={"width": 390, "height": 844}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.locator("#list").evaluate(
            "list => { list.scrollIntoView({ behavior: 'instant' }); list.scrollTop = 2000; }"
        )
        assert page.locator("#count").evaluate(
            "c => c.getBoundingClientRect().top >= 0 && c.getBoundingClientRect().top < 60"
        )
        page.locator("#rows a.open").nth(30).click()
        box = page.locator("#card").bounding_box()
        assert box and (box["x"], box["width"]) == (0, 390)
        page.get_by_role("button", name="Close", exact=True).first.click()
        assert not page.locator("#card").is_visible()


def test_hostile_names_stay_text(browser: Browser, run_folder: Callable[..., Path], tmp_path: Path) -> None:
    names = ["<img src=x onerror=alert(2)>.jpg", "gone too.jpg", "c.jpg", "d.jpg"]
    concepts = [("object", HOSTILE), ("=cmd|' /C calc'!A0", "=1+1"), ("__proto__", "constructor")]
    folder = run_folder(
        networks={"n": [(HOSTILE, "depthwise", 8)]}, concepts=concepts, detector_share=1,
        image_root=tmp_path / "nowhere", image_names=names, null=0,
    )  # fmt: skip
    info = read_info(folder)
    info["data"] |= {"name": HOSTILE, "categories": [category for category, _ in concepts]}
    reseal(folder, info)
    path = write_report(folder, figures=())
    for view in ("table", "pictures", "concepts"):
        with opened(browser, path, f"#view={view}") as page:
            assert page.locator("main img, main script").count() == 0
            assert HOSTILE in page.locator("#rows").inner_text()
            page.locator("#rows a.open", has_text=HOSTILE).first.click()
            assert HOSTILE in page.locator("#card-title").inner_text()
    with opened(browser, path) as page:
        settled(page, 2)
        assert page.locator("canvas[data-drawn=mask]").count() == 0
        with page.expect_download() as caught:
            page.click("#csv")
        text = Path(caught.value.path()).read_text(encoding="utf-8")
        assert "'=1+1" in text and ",=1+1" not in text


def test_labels_that_look_alike_and_tiny_p_values(browser: Browser, run_folder: Callable[..., Path]) -> None:
    folder = run_folder(
        networks={"n": [("1", "conv", 12)]}, concepts=[("color", "car"), ("color", "car ")], detector_share=1
    )
    trust, units = open_run(folder).trust, open_run(folder).units
    assert trust is not None
    write_table(folder / "trust.csv", trust.assign(p=3e-05, q=0.0004))
    path = write_report(reseal(folder), figures=())
    with opened(browser, path, "#view=concepts") as page:
        counts = [int(text) for text in page.locator("#rows td.detectors").all_inner_texts()]
        assert sorted(counts) == sorted(units["label"][units["detector"]].value_counts())
        for n, link in zip(counts, page.locator("#rows a.open").all(), strict=True):
            link.click()
            assert f"{n} units detect it" in page.locator("#card").inner_text()
        page.locator("#card a.open").first.click()
        assert "p < 0.0001, q 0.0004" in page.locator("#card").inner_text()


def test_policy_stops_foreign_scripts(browser: Browser, reported: Path, tmp_path: Path) -> None:
    source = (reported / "report.html").read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(
        source.replace("</body>", "<script>document.title = 'run';</script></body>"), encoding="utf-8"
    )
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.title() != "run" and any("Content Security Policy" in text for text in said)
    page.close()


def drawn_inside(canvas: Locator, outside: bool) -> np.ndarray:
    """(112, 112) bool: where the canvas is white. A picture from another file may only be looked at, not read."""
    read = "canvas => canvas.toDataURL()"
    content = canvas.screenshot() if outside else base64.b64decode(canvas.evaluate(read).split(",")[1])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB").resize((112, 112)))[:, :, 2] > 200


@pytest.mark.parametrize("outside", [False, True])
def test_masks_on_the_canvas_are_those_of_the_run(
    browser: Browser, run_folder: Callable[..., Path], tmp_path: Path, outside: bool
) -> None:
    """On white images, at the size of the canvas, white is inside and nothing else is."""
    folder = run_folder(networks={"n": [("1", "conv", 5)]}, image_size=(112, 112), label_shape=(112, 112), n_images=4)
    run = open_run(folder)
    for name in run.images["name"]:
        Image.new("RGB", (112, 112), "white").save(run.image_root / name)
    path = write_report(folder, figures=(), assets=tmp_path / "pictures & more" if outside else None)
    strongest, n_masks = run.strongest_masks("n"), 0
    with opened(browser, path, "#view=pictures&sort=place") as page:
        settled(page, 10)
        for unit, row in enumerate(page.locator("#rows tr").all()):
            for rank, canvas in enumerate(row.locator("canvas[data-drawn=mask]").all()):
                inside = strongest.mask(unit, rank)
                assert (drawn_inside(canvas, outside) != inside).mean() <= (0.03 if outside else 0)
                n_masks += 0 < inside.sum() < inside.size
    assert n_masks > 8
    assert outside == bool(list(tmp_path.glob("pictures & more/*/masks/0.png")))


def test_two_runs_on_one_page(browser: Browser, run_folder: Callable[..., Path], tmp_path: Path) -> None:
    networks = {"n": [("1", "conv", 6)]}
    folders = [run_folder("a", networks=networks), run_folder("b", networks=networks, seed=1, n_folds=1, null=0)]
    with opened(browser, write_report(folders, figures=(), out=tmp_path / "both")) as page:
        page.select_option("#run", "b")
        assert count_line(page).startswith("6 of 12 units")
        assert {text.split("\n")[1] for text in page.locator("#rows td.place").all_inner_texts()} == {"b: n, untrained"}
        page.locator("#rows a.open").first.click()
        card = page.locator("#card").inner_text()
        assert (
            "Fires in" in card and "not tested" in card and not re.search("null of|interval|held out|resamples", card)
        )
        held_out = page.locator("#counts tbody tr").evaluate_all("rows => rows.map(row => row.cells[6].textContent)")
        assert held_out[0].isdigit() and held_out[1] == "–"
