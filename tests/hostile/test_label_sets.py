"""Label sets that were damaged, in ways that a seed decides: `check` and a reader say the same, and nothing else changes.

Each ends in one sentence for the set, in images that are left out for a reason, or in what the set held before.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hostile_box import NETS, SETTINGS, Said, command, rng_of
from PIL import Image

from data_prep import cli
from data_prep.broden import open_broden
from data_prep.broden_check import check_broden
from data_prep.common.errors import UserError
from data_prep.formats import BadImageError
from dissect.images import read_image

Damage = Callable[[Path, np.random.Generator], None]
TABLES = ("index.csv", "label.csv", "category.csv", "c_object.csv", "c_scene.csv")
NASTY = (
    "", "0", "-1", "65536", "9" * 400, "1e9", "nan", "NULL", "../../evil.png", "/etc/passwd", "C:\\x.png", "a;b;;", "=1+1",
    "\x1b[2J", "\u202egpj.exe", "x" * 5000, '"', "\ud7ff", "0_object.png", "./0.png", "3.0", "object(5)", ";",
    ",,,,,,,,,,", "\r", "\0",
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("in_time")


def checked(root: Path) -> Said:
    """`data-prep check` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        cli.main(["check", str(root), "--limit", "1000"])
    return Said(ended.value.code, out.getvalue(), err.getvalue())


def held(root: Path) -> dict[str, object]:
    """What a reader gives of each image, by its name; why where it gives none."""
    data = open_broden(root)
    found: dict[str, object] = {}
    for n, record in enumerate(data.images):
        try:
            labels, pixels = data.read_labels(n), read_image(record.path, (16, 16), record.image_shape)
        except BadImageError as error:
            found[record.name] = str(error)
            continue
        names = [(concept.category, concept.name) for concept in data.concepts] + [None]
        planes = [[names[c] for c in plane.ravel()] for plane in labels.planes]
        found[record.name] = (planes, [names[c] for c in labels.whole_image], pixels.tobytes())
    return found


def one_of(rng: np.random.Generator, values: object) -> object:
    values = sorted(values)  # type: ignore[call-overload]
    return values[rng.integers(len(values))]


def cell(root: Path, rng: np.random.Generator) -> None:
    """Something else in one field of a table."""
    path = root / TABLES[rng.integers(len(TABLES))]
    rows = [line.split(",") for line in path.read_text().splitlines()]
    row = rows[rng.integers(len(rows))]
    row[rng.integers(len(row))] = NASTY[rng.integers(len(NASTY))]
    path.write_bytes("\n".join(map(",".join, rows)).encode("utf-8", "surrogatepass"))


def line(root: Path, rng: np.random.Generator) -> None:
    """A row twice, gone, or in another place."""
    path = root / TABLES[rng.integers(len(TABLES))]
    lines = path.read_text().splitlines()
    n, m, what = rng.integers(len(lines)), rng.integers(len(lines)), rng.integers(3)
    lines[n : n + (what > 0)] = [lines[m]] if what != 1 else []
    path.write_text("\n".join(lines))


def bytes_of(names: tuple[str, ...]) -> Damage:
    def damage(root: Path, rng: np.random.Generator) -> None:
        """Some bytes of one file are others, or its end is missing."""
        path = root / str(one_of(rng, [p.relative_to(root).as_posix() for name in names for p in root.glob(name)]))
        content = bytearray(path.read_bytes())
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            content[place] = rng.integers(256)
        path.write_bytes(content[: None if rng.random() < 0.7 else rng.integers(len(content))])

    return damage


def kind(root: Path, rng: np.random.Generator) -> None:
    """A file that is none, or another kind of file, in the place of an image or a label map."""
    path = root / "images" / str(one_of(rng, [p.name for p in (root / "images").iterdir()]))
    path.unlink()
    makes: list[Callable[[], object]] = [
        lambda: os.mkfifo(path), lambda: path.mkdir(), lambda: path.symlink_to("/dev/zero"), lambda: path.symlink_to(path),
        lambda: path.symlink_to("/proc/self/mem"), lambda: path.write_bytes(b""),
        lambda: os.truncate(path.open("wb").name, 2**36), lambda: None,
        lambda: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n"),
        lambda: Image.new("I;16", (16, 16)).save(path, "PNG"), lambda: Image.new("F", (16, 16)).save(path, "TIFF"),
        lambda: Image.new("RGB", (12, 12), (3, 0, 0)).save(path, "PNG"),
        lambda: Image.new("RGB", (12, 12), (9, 9, 9)).save(path, "PNG"),
        lambda: Image.new("RGB", (16, 5)).save(path, "BMP"), lambda: Image.new("CMYK", (16, 16)).save(path, "JPEG"),
    ]  # fmt: skip
    makes[rng.integers(len(makes))]()


DAMAGES: dict[str, tuple[Damage, int]] = {
    "a cell": (cell, 36),
    "a row": (line, 16),
    "bytes of a table": (bytes_of(TABLES), 16),
    "bytes of an image": (bytes_of(("images/*.png",)), 16),
    "another kind of file": (kind, 24),
}
CASES = [f"{what} {n}" for what, (_, n_cases) in DAMAGES.items() for n in range(n_cases)]


@pytest.mark.parametrize("case", CASES)
def test_check_and_reader_agree_on_a_damaged_set(labels: Path, box: Path, case: str) -> None:
    before = held(labels)
    root = Path(shutil.copytree(labels, box / "run"))
    DAMAGES[case.rpartition(" ")[0]][0](root, rng_of(case))
    said = checked(root)
    assert "Traceback" not in said.out + said.err and "\x1b" not in said.out + said.err
    if said.status == 2:  # a table as a whole
        sentence = said.sentence()
        with pytest.raises(UserError) as caught:
            open_broden(root)
        assert len(str(caught.value)) < 7000 and str(root) in sentence
        return
    report = check_broden(root, limit=1000)
    assert said.status == (1 if report.n_faults else 0)
    try:
        after = held(root)
    except UserError as error:  # the first fault of the tables ends reading
        assert report.n_faults and any(fault.sentence in str(error) for fault in report.faults), (error, report.faults)
        return
    left_out = {name: why for name, why in after.items() if isinstance(why, str)}
    assert len(left_out) <= report.n_faults and bool(left_out) == bool(report.n_faults), (left_out, report.faults)
    if case.startswith(("bytes of an image", "another kind")):
        changed = [name for name in before if after[name] != before[name]]
        assert len(changed) <= 1, "one file was damaged"
        assert {*left_out} <= {*changed}


@pytest.mark.parametrize("case", [f"another kind of file {n}" for n in range(100, 106)])
def test_a_run_leaves_out_what_check_finds_faulty(labels: Path, box: Path, case: str) -> None:
    root = Path(shutil.copytree(labels, box / "other"))
    kind(root, rng_of(case))
    report = check_broden(root)
    out = ("--out", box / "run", *SETTINGS)
    said = command("run", f"{NETS}:small", "--data", root, *out, "--on-bad-image", "skip")
    assert said.status == 0 and "Traceback" not in said.err
    assert ("1 of 24 images were left out" in said.out) == (report.n_faults == 1)
    shutil.rmtree(box / "run")
    said = command("run", f"{NETS}:small", "--data", root, *out)
    assert said.status == 0 if not report.n_faults else "set --on-bad-image to skip" in said.sentence()
