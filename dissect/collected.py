"""All that must be remembered of the images seen so far, in one pass over them.

    collected = Collected(layers, n_images=400, quantile=0.995, n_strongest=8, folder=folder, memory_bytes=2**29)
    collected.add(images, maps)               # numbers of a batch of images, and for each layer (B, U, h, w)
    thresholds = collected.thresholds()       # for each layer (U,) float32, exact

State of each layer: the upper tail of every unit, its strongest images, and the maps that can still pass (`candidates`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_prep.common.errors import UserError
from dissect.candidates import Candidates, Maps
from dissect.layers import Layer
from dissect.strongest import StrongestImages
from dissect.thresholds import UpperTail


class Collected:
    """One network's layers over a data set of at most `n_images` images.

    quantile: level of the thresholds. n_strongest: images to keep for each unit. memory_bytes: the ceiling of tails and
    candidates together; past it candidates go to files in `folder`, marked with `key`. Raises `UserError` where the tails alone
    exceed it.
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
        key: str = "",
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
        self.tails = [UpperTail(layer.n_units, n_images * layer.n_positions, quantile) for layer in layers]
        self.strongest_images = [StrongestImages(layer.n_units, n_strongest) for layer in layers]
        self.candidates = Candidates(folder, memory_bytes - needed, key)

    def add(self, images: np.ndarray, maps: Sequence[Tensor]) -> None:
        """images: (B,) numbers of the images in the data set; maps: for each layer (B, U, h, w) float32."""
        passing: dict[int, Maps] = {}
        for k, (layer, layer_maps) in enumerate(zip(self.layers, maps, strict=True)):
            _check_finite(layer, layer_maps, images)
            # Adding zero turns -0.0 into 0.0: they are equal, so which came first must not show.
            peaks = layer_maps.flatten(2).amax(2).add(0).cpu().numpy()
            self.strongest_images[k].add(peaks, images)
            which, units = np.nonzero(peaks > self.tails[k].bound)
            chosen = layer_maps[torch.from_numpy(which), torch.from_numpy(units)].cpu().numpy()
            units = units.astype(np.int32)
            self.tails[k].add(chosen, units)
            passing[k] = Maps(images[which].astype(np.int32), units, peaks[which, units], chosen)
        self.candidates.add(images, passing, [tail.bound for tail in self.tails])
        self.n_seen += len(images)

    def thresholds(self) -> list[np.ndarray]:
        """For each layer the exact threshold of its units, (U,) float32, over the images seen."""
        return [
            tail.quantile(self.n_seen * layer.n_positions) for tail, layer in zip(self.tails, self.layers, strict=True)
        ]

    def max_activations(self) -> list[np.ndarray]:
        """For each layer the largest activation of its units, (U,) float32, over the images seen."""
        return [strongest.peak[:, 0] for strongest in self.strongest_images]

    def state(self) -> dict[str, np.ndarray]:
        """All there is to save: arrays, and candidates moved to their files."""
        self.candidates.spill()
        arrays = {"n_seen": np.array(self.n_seen), "files": np.array(self.candidates.hashes(), dtype=np.str_)}
        return arrays | self._arrays()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave; the candidates' files must still lie in the folder. Raises `ValueError` or
        `KeyError`, and changes nothing, where arrays or files are not those."""
        for name, mine in self._arrays().items():
            if (arrays[name].shape, arrays[name].dtype) != (mine.shape, mine.dtype):
                raise ValueError(f"{name} has another shape")
        n_seen = int(arrays["n_seen"])
        self.candidates.adopt([str(digest) for digest in arrays["files"]], n_seen)
        self.n_seen = n_seen
        for k, (tail, strongest) in enumerate(zip(self.tails, self.strongest_images, strict=True)):
            tail.values, tail.count, tail.bound = (arrays[f"{k}.{name}"] for name in ("values", "count", "bound"))
            strongest.peak, strongest.image = arrays[f"{k}.peak"], arrays[f"{k}.image"]

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for k, (tail, strongest) in enumerate(zip(self.tails, self.strongest_images, strict=True)):
            arrays |= {f"{k}.values": tail.values, f"{k}.count": tail.count, f"{k}.bound": tail.bound}
            arrays |= {f"{k}.peak": strongest.peak, f"{k}.image": strongest.image}
        return arrays


def _check_finite(layer: Layer, maps: Tensor, images: np.ndarray) -> None:
    # The sum is one cheap pass; only a suspicious one is worth the exact look (a sum of huge values may overflow).
    if torch.isfinite(maps.sum()):
        return
    bad = torch.nonzero(~torch.isfinite(maps))
    if len(bad):
        image, unit, *_ = bad[0].tolist()
        value = maps[tuple(bad[0])].item()
        raise UserError(
            f"Layer {layer.module!r} gives {value} for unit {unit} on image {images[image]} (from 0): a quantile of "
            f"such values means nothing; check the weights and the input normalisation, or tap another layer."
        )
