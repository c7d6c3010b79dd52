"""A whole row of every method: on a few images at each run of the tests, on the embedded miniature when asked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sharing_cases import one_thread  # noqa: F401
from tiny_decathlon import CLASSES, COMMON, ROW, run, write_decathlon

from mdl.networks.sharing.arithmetic import method_rows
from mdl.results import ParameterRow, read_result, read_results
from mdl.training.finished import evaluate_finished, open_finished

SYSTEMS = {
    "individual": ("individual",),
    "classifier": ("classifier",),
    "classifier+bn": ("classifier+bn",),
    "pointwise-sharing": ("pointwise-sharing",),
    "depthwise-sharing": ("depthwise-sharing",),
    "series-adapters": ("series-adapters",),
    "parallel-adapters": ("parallel-adapters",),
    "dan": ("dan",),
    "dan-low-rank-2": ("dan", "--options", "controller=low-rank", "rank=2"),
    "piggyback": ("piggyback",),
    "soft-sharing-late": ("soft-sharing",),
    "soft-sharing-all-train-released": ("soft-sharing", "--options", "region=all", "train=released"),
    "classifier-plain": ("classifier", "--backbone", "plain"),
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the tiny decathlon, in which the rows gather."""
    folder = tmp_path_factory.mktemp("rows")
    write_decathlon(folder / "tiny")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_row(here: Path, system: str) -> None:
    """It ends, stores what it measured, and what is stored gives the same answers again."""
    from data_prep.decathlon import open_decathlon

    method, *options = SYSTEMS[system]
    assert run("decathlon", "--method", method, *options, *COMMON) == 0
    results = {domain: read_result(ROW / system / domain) for domain in CLASSES}
    assert {result.system for result in results.values()} == {system}
    if system not in ("classifier-plain", "soft-sharing-all-train-released"):
        measured = {row for result in results.values() for row in result.parameters}
        assert _owned(measured) == _owned(method_rows(system, CLASSES, width=2))
    finished = open_finished(ROW / system / "dtd")
    counted = evaluate_finished(finished, open_decathlon("tiny").split("dtd", "test"))
    assert counted.n_correct == results["dtd"].n_correct


def _owned(rows: Iterable[ParameterRow]) -> dict[tuple[str, str, float], int]:
    """Parameters by owner, kind and bits; what only the base domain reads counts with what is shared."""
    counts: dict[tuple[str, str, float], int] = {}
    for row in rows:
        key = (row.domain if row.domain != "imagenet12" else "", row.kind, row.bits)
        counts[key] = counts.get(key, 0) + row.count
    return counts


def test_one_table_of_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {result.system for result in read_results(ROW)}
    assert found >= set(SYSTEMS), "the rows before this test are missing: run the whole file"
    assert run("table", str(ROW), "--tables", "2", "3", "--style", "csv") == 0
    assert "base-separable" not in (told := capsys.readouterr().out)
    assert all(f"\n{system},tiny," in told for system in SYSTEMS)


@pytest.mark.slow
def test_every_method_is_above_chance_on_the_embedded_miniature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for system in ("individual", "classifier", "classifier+bn", "pointwise-sharing", "depthwise-sharing",
                   "series-adapters", "parallel-adapters", "dan", "piggyback", "soft-sharing-late"):  # fmt: skip
        assert run("decathlon", "--method", *SYSTEMS[system], "--recipe", "mini-fast") == 0
    results = [r for r in read_results("runs/decathlon/mini") if r.method != "pretrain"]
    assert len(results) == 100
    assert [f"{r.system} {r.domain}" for r in results if r.accuracy <= 1 / r.n_classes] == []
