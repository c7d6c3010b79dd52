"""Damaged result folders, checkpoints and caches of `mdl`: a sentence, or the right result; never a changed number.

Each case flips a bit, cuts, swaps or replaces something in a copy of a small finished decathlon, as its seed decides, and gives
the folder to `eval`, `export`, `score` and `decathlon`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mdl.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "mdl"))
from tiny_decathlon import COMMON, ROW, write_decathlon

BASE, CELL, SHARED = (
    ROW / name for name in ("base-separable/imagenet12", "pointwise-sharing/imagenet12", "pointwise-sharing/dtd")
)
KEPT = (SHARED, CELL, BASE)
MAKE = ("decathlon", "--method", "pointwise-sharing", "--domains", "dtd", *COMMON)
WITH = ("--data", "tiny", "--cache", "cache", "--threads", "1")
ASK = {
    "submit": ("score", str(ROW), "--write", "out.json"),  # before the classes are written again
    "eval": ("eval", str(SHARED), *WITH),
    "eval the base": ("eval", str(BASE), *WITH),
    "eval the cell": ("eval", str(CELL), *WITH),
    "export": ("export", str(SHARED), "--out", "out.safetensors"),
    "score": ("score", str(ROW), "--style", "csv"),
    "table": ("table", str(ROW), "--tables", "2", "3", "--style", "csv"),
    "make": MAKE,
}
"""The last one writes: it comes after the others."""

QUICK = ("submit", "eval", "score", "make")
"""What every case is given to; the slow ones are given to all."""


def some(*lists: Iterable[object], every: int) -> list[object]:
    """All combinations as parameters of a test, all but one in `every` for `make test-all` alone."""
    cases = []
    for number, values in enumerate(product(*lists)):
        marks = () if number % every == 0 else (pytest.mark.slow,)
        name = "-".join(getattr(value, "__name__", str(value)) for value in values)
        cases.append(pytest.param(*values, not marks, marks=marks, id=name))
    return cases


class Said(NamedTuple):
    status: object
    out: str
    err: str


def mdl(*args: str) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(args)
    return Said(ended.value.code or 0, out.getvalue(), err.getvalue())


def outcome(said: Said) -> tuple[str, list[str]]:
    """What a command gave: what it printed, seconds aside, and the files that it wrote for others."""
    lines = [line.rpartition(",")[0] if line.endswith(" s") else line for line in said.out.splitlines()]
    written = [path for path in (Path("out.safetensors"), Path("out.json")) if path.exists()]
    digests = [f"{path} {zlib.crc32(path.read_bytes())}" for path in written]
    for path in written:
        path.unlink()
    return "\n".join(line for line in lines if "multiply" not in line), digests


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, tuple[str, list[str]]]]]:
    """The finished decathlon, and what every command makes of it."""
    folder = tmp_path_factory.mktemp("made")
    write_decathlon(folder / "tiny")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert mdl(*MAKE).status == 0
        right = {name: outcome(said) for name, args in ASK.items() if (said := mdl(*args)).status == 0}
        assert set(right) == set(ASK)
        yield folder, right
    finally:
        os.chdir(before)


@pytest.fixture
def box(made: tuple[Path, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy to damage, in a folder beside which nothing may appear."""
    inner = tmp_path / "upper" / "box"
    shutil.copytree(made[0], inner)
    (tmp_path / "bystander").write_text("mine")
    monkeypatch.chdir(inner)
    yield inner
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bystander", "upper"]
    assert [path.name for path in inner.parent.iterdir()] == ["box"]
    assert (tmp_path / "bystander").read_text() == "mine"
    assert not [path for path in inner.rglob(".*") if path.name != ".lock"] and not list(inner.rglob(".lock"))


# What can happen to a file, of its bytes

Rng = np.random.Generator


def flip(content: bytes, rng: Rng) -> bytes:
    damaged = bytearray(content)
    damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def cut(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content)))]


def grow(content: bytes, rng: Rng) -> bytes:
    return content + rng.bytes(int(rng.integers(1, 99)))


