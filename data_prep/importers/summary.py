"""What is in a set, category by category.

for row in summary(open_broden("sets/coco"), check_broden("sets/coco").annotated):
    print(*row.cells(least=10))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data_prep.broden import Broden


@dataclass(frozen=True, slots=True)
class CategorySummary:
    """annotated: images with some label of it, those that dissection counts. n_images: of each label, those in most first."""

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


def summary(data: Broden, annotated: Mapping[str, int]) -> list[CategorySummary]:
    """A row for each category, by the `annotated` of a `BrodenReport`; a label that states no number of images counts as 0."""
    rows = []
    for category in data.categories:
        stated = data.frequencies(category)
        n_images = dict(sorted(stated.items(), key=lambda pair: -pair[1]))
        rows.append(CategorySummary(category, annotated[category], n_images))
    return rows
