"""Decathlons that were damaged, in ways that a seed decides: `decathlon check` and a reader say the same, in sentences."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_box import Said, rng_of
from PIL import Image

from data_prep import cli
from data_prep.common.errors import UserError
from data_prep.decathlon import open_decathlon
from data_prep.decathlon_check import check_decathlon
from data_prep.formats import BadImageError

Damage = Callable[[Path, np.random.Generator], None]
NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, -(10**40), 1.5, float("nan"), "", "../../evil.png", "/etc/passwd", "a\0b", "\ud800.png",
    "x" * 5000, "\x1b[2J", [], {}, [[[]]], "data/dtd/train/0.png",
)  # fmt: skip
SPLITS = [("dtd", "train"), ("dtd", "val"), ("svhn", "train"), ("svhn", "val")]


pytestmark = pytest.mark.usefixtures("in_time")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains of 3 images a split; dtd's are files, svhn's lie in a tar."""
    root = tmp_path_factory.mktemp("decathlons") / "whole"
    (root / "annotations").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, (domain, split) in enumerate(SPLITS):
        first = {"dtd": 4, "svhn": 8}[domain] * 10**7
        images = []
        (root / f"data/{domain}/{split}").mkdir(parents=True)
        for n in range(3):
            name = f"data/{domain}/{split}/{n}.png"
            Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(root / name)
            images.append({"id": first + 10 * number + n, "width": 7, "height": 5, "file_name": name})
        text = {
            "images": images,
            "categories": [{"id": first + k, "name": f"c{k}"} for k in (1, 2)],
            "annotations": [
                {"image_id": image["id"], "category_id": first + 1 + n % 2} for n, image in enumerate(images)
            ],
        }
        (root / f"annotations/{domain}_{split}.json").write_text(json.dumps(text))
    with tarfile.open(root / "data/svhn.tar", "w") as tar:
        tar.add(root / "data/svhn", "svhn")
    shutil.rmtree(root / "data/svhn")
    means = {"pack": {domain: {"mean": [0.5] * 3, "std": [0.2] * 3} for domain in ("dtd", "svhn")}}
    (root / "mean_std.json").write_text(json.dumps(means))
    return root


def checked(root: Path) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main(["decathlon", "check", str(root), "--limit", "1000"])
    return Said(ended.value.code, out.getvalue(), err.getvalue())


def held(root: Path) -> dict[tuple[str, str, int], object]:
    """(pixels, label) of each image, or why it cannot be read. Raises `UserError` where a split cannot be opened."""
    data = open_decathlon(root)
    found: dict[tuple[str, str, int], object] = {}
    for domain, split in SPLITS:
        images = data.split(domain, split)
        images.fingerprint()
        for n in range(len(images)):
            try:
                found[domain, split, int(images.image_ids[n])] = (images.read(n).tobytes(), int(images.labels[n]))
            except BadImageError as error:
                found[domain, split, int(images.image_ids[n])] = str(error)
    return found


def annotation(root: Path, rng: np.random.Generator) -> None:
    """Something else in one field, or in the place of an entry or a list, of an annotation file."""
    domain, split = SPLITS[rng.integers(len(SPLITS))]
    path = root / f"annotations/{domain}_{split}.json"
    text = json.loads(path.read_text())
    part = ("images", "annotations", "categories")[rng.integers(3)]
    nasty = NASTY[rng.integers(len(NASTY))]
    depth, n = rng.random(), rng.integers(len(text[part]))
    if depth < 0.1:
        text[part] = nasty
    elif depth < 0.2:
        text[part][n] = nasty
    elif depth < 0.3:
        text[part].append(text[part][n])
    else:
        field = list(text[part][n])[rng.integers(len(text[part][n]))]
        text[part][n][field] = nasty
    path.write_text(json.dumps(text))


def content(root: Path, rng: np.random.Generator) -> None:
    """Some bytes of one file are others, or its end is missing."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    path = files[rng.integers(len(files))]
    data = bytearray(path.read_bytes())
    for place in rng.integers(len(data), size=rng.integers(1, 5)):
        data[place] = rng.integers(256)
    path.write_bytes(data[: None if rng.random() < 0.7 else rng.integers(len(data))])


def kind(root: Path, rng: np.random.Generator) -> None:
    """Another kind of file in the place of one."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    path = files[rng.integers(len(files))]
    path.unlink()
    makes: list[Callable[[], object]] = [
        lambda: os.mkfifo(path), lambda: path.mkdir(), lambda: path.symlink_to("/dev/zero"), lambda: path.symlink_to(path),
        lambda: path.write_bytes(b""), lambda: path.write_text("[" * 100_000), lambda: None,
        lambda: Image.new("RGB", (9, 9)).save(path, "BMP"), lambda: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"),
        lambda: tarfile.open(path, "w:gz").close(),
    ]  # fmt: skip
    makes[rng.integers(len(makes))]()


DAMAGES: dict[str, tuple[Damage, int]] = {
    "an annotation": (annotation, 30),
    "bytes": (content, 20),
    "a kind": (kind, 16),
}
CASES = [f"{what} {n}" for what, (_, n_cases) in DAMAGES.items() for n in range(n_cases)]


@pytest.mark.parametrize("case", CASES)
def test_check_and_reader_agree_on_a_damaged_decathlon(whole: Path, box: Path, case: str) -> None:
    root = Path(shutil.copytree(whole, box / "run"))
    DAMAGES[case.rpartition(" ")[0]][0](root, rng_of(case))
    said = checked(root)
    assert "Traceback" not in said.out + said.err and "\x1b" not in said.out + said.err
    if said.status == 2:
        said.sentence()
        with pytest.raises(UserError):
            held(root)
        return
    report = check_decathlon(root, limit=1000)
    assert said.status == (1 if report.n_faults else 0)
    with contextlib.suppress(UserError):  # not looked at by the check
        open_decathlon(root).mean_std("dtd")
    try:
        after = held(root)
    except UserError as error:
        missing = any("is not there, so" in warning.sentence for warning in report.warnings)
        assert report.n_faults or missing, error
        return
    before = held(whole)
    left_out = [key for key, value in after.items() if isinstance(value, str)]
    assert len(left_out) <= report.n_faults
    if case.startswith(("bytes", "a kind")) and after.keys() == before.keys():
        assert sum(after[key] != before[key] for key in before) <= 3, "a flipped bit in a PNG within a tar, or one file"
