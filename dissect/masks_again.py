"""The masks of units on every image, made once more from a finished run: it keeps those of the strongest images only.

    for each in unit_masks(run, network, layers, data, {0: np.array([5])}):
        each.mask                             # (H, W) bool, of unit 5 of the run's first layer on image each.image

The network is shown the images in the batches of the run, its maps are enlarged and compared with the run's thresholds by the
code that counted them. Every mask is compared with what the run kept, its area on each image and its bits on the strongest, and
refused where it differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from data_prep.common.devices import usable_device
from data_prep.common.errors import UserError
from data_prep.common.precision import full_precision
from data_prep.common.terminal import Progress, silent
from data_prep.formats import LabelledImages
from dissect.images import ImageReader
from dissect.lanes import look_in_lanes, one_thread
from dissect.layers import Layer
from dissect.models import Network
from dissect.preparing import geometry_of, placed
from dissect.reload import settings_of
from dissect.responses import responses_of
from dissect.rotation import rotation_of
from dissect.run_store import Run
from dissect.settings import Execution
from dissect.tally import positions_above
from dissect.taps import Look
from dissect.upsample import Axis


class UnitMask(NamedTuple):
    """layer: its place among the network's layers. unit: its number there. image: row of images.csv. mask: (H, W) bool."""

    layer: int
    unit: int
    image: int
    mask: np.ndarray


def unit_masks(
    run: Run,
    network: Network,
    layers: Sequence[Layer],
    data: LabelledImages,
    units: Mapping[int, np.ndarray],
    *,
    device: str | None = None,
    progress: Progress = silent,
) -> Iterator[UnitMask]:
    """Every mask that is not empty, image by image.

    network, layers: all of the run's layers, as `reload.reload_network` gives them. units: of some of them, by their place, the
    wanted units (n,). device: that of the run if not given. Raises `UserError` at the first mask that is not the one that was
    counted.
    """
    execution = _execution(run, device)
    used = [layers[place] for place in units]
    wanted = [torch.from_numpy(its_units) for its_units in units.values()]
    settings = settings_of(run)
    rotate = rotation_of(used, settings.rotate, execution.device)
    geometry = geometry_of(network, used, settings)  # looks at the network, so before it is tapped
    thresholds = run.counts(network.name)["threshold"]
    check = _Counted(run, network.name, sum(layer.n_units for layer in layers))
    first_row = np.cumsum([0, *(layer.n_units for layer in layers)]).tolist()
    row_of = {name: row for row, name in enumerate(run.images["name"])}

    def observe(look: Look, batch: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
        maps = rotate(look(prepare(batch[1])))
        return [maps[layer.module].cpu()[:, its_units].numpy() for layer, its_units in zip(used, wanted, strict=True)]

    reader = ImageReader(
        data, network.input_size, batch_size=execution.n_together, workers=execution.n_workers, on_bad_image="skip"
    )
    with (
        reader,
        full_precision(),
        one_thread(),
        placed(network, execution.device) as (model, prepare),
        look_in_lanes(
            model, [layer.module for layer in used], {layer.module: layer.layout for layer in used if layer.layout},
            n_lanes=execution.n_lanes(execution.device), allow_varying=True,
        ) as (look_at, _),
    ):  # fmt: skip
        n_seen = 0
        for (numbers, _pixels), maps in look_at(reader.batches(), observe):
            for b, number in enumerate(numbers.tolist()):
                record = data.images[number]
                if record.name not in row_of:
                    raise UserError(
                        f"{record.path} could not be used when {run.path} was made, and can be now: dissect again."
                    )
                image, n_seen = row_of[record.name], n_seen + 1
                for k, (place, its_units) in enumerate(units.items()):
                    axes = geometry.axes(k, record.label_shape)
                    for n, unit in enumerate(its_units.tolist()):
                        row = first_row[place] + unit
                        mask = _mask(maps[k][b, n], thresholds[row], *axes)
                        check(row, image, mask)
                        if mask.any():
                            yield UnitMask(place, unit, image, mask)
            progress(f"{network.name}: masks", reader.position.n_read, len(data.images))
        if n_seen != len(run.images):
            raise UserError(
                f"{n_seen} images can be used now, and {len(run.images)} could when {run.path} was made: restore them, or "
                f"dissect again."
            )


def _mask(unit_map: np.ndarray, threshold: np.float32, rows: Axis, columns: Axis) -> np.ndarray:
    """(H, W) bool: where the map, enlarged, lies strictly above the threshold."""
    mask = np.zeros(rows.n_pixels * columns.n_pixels, np.bool_)
    if unit_map.max() > threshold:
        places = np.empty(mask.size, np.int32)
        n = positions_above(np.ascontiguousarray(unit_map), np.float64(threshold), rows, columns, places)
        mask[places[:n]] = True
    return mask.reshape(rows.n_pixels, columns.n_pixels)


class _Counted:
    """What the run kept of its masks; called with a mask, it refuses one that is another."""

    def __init__(self, run: Run, network: str, n_units: int) -> None:
        self._run, self._network = run, network
        self._strongest = run.strongest_masks(network)
        lists = responses_of(run, network, n_units)
        # By unit and image, ascending: the area of each mask that is not empty.
        unit = np.repeat(np.arange(n_units), np.diff(lists["start"]))
        self._place = unit * len(run.images) + lists["image"]
        self._area = lists["mask_area"]

    def __call__(self, row: int, image: int, mask: np.ndarray) -> None:
        ranks = np.flatnonzero(self._strongest.image[row] == image)
        other = len(ranks) > 0 and not np.array_equal(self._strongest.mask(row, int(ranks[0])), mask)
        if other or mask.sum() != self._counted(row * len(self._run.images) + image):
            raise UserError(
                f"The network {self._network} no longer answers as it did when {self._run.path} was made: the mask of its unit "
                f"in row {row} (from 0) on image {image} is another. Use the device and version of PyTorch that run.json "
                f"names, or dissect again."
            )

    def _counted(self, place: int) -> int:
        """The area that the run counted."""
        n = int(np.searchsorted(self._place, place))
        return int(self._area[n]) if n < len(self._place) and self._place[n] == place else 0


def _execution(run: Run, device: str | None) -> Execution:
    """With the run's device and batch size: another may round the last bits of an activation otherwise."""
    recorded = run.info["execution"]
    return Execution(batch_size=recorded.get("batch_size")).on(
        usable_device(device or str(recorded.get("device", "auto")))
    )
