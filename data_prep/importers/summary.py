"""What is in a set, category by category, as its tables state it.

for row in summary(open_broden("sets/coco")):
    print(*row.cells(least=10))
"""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.broden import Broden


@dataclass(frozen=True, slots=True)
class CategorySummary:
    """annotated: images in which the category is annotated. n_images: images of each label, those in most images first."""

    category: str
    annotated: int
    n_images: dict[str, int]

    def cells(self, least: int) -> list[str]:
        """Category, images, labels, those of them in at least so many images, and which are in most.

        >>> CategorySummary("object", 30, {"cat": 20, "dog": 9}).cells(10)
        ['object', '30', '2', '1', 'cat 20, dog 9']
        """
        enough = sum(n >= least for n in self.n_images.values())
        first = ", ".join(f"{name} {n:,}" for name, n in list(self.n_images.items())[:4])
        return [self.category, f"{self.annotated:,}", f"{len(self.n_images):,}", f"{enough:,}", first]


def summary(data: Broden) -> list[CategorySummary]:
    """A row for each category; a label that states no number of images counts as 0."""
    rows = []
    for category in data.categories:
        stated = data.frequencies(category)
        annotated = sum(bool(row.maps.get(category) or row.numbers.get(category)) for row in data.rows)
        rows.append(CategorySummary(category, annotated, dict(sorted(stated.items(), key=lambda pair: -pair[1]))))
    return rows
