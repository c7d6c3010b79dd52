"""What several processes know, each of its own images, put together: the bits that one process alone would have.

    strongest, thresholds = pooled_strongest(collected, group), pooled_thresholds(collected, group)      # on every process
    ...
    counts = pool_counts(tally.folds(), group)                                                           # on the first one
    gather_masks(masks, group)
    unit_images, concept_images = pooled_areas(areas, n_concepts, group)
    images, skipped = pooled_numbers(tally.images, group), pooled_skipped(reader.skipped, group)

What is called `pooled` leaves alone what it is given, so that a process that is stopped there saves its own share and no more;
counts and masks, which may be large, are put together in place. Every process of the group calls these in the same order.
"""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_prep.common.locks import locked
from data_prep.common.processes import Group
from dissect.collected import Collected
from dissect.device_tail import Tail
from dissect.image_areas import ImageAreas, Lists, lists_of_concepts, lists_of_units
from dissect.mask_recorder import MaskRecorder
from dissect.scores import Counts
from dissect.strongest import StrongestImages

_log = logging.getLogger(__name__)


@contextmanager
def part_of(folder: Path, group: Group, batch_size: int) -> Iterator[Path]:
    """The folder of this process's checkpoints and candidates, its own within the `with` block: `folder` where it is alone.

    What lies in `folder` of work that was shared out otherwise is deleted, and that is told.
    """
    name = f"of-{group.n}-by-{batch_size}"
    if group.is_first:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path for path in folder.iterdir() if path.name.startswith("of-") != (group.n > 1)]
        others += [path for path in folder.glob("of-*") if group.n > 1 and path.name != name]
        if others:
            _log.warning(
                "%s was left by other processes, or by batches of another size: the pass begins again.", folder
            )
        for path in others:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    group.wait()
    if group.n == 1:
        yield folder
        return
    part = folder / name / f"part-{group.rank}"
    with locked(part, "a part of a run"):
        yield part


def pooled_thresholds(collected: Collected, group: Group) -> list[np.ndarray]:
    """For each layer the exact threshold of its units, (U,) float32, over the images of all processes."""
    n_seen = int(group.total(collected.n_seen))
    return [
        _pooled_threshold(tail, n_seen * layer.n_positions, group)
        for layer, tail in zip(collected.layers, collected.tails, strict=True)
    ]


def _pooled_threshold(tail: Tail, n_values: int, group: Group) -> np.ndarray:
    if group.n == 1:
        return tail.quantile(n_values)
    tail = tail.on_host()
    # Minus infinity, which is no activation, stands where a unit has fewer values than another: no tail takes it up.
    width = int(tail.count.max(initial=0))
    values = np.where(np.arange(width) < tail.count[:, None], tail.values[:, :width], np.float32("-inf"))
    pooled = tail if not group.is_first else copy.deepcopy(tail)
    for rank, others in enumerate(group.gather(np.ascontiguousarray(values.T))):
        if rank:
            pooled.add(np.ascontiguousarray(others.T), np.arange(len(tail.count)))
    threshold = pooled.quantile(n_values) if group.is_first else np.zeros(len(tail.count), np.float32)
    return group.broadcast(threshold)


def pooled_strongest(collected: Collected, group: Group) -> list[StrongestImages]:
    """For each layer the strongest images of its units, of those of all processes."""
    return [_pooled_strongest(strongest, group) for strongest in collected.strongest_images]


def _pooled_strongest(strongest: StrongestImages, group: Group) -> StrongestImages:
    if group.n == 1:
        return strongest
    pooled = copy.deepcopy(strongest)
    peaks, images = list(group.gather(strongest.peak)), list(group.gather(strongest.image))
    for peak, image in zip(peaks[1:], images[1:], strict=True):
        other = copy.copy(strongest)
        other.peak, other.image = peak, image
        pooled.merge(other)
    pooled.peak, pooled.image = group.broadcast(pooled.peak), group.broadcast(pooled.image)
    return pooled


def pooled_used(images: np.ndarray, n_images: int, group: Group) -> np.ndarray:
    """(n_images,) bool: the images that any process can use; on every process. images: numbers of those of this one."""
    usable = np.zeros(n_images, np.int64)
    usable[images] = 1
    return group.total(usable) > 0


def pooled_histograms(collected: Collected, group: Group) -> np.ndarray:
    """(U, N) int64: the histograms of the units of all layers, over the images of all processes."""
    return group.total(np.concatenate([histogram.on_host() for histogram in collected.histograms]))


def pooled_areas(areas: ImageAreas, n_concepts: int, group: Group) -> tuple[Lists, Lists]:
    """Of each unit, and of each concept, the images of all processes that it is in; on the first process."""
    numbers = np.array(areas.images, np.int64)
    every = list(group.gather(numbers)) or [numbers]
    tables = list(group.gather(areas.mask_area[: len(numbers)])) or [areas.mask_area]
    concepts = np.concatenate([np.zeros((0, 3), np.int64), *group.gather(areas.concept_area)])
    units = lists_of_units(list(zip(every, tables, strict=True)))
    return units, lists_of_concepts(concepts, np.sort(np.concatenate(every)), n_concepts)


def pool_counts(folds: Counts, group: Group) -> Counts:
    """Add the other processes' counts by fold to those of the first; the sum of the folds, with one fold that one."""
    for array in folds:
        group.add_to_first(array)
    return Counts(*(array[0] if len(array) == 1 else array.sum(0) for array in folds))


def pooled_numbers(images: Sequence[int], group: Group) -> np.ndarray:
    """The numbers of the images of all processes, in their order; on the first process."""
    return np.sort(np.concatenate([np.zeros(0, np.int64), *group.gather(np.array(images, np.int64))]))


def pooled_skipped(skipped: Sequence[tuple[int, str]], group: Group) -> list[tuple[int, str]]:
    """(number, reason) of the images that any process left out, in their order; on the first process."""
    told = np.frombuffer(json.dumps(skipped).encode(), np.uint8).copy()
    lists = [json.loads(part.tobytes()) for part in group.gather(told)]
    return sorted((number, reason) for part in lists for number, reason in part)


def gather_masks(masks: MaskRecorder, group: Group) -> None:
    """Give the first process's recorder the masks that the others have drawn."""
    places, bits = (list(group.gather(array)) for array in masks.drawn())
    for its_places, its_bits in zip(places[1:], bits[1:], strict=True):
        masks.take(its_places, its_bits)
