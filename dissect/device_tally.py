"""Masks against labels where the maps are: `parallel_tally.ParallelTally` on a GPU, with the same counts.

task = TallyTask(...)                     # as for `ParallelTally`
with DeviceTally(task, pairing=own_labels(fold_of), masks=masks, areas=areas, device="cuda") as tally:
    tally.add(images, batch)              # {layer: Maps} of these images, on the device or not
tally.total()                             # pooled counts of all images
tally.folds()                             # the same by fold of the images, along a first axis

Labels are read and flattened by threads, and moved to the device once for all layers; all maps that a layer has of a batch are
interpolated and counted together (`device_masks`). Counts are integers that the device adds up: the same in any order. What is
saved is what `ParallelTally` saves, so that either goes on where the other stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from data_prep.formats import NO_CONCEPT
from dissect.candidates import Maps
from dissect.device_masks import DeviceAxes, masks_above
from dissect.image_areas import ImageAreas
from dissect.mask_recorder import MaskRecorder
from dissect.parallel_tally import Alike, Pairing, ParallelTally, TallyTask
from dissect.scores import Counts
from dissect.tally import LabelStack


class DeviceTally(ParallelTally):
    """Counts of all layers' units, in tables on the device; those of `ParallelTally` are brought up to date when asked for."""

    def __init__(
        self,
        task: TallyTask,
        *,
        pairing: Pairing,
        masks: MaskRecorder,
        areas: ImageAreas | None = None,
        device: str | torch.device,
    ) -> None:
        """As `ParallelTally`, where each image meets its own labels; its threads read labels. device: one on which PyTorch has
        float64."""
        super().__init__(task, pairing=pairing, masks=masks, areas=areas)
        self.device = torch.device(device)
        self._axes: dict[tuple[int, tuple[int, int]], DeviceAxes] = {}
        self._strongest, self._fold_of = self._sent(masks.image), self._sent(pairing.fold[:, 0])
        self._thresholds = [torch.from_numpy(of_layer).to(self.device) for of_layer in task.thresholds]
        self._to_device()

    def total(self) -> Counts:
        """The counts of all images so far. With one fold its arrays are those of `folds`."""
        self._to_host()
        return super().total()

    def folds(self) -> Counts:
        """The counts of each fold of the images so far."""
        self._to_host()
        return super().folds()

    def state(self) -> dict[str, np.ndarray]:
        """What `ParallelTally` saves."""
        self._to_host()
        return super().state()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave, here or of a `ParallelTally`, and raise what that raises."""
        super().restore(arrays)
        self._to_device()

    def _to_device(self) -> None:
        tables = self._tables.intersection_area, self._tables.mask_area
        self._intersection, self._area = (
            torch.from_numpy(table.astype(np.int64).reshape(-1, table.shape[2])).to(self.device) for table in tables
        )

    def _to_host(self) -> None:
        for mine, table in ((self._intersection, self._tables.intersection_area), (self._area, self._tables.mask_area)):
            table[...] = mine.cpu().numpy().reshape(table.shape)

    def _count(self, alike: Sequence[Alike], batch: Mapping[int, Maps]) -> None:
        for images in alike:
            self._count_alike(images.numbers, images.shape, _DeviceLabels(images.labels, self.device), batch)

    def _count_alike(
        self, numbers: np.ndarray, shape: tuple[int, int], labels: _DeviceLabels, batch: Mapping[int, Maps]
    ) -> None:
        """Count the masks on the images `numbers`, ascending, whose label maps have one shape."""
        these, n_bytes = self._sent(numbers), -(-shape[0] * shape[1] // 8)
        places, bits = [self._sent(np.zeros(0))], [torch.zeros((0, n_bytes), dtype=torch.uint8, device=self.device)]
        found = []
        for k, maps in batch.items():
            maps = maps.chosen(np.isin(maps.images, numbers))
            image, unit = self._sent(np.stack([maps.images, maps.units]))
            row_of_unit = unit + int(self.first_row[k])
            row, image_of = (
                self._fold_of[image] * int(self.first_row[-1]) + row_of_unit,
                torch.searchsorted(these, image),
            )
            kept, rank = torch.nonzero(self._strongest[row_of_unit] == image[:, None], as_tuple=True)
            mask = torch.full_like(row, -1)
            mask[kept] = torch.arange(len(kept), device=self.device)
            places.append(row_of_unit[kept] * self._strongest.shape[1] + rank)
            bits.append(torch.zeros((len(kept), n_bytes), dtype=torch.uint8, device=self.device))
            area, counted = torch.zeros_like(row), labels.counts_in[image_of]
            each = torch.arange(len(row) + 1, device=self.device)
            there = torch.as_tensor(maps.maps).to(self.device)
            for which, position in masks_above(there, self._thresholds[k][unit], self._axes_of(k, shape)):
                area += torch.searchsorted(which, each).diff()
                self._meet(which, position, row=row, image=image_of, labels=labels, counted=counted)
                if len(kept):
                    _set_bits(bits[-1], mask[which], position)
            for concept in labels.whole_image[image_of].T:
                self._add(row, concept.clamp(min=0), area * (concept >= 0))
            self._area.index_add_(0, row, area[:, None] * counted)
            found.append(torch.stack([image, row_of_unit, area]))
        self.masks.keep(torch.cat(places).cpu().numpy(), shape, torch.cat(bits).cpu().numpy())
        if self.areas and found:
            self.areas.add_masks(*torch.cat(found, 1).cpu().numpy())

    def _meet(
        self, which: Tensor, position: Tensor, *, row: Tensor, image: Tensor, labels: _DeviceLabels, counted: Tensor
    ) -> None:
        """Count the pixels of masks (`masks_above`) by the concepts that they carry."""
        planes = labels.planes_of[image[which]]
        concepts = labels.planes[planes, position[:, None]]
        pixel, column = torch.nonzero(concepts != NO_CONCEPT, as_tuple=True)
        which = which[pixel]
        self._add(row[which], concepts[pixel, column].long(), torch.ones_like(which))
        if self.union == "touched":
            counted[which, labels.plane_category[planes[pixel, column]]] = True

    def _add(self, row: Tensor, concept: Tensor, area: Tensor) -> None:
        self._intersection.view(-1).index_add_(0, row * self._intersection.shape[1] + concept, area)

    def _axes_of(self, layer: int, shape: tuple[int, int]) -> DeviceAxes:
        if (layer, shape) not in self._axes:
            self._axes[layer, shape] = DeviceAxes(*self.geometry.axes(layer, shape), self.device)
        return self._axes[layer, shape]

    def _sent(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers.astype(np.int64)).to(self.device)


class _DeviceLabels:
    """A `LabelStack` on the device.

    planes: (all planes + 1, H * W) integers, the last of which carries nothing. planes_of: (B, P) int64, rows of `planes`; an
    image that has fewer planes than another has the last for the rest. plane_category: (all planes + 1,) int64. whole_image: (B,
    n) int64, `NO_CONCEPT` where an image has fewer. counts_in: (B, K) bool, as the stack has it and for the whole image's labels.
    """

    def __init__(self, labels: LabelStack, device: torch.device) -> None:
        n = len(labels.planes)
        narrow = np.int16 if labels.planes.max(initial=0) < 2**15 else np.int32
        planes = np.concatenate(
            [labels.planes.astype(narrow), np.full((1, labels.planes.shape[1]), NO_CONCEPT, narrow)]
        )
        planes_of = _padded(np.arange(n), labels.first_plane, n)
        counts_in = labels.counts_in.copy()
        # Whatever the rule, a mask that is not empty meets the labels of the whole image.
        counts_in[np.repeat(np.arange(len(counts_in)), np.diff(labels.first_whole)), labels.whole_category] = True
        whole_image = _padded(labels.whole_image, labels.first_whole, NO_CONCEPT)
        plane_category = np.append(labels.plane_category, 0)
        self.planes, self.planes_of, self.plane_category, self.whole_image, self.counts_in = (
            torch.from_numpy(array).to(device)
            for array in (planes, planes_of, plane_category.astype(np.int64), whole_image, counts_in)
        )


def _padded(values: np.ndarray, first: np.ndarray, padding: int) -> np.ndarray:
    """(B, most of an image) int64: of image b those from `first[b]` to before `first[b + 1]`, then `padding`.

    >>> _padded(np.array([5, 6, 7]), np.array([0, 1, 3]), -1).tolist()
    [[5, -1], [6, 7]]
    """
    sizes = np.diff(first)
    there = np.arange(sizes.max(initial=0)) < sizes[:, None]
    padded = np.full(there.shape, padding, np.int64)
    padded[there] = values
    return padded


def _set_bits(bits: Tensor, mask: Tensor, position: Tensor) -> None:
    """Mark pixels in packed masks, each pixel once. bits: (n, bytes) uint8; mask: number of the mask, or -1 for none.

    >>> bits = torch.zeros((2, 1), dtype=torch.uint8)
    >>> _set_bits(bits, torch.tensor([0, 1, 0, -1]), torch.tensor([0, 1, 3, 5]))
    >>> bits.tolist()
    [[144], [64]]
    """
    there = torch.nonzero(mask >= 0).flatten()
    mask, position = mask[there], position[there]
    # Each pixel has a bit of its own, so that adding sets it.
    value = torch.bitwise_right_shift(torch.full_like(position, 128), position & 7).to(torch.uint8)
    bits.view(-1).index_add_(0, mask * bits.shape[1] + (position >> 3), value)
