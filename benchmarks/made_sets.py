"""Larger and smaller label sets made of another one, without copying an image.

    root = made_set(Path("many"), data=Path("path/to/broden"), n_images=20_000)     # a Broden set of its own: open_broden(root)

A smaller set has images from all over the other. A larger one shows each image several times, each time under another name, so
that to the toolkit they are different images with labels of their own.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

from data_prep import mini_broden


def embedded() -> Path:
    """The folder of the embedded miniature, which is drawn first where it is not there yet."""
    return mini_broden.ensure()


def made_set(root: Path, *, data: Path, n_images: int) -> Path:
    """Write a set of `n_images` into the new folder `root`, and return it. `data`: the folder of the other."""
    (root / "images").mkdir(parents=True)
    for table in data.glob("*.csv"):
        shutil.copyfile(table, root / table.name)
    with (data / "index.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    n_copies = -(-n_images // len(rows))
    for copy in range(n_copies):
        (root / "images" / f"{copy:03d}").symlink_to((data / "images").resolve(), target_is_directory=True)
    chosen = [n * len(rows) // n_images for n in range(n_images)] if n_copies == 1 else list(range(n_images))
    files = {header.index("image"), *range(header.index("sw") + 1, len(header))}
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for n in chosen:
            copy, row = divmod(n, len(rows))
            writer.writerow(
                [_below(copy, field) if column in files else field for column, field in enumerate(rows[row])]
            )
    return root


def _below(copy: int, field: str) -> str:
    """The field of an index, its paths below the folder of the copy; label numbers stay.

    >>> _below(2, "a/one.png;17;a/two.png"), _below(2, "")
    ('002/a/one.png;17;002/a/two.png', '')
    """
    parts = (part.strip() for part in field.split(";") if part.strip())
    return ";".join(part if part.isdecimal() else f"{copy:03d}/{part}" for part in parts)
