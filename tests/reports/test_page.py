"""The page is complete in itself, harmless, and says what the run says."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from run_writer import reseal

from data_prep.common.errors import UserError
from dissect.cli.report import report
from dissect.netdissect_import import import_tallies
from dissect.run_store import RunFolderError, open_run, read_info
from reports.figures import FIGURES, ReportFigure, Subject
from reports.page import write_report
from reports.style import panel_grid
from reports.summary import Population

SMALL = {"n": [("1", "depthwise", 8), ("1", "pointwise", 8)]}
FEW = (FIGURES[0], FIGURES[2])
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Elements, links, visible text and the script's data of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.raw: list[str] = []
        self._inside: str | None = None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        (self.raw if self._inside in ("script", "style") else self.text).append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def data(self) -> dict:
        return json.loads(next(r for r in self.raw if r.startswith('{"runs"')))

    def lines(self, kind: str) -> list[str]:
        """The images or masks in the page: base64, or nothing."""
        return self.source.split(f'<script type="text/plain" id="{kind}">')[1].split("</script>")[0].split("\n")

    def table_rows(self, section: str) -> list[list[str]]:
        part = self.source.split(f'<section id="{section}">')[1].split("</section>")[0]
        rows = re.findall(r"<tr.*?>(.*?)</tr>", part, re.S)
        return [[re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.S)] for row in rows]


def test_page_loads_nothing_from_elsewhere(reported: Path) -> None:
    page = Page(reported / "report.html")
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"link", "iframe", "object", "embed", "base", "audio", "video", "source"}
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if tag == "script":
            assert "src" not in attributes
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/") and attributes["alt"]
        if tag == "a":  # to a part of the page, or to a state of the explorer
            target = attributes["href"] or ""
            assert target.startswith("#")
            assert "=" in target or any(a.get("id") == target[1:] for _, a in page.elements), target
    assert "url(" not in "".join(page.raw) and "@import" not in "".join(page.raw)
    own = "".join(page.raw).replace("http://www.w3.org/2000/svg", "")  # the name of SVG, not an address
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|innerHTML|insertAdjacentHTML", own + page.words)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv"))
    assert "default-src 'none'" in policy and re.search(r"script-src 'sha256-[\w+/]+='", policy)


def test_figures_lie_beside_the_page(reported: Path) -> None:
    names = {path.name for path in (reported / "figures").iterdir()}
    stems = {name.rsplit(".", 1)[0] for name in names}
    assert names == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    assert (
        {"figure5", "figure6", "figure6-share"}
        <= {re.sub(r"-\d+$", "", stem) for stem in stems}
        <= {f.stem for f in FIGURES}
    )
    assert (reported / "figures/figure6.png").read_bytes().startswith(b"\x89PNG")
    assert not list(reported.rglob(".*")), "a temporary file was left behind"


def test_a_figure_is_a_function_and_an_entry(run_folder: Callable[..., Path]) -> None:
    """The section, the link to it, the caption and the files follow from the entry."""

    def best_ious(axis: Axes, pops: Sequence[Population]) -> Axes:
        axis.plot([p.units["iou"].max() for p in pops])
        return axis

    def draw(subject: Subject) -> list[Figure]:
        sheets = []
        for title, pops in subject.networks.items():
            figure, (axis,) = panel_grid(1, columns=1, width=3, height=2)
            best_ious(axis, pops).set_title(title)
            sheets.append(figure)
        return sheets

    mine = ReportFigure(
        stem="best-iou", heading="Best <IoU>", name="Figure X.", caption="Cut {iou_cut}.", alt="best IoU", draw=draw
    )
    networks = {"a": [("1", "conv", 4)], "b": [("1", "conv", 4)]}
    folder = run_folder(networks=networks)
    page = Page(write_report(folder, figures=(*FEW, mine)))
    assert ("a", {"href": "#best-iou"}) in page.elements and (
        "section",
        {"id": "best-iou", "class": "figures"},
    ) in page.elements
    assert page.words.count("Best <IoU>") == 2 and "Figure X. Cut 0.04." in page.words and "1 more sheet" in page.words
    assert [a["alt"] for tag, a in page.elements if tag == "img"].count("best IoU") == 2
    for stem in ("best-iou", "best-iou-2"):
        assert (folder / f"figures/{stem}.png").is_file() and (folder / f"figures/{stem}.svg").is_file()
        assert stem in [a.get("data-figure") for tag, a in page.elements if tag == "button"]
    assert "Figure X." not in Page(write_report(folder, figures=FEW)).words


def test_the_summary_comes_first_and_holds_one_figure(reported: Path) -> None:
    page = Page(reported / "report.html")
    sections = [a["id"] for tag, a in page.elements if tag == "section"]
    assert sections[:2] == ["summary", "explore"] and sections[-2:] == ["definitions", "data-and-versions"]
    summary = page.source.split('<section id="summary">')[1].split("</section>")[0]
    assert summary.count("<img ") == 1 and "Figure 6." in summary
    assert (
        "<title>Network dissection of imagenet12, untrained and cifar100, untrained on mini-broden</title>"
        in page.source
    )


def test_figures_of_one_heading_stand_side_by_side(run_folder: Callable[..., Path]) -> None:
    pair = [replace(FIGURES[0], stem=f"pair-{k}", heading="Pair") for k in "ab"]
    page = Page(write_report(run_folder(networks=SMALL), figures=pair))
    beside = page.source.split('<div class="pair">')[1].split("</section>")[0]
    assert beside.count("<figure>") == 2


def test_a_figure_without_a_sheet_is_left_out(run_folder: Callable[..., Path]) -> None:
    empty = replace(FIGURES[0], stem="empty", heading="Nothing to see", draw=lambda of: [])
    page = Page(write_report(run_folder(networks=SMALL), figures=[empty]))
    assert "Nothing to see" not in page.words


def test_table_of_counts(reported: Path, rows: Callable[..., list[dict[str, str]]]) -> None:
    table = [row for row in Page(reported / "report.html").table_rows("summary") if row]
    assert len(table) == 12
    at = [
        k
        for k, r in enumerate(rows(reported))
        if r["network"] == "imagenet12" and (r["layer"], r["operator"]) == ("18", "pointwise")
    ]
    units, trust = ([rows(reported, name)[k] for k in at] for name in ("units.csv", "trust.csv"))
    found = [(r["category"], r["label"]) for r in units if float(r["iou"]) > 0.04]
    by_category = [
        str(len({c for c in found if c[0] == k})) for k in ("color", "object", "part", "material", "scene", "texture")
    ]
    share = f"{100 * len(found) / len(units):.1f} %"
    held_out = sum(
        float(r["iou"]) > 0.04 and float(t["held_out_iou"]) > 0.04 for r, t in zip(units, trust, strict=True)
    )
    sure = sum(t["sure"] == "True" for t in trust)
    dead = str(sum(r["dead"] == "True" for r in units))
    row = table[1]
    assert row[1:4] == ["18", "pointwise", "16"] and row[5:8] == [share, str(held_out), str(sure)]
    assert re.fullmatch(rf"{len(found)}\d+–\d+", row[4]) and re.fullmatch(rf"{len(set(found))}\d+–\d+", row[9])
    at_chance = (open_run(reported).null_score("imagenet12")[:, at] > 0.04) & [r["dead"] == "False" for r in units]
    per_round = at_chance.sum(1)
    assert row[8] == f"{per_round.mean():.1f}{per_round.min()}–{per_round.max()}"
    texture = [r for r in rows(reported, "replicates.csv") if r["category"] == "texture" and r["detector"] == "True"]
    place = ("imagenet12", "18", "pointwise")
    without = [
        len(
            {
                r["label"]
                for r in texture
                if (r["network"], r["layer"], r["operator"], r["left_out"]) == (*place, str(k))
            }
        )
        for k in range(10)
    ]
    reach = 2.262157 * (9 * np.var(without)) ** 0.5
    n = int(by_category[-1])
    by_category[-1] += f"{max(n - reach, 0):.0f}–{n + reach:.0f}" if any(without) else ""
    assert all(text.startswith(n) for text, n in zip(row[10:-2], by_category, strict=False))
    assert row[-2:] == [by_category[-1], dead] and len(row) == 17
    assert table[0][0] == "imagenet12, untrained" and row[0] == ""


def test_page_answers_in_words(reported: Path, rows: Callable[..., list[dict[str, str]]]) -> None:
    words = Page(reported / "report.html").words
    units, trust = rows(reported), rows(reported, "trust.csv")
    at = [k for k, r in enumerate(units) if r["detector"] == "True"]
    assert re.search(
        rf"{len(at)} \(95 % interval \d+ to \d+\) of 168 units, {100 * len(at) / 168:.0f} %, detect a concept", words
    )
    ious = [sum(float(t[k][name]) for k in at) / len(at) for t, name in ((trust, "held_out_iou"), (units, "iou"))]
    assert f"the mean IoU of the detectors is {ious[0]:.3f} instead of {ious[1]:.3f}" in words
    assert f"{sum(t['sure'] == 'True' for t in trust)} of the units are sure" in words


def test_page_states_notes_settings_and_skipped_images(reported: Path) -> None:
    words = Page(reported / "report.html").words
    info = json.loads((reported / "run.json").read_text(encoding="utf-8"))
    assert info["notes"][0] in words and info["data"]["fingerprint"] in words and info["command"] in words
    assert "quantile of its activations 0.995" in words and "exceeds at 0.5 % of all positions" in words
    assert "A convolution is observed at its output" in words and "tap conv" not in words
    assert (
        "Images of the splits all Categories all" in words and "imagenet12 forward 1.2, tally 3.4 · cifar100" in words
    )
    assert "7 images were skipped" in words and "bad4.jpg : the file is cut short" in words
    assert "bad5.jpg" not in words and "and 2 more" in words
    assert "168 units of 2 networks" in words and "2,656,667" in words


def test_without_folds_and_null_the_page_says_so(run_folder: Callable[..., Path]) -> None:
    plain = Page(write_report(run_folder("plain", networks=SMALL, n_folds=1, null=0), figures=()))
    assert "Intervals and held-out values are missing" in plain.words and "Held-out IoU" not in plain.words
    untested = Page(write_report(run_folder("untested", networks=SMALL, null=0), figures=()))
    assert "How many detectors chance gives was not measured" in untested.words and "Not tested" in untested.words


def test_an_imported_run_says_what_it_does_not_know(tmp_path: Path) -> None:
    """One detector, one unit without a label; no images, folds or thresholds, and nothing on the page claims them."""
    tally = tmp_path / "net" / "3-conv" / "tally.csv"
    tally.parent.mkdir(parents=True)
    head = ["unit", "category", "label", "score"]
    head += ["object-label", "object-truth", "object-activation", "object-intersect", "object-iou"]
    lines = [head, ["1", "object", "=1+1", "0.5", "=1+1", "100", "50", "50", "0.5"], ["2", *[""] * 8]]
    tally.write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")
    import_tallies([tally], out=tmp_path / "run")
    page = Page(write_report(tmp_path / "run"))
    assert (
        "Network dissection of net" in page.words
        and "by another tool, which does not tell on which images" in page.words
    )
    for wrong in ("0 images", "unnamed", "on which it fires most", "--null", "not divided", "fingerprint"):
        assert wrong not in page.words
    units = page.data["units"]
    assert units["detector"] == [1, 0] and units["fires"] is units["low"] is units["nImages"] is None
    assert not any("figure5" in str(value) for _, attributes in page.elements for value in attributes.values())


def test_several_runs_need_a_folder_and_at_least_one(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(networks=SMALL)
    with pytest.raises(UserError, match="`out` is missing; a page of 2 runs needs a folder of its own"):
        write_report([folder, folder])
    with pytest.raises(UserError, match="`run_folder` names no run"):
        write_report([])


@pytest.mark.parametrize(
    ("group", "changes", "words"),
    [
        ("settings", {"iou_cut": 0.2}, "`iou_cut` (the IoU that makes a detector): 0.04 in a, 0.2 in b"),
        ("settings", {"score": "npmi"}, "`score` (the score that chooses a label): iou in a, npmi in b"),
        ("settings", {"union": "all-images"}, "`union` (the images in which a mask counts): category in a, all-images"),
        ("data", {"fingerprint": "0b" * 32}, "the data: mini-broden 5ad15ad15ad1 in a, mini-broden 0b0b0b0b0b0b in b"),
    ],
)
def test_runs_whose_numbers_mean_something_else_are_refused(
    run_folder: Callable[..., Path], tmp_path: Path, group: str, changes: dict[str, object], words: str
) -> None:
    one = {"networks": {"n": [("1", "conv", 1)]}, "n_images": 1, "n_strongest": 1}
    a, b = (run_folder(name, **one) for name in "ab")
    info = read_info(b)
    info[group] |= changes
    reseal(b, info)
    with pytest.raises(UserError) as caught:
        write_report([a, b], figures=(), out=tmp_path / "both")
    assert str(caught.value).startswith(f"The runs differ in {words}") and not (tmp_path / "both").exists()


def test_folds_and_rounds_of_several_runs_are_their_own(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folders = [run_folder(f"r{n}", networks=SMALL, n_folds=n, null=2 * n) for n in (10, 4)]
    page = Page(write_report(folders, figures=(), out=tmp_path / "both"))
    assert page.data["folds"] == [10, 4] and "A jackknife over 4 or 10 groups of images" in page.words
    assert "the labels of other images, 8 or 20 times" in page.words


def test_several_runs_with_the_same_names_are_told_apart(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folders = [run_folder(name, networks=SMALL) for name in ("a", "b")]
    page = Page(write_report(folders, figures=FEW, out=tmp_path / "both"))
    assert page.data["runs"] == ["a", "b"] and "a: 16 units of one network (a: n, untrained)" in page.words
    assert {row[0] for row in page.table_rows("summary") if row} == {"a: n, untrained", "b: n, untrained", ""}
    assert (tmp_path / "both/figures/figure5.png").is_file()


def test_the_command_makes_one_page_of_several_runs(
    run_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reports.page.write_report", partial(write_report, figures=()))
    folders = tuple(run_folder(name, networks=SMALL, null=0) for name in ("a", "b"))
    assert report(folders, out=tmp_path / "both", assets=tmp_path / "both/pictures", style="csv") == 0
    assert (tmp_path / "both/report.html").is_file() and list(tmp_path.glob("both/pictures/*/images/0.jpg"))
    networks = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert networks == ["network", "a: n", "a: n", "b: n", "b: n"]


def test_pictures_outside_the_page(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_folder(networks={"n & <b>": [("1", "conv", 30)]})
    path = write_report(folder, figures=(), out=tmp_path / "out", assets=tmp_path / "out/my pictures")
    data = Page(path).data
    (own,) = (tmp_path / "out/my pictures").iterdir()
    assert data["assets"] == f"my%20pictures/{own.name}/" and 'id="masks"' not in path.read_text(encoding="utf-8")
    images, masks = (own / kind for kind in ("images", "masks"))
    assert sorted(file.name for file in images.iterdir()) == sorted(f"{k}.jpg" for k in range(12))
    assert [file.name for file in sorted(masks.iterdir())] == ["0.png", "1.png"]
    assert data["stored"] == {"images": [1] * 12, "masks": [1, 1]}


def test_pages_that_share_a_folder_of_pictures(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    """Each keeps its own; one that is written again takes the place of its older self, and all may be moved together."""
    runs = [run_folder(name, networks=SMALL, seed=seed) for seed, name in enumerate("ab")]
    pictures = tmp_path / "all/pictures"

    def write(name: str, run: Path) -> list[bytes]:
        page = write_report(run, figures=(), out=tmp_path / "all" / name, assets=pictures)
        return shown(page)

    def shown(page: Path) -> list[bytes]:
        own = page.parent / unquote(Page(page).data["assets"])
        return [file.read_bytes() for file in sorted(own.rglob("*.*"))]

    first = write("x", runs[0])
    second = write("y", runs[1])
    assert first != second and shown(tmp_path / "all/x/report.html") == first
    assert write("x", runs[0]) == first and len(list(pictures.iterdir())) == 2
    assert write("x", runs[1]) == second and len(list(pictures.iterdir())) == 2
    assert shown(tmp_path / "all/y/report.html") == second
    (tmp_path / "all").rename(tmp_path / "moved")
    assert shown(tmp_path / "moved/x/report.html") == second


def test_a_folder_of_pictures_that_cannot_be_written(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError) as caught:
        write_report(run_folder(networks=SMALL), figures=(), assets=tmp_path / "file")
    assert str(caught.value) == (
        f"The pictures cannot be written into {tmp_path / 'file'} (Not a directory): give another folder as `assets`."
    )


def test_figures_of_another_run_do_not_stay(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    """Of the figures asked for, and nothing else that lies there."""

    def draw(subject: Subject) -> list[Figure]:
        return [panel_grid(1, columns=1, width=2, height=1)[0] for _ in range(3 if len(subject.networks) > 1 else 1)]

    asked = [replace(FIGURES[2], stem="bars", draw=draw)]
    asked.append(replace(asked[0], stem="gone", draw=lambda of: draw(of)[1:]))
    out, others = tmp_path / "out", {"bars-notes.png", "bars.pdf", "figure5-2.svg"}
    networks = {name: [("1", "conv", 1)] for name in "ab"}
    write_report(run_folder("two", networks=networks, n_images=1, n_strongest=1), figures=asked, out=out)
    assert (out / "figures/bars-3.png").exists() and (out / "figures/gone-2.svg").exists()
    for name in others:
        (out / "figures" / name).touch()
    del networks["b"]
    write_report(run_folder("one", networks=networks, n_images=1, n_strongest=1), figures=asked, out=out)
    assert {path.name for path in (out / "figures").iterdir()} == {"bars.png", "bars.svg"} | others


def test_one_is_not_many(run_folder: Callable[..., Path]) -> None:
    one = {"networks": {"n": [("1", "conv", 1)]}, "n_images": 1, "n_strongest": 1, "concepts": [("color", "red")]}
    words = Page(write_report(run_folder(detector_share=1, **one), figures=())).words
    assert "1 unit of one network" in words and "compared with 1 concept on 1 image of" in words
    assert re.search(r"1 \(95 % interval \d to \d\) of 1 unit, 100 %, detects a concept: it reaches", words)
    assert re.search(r"Together they detect 1 .*? different concept\. ", words)
    assert not re.search(r"\b1 (units|concepts|images)\b", words)


def test_no_detector_at_all_is_said_in_words(run_folder: Callable[..., Path]) -> None:
    page = Page(write_report(run_folder(detector_share=0, networks=SMALL)))
    assert "None of the 16 units detects a concept" in page.words
    assert [row[5] for row in page.table_rows("summary") if row] == ["0.0 %"] * 2


def test_hostile_names_are_only_text(run_folder: Callable[..., Path]) -> None:
    concepts = [("object", HOSTILE), ('"><script>alert(2)</script>', "&lt;b&gt; \u2028 '\"")]
    networks = {"a & <b>": [("<script>1</script>", "conv", 9), ("2", HOSTILE, 4)]}
    folder = run_folder(concepts=concepts, detector_share=1, networks=networks, notes=[HOSTILE])
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    info |= {"name": HOSTILE, "command": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    info["data"] |= {"name": HOSTILE, "skipped": [{"name": HOSTILE, "reason": HOSTILE}], "n_skipped": 1}
    (folder / "run.json").write_text(json.dumps(info), encoding="utf-8")
    page = Page(write_report(folder, figures=FEW))
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 5 and not any(a.get("src") == "x" for _, a in page.elements)
    assert page.words.count(HOSTILE) >= 8 and "a & <b>" in page.words and "<script>1</script>" in page.words
    assert {label for _, label in page.data["concepts"]} == {HOSTILE, "&lt;b&gt;   '\""}
    assert "<" not in next(r for r in page.raw if r.startswith("{"))


def test_vanished_images_are_counted(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(n_images=6, networks=SMALL)
    root = Path(json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"]["images"])
    (root / "group/image 03.jpg").unlink()
    (root / "group/image 04.jpg").write_bytes(b"not an image")
    page = Page(write_report(folder, figures=FEW))
    assert "2 of the images shown can no longer be read" in page.words and "group/image 03.jpg" in page.words
    empty = [name for name, text in zip(page.data["imageNames"], page.lines("images"), strict=True) if not text]
    assert sorted(empty) == ["group/image 03.jpg", "group/image 04.jpg"]


def test_report_without_the_image_folder(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_folder(image_root=tmp_path / "moved", image_names=["a.jpg", "b.jpg", "c.jpg", "d.jpg"], networks=SMALL)
    page = Page(write_report(folder, figures=FEW))
    assert "moved , is no longer there" in page.words and set(page.lines("images")) == {""}
    assert (folder / "figures/figure5.svg").is_file()


def test_labels_that_look_like_no_value_are_kept(run_folder: Callable[..., Path]) -> None:
    page = Page(
        write_report(
            run_folder(concepts=[("object", "NA"), ("object", "null")], detector_share=1, networks=SMALL), figures=()
        )
    )
    assert {label for _, label in page.data["concepts"]} == {"NA", "null"}


def test_same_run_same_bytes(run_folder: Callable[..., Path]) -> None:
    folder = run_folder(networks=SMALL)
    files = [write_report(folder, figures=FEW), *sorted((folder / "figures").iterdir())]
    before = [path.read_bytes() for path in files]
    write_report(folder, figures=FEW)
    assert [path.read_bytes() for path in files] == before


def test_progress_is_told(run_folder: Callable[..., Path]) -> None:
    told: list[tuple[str, int, int]] = []
    write_report(run_folder(networks=SMALL), lambda *step: told.append(step), figures=FEW)
    assert told[-1] == ("page", 1, 1)
    assert {what for what, *_ in told} == {"figures", "thumbnails", "page"}
    assert all(any(w == what and done == total for w, done, total in told) for what in ("figures", "thumbnails"))


def test_unfinished_folder_is_refused(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_folder()
    (folder / "DONE").unlink()
    with pytest.raises(RunFolderError, match="is not finished: it has no DONE file"):
        write_report(folder)
    with pytest.raises(RunFolderError, match="is no run folder"):
        write_report(tmp_path / "nowhere")
    assert not (folder / "report.html").exists()


def test_a_report_elsewhere_leaves_the_run_folder_alone(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_folder(networks=SMALL)
    before = sorted(folder.rglob("*"))
    page = write_report(folder, figures=FEW, out=tmp_path / "my reports/of it")
    assert page == tmp_path / "my reports/of it/report.html" and sorted(folder.rglob("*")) == before
    assert (page.parent / "figures/figure6.png").is_file()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_only_be_read(run_folder: Callable[..., Path], monkeypatch, number: int) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    folder = run_folder(networks=SMALL)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(RunFolderError) as caught:
        write_report(folder, figures=())
    assert str(caught.value) == (
        f"The report cannot be written into {folder} ({os.strerror(number)}): give another folder as `out`, as in "
        f"`dissect report`."
    )


def test_no_torch_and_no_window_is_imported() -> None:
    code = "import sys, reports.page; print([m for m in ('torch', 'tkinter') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
