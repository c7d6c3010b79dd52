"""What chance gives: the best score of each unit where its masks meet the labels of other images.

    pairing = others_labels(names, used, n_rounds=20)              # whose labels each image meets in each round
    with ParallelTally(task, pairing=pairing) as tally:            # whose folds are the rounds
        ...
    null_score = best_scores(tally, settings, concept_category, group)      # (R, U)

In a round every image lends its labels to one other, so that images, labels and concepts are those of the run and only what they
have to do with each other is gone: masks keep their sizes and places, concepts theirs. A map is enlarged to the label map that it
meets. Counted on the CPU, wherever the network runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from data_prep.common.errors import UserError
from data_prep.common.processes import Group
from dissect.parallel_tally import Pairing, ParallelTally
from dissect.scores import label_units
from dissect.settings import Settings


def others_labels(names: Sequence[str], used: np.ndarray, n_rounds: int) -> Pairing:
    """In each round the images in use stand in a circle, at random by their names, and each takes the next one's labels.

    names: of the images, in any order. used: (n,) bool. Raises `UserError` for fewer than two images.

    >>> others_labels(["a", "b", "c"], np.array([True, False, True]), n_rounds=2).image.tolist()
    [[2, 2], [1, 1], [0, 0]]
    """
    numbers = np.flatnonzero(used).tolist()
    if len(numbers) < 2:
        raise UserError(
            "`null` compares the masks on an image with the labels of another, and there is only one: leave it 0, or give more "
            "images."
        )
    image = np.repeat(np.arange(len(used))[:, None], n_rounds, axis=1)
    for n in range(n_rounds):
        drawn = {k: hashlib.blake2b(f"{n} {names[k]}".encode("utf-8", "surrogateescape")).digest() for k in numbers}
        circle = sorted(numbers, key=lambda k: (drawn[k], names[k]))
        image[circle, n] = np.roll(circle, -1)
    return Pairing(image, np.broadcast_to(np.arange(n_rounds), image.shape))


def best_scores(tally: ParallelTally, settings: Settings, concept_category: np.ndarray, group: Group) -> np.ndarray:
    """(R, U) float64: the score of the best eligible concept of each unit in each round, 0 where none is above; on the first
    process of the group, over the images of all. concept_category: (C,) the category of each concept."""
    rows = []
    for counts in tally.each_fold():
        for array in counts:
            group.add_to_first(array)
        eligible = counts.n_images >= settings.min_images
        rows.append(label_units(settings.score, counts, concept_category, eligible).score)
    return np.stack(rows)
