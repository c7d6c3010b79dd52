"""Network dissection, as section 2 of Bau et al. 2017 tells it.

    result = dissect(network, layers, data, folder=Path("scratch"))
    result.counts.intersection_area           # (U, C) int64, units of all layers one after the other

The network is run once over every image. Each unit gets the threshold that it exceeds at 0.5 % of all positions; what
lies above it is compared, pixel by pixel, with every labelled concept. Maps that may lie above are kept until the thresholds are
known; where they would take too much disk, the network is run a second time instead.

Promise: given the same activations, thresholds, counts and labels are the same bits whatever the batch size, number of
workers, order of the images, layers tapped together, memory and disk allowed, and interruptions. The activations themselves are
the network's: a convolution library may round their last bits differently for another batch size, device or thread count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from data_prep.common.devices import is_cuda, usable_device
from data_prep.common.precision import full_precision
from data_prep.common.processes import ALONE, Group
from data_prep.common.terminal import Progress, silent
from data_prep.formats import LabelledImages
from dissect.candidates import Maps
from dissect.clock import Clock
from dissect.collected import Collected
from dissect.device_tally import DeviceTally
from dissect.distributed import (
    gather_masks,
    pool_counts,
    pooled_areas,
    pooled_histograms,
    pooled_numbers,
    pooled_skipped,
    pooled_strongest,
    pooled_thresholds,
    pooled_used,
)
from dissect.first_pass import FirstPass, check_all_counted
from dissect.folds import image_folds
from dissect.histograms import sampled_images
from dissect.image_areas import ImageAreas, Lists
from dissect.images import ImageReader, LabelCache, Position, check_usable
from dissect.lanes import look_in_lanes, one_thread
from dissect.layers import Layer
from dissect.mask_recorder import MaskRecorder
from dissect.models import Network
from dissect.null import best_scores, others_labels
from dissect.parallel_tally import ParallelTally, TallyTask, own_labels
from dissect.preparing import fingerprint_of, geometry_of, placed
from dissect.resume import resumable
from dissect.room import Room
from dissect.rotation import rotation_of
from dissect.scores import Counts
from dissect.settings import Execution, Settings
from dissect.taps import Look


@dataclass(frozen=True, kw_only=True)
class Dissection:
    """What is known of one network's units: `U` counts the units of all layers, layer after layer.

    folds: the counts by fold of the images, along a first axis; `counts` is their sum. masks: of each unit on its strongest
    images. unit_images, concept_images: the images of each unit's mask, and of each concept.
    threshold, max_activation: (U,) float32. histogram: (U, N) int64, see `histograms`. null_score: (R, U) float64, the best score
    of each unit with the labels of other images in each round of the null, or None.
    images: numbers of the images used. skipped: (number, reason).
    varying: how the network answers differently to the same images, where that was allowed.
    seconds: time by stage, as the loop waits for it; `forward` includes `read`, the wait for the reading threads, and
    `forward again` is the second pass, where one was made.
    """

    layers: Sequence[Layer]
    counts: Counts
    folds: Counts
    threshold: np.ndarray
    max_activation: np.ndarray
    masks: MaskRecorder
    histogram: np.ndarray
    unit_images: Lists
    concept_images: Lists
    null_score: np.ndarray | None
    images: np.ndarray
    skipped: list[tuple[int, str]]
    varying: str
    seconds: dict[str, float]

    @property
    def dead(self) -> np.ndarray:
        """(U,) bool: the unit exceeds its threshold nowhere (its output is constant, or saturates)."""
        return self.max_activation <= self.threshold


def dissect(
    network: Network,
    layers: Sequence[Layer],
    data: LabelledImages,
    *,
    folder: Path,
    settings: Settings | None = None,
    execution: Execution | None = None,
    progress: Progress = silent,
    label_cache: LabelCache | None = None,
    group: Group = ALONE,
) -> Dissection:
    """Dissect `layers` of one network. `folder` takes overflowing candidates and the checkpoints of an interrupted pass,
    from which the same call resumes. Raises `UserError` for what the user can fix.

    group: the processes that share the images; each makes this call with a `folder` of its own, and the first gets the whole
    result: counts, `masks`, `images` and `skipped` of the others are of their share.
    """
    settings = (settings or Settings()).resolved(len(data.images))
    execution, clock = execution or Execution(), Clock()
    execution = execution.on(usable_device(execution.device))
    device, modules = execution.device, [layer.module for layer in layers]
    gpu = device if is_cuda(device) else None  # where thresholds and counts are computed too
    layouts = {layer.module: layer.layout for layer in layers if layer.layout}  # a chosen layer always has one
    rotate = rotation_of(layers, settings.rotate, device)
    geometry = geometry_of(network, layers, settings)  # looks at the network, so before it is tapped
    names = [image.name for image in data.images]
    decides = fingerprint_of(network, layers, data, settings)
    folder.mkdir(parents=True, exist_ok=True)
    collected = Collected(
        layers, n_images=len(names), quantile=settings.quantile, n_strongest=min(settings.strongest, len(names)),
        folder=folder, memory_bytes=execution.memory_bytes, disk_bytes=execution.disk_bytes(folder) // group.n, key=decides,
        gpu=gpu, sampled=sampled_images(names),
    )  # fmt: skip
    reader = ImageReader(
        data, network.input_size, batch_size=execution.n_together, workers=execution.n_workers,
        on_bad_image=execution.on_bad_image, label_cache=label_cache, share=group.share,
    )  # fmt: skip

    def observe(look: Look, batch: _Batch) -> list[Tensor]:
        maps = rotate(look(prepare(batch.pixels)))
        return [maps[module] for module in modules]

    with (
        reader,
        resumable(folder, every=execution.checkpoint_every) as checkpoint,
        full_precision(),
        one_thread(),
        placed(network, device) as (model, prepare),
        look_in_lanes(
            model, modules, layouts, n_lanes=execution.n_lanes(device), allow_varying=execution.allow_varying
        ) as (look_at, steady),
    ):
        # One pass over the images: the upper tail of every unit, and the maps that can still exceed its threshold.
        first_pass = FirstPass(collected, reader, decides=decides, data=data.fingerprint())
        checkpoint.begin("checkpoint", first_pass)
        for batch, maps in clock.iterate("forward", look_at(_first_time(reader, clock), observe)):
            with clock("thresholds"):
                collected.add(batch.numbers, maps)
            first_pass.reached = batch.position
            checkpoint()
            progress("forward", batch.position.n_read, len(reader.numbers))
        first_pass.reached = reader.position
        skipped = pooled_skipped(reader.skipped, group)
        n_used = int(group.total(collected.n_seen))
        if group.is_first:
            check_usable(n_used, skipped)

        # The threshold of every unit: the quantile of all its activations, whichever process saw them.
        with clock("thresholds"):
            thresholds = pooled_thresholds(collected, group)
            strongest = pooled_strongest(collected, group)
            masks = MaskRecorder.of(strongest, thresholds)

        def passing(after: int) -> Iterator[tuple[np.ndarray, dict[int, Maps]]]:
            """Maps above the thresholds, a batch of images at a time: as they were kept, or as the network gives them again."""
            if not collected.candidates.given_up:
                yield from collected.candidates.batches(thresholds, after)
                return
            for batch, maps in clock.iterate("forward again", look_at(_second_time(reader, after), observe)):
                yield batch.numbers, collected.passing(batch.numbers, maps, thresholds)

        def sweep(stage: str, tally: ParallelTally) -> None:
            checkpoint.begin(stage, tally)
            for images, maps_above in passing(after=max(tally.images, default=-1)):
                tally.add(images, maps_above)
                checkpoint()
                progress(stage, len(tally.images), collected.n_seen)
            check_all_counted(reader, tally.images)

        # What lies above it, at the size of the label map, against every concept.
        room = Room(folder, execution.memory_bytes - collected.n_bytes)
        n_units = sum(layer.n_units for layer in layers)
        areas = ImageAreas(n_images=len(names), n_rows=collected.n_seen, n_units=n_units, room=room)
        task = TallyTask(
            layers=layers, data=data, union=settings.union, geometry=geometry, thresholds=thresholds,
            labels=reader.label_cache, workers=execution.n_workers, room=room,
        )  # fmt: skip
        read = np.setdiff1d(reader.numbers, [number for number, _ in reader.skipped])
        used = pooled_used(read, len(names), group)
        own = own_labels(image_folds(names, settings.n_folds, used))
        counting = partial(DeviceTally, device=gpu) if gpu else ParallelTally
        with clock("tally"), counting(task, pairing=own, masks=masks, areas=areas) as tally:
            sweep("tally", tally)

        # The same masks against the labels of other images: what chance gives.
        chance = None
        if settings.null:
            others = others_labels(names, used, settings.null)
            with clock("null"), ParallelTally(task, pairing=others) as chance:
                sweep("null", chance)
        group.wait()  # until here each process can save its share, should another one end

    # What the processes counted, put together on the first one.
    with clock("tally"):
        folds = tally.folds()
        total = pool_counts(folds, group)
        gather_masks(masks, group)
        unit_images, concept_images = pooled_areas(areas, len(data.concepts), group)
        histogram = pooled_histograms(collected, group)
    null_score = best_scores(chance, settings, tally.concept_category, group) if chance else None

    return Dissection(
        layers=layers,
        counts=total,
        folds=folds,
        threshold=np.concatenate(thresholds),
        max_activation=np.concatenate([layer.peak[:, 0] for layer in strongest]),
        masks=masks,
        histogram=histogram,
        unit_images=unit_images,
        concept_images=concept_images,
        null_score=null_score,
        images=pooled_numbers(tally.images, group),
        skipped=skipped,
        varying=steady.varying,
        seconds=clock.seconds,
    )


class _Batch(NamedTuple):
    """numbers: (B,) of the images. pixels: (B, H, W, 3) uint8. position: the place behind it in the set, in the first pass."""

    numbers: np.ndarray
    pixels: np.ndarray
    position: Position


def _first_time(reader: ImageReader, clock: Clock) -> Iterator[_Batch]:
    for numbers, pixels in clock.iterate("read", reader.batches()):
        yield _Batch(numbers, pixels, reader.position)


def _second_time(reader: ImageReader, after: int) -> Iterator[_Batch]:
    for numbers, pixels in reader.batches_again(after):
        yield _Batch(numbers, pixels, reader.position)
