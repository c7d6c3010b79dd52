"""The masks of every unit on its strongest images, kept for the report exactly as they were counted.

masks = MaskRecorder.of(strongest_images, thresholds)     # both for each layer
masks.draw(layer, image, maps, thresholds=maps_thresholds, rows=rows, columns=columns)
arrays = masks.arrays()                                   # the fields of `run_store.StrongestMasks`
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dissect.candidates import Maps
from dissect.strongest import StrongestImages
from dissect.tally import positions_above
from dissect.upsample import Axis


class MaskRecorder:
    """image, peak: (U, N), units of all layers one after the other; image is -1 where a unit does not exceed its
    threshold on that many images."""

    def __init__(self, image: np.ndarray, peak: np.ndarray, first_row: np.ndarray) -> None:
        self.image, self.peak, self.first_row = image, peak, first_row
        self._drawn: dict[tuple[int, int], tuple[tuple[int, int], np.ndarray]] = {}
        flat = image.ravel()
        self._order = np.argsort(flat, kind="stable")
        self._sorted = flat[self._order]

    @classmethod
    def of(cls, strongest_images: Sequence[StrongestImages], thresholds: Sequence[np.ndarray]) -> MaskRecorder:
        """For the images kept of each layer, and the thresholds (U,) of its units."""
        first_row = np.cumsum([0, *(len(layer.image) for layer in strongest_images)])
        image = np.concatenate([layer.image for layer in strongest_images])
        peak = np.concatenate([layer.peak for layer in strongest_images])
        image = np.where(peak > np.concatenate(thresholds)[:, None], image, -1).astype(np.int32)
        return cls(image, np.where(image < 0, np.float32("nan"), peak), first_row)

    def draw(self, layer: int, image: int, maps: Maps, *, thresholds: np.ndarray, rows: Axis, columns: Axis) -> None:
        """Keep the masks of those units of a layer that have this image among their strongest. Any order, any thread.

        maps: every map of the layer that passes on this image; thresholds: (n,) those of the maps' units.
        """
        first, last = np.searchsorted(self._sorted, [image, image + 1])
        scratch = np.empty(rows.n_pixels * columns.n_pixels, np.int32)
        for place in self._order[first:last]:
            row, rank = divmod(int(place), self.image.shape[1])
            if not self.first_row[layer] <= row < self.first_row[layer + 1]:
                continue
            m = int(np.searchsorted(maps.units, row - self.first_row[layer]))
            mask = np.zeros(scratch.size, np.bool_)
            mask[scratch[: positions_above(maps.maps[m], float(thresholds[m]), rows, columns, scratch)]] = True
            self._drawn[row, rank] = ((rows.n_pixels, columns.n_pixels), np.packbits(mask))

    def drawn(self) -> tuple[np.ndarray, np.ndarray]:
        """(places, bits): (n, 4) int64, row, rank, H and W of each mask drawn so far; uint8, their bits one after the other."""
        places = [(*place, *shape) for place, (shape, _) in self._drawn.items()]
        bits = [packed for _, packed in self._drawn.values()]
        return np.array(places, np.int64).reshape(-1, 4), np.concatenate([np.zeros(0, np.uint8), *bits])

    def take(self, places: np.ndarray, bits: np.ndarray) -> None:
        """Add the masks that another recorder of the same images has drawn."""
        ends = np.cumsum(-(-places[:, 2] * places[:, 3] // 8)).tolist()
        for (row, rank, height, width), start, end in zip(places.tolist(), [0, *ends], ends, strict=False):
            self._drawn[row, rank] = ((height, width), bits[start:end])

    def arrays(self) -> dict[str, np.ndarray]:
        """The fields of `run_store.StrongestMasks`."""
        shape = np.zeros((*self.image.shape, 2), np.int32)
        offset = np.zeros(self.image.shape, np.int64)
        bits, size = [], 0
        for (row, rank), (mask_shape, packed) in sorted(self._drawn.items()):
            shape[row, rank], offset[row, rank] = mask_shape, size
            bits.append(packed)
            size += len(packed)
        return {
            "image": self.image,
            "peak": self.peak,
            "mask_shape": shape,
            "mask_offset": offset,
            "mask_bits": np.concatenate(bits) if bits else np.zeros(0, np.uint8),
        }
