"""The page in a real browser: it opens from a file, its script draws the strips, and nothing complains."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dissect.run_store import open_run
from reports.page import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium or google-chrome on this machine's PATH")

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--window-size=1200,3000",
    "--virtual-time-budget=5000",
)  # fmt: skip


def opened(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The document after its scripts have run, and what the console said."""
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120, check=True)
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)


def in_the_list(document: str) -> str:
    return document.split('<div id="list">')[1].split('<section id="definitions">')[0]


def test_strips_are_drawn_from_the_data(reported: Path, tmp_path: Path) -> None:
    document, console = opened(reported / "report.html", tmp_path / "profile")
    assert console == []
    units = in_the_list(document)
    assert units.count("<article") == 40 and ">168 of 168 units<" in document
    assert units.count('data-drawn="mask"') >= 3 * 8 and 'data-drawn="missing"' not in units
    shown = [float(v) for v in re.findall(r"IoU (0\.\d{4})", units)]
    assert shown == sorted(shown, reverse=True) and len(shown) == 40
    assert re.search(r'aria-label="group/image \d\d\.jpg, highest activation \d', units)


def test_hostile_labels_and_vanished_images(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    names = ["gone.jpg", "gone too.jpg", "c.jpg", "d.jpg"]
    networks = {"n": [("1", "depthwise", 8)]}
    concepts = [("object", hostile)]
    folder = run_folder(networks=networks, concepts=concepts, image_root=tmp_path / "nowhere", image_names=names)
    document, console = opened(write_report(folder), tmp_path / "profile")
    units = in_the_list(document)
    assert console == []
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in units and "<img" not in units
    assert 'data-drawn="missing"' in units and 'data-drawn="mask"' not in units


def test_filters(reported: Path, tmp_path: Path, rows: Callable[..., list[dict[str, str]]]) -> None:
    source = (reported / "report.html").read_text(encoding="utf-8")
    choose = """<script>
    document.getElementById("network").value = "cifar100, untrained";
    document.getElementById("operator").value = "depthwise";
    document.getElementById("sort").value = "unit";
    document.getElementById("label").value = "HAIR";
    document.getElementById("detectors-only").checked = true;
    document.getElementById("controls").dispatchEvent(new Event("input"));
    </script></body>"""
    without_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    page = tmp_path / "page.html"
    page.write_text(without_policy.replace("</body>", choose), encoding="utf-8")
    document, console = opened(page, tmp_path / "profile")
    wanted = [
        f"layer {r['layer']} · depthwise · unit {r['unit']}"
        for r in rows(reported)
        if (r["network"], r["operator"], r["label"], r["detector"]) == ("cifar100", "depthwise", "hair", "True")
    ]
    assert console == [] and wanted
    assert re.findall(r"layer \d+ · \w+ · unit \d+", in_the_list(document)) == wanted
    assert f">{len(wanted)} of 168 units<" in document


def test_policy_stops_foreign_scripts(reported: Path, tmp_path: Path) -> None:
    source = (reported / "report.html").read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(source.replace("</body>", "<script>document.title = 'run';</script></body>"), encoding="utf-8")
    document, console = opened(page, tmp_path / "profile")
    assert "<title>run</title>" not in document and any("Content Security Policy" in line for line in console)


def test_masks_on_the_canvas_are_those_of_the_run(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    """Read back pixel by pixel: on white images, at the size of the canvas, white is inside and nothing else is."""
    folder = run_folder(networks={"n": [("1", "conv", 9)]}, image_size=(104, 78), label_shape=(78, 104), n_images=4)
    run = open_run(folder)
    for name in run.images["name"]:
        Image.new("RGB", (104, 78), "white").save(run.image_root / name)
    read_back = """<script>
    addEventListener("load", () => setTimeout(() => {
      for (const canvas of document.querySelectorAll("#list canvas")) {
        const { data } = canvas.getContext("2d").getImageData(0, 13, 104, 78);
        canvas.dataset.inside = Array.from({ length: 104 * 78 }, (_, k) => Number(data[4 * k + 2] > 200)).join("");
      }
    }, 500));
    </script></body>"""
    source = write_report(folder).read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    without_policy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    page.write_text(without_policy.replace("</body>", read_back), encoding="utf-8")
    document, console = opened(page, tmp_path / "profile")
    strips = re.findall(r'class="strip" data-unit="(\d+)">(.*?)</div>', in_the_list(document), re.S)
    strongest, n_masks = run.strongest_masks("n"), 0
    for unit, strip in strips:
        for rank, pixels in enumerate(re.findall(r'data-inside="([01]+)"', strip)):
            drawn = np.array(list(pixels), int).reshape(78, 104) == 1
            np.testing.assert_array_equal(drawn, strongest.mask(int(unit), rank))
            n_masks += 0 < drawn.sum() < drawn.size
    assert console == [] and n_masks > 15
