"""`dissect compare` and `dissect claims` as their user meets them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from dissect import cli
from dissect.run_store import open_run, read_info
from reports.claims import CLAIMS, verdicts
from reports.comparison import compare

Said = tuple[int | str | None, str, str]


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes seconds, and other tests see them."""
    monkeypatch.setattr("reports.compare_page.comparison_figures", lambda comparison: [])


@pytest.fixture
def dissect(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*args: object) -> Said:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(arg) for arg in args])
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


@pytest.fixture
def two_folders(run_folder: Callable[..., Path]) -> list[Path]:
    layers = [("18", "depthwise", 6), ("18", "pointwise", 8)]
    return [
        run_folder(name, networks={network: layers}, seed=k)
        for k, (name, network) in enumerate([("a", "n"), ("b", "o")])
    ]


def test_compare_writes_a_page_and_prints_its_short_table(
    two_folders: list[Path], dissect: Callable[..., Said]
) -> None:
    status, out, err = dissect("compare", *two_folders, "--style", "csv")
    page = two_folders[0].parent / "compare-a-and-b" / "compare.html"
    assert (status, page.is_file(), f"page: {page}" in err) == (0, True, True)
    rows = list(csv.DictReader(io.StringIO(out)))
    comparison = compare(two_folders)
    assert [row["network"] for row in rows] == [title for title in comparison.titles for _ in range(3)]
    total = comparison.differences[
        (comparison.differences["category"] == "all") & (comparison.differences["measure"] == "unique")
    ]
    assert [float(row["difference"]) for row in rows[3:]] == list(total[total["layer"] == "all"]["difference"])
    assert rows[0]["difference"] == "" and float(rows[0]["unique_low"]) <= int(rows[0]["unique"])


def test_what_differs_is_refused_by_the_name_of_the_option(
    two_folders: list[Path], dissect: Callable[..., Said], tmp_path: Path
) -> None:
    from run_writer import reseal

    info = read_info(two_folders[1])
    reseal(two_folders[1], info | {"settings": info["settings"] | {"quantile": 0.99}})
    status, _, err = dissect("compare", *two_folders)
    assert status == 2
    assert err.startswith("error: The runs differ in --quantile (the level of the threshold): 0.995 in a, 0.99 in b.")
    assert err.endswith("or set --allow-different.\n") and not (tmp_path / "compare-a-and-b").exists()
    status, out, _ = dissect("compare", *two_folders, "--allow-different", "--out", tmp_path / "here")
    assert status == 0 and "note: These runs were not made in the same way" in out
    assert "quantile (the level of the threshold): 0.995 in a" in (tmp_path / "here" / "compare.html").read_text()


def test_claims_prints_the_verdicts(two_folders: list[Path], dissect: Callable[..., Said]) -> None:
    status, out, err = dissect("claims", two_folders[0], "--style", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert status == 0 and [row["claim"] for row in rows] == list(CLAIMS) and CLAIMS["more"] in err
    wanted = [(f.network, f.verdict) for f in verdicts(open_run(two_folders[0]))]
    assert [(row["network"], row["verdict"]) for row in rows] == wanted


def test_claims_need_both_halves(run_folder: Callable[..., Path], dissect: Callable[..., Said]) -> None:
    folder = run_folder(networks={"n": [("1", "conv", 5)]})
    status, _, err = dissect("claims", folder)
    assert status == 2 and "has no layer with depthwise and pointwise units" in err
