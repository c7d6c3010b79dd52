"""How large a report of many units is, how fast it opens and how fast it filters, in Chromium without a window.

    python benchmarks/page_speed.py                                      # 3,000 units with 10 of 2,862 images each
    python benchmarks/page_speed.py --units 30000 --outside              # pictures in a folder beside the page
    python benchmarks/page_speed.py --run runs/mine                      # the report of a run of yours

The limits are for the first: below 40 MB, open in under 2 s, any filter in under 100 ms. A run made of chance by the tests'
own writer stands for a real one; its images are drawn, and as large as photographs become in a page.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TypedDict

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reports"))
CHROMIUM = "/usr/bin/chromium"
MOST_BYTES, MOST_SECONDS, MOST_FILTER_SECONDS = 40e6, 2.0, 0.1
FILTERS = {
    "search": ("find", "a"),
    "category": ("category", "texture"),
    "detectors only": ("show", "detectors"),
    "all again": ("show", "all"),
    "as pictures": ("view", "pictures"),
    "as concepts": ("view", "concepts"),
    "as a table": ("view", "table"),
}

CHANGE = """([id, value]) => new Promise((done) => {
  const control = document.getElementById(id), start = performance.now();
  control.value = value;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  document.body.offsetHeight;
  const took = performance.now() - start;
  requestAnimationFrame(() => done(took));
})"""


class Times(TypedDict):
    """Seconds until the list stands there, and of each change of a filter, layout included: medians of a few rounds."""

    opens: float
    filters: dict[str, float]


def made_run(folder: Path, n_units: int, n_images: int) -> Path:
    """A run of chance with 10 strongest images a unit."""
    from run_writer import make_run

    layers = [(str(18 + 2 * (k // 2)), ("depthwise", "pointwise")[k % 2], n_units // 6) for k in range(6)]
    return make_run(
        folder, {"made": layers}, n_images=n_images, n_strongest=10, image_size=(224, 224), label_shape=(112, 112)
    )


def measured(browser: Browser, page_path: Path, rounds: int) -> Times:
    """Times of the page at `page_path`, each time opened anew."""
    opens: list[float] = []
    filters: dict[str, list[float]] = {name: [] for name in FILTERS}
    for _ in range(rounds):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        page.goto(page_path.as_uri())
        page.locator("#rows tr").first.wait_for()
        opens.append(time.perf_counter() - start)
        for name, (control, value) in FILTERS.items():
            filters[name].append(page.evaluate(CHANGE, [control, value]) / 1000)
        page.close()
    return {"opens": statistics.median(opens), "filters": {k: statistics.median(v) for k, v in filters.items()}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--units", type=int, default=3000)
    parser.add_argument("--images", type=int, default=2862)
    parser.add_argument("--outside", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    from reports.page import write_report

    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        run = given.run or made_run(Path(scratch) / "run", given.units, given.images)
        out = Path(scratch) / "out"
        start = time.perf_counter()
        page = write_report(run, figures=(), out=out, assets=out / "pictures" if given.outside else None)
        wrote, n_bytes = time.perf_counter() - start, page.stat().st_size
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        times = measured(browser, page, given.rounds)
        browser.close()
    print(f"page without figures: {n_bytes / 1e6:.1f} MB, written in {wrote:.1f} s")
    print(f"opens in {times['opens']:.2f} s")
    for name, seconds in times["filters"].items():
        print(f"{name}: {1000 * seconds:.0f} ms")
    kept = (
        n_bytes < MOST_BYTES and times["opens"] < MOST_SECONDS and max(times["filters"].values()) < MOST_FILTER_SECONDS
    )
    print("within the limits" if kept else "outside the limits: 40 MB, 2 s, 100 ms")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
