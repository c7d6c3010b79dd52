"""What a new Broden set's images show, counted, and the tables of labels that are made of it.

    counted = Counted(["object", "part"])
    counted.add({("object", "cat"): 0.25, ("part", "head"): 0.05})        # an image: concept to the share of its area
    counted.write(root)                                                   # label.csv, category.csv, c_object.csv, c_part.csv
    counted.numbers                                                       # {"cat": 1, "head": 2}

Labels are numbered by falling number of images, then of covered area, then by name, or as they were told. In the tables
`frequency` counts images and `coverage` sums shares, as in Broden (Bau et al., CVPR 2017).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from data_prep.broden_tables import MAX_NUMBER
from data_prep.common.errors import UserError
from data_prep.common.files import UnixLines

Numbers = Mapping[str, Mapping[str, int]]
"""category -> name of a label -> its number."""


class Counted:
    """Counts of (category, name), in the order of `categories`; with `told` numbers all of those are listed, shown or not."""

    def __init__(self, categories: Sequence[str], told: Numbers | None = None):
        self.categories = tuple(categories)
        self.told = told
        self._shares: dict[tuple[str, str], list[float]] = defaultdict(list)
        for category, names in (told or {}).items():
            for name in names:
                self._shares[category, name] = []

    def add(self, shares: Mapping[tuple[str, str], float]) -> None:
        """Count an image that shows these shares of these concepts."""
        for concept, share in shares.items():
            self._shares[concept].append(share)

    @property
    def listed(self) -> list[str]:
        """The categories that have a label, those of `told` all."""
        with_labels = {category for category, _ in self._shares} | set(self.told or ())
        return [category for category in self.categories if category in with_labels]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each name, once all images are counted. Raises `UserError` where they cannot be numbered."""
        if self.told is not None:
            numbers: dict[str, int] = {}
            for names in self.told.values():
                for name, number in names.items():
                    if numbers.setdefault(name, number) != number or not 1 <= number <= MAX_NUMBER:
                        raise UserError(
                            f"`labels` give {name!r} the number {number}: a name has one, in 1..{MAX_NUMBER}."
                        )
            if len(set(numbers.values())) < len(numbers):
                raise UserError("`labels` give two names one number: give each name its own.")
            return numbers
        totals: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
        for category in self.categories:
            for (of, name), shares in self._shares.items():
                if of == category:
                    totals[name][0] += len(shares)
                    totals[name][1] += sum(shares)
        if len(totals) > MAX_NUMBER:
            raise UserError(f"There are {len(totals):,} labels, and label maps hold {MAX_NUMBER:,}: leave some out.")
        ranked = sorted(totals, key=lambda name: (-totals[name][0], -totals[name][1], name))
        return {name: number for number, name in enumerate(ranked, 1)}

    def n_images(self, category: str) -> dict[str, int]:
        """The labels of a category, those in most images first, and in how many images each is."""
        names = [name for of, name in self._shares if of == category]
        names.sort(key=lambda name: (-len(self._shares[category, name]), -sum(self._shares[category, name]), name))
        return {name: len(self._shares[category, name]) for name in names}

    def write(self, root: Path) -> None:
        """Write the tables of labels into the folder of the set."""
        rows = []
        for name, number in sorted(self.numbers.items(), key=lambda pair: pair[1]):
            found = {c: self._shares[c, name] for c in self.categories if (c, name) in self._shares}
            order = sorted(found, key=lambda category: (-len(found[category]), category))
            words = ";".join(f"{category}({len(found[category])})" for category in order)
            coverage = sum(map(sum, found.values()))
            rows.append([number, name, words, sum(map(len, found.values())), f"{coverage:.6f}", ""])
        write_csv(root / "label.csv", ("number", "name", "category", "frequency", "coverage", "syns"), rows)
        spans = [self._write_category(root, category) for category in self.listed]
        spans.sort(key=lambda span: 0 if self.told is not None else span[1])
        write_csv(root / "category.csv", ("name", "first", "last", "count", "frequency"), spans)

    def _write_category(self, root: Path, category: str) -> tuple[str, int, int, int, int]:
        """Writes the table of a category and gives its row of category.csv."""
        names = self.n_images(category)
        rows = [
            [code, self.numbers[name], name, n, f"{sum(self._shares[category, name]):.6f}"]
            for code, (name, n) in enumerate(names.items(), 1)
        ]
        write_csv(root / f"c_{category}.csv", ("code", "number", "name", "frequency", "coverage"), rows)
        numbers = [self.numbers[name] for name in names] or [0]
        return category, min(numbers), max(numbers), len(names), sum(names.values())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """The table as CSV in UTF-8, lines ending in a newline."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(UnixLines(file))
        writer.writerow(header)
        writer.writerows(rows)
