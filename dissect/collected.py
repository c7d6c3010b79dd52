"""All that must be remembered of the images seen so far, in one pass over them.

    collected = Collected(
        layers, n_images=400, quantile=0.995, n_strongest=8, folder=folder, memory_bytes=2**29, disk_bytes=2**33
    )
    collected.add(images, maps)               # numbers of a batch of images, and for each layer (B, U, h, w)
    thresholds = pooled_thresholds(collected, group)    # for each layer (U,) float32, exact: see `distributed`
    collected.passing(images, maps, thresholds)         # those of a batch that pass; the maps are looked at a second time

State of each layer: the upper tail of every unit, its strongest images, a histogram of its activations, and the maps that can
still pass (`candidates`). Where these would take more disk than is allowed, the maps are looked at a second time; a digest of
each image's largest activations makes sure that they are the same.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_prep.common.errors import UserError
from dissect.candidates import Candidates, Maps
from dissect.device_tail import DeviceTail, Tail
from dissect.disk_estimate import DiskEstimate
from dissect.histograms import Histogram
from dissect.layers import Layer
from dissect.strongest import StrongestImages
from dissect.thresholds import UpperTail

DIGEST_BYTES = 16

_log = logging.getLogger(__name__)


class Collected:
    """One network's layers over a data set of at most `n_images` images.

    quantile: level of the thresholds. n_strongest: images to keep for each unit. memory_bytes: the ceiling of tails and
    candidates together; past it candidates go to files in `folder`, marked with `key`, of up to `disk_bytes` together.
    gpu: where tails and candidates are kept, if not in the memory of the host. sampled: (n_images,) bool, the images that the
    histograms are of; all if not given.
    Raises `UserError` where the tails alone exceed the memory.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        n_images: int,
        quantile: float,
        n_strongest: int,
        folder: Path,
        memory_bytes: int,
        disk_bytes: int,
        key: str = "",
        gpu: str | None = None,
        sampled: np.ndarray | None = None,
    ) -> None:
        needed = sum(UpperTail.bytes_needed(layer.n_units, n_images * layer.n_positions, quantile) for layer in layers)
        if needed > 0.75 * memory_bytes:
            raise UserError(
                f"The exact {quantile} quantile of {sum(layer.n_units for layer in layers)} units over {n_images} images needs "
                f"{needed / 2**30:.2f} GiB, more than three quarters of the memory allowed ({memory_bytes / 2**30:.2f} GiB): "
                f"raise `memory` to {needed / 0.7 / 2**30 + 0.01:.2f}, tap fewer layers, or choose a higher quantile."
            )
        self.layers = layers
        self.n_seen = 0
        self.tails: list[Tail] = [
            DeviceTail(layer.n_units, n_images * layer.n_positions, quantile, gpu)
            if gpu
            else UpperTail(layer.n_units, n_images * layer.n_positions, quantile)
            for layer in layers
        ]
        self.strongest_images = [StrongestImages(layer.n_units, n_strongest) for layer in layers]
        self._sampled = np.ones(n_images, np.bool_) if sampled is None else sampled
        self.histograms = [Histogram(layer.n_units, gpu or "cpu") for layer in layers]
        self._tail_bytes = needed
        self.candidates = Candidates(folder, memory_bytes - needed, key)
        self._gpu = gpu
        self.digests = np.zeros((n_images, DIGEST_BYTES), np.uint8)
        self._estimate = DiskEstimate(layers, n_images, max(disk_bytes, memory_bytes - needed))

    @property
    def n_bytes(self) -> int:
        """What tails and candidates take of the memory allowed."""
        return self._tail_bytes + self.candidates.n_bytes

    def add(self, images: np.ndarray, maps: Sequence[Tensor]) -> None:
        """images: (B,) numbers of the images in the data set; maps: for each layer (B, U, h, w) float32."""
        peaks, sums, bounds = self._looked_at(maps)
        sampled = torch.from_numpy(np.flatnonzero(self._sampled[images])).to(maps[0].device)
        passing: dict[int, Maps] = {}
        for k, (layer, layer_maps) in enumerate(zip(self.layers, maps, strict=True)):
            # The sum is one cheap pass; only a suspicious one is worth the exact look (a sum of huge values may overflow).
            if not np.isfinite(sums[k]):
                _check_finite(layer, layer_maps, images)
            self.strongest_images[k].add(peaks[k], images)
            if len(sampled):
                self.histograms[k].add(layer_maps[sampled])
            passing[k] = self._above(images, layer_maps, peaks[k], bounds[k])
            self.tails[k].add(passing[k].maps, passing[k].units)
        self.candidates.add(images, passing, bounds)
        self.digests[images] = _digests(peaks)
        self.n_seen += len(images)
        if not self.candidates.given_up and (
            needed := self._estimate.too_much(peaks, self.tails, self.n_seen, self.candidates.n_bytes_on_disk)
        ):
            self.candidates.give_up()
            _log.warning(
                "The maps that may exceed their thresholds would take %.2g GB of disk, more than `spill` allows: the network is "
                "shown the images a second time instead.",
                needed / 1e9,
            )

    def passing(self, images: np.ndarray, maps: Sequence[Tensor], thresholds: Sequence[np.ndarray]) -> dict[int, Maps]:
        """The maps of a batch of images, seen before, that exceed the final thresholds of their units. Raises `UserError` where
        they are not what they were."""
        peaks, *_ = self._looked_at(maps)
        other = (self.digests[images] != _digests(peaks)).any(1)
        if other.any():
            raise UserError(
                f"The network answered image {images[other.argmax()]} (from 0) differently when it was shown a second time: give "
                f"the same `batch_size`, `device` and `workers` as before, or let it be shown once by a higher `spill`."
            )
        each = enumerate(zip(maps, peaks, thresholds, strict=True))
        return {k: self._above(images, layer_maps, its_peaks, bound) for k, (layer_maps, its_peaks, bound) in each}

    def state(self) -> dict[str, np.ndarray]:
        """All there is to save: arrays, and candidates moved to their files."""
        self.candidates.spill()
        arrays = {
            "n_seen": np.array(self.n_seen),
            "files": np.array(self.candidates.hashes(), dtype=np.str_),
            "given_up": np.array(self.candidates.given_up),
            "peak_digests": self.digests,
        }
        return arrays | self._arrays()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave; the candidates' files must still lie in the folder. Raises `ValueError` or
        `KeyError`, and changes nothing, where arrays or files are not those."""
        for name, mine in self._arrays().items():
            if (arrays[name].shape, arrays[name].dtype) != (mine.shape, mine.dtype):
                raise ValueError(f"{name} has another shape")
        n_seen, digests, given_up = int(arrays["n_seen"]), arrays["peak_digests"], bool(arrays["given_up"])
        if (digests.shape, digests.dtype) != (self.digests.shape, self.digests.dtype):
            raise ValueError("peak_digests has another shape")
        if given_up:
            self.candidates.give_up()
        else:
            self.candidates.adopt([str(digest) for digest in arrays["files"]], n_seen)
        self.n_seen, self.digests = n_seen, digests
        for k, (tail, strongest) in enumerate(zip(self.tails, self.strongest_images, strict=True)):
            tail.restore(*(arrays[f"{k}.{name}"] for name in ("values", "count", "bound")))
            strongest.peak, strongest.image = arrays[f"{k}.peak"], arrays[f"{k}.image"]
            self.histograms[k].restore(arrays[f"{k}.histogram"])

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for k, (tail, strongest) in enumerate(zip(self.tails, self.strongest_images, strict=True)):
            tail = tail.on_host()
            arrays |= {f"{k}.values": tail.values, f"{k}.count": tail.count, f"{k}.bound": tail.bound}
            arrays |= {f"{k}.peak": strongest.peak, f"{k}.image": strongest.image}
            arrays[f"{k}.histogram"] = self.histograms[k].on_host()
        return arrays

    def _looked_at(self, maps: Sequence[Tensor]) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """Of each layer the largest value of each map (B, U), the sum of all, and what its units must exceed so far (U,).

        They are moved to the host together: each move waits for all that the device has to do.
        """
        # Adding zero turns -0.0 into 0.0: they are equal, so which came first must not show.
        peaks = [layer_maps.flatten(2).amax(2).add(0) for layer_maps in maps]
        sums = [layer_maps.sum() for layer_maps in maps]
        bounds = [tail.bound for tail in self.tails if isinstance(tail, DeviceTail)]
        arrays = _on_host([*peaks, *sums, *bounds])
        n = len(maps)
        return arrays[:n], arrays[n : 2 * n], arrays[2 * n :] or [tail.on_host().bound for tail in self.tails]

    def _above(self, images: np.ndarray, maps: Tensor, peaks: np.ndarray, bound: np.ndarray) -> Maps:
        """The maps whose peak exceeds the bound of their unit, (U,)."""
        which, units = np.nonzero(peaks > bound)
        chosen = maps[torch.from_numpy(which), torch.from_numpy(units)]
        there = chosen if self._gpu else chosen.cpu().numpy()
        return Maps(images[which].astype(np.int32), units.astype(np.int32), peaks[which, units], there)


def _on_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Float tensors of one device as arrays."""
    flat = torch.cat([tensor.flatten() for tensor in tensors]).cpu().numpy()
    ends = np.cumsum([tensor.numel() for tensor in tensors])
    return [
        array.reshape(tuple(tensor.shape)) for array, tensor in zip(np.split(flat, ends[:-1]), tensors, strict=True)
    ]


def _digests(peaks: Sequence[np.ndarray]) -> np.ndarray:
    """(B, 16) uint8: a hash of the peaks of each image."""
    rows = np.concatenate(peaks, 1)
    return np.stack([np.frombuffer(hashlib.blake2b(row, digest_size=DIGEST_BYTES).digest(), np.uint8) for row in rows])


def _check_finite(layer: Layer, maps: Tensor, images: np.ndarray) -> None:
    bad = torch.nonzero(~torch.isfinite(maps))
    if len(bad):
        image, unit, *_ = bad[0].tolist()
        value = maps[tuple(bad[0])].item()
        raise UserError(
            f"Layer {layer.module!r} gives {value} for unit {unit} on image {images[image]} (from 0): a quantile of "
            f"such values means nothing; check the weights and the input normalisation, or tap another layer."
        )
