"""A finished run folder made of chance, and the page written of it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from run_writer import THREE_LAYERS, make_run

from reports.page import write_report


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """`run_folder(detector_share=0)`: a run folder of its own in the test's temporary folder; see `make_run`."""

    def make(name: str = "run", **options: object) -> Path:
        return make_run(tmp_path / name, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of two networks, with folds and null, and its report, made once; tests only read it."""
    networks = {"imagenet12": THREE_LAYERS, "cifar100": THREE_LAYERS}
    folder = make_run(tmp_path_factory.mktemp("reported") / "run", networks)
    write_report(folder)
    return folder


@pytest.fixture(scope="session")
def rows() -> Callable[..., list[dict[str, str]]]:
    """`rows(folder)`: `units.csv` as the plain csv module reads it; numbers to compare with come from here."""

    def read(folder: Path, table: str = "units.csv") -> list[dict[str, str]]:
        with (folder / table).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window, started once; the tests that need it are skipped where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium or google-chrome on this machine's PATH")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()
