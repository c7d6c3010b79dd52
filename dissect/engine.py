"""Network dissection, as section 2 of Bau et al. 2017 tells it.

    result = dissect(network, layers, data, Settings(), folder=Path("scratch"))
    result.counts.intersection_area           # (U, C) int64, units of all layers one after the other

The network is run once over every image. Each unit gets the threshold that it exceeds at 0.5 % of all positions; what
lies above it is compared, pixel by pixel, with every labelled concept.

Promise: given the same activations, thresholds, counts and labels are the same bits whatever the batch size, number of
workers, order of the images, layers tapped together, memory ceiling, and interruptions. The activations themselves are
the network's: a convolution library may round their last bits differently for another batch size, device or thread count.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from data_prep.common.devices import usable_device
from data_prep.common.terminal import Progress, silent
from data_prep.formats import LabelledImages
from dissect.clock import Clock
from dissect.collected import Collected
from dissect.folds import image_folds
from dissect.images import ImageReader, LabelCache, usable
from dissect.layers import Layer
from dissect.mask_recorder import MaskRecorder
from dissect.models import Network
from dissect.parallel_tally import ParallelTally
from dissect.receptive_field import receptive_fields
from dissect.resume import checkpoints
from dissect.rotation import rotation_of
from dissect.scores import Counts, counts_of
from dissect.settings import Execution, Settings
from dissect.taps import tap_layers
from dissect.upsample import Geometry


@dataclass(frozen=True)
class Dissection:
    """What is known of one network's units: `U` counts the units of all layers, layer after layer.

    folds: the counts of each fold of the images, of which `counts` is the sum.
    threshold, max_activation: (U,) float32. images: numbers of the images used. skipped: (number, reason).
    seconds: time by stage; `read` is only the time spent waiting for the reading threads.
    """

    layers: Sequence[Layer]
    counts: Counts
    folds: Sequence[Counts]
    threshold: np.ndarray
    max_activation: np.ndarray
    strongest: MaskRecorder
    images: np.ndarray
    skipped: list[tuple[int, str]]
    seconds: dict[str, float]

    @property
    def dead(self) -> np.ndarray:
        """(U,) bool: the unit exceeds its threshold nowhere (its output is constant, or saturates)."""
        return self.max_activation <= self.threshold


def dissect(
    network: Network,
    layers: Sequence[Layer],
    data: LabelledImages,
    settings: Settings,
    folder: Path,
    execution: Execution | None = None,
    progress: Progress = silent,
    label_cache: LabelCache | None = None,
) -> Dissection:
    """Dissect `layers` of one network. `folder` takes overflowing candidates and the checkpoint of an interrupted pass,
    from which the same call goes on. Raises `UserError` for what the user can mend."""
    execution = execution or Execution()
    clock = Clock()
    observation = Collected(layers, len(data.images), settings.quantile, settings.strongest, folder, execution.memory_bytes)
    reader = ImageReader(
        data, network.input_size, execution.batch_size, execution.workers, execution.on_bad_image, label_cache
    )
    device = usable_device(execution.device)
    model = _channels_last(network.model.to(device))
    modules = [layer.module for layer in layers]
    rotate = rotation_of(layers, settings.rotate, device)

    fold_of = image_folds([image.name for image in data.images], settings.folds)
    key = _key(network, layers, data, settings)

    with reader, checkpoints(observation, reader, folder, execution.checkpoint_every, key) as checkpoint:
        with tap_layers(model, modules) as look:
            for numbers, pixels in clock.iterate("read", reader.batches()):
                with clock("forward"):
                    maps = rotate(look(network.prepare(torch.from_numpy(pixels).to(device))))
                with clock("thresholds"):
                    observation.add(numbers, [maps[module] for module in modules])
                checkpoint()
                progress("forward", reader.n_read, len(data.images))
        usable(observation.n_seen, reader.skipped)

        with clock("thresholds"):
            thresholds = observation.thresholds()
            masks = MaskRecorder.of(
                [strongest.image for strongest in observation.strongest],
                [strongest.peak for strongest in observation.strongest],
                thresholds,
            )
        with clock("tally"), ParallelTally(
            _geometry(network, layers, settings), layers, data, settings.union, thresholds, masks,
            reader.label_cache, execution.workers, fold_of,
        ) as comparison:  # fmt: skip
            for images, batch in observation.candidates.batches(thresholds):
                comparison.add(images, batch)
                checkpoint()
                progress("tally", len(comparison.images), observation.n_seen)
            counts, folds = counts_of(comparison.tally()), [counts_of(fold) for fold in comparison.folds()]

    return Dissection(
        layers,
        counts,
        folds,
        np.concatenate(thresholds),
        np.concatenate([strongest.peak[:, 0] for strongest in observation.strongest]),
        masks,
        np.sort(comparison.images),
        reader.skipped,
        clock.seconds,
    )


def _channels_last(model: torch.nn.Module) -> torch.nn.Module:
    """The memory layout in which a CPU convolves fastest, where the network's weights allow it."""
    with contextlib.suppress(RuntimeError):  # weights of five dimensions know no such layout
        model.to(memory_format=torch.channels_last)
    return model


def _key(network: Network, layers: Sequence[Layer], data: LabelledImages, settings: Settings) -> str:
    """A hash of all that decides the result."""
    images = [image.name for image in data.images]
    prepared = (network.input_size, network.mean, network.std)
    decides = (network.weights_hash(), prepared, list(layers), data.fingerprint(), images, settings)
    return hashlib.sha256(repr(decides).encode()).hexdigest()


def _geometry(network: Network, layers: Sequence[Layer], settings: Settings) -> Geometry:
    shapes = [layer.shape[1:] for layer in layers]
    if settings.upsample == "half-pixel":
        return Geometry(shapes)
    anchors = [receptive_fields(network.model, layer.module, network.input_size) for layer in layers]
    return Geometry(shapes, anchors, network.input_size)