def swap(content: bytes, rng: Rng) -> bytes:
    """Two blocks in each other's place."""
    n = max(1, len(content) // 8)
    a = int(rng.integers(0, max(1, len(content) - 2 * n)))
    return content[:a] + content[a + n : a + 2 * n] + content[a : a + n] + content[a + 2 * n :]


def noise(content: bytes, rng: Rng) -> bytes:
    return rng.bytes(len(content))


def zeros(content: bytes, rng: Rng) -> bytes:
    n = int(rng.integers(1, max(2, len(content) // 2)))
    a = int(rng.integers(0, len(content) - n + 1))
    return content[:a] + bytes(n) + content[a + n :]


def empty(content: bytes, rng: Rng) -> bytes:
    return b""


BYTES: dict[str, Callable[[bytes, Rng], bytes]] = {f.__name__: f for f in (flip, cut, grow, swap, noise, zeros, empty)}
FILES = {
    "domain.safetensors": SHARED / "domain.safetensors",
    "base.json": SHARED / "base.json",
    "results.json": SHARED / "results.json",
    "predictions.csv": SHARED / "predictions.csv",
    "last.safetensors": SHARED / "last.safetensors",
    "best.safetensors": SHARED / "best.safetensors",
    "the base's body.safetensors": BASE / "body.safetensors",
    "the base's last.safetensors": BASE / "last.safetensors",
    "the base's results.json": BASE / "results.json",
    "the cell's results.json": CELL / "results.json",
}


def check(right: dict[str, tuple[str, list[str]]], *, quick: bool, unfinished: bool = False) -> list[str]:
    """Every command ends with one sentence or with what it gave before the damage. The sentences."""
    sentences = []
    for name in QUICK if quick else ASK:
        said = mdl(*ASK[name])
        assert "Traceback" not in said.out + said.err, said
        if said.status:
            words = said.err.splitlines()
            assert said.status == 2 and words[-1].startswith("error: ") and len(words[-1]) > 40, (name, said)
            assert not Path("out.safetensors").exists() and not Path("out.json").exists()
            sentences.append(words[-1])
        elif not unfinished or name == "make":
            assert outcome(said) == right[name], name
        else:  # a folder that is not finished is passed over, and told
            outcome(said)
    return sentences


@pytest.mark.parametrize(("name", "kind", "quick"), some(FILES, BYTES, every=5))
def test_a_damaged_file(box: Path, made: tuple[Path, dict], name: str, kind: str, quick: bool) -> None:
    path, rng = FILES[name], np.random.default_rng(zlib.crc32(f"{name} {kind}".encode()))
    content = path.read_bytes()
    path.write_bytes(BYTES[kind](content, rng))
    sentences = check(made[1], quick=quick)
    if name not in (
        "base.json",
        "best.safetensors",
    ):  # which say where to look, and are read only while training resumes
        assert any(path.name in words for words in sentences), sentences


@pytest.mark.parametrize(("which", "kind", "_quick"), some(("last", "best"), BYTES, every=5))
def test_a_damaged_checkpoint_of_an_interrupted_run(
    box: Path, made: tuple[Path, dict], which: str, kind: str, _quick: bool
) -> None:
    """Never other weights: a sentence that says what to delete, after which the same ones are trained again."""
    right = (SHARED / "domain.safetensors").read_bytes()
    for name in ("DONE", "results.json", "predictions.csv", "domain.safetensors"):
        (SHARED / name).unlink()
    path, rng = SHARED / f"{which}.safetensors", np.random.default_rng(zlib.crc32(f"{which} {kind}".encode()))
    path.write_bytes(BYTES[kind](path.read_bytes(), rng))
    said = mdl(*MAKE)
    last = SHARED / "last.safetensors"
    assert (
        said.status == 2 and f"The checkpoint {path} cannot be read (" in said.err and f"delete {last} and" in said.err
    )
    last.unlink()
    assert mdl(*MAKE).status == 0 and (SHARED / "domain.safetensors").read_bytes() == right


@pytest.mark.parametrize(("kind", "quick"), some(BYTES, every=5))
def test_a_damaged_cache_of_decoded_images(box: Path, made: tuple[Path, dict], kind: str, quick: bool) -> None:
    files, rng = sorted(Path("cache").glob("*test*")), np.random.default_rng(zlib.crc32(kind.encode()))
    whole = {path: path.read_bytes() for path in files}
    assert len(files) == 2
    asked = [path for path in files if not quick or path.name.startswith("dtd")]  # the base is not evaluated then
    for path in asked:
        path.write_bytes(BYTES[kind](whole[path], rng))
    assert check(made[1], quick=quick) == []
    assert {path: path.read_bytes() for path in files} == whole


FIELDS = ("domain", "system", "method", "data", "split", "n_classes", "n_test", "n_correct", "backbone", "width", "options",
          "recipe", "parameters", "multiply_adds", "input_size", "trained_on", "notes", "cost", "versions")  # fmt: skip
VALUES = (None, "x", "../../evil", 3, -1, 0.5, [1], {"a": 1}, 2**70, float("inf"))


@pytest.mark.parametrize("field", FIELDS)
def test_a_result_edited_by_hand(box: Path, made: tuple[Path, dict], field: str) -> None:
    """In an older folder, whose DONE holds no hash: the field is named, or the commands end as with any other value."""
    rng = np.random.default_rng(zlib.crc32(field.encode()))
    path = SHARED / "results.json"
    values = json.loads(path.read_text())
    for pick in rng.permutation(len(VALUES))[:3]:
        path.write_text(json.dumps({**values, field: VALUES[pick]}))
        (SHARED / "DONE").write_bytes(b"")
        for name in ("eval", "export", "submit", "table"):
            said = mdl(*ASK[name])
            assert "Traceback" not in said.out + said.err and said.status in (0, 2)
            assert said.status == 0 or said.err.splitlines()[-1].startswith("error: "), said
        with contextlib.suppress(FileNotFoundError):
            outcome(Said(0, "", ""))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("name", "become", "quick"), some(FILES, (Path.unlink, _folder, _nowhere, _device, _pipe), every=4)
)
def test_a_file_that_is_no_file(
    box: Path, made: tuple[Path, dict], name: str, become: Callable[[Path], None], quick: bool
) -> None:
    """Gone, a folder, a link to nowhere, a device that never ends, a pipe into which nobody writes."""
    become(FILES[name])
    check(made[1], quick=quick, unfinished=True)
