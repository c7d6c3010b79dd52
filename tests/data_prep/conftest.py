"""Decathlons that tests share: a tiny one made by hand, and the drawn one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from decathlon_files import png, write_tar

from data_prep import cli, mini_decathlon


def _annotations(first: int, classes: list[str], images: list[tuple], withheld: bool = False) -> dict:
    """images: (id, name, (H, W), class number from 1)."""
    return {
        "info": {},
        "images": [{"id": i, "width": w, "height": h, "file_name": name} for i, name, (h, w), _ in images],
        "categories": [{"id": first + k, "name": name} for k, name in enumerate(classes, 1)],
        "annotations": []
        if withheld
        else [{"id": i, "image_id": i, "category_id": first + k} for i, _, _, k in images],
    }


@pytest.fixture
def tiny_decathlon(tmp_path: Path) -> Path:
    """The folder of a decathlon of 4 + 5 images, PNG so that pixels come back exactly, that a test may damage as it likes.

    dtd: train (2 images), val (1) and an unlabelled test set (1) as files; svhn: train (2), val (1), test (2) in one tar of
    the domain whose names lack `data/`, as in the official archives. Image i of all is filled with the value 10 * i; number 2,
    dtd's val, is stored as grey.
    """
    root = tmp_path / "decathlon"
    (root / "annotations").mkdir(parents=True)
    (root / "data").mkdir()
    splits = {
        ("dtd", "train"): [(40000001, "train/0001/a.png", (4, 6), 1), (40000002, "train/0002/b.png", (5, 5), 2)],
        ("dtd", "val"): [(40100003, "val/0002/d.png", (4, 4), 2)],
        ("dtd", "test_stripped"): [(40200004, "test/e.png", (4, 4), 0)],
        ("svhn", "train"): [(80000001, "train/0003/f.png", (3, 3), 3), (80000002, "train/0001/g.png", (3, 3), 1)],
        ("svhn", "val"): [(80100003, "val/0001/h.png", (3, 3), 1)],
        ("svhn", "test"): [(80200004, "test/i.png", (3, 3), 2), (80200005, "test/j.png", (3, 3), 1)],
    }
    in_tar, value = {}, 0
    for (domain, split), images in splits.items():
        for _, name, shape, _ in images:
            pixels = np.full(shape if value == 20 else (*shape, 3), value, np.uint8)
            if domain == "svhn":
                in_tar[f"svhn/{name}"] = png(pixels)
            else:
                path = root / "data/dtd" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(pixels))
            value += 10
        first, classes = (40000000, ["banded", "woven"]) if domain == "dtd" else (80000000, ["0", "1", "2"])
        full = [(number, f"data/{domain}/{name}", shape, k) for number, name, shape, k in images]
        text = _annotations(first, classes, full, split == "test_stripped")
        (root / f"annotations/{domain}_{split}.json").write_text(json.dumps(text))
    write_tar(root / "data/svhn.tar", in_tar)
    return root


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`said("check", folder)`: the exit status of `data-prep check folder`, its output and its errors."""

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            cli.main([str(arg) for arg in args])
        return done.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def drawn_decathlon(tmp_path_factory) -> Path:
    """The whole miniature decathlon, drawn once for all tests."""
    return mini_decathlon.make(tmp_path_factory.mktemp("drawn") / "mini")
