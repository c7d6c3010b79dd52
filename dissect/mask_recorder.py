"""The masks of every unit on its strongest images, kept for the report exactly as they were counted.

masks = MaskRecorder.of(strongest_images, thresholds)     # both for each layer
places = masks.places(unit_rows, images)                  # of the masks of some units on some images: -1 for most
masks.keep(places[wanted], (112, 112), bits)              # those that are wanted, packed
arrays = masks.arrays()                                   # the fields of `run_store.StrongestMasks`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dissect.strongest import StrongestImages


class MaskRecorder:
    """image, peak: (U, N), units of all layers one after the other; image is -1 where a unit does not exceed its
    threshold on that many images."""

    def __init__(self, image: np.ndarray, peak: np.ndarray) -> None:
        self.image, self.peak = image, peak
        self._drawn: dict[tuple[int, int], tuple[tuple[int, int], np.ndarray]] = {}

    @classmethod
    def of(cls, strongest_images: Sequence[StrongestImages], thresholds: Sequence[np.ndarray]) -> MaskRecorder:
        """For the images kept of each layer, and the thresholds (U,) of its units."""
        image = np.concatenate([layer.image for layer in strongest_images])
        peak = np.concatenate([layer.peak for layer in strongest_images])
        image = np.where(peak > np.concatenate(thresholds)[:, None], image, -1).astype(np.int32)
        return cls(image, np.where(image < 0, np.float32("nan"), peak))

    @classmethod
    def of_nothing(cls, n_units: int) -> MaskRecorder:
        """One that keeps no mask."""
        return cls(np.full((n_units, 1), -1, np.int32), np.full((n_units, 1), np.nan, np.float32))

    def places(self, rows: np.ndarray, images: np.ndarray) -> np.ndarray:
        """(n,) int64: where the masks of units in rows (n,) on images (n,) belong; -1 for most, which are not kept."""
        kept = self.image[rows] == images[:, None]
        rank = kept.argmax(1)
        return np.where(kept[np.arange(len(rank)), rank], rows * kept.shape[1] + rank, -1)

    def keep(self, places: np.ndarray, shape: tuple[int, int], bits: np.ndarray) -> None:
        """Masks of (H, W) label pixels for these `places` (n,). bits: (n, ceil(H * W / 8)) uint8, rows of each mask packed as one
        string of bits. Any order."""
        for place, packed in zip(places.tolist(), bits, strict=True):
            self._drawn[divmod(place, self.image.shape[1])] = (shape, packed)

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

    def state(self) -> dict[str, np.ndarray]:
        """The masks kept so far, and which are wanted."""
        places, bits = self.drawn()
        return {"mask_images": self.image, "mask_places": places, "mask_bits": bits}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `state` gave. Raises `ValueError` or `KeyError`, and changes nothing, where it cannot be used."""
        places, bits = arrays["mask_places"], arrays["mask_bits"]
        if not np.array_equal(arrays["mask_images"], self.image):
            raise ValueError("the strongest images are others")
        if places.ndim != 2 or places.shape[1] != 4 or (places.dtype, bits.dtype) != (np.int64, np.uint8):
            raise ValueError("mask_places has another shape")
        if len(places) and ((places < 0).any() or (places[:, :2] >= self.image.shape).any()):
            raise ValueError("mask_places lie outside")
        if bits.shape != ((-(-places[:, 2] * places[:, 3] // 8)).sum(),):
            raise ValueError("mask_bits has another shape")
        self._drawn = {}
        self.take(places, bits)

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
