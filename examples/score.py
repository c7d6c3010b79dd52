"""A score of one's own, by which units are labelled instead of IoU.

    python examples/score.py

IoU counts a concept's pixels that a unit misses as much as pixels that it marks besides. A unit that fires on the eyes of a dog
misses most of the dog; the index of Tversky (1977) lets one say how much that matters. Here a missed pixel counts 3, a pixel
too much 7.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import data_prep
import dissect
from dissect.scores import SCORES


def tversky(intersection: np.ndarray, mask: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """10 I / (10 I + 7 (A - I) + 3 (G - I)), 0 where nothing is: integer areas that broadcast, one division at the end.

    >>> tversky(np.array([6]), np.array([8]), np.array([10])).round(3).tolist()
    [0.698]
    """
    whole = 7 * mask + 3 * concept
    return np.divide(
        10 * intersection, whole, out=np.zeros(np.broadcast_shapes(intersection.shape, whole.shape)), where=whole > 0
    )


SCORES["tversky"] = tversky


def main(network: str = "mdl:imagenet12", layer: str = "22", out: str | Path = "runs/tversky") -> dissect.Run:
    """Dissect one layer and show which units another score would label otherwise than IoU."""
    data = data_prep.open_embedded(split="val")
    settings = dissect.Settings(score="tversky")
    run = dissect.run([dissect.load_network(network)], data, layers=[layer], out=out, settings=settings)
    by_iou = run.iou().to_numpy().argmax(1)
    by_score = run.scores("tversky").to_numpy().argmax(1)
    print(f"{(by_iou != by_score).sum()} of {len(by_iou)} units have another best concept by tversky than by iou")
    return run


if __name__ == "__main__":
    main()
