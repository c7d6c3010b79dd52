"""What a dissection found, as its tables need it: stored counts with the names of units and concepts.

found = Found(network=network, layers=layers, stored=read_arrays(path, by_slices=FOLD), data=data, settings=settings)
found.label.concept                       # (U,) what each unit is labelled with
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from data_prep.formats import NO_CONCEPT, LabelledImages
from dissect.layers import Layer
from dissect.models import Network
from dissect.scores import Counts, Labelled, category_numbers, label_units
from dissect.settings import Settings

Stored = Mapping[str, Any]
"""The arrays of `counts/NETWORK.npz`; those by fold only have to be looped over, fold by fold."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One network's stored counts, with the names of its units and of the concepts."""

    network: Network
    layers: Sequence[Layer]
    stored: Stored
    data: LabelledImages
    settings: Settings

    @cached_property
    def counts(self) -> Counts:
        return Counts.of_arrays(self.stored)

    @cached_property
    def category(self) -> np.ndarray:
        """(C,) the category of each concept, by number."""
        return category_numbers([concept.category for concept in self.data.concepts], self.data.categories)

    @property
    def dead(self) -> np.ndarray:
        """(U,) bool: units that exceed their threshold nowhere."""
        return self.stored["max_activation"] <= self.stored["threshold"]

    @property
    def eligible(self) -> np.ndarray:
        """(C,) bool: concepts that enough of the images show."""
        return self.counts.n_images >= self.settings.min_images

    @cached_property
    def label(self) -> Labelled:
        """What each unit is labelled with, a dead one with nothing."""
        found = label_units(self.settings.score, self.counts, self.category, self.eligible)
        return Labelled(
            np.where(self.dead, NO_CONCEPT, found.concept), *(np.where(self.dead, 0, each) for each in found[1:])
        )

    @property
    def layer_number(self) -> np.ndarray:
        """(U,) which of the layers each unit is of."""
        return np.repeat(np.arange(len(self.layers)), [layer.n_units for layer in self.layers])

    def unit_columns(self) -> dict[str, np.ndarray]:
        """The columns that say which unit a row is of, each (U,)."""
        n_units = [layer.n_units for layer in self.layers]
        of_layer = {"layer": "label", "operator": "operator", "module": "module"}
        return {
            "network": np.repeat(np.array([self.network.name], object), sum(n_units)),
            "domain": np.repeat(np.array([self.network.domain], object), sum(n_units)),
            **{
                column: np.repeat(np.array([getattr(layer, field) for layer in self.layers], object), n_units)
                for column, field in of_layer.items()
            },
            "unit": np.concatenate([np.arange(n) for n in n_units]),
        }

    def name_columns(self, concepts: np.ndarray) -> dict[str, np.ndarray]:
        """Category and label of each of the concepts (n,); empty for `NO_CONCEPT`, which as an index is the last."""
        return {
            "category": np.array([*(concept.category for concept in self.data.concepts), ""], object)[concepts],
            "label": np.array([*(concept.name for concept in self.data.concepts), ""], object)[concepts],
        }


def shortest(values: np.ndarray) -> list[float]:
    """The float64 values that print as briefly as these float32 values do and convert back to them.

    >>> shortest(np.array([0.1], np.float32))
    [0.1]
    """
    return [float(str(value)) for value in values]
